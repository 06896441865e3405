//! What became of a group of appends whose commit was not answered.
//!
//! Differs because the answer can be lost on its way. The old transaction holds the row that the group's number stands in: who
//! gets that row reads what is true, and uses the number up. One that goes on by itself, because the server has not noticed that its connection is
//! gone, is ended: else all further appends would wait for it.

use tokio_postgres::Error;

use super::connection::Connection;
use super::failure::is_lock_timeout;
use super::fate::HANGS;
use super::nodes::APPENDING;
use crate::contract::StoreError;

/// Whether the program with `token` has committed its group `number`, once no transaction is under way that writes it. One
/// that was not committed never will be: it may still be on its way to the server, which finds its number used up then.
/// `None` when the database knows no such program. For the writer, which has no other connection while it asks.
///
/// # Errors
/// What PostgreSQL said: then nothing is known yet. [`StoreError::HeldUp`] while the row is held.
pub(super) fn was_committed(
    connection: &Connection,
    token: i64,
    number: i64,
) -> Result<Option<bool>, StoreError> {
    ask(connection, (token, number), &|| None)
}

/// Returns once group `number` of the program with `token`, which was one statement, is there for good or not at all. For others
/// than the writer: whoever asks for the row waits for the group that is under way, so the row is read first, and what the
/// process `in_use` writes is left alone. It is asked after the holder of the row was found: a process writes nothing before it
/// is told to be in use.
///
/// # Errors
/// As [`was_committed`].
pub(super) fn wait_ended(
    connection: &Connection,
    (token, number): (i64, i64),
    in_use: &dyn Fn() -> Option<i32>,
) -> Result<(), StoreError> {
    let row = connection.query_first(
        "SELECT last_group FROM campanile_node_writer WHERE token = $1 AND writer = $2",
        &[&token, &APPENDING],
    )?;
    let last: Option<i64> = row.map(|row| row.try_get(0)).transpose()?;
    // It is the last one that was committed; or a later one has had the row, which the transaction of this one held to its end, and
    // should it still be on its way, it finds its number used up.
    if last.is_none_or(|last| last >= number) {
        return Ok(());
    }
    ask(connection, (token, number), in_use).map(drop)
}

/// The process of the server that `connection` leads to.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn process_of(connection: &Connection) -> Result<Option<i32>, StoreError> {
    let row = connection.query_first("SELECT pg_backend_pid()", &[])?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Asks for the row, and ends who holds it for too long, unless that is the process `in_use`.
fn ask(
    connection: &Connection,
    (token, number): (i64, i64),
    in_use: &dyn Fn() -> Option<i32>,
) -> Result<Option<bool>, StoreError> {
    let hangs = HANGS.as_millis();
    connection.batch(&format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {hangs}"
    ))?;
    let asked = || -> Result<Option<bool>, Error> {
        let row = connection.query_first(
            "SELECT last_group FROM campanile_node_writer WHERE token = $1 AND writer = $2 FOR UPDATE",
            &[&token, &APPENDING],
        )?;
        let last: Option<i64> = row.map(|row| row.try_get(0)).transpose()?;
        // By the next number: the answer to this can be lost too, and whoever looks again must not take it for the group's.
        connection.execute(
            "UPDATE campanile_node_writer SET last_group = $3 + 1 WHERE token = $1 AND writer = $2 AND last_group < $3",
            &[&token, &APPENDING, &number],
        )?;
        connection.batch("COMMIT")?;
        Ok(last.map(|last| last == number))
    };
    asked().or_else(|error| {
        connection.batch("ROLLBACK")?;
        if is_lock_timeout(&error) {
            end_holder(connection, token, in_use)?;
        }
        Err(error.into())
    })
}

/// Ends the connection whose transaction has changed the row, if it is one of ours that is not in use.
fn end_holder(
    connection: &Connection,
    token: i64,
    in_use: &dyn Fn() -> Option<i32>,
) -> Result<(), StoreError> {
    let holder = connection.query_first(
        "SELECT pid, backend_xid::text FROM pg_stat_activity WHERE backend_xid = ( \
         SELECT xmax FROM campanile_node_writer WHERE token = $1 AND writer = $2) \
         AND usename = current_user AND application_name = current_setting('application_name')",
        &[&token, &APPENDING],
    )?;
    let Some(holder) = holder else { return Ok(()) };
    let (process, transaction): (i32, String) = (holder.try_get(0)?, holder.try_get(1)?);
    if in_use() == Some(process) {
        return Ok(());
    }
    // By the transaction too: that one may have ended meanwhile.
    connection.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE pid = $1 AND backend_xid::text = $2",
        &[&process, &transaction],
    )?;
    Ok(())
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::postgres::address::Address;
    use crate::postgres::url::DatabaseUrl;
    use crate::testing::TestDatabase;

    const TOKEN: i64 = 7;
    const LAST: i64 = 3;

    /// A program that has written [`LAST`].
    fn database() -> TestDatabase {
        let database = TestDatabase::create();
        database.run(&format!(
            "INSERT INTO campanile_node (token, name, lease_ms) OVERRIDING SYSTEM VALUE VALUES ({TOKEN}, 'n', 1); \
             INSERT INTO campanile_node_writer (token, writer, last_group) VALUES ({TOKEN}, {APPENDING}, {LAST})"
        ));
        database
    }

    fn connection(database: &TestDatabase) -> Connection {
        let address = Address::parse(&DatabaseUrl::from(database.url()));
        Connection::open(&address.expect("it is a URL")).expect("the server answers")
    }

    /// Begins a group on `connection`.
    fn write(connection: &Connection) {
        connection
            .batch("BEGIN; UPDATE campanile_node_writer SET last_group = last_group + 9")
            .expect("nobody has the row");
    }

    #[test]
    fn what_became_of_a_group_is_known_while_a_later_one_is_under_way_unless_it_may_come_still() {
        let database = database();
        let [asks, writer] = [(), ()].map(|()| connection(&database));
        write(&writer);
        let in_use = process_of(&writer).unwrap();
        for known in [LAST - 1, LAST] {
            wait_ended(&asks, (TOKEN, known), &|| in_use).unwrap();
        }
        let told = wait_ended(&asks, (TOKEN, LAST + 1), &|| in_use).unwrap_err();
        assert!(matches!(told, StoreError::HeldUp { .. }), "{told}");
        writer.batch("COMMIT").unwrap();
        wait_ended(&asks, (TOKEN, LAST + 1), &|| in_use).unwrap();
    }

    #[test]
    fn a_group_that_has_not_come_never_will_once_it_was_asked_for() {
        let database = database();
        wait_ended(&connection(&database), (TOKEN, LAST + 1), &|| None).unwrap();
        let last = "SELECT last_group::text FROM campanile_node_writer";
        assert_eq!(database.texts(last), [(LAST + 2).to_string()]);
    }

    #[test]
    fn a_connection_that_goes_on_by_itself_is_ended_and_the_one_that_is_in_use_is_not() {
        let database = database();
        let [asks, lost, in_use] = [(), (), ()].map(|()| connection(&database));
        let process = process_of(&in_use).unwrap();
        let wait = || wait_ended(&asks, (TOKEN, LAST + 1), &|| process);
        for (holder, is_ended) in [(&in_use, false), (&lost, true)] {
            write(holder);
            let told = wait().unwrap_err();
            assert!(matches!(told, StoreError::HeldUp { .. }), "{told}");
            assert_eq!(holder.batch("ROLLBACK").is_err(), is_ended);
        }
        wait().unwrap();
    }
}
