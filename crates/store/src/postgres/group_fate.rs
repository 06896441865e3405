//! What became of a group of appends whose commit was not answered.
//!
//! Differs because the answer can be lost on its way. The old transaction holds the row that the group's number stands in: who
//! gets that row reads what is true. One that goes on by itself, because the server has not noticed that its connection is
//! gone, is ended: else all further appends would wait for it.

use super::connection::Connection;
use super::failure::is_lock_timeout;
use super::fate::HANGS;
use super::nodes::APPENDING;
use crate::contract::StoreError;

/// The number of the last group that the program with `token` has committed, once no transaction is under way that writes
/// another. `None` when the database knows no such program.
///
/// # Errors
/// What PostgreSQL said: then nothing is known yet. [`StoreError::HeldUp`] while the row is held.
pub(super) fn last_group(connection: &Connection, token: i64) -> Result<Option<i64>, StoreError> {
    let hangs = HANGS.as_millis();
    connection.batch(&format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {hangs}"
    ))?;
    let read = connection.query_first(
        "SELECT last_group FROM campanile_node_writer WHERE token = $1 AND writer = $2 FOR UPDATE",
        &[&token, &APPENDING],
    );
    connection.batch("ROLLBACK")?;
    match read {
        Ok(row) => Ok(row.map(|row| row.try_get(0)).transpose()?),
        Err(error) => {
            if is_lock_timeout(&error) {
                end_holder(connection, token)?;
            }
            Err(error.into())
        }
    }
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
