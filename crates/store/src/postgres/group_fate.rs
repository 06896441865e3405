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
/// `None` when the database knows no such program.
///
/// # Errors
/// What PostgreSQL said: then nothing is known yet. [`StoreError::HeldUp`] while the row is held.
pub(super) fn was_committed(
    connection: &Connection,
    token: i64,
    number: i64,
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
            end_holder(connection, token)?;
        }
        Err(error.into())
    })
}

/// Ends the connection whose transaction has changed the row, if it is one of ours.
fn end_holder(connection: &Connection, token: i64) -> Result<(), StoreError> {
    connection.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_xid = ( \
         SELECT xmax FROM campanile_node_writer WHERE token = $1 AND writer = $2) \
         AND usename = current_user AND application_name = current_setting('application_name')",
        &[&token, &APPENDING],
    )?;
    Ok(())
}
