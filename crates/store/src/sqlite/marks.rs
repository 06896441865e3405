//! The small table of counters and marks (`campanile_meta`).

use rusqlite::{Connection, OptionalExtension};

use crate::contract::StoreError;

/// The value of `key`, if it has one.
///
/// # Errors
/// What SQLite said.
pub(in crate::sqlite) fn get(
    connection: &Connection,
    key: &str,
) -> Result<Option<String>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT value FROM campanile_meta WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

/// Gives `key` this value, whether it has one or not.
///
/// # Errors
/// What SQLite said.
pub(in crate::sqlite) fn set(
    connection: &Connection,
    key: &str,
    value: &str,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO campanile_meta (key, value) VALUES (?1, ?2) \
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?;
    statement.execute([key, value])?;
    Ok(())
}
