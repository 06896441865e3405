//! The small table of counters and marks (`campanile_meta`).

use super::connection::Connection;
use super::text::{read, stored};
use crate::contract::StoreError;

/// The value of `key`, if it has one.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn get(connection: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    let row = connection
        .query_first("SELECT value FROM campanile_meta WHERE key = $1", &[&stored(key)])?;
    row.map(|row| Ok(read(row.try_get(0)?).into_owned())).transpose()
}

/// Gives `key` this value, whether it has one or not.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn set(connection: &Connection, key: &str, value: &str) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO campanile_meta (key, value) VALUES ($1, $2) \
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        &[&stored(key), &stored(value)],
    )?;
    Ok(())
}
