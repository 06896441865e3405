//! Opening connections: settings and SQL functions, the same for the writer, readers and the checkpointer.

use std::path::Path;
use std::time::Duration;

use campanile_model::fold::fold;
use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::sql::values::{decimal_text, glide_text};

/// What a connection is for; decides its caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sqlite) enum Role {
    /// The one that writes.
    Writer,
    /// One of the pool.
    Reader,
    /// Moves the log into the database file.
    Checkpointer,
}

/// How long SQLite itself waits for a lock. Only the short locks of a checkpoint or a log recovery can meet: the
/// writer is alone by construction.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Prepared statements kept by a connection. Each form of a query is one.
const STATEMENTS_MAX: usize = 256;

/// Opens `file` (the writer creates it).
pub(in crate::sqlite) fn open(file: &Path, role: Role) -> Result<Connection, rusqlite::Error> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if role == Role::Writer {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    if role == Role::Writer {
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    }
    // NORMAL: a commit does not wait for the disk, `sync` does; a checkpoint still syncs both files.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // The log restarts by a plan (see `checkpoint`), never inside somebody's commit.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    let cache_kib = match role {
        Role::Writer => 16 * 1024,
        Role::Reader => 4 * 1024,
        Role::Checkpointer => 256,
    };
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A plan follows the statement alone. Else SQLite looks at the value of each key that might fit a partial index,
    // and then prepares the statement anew for each new value: a quarter of the time of fires was spent there.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    if role == Role::Reader {
        connection.pragma_update(None, "query_only", true)?;
    }
    add_functions(&connection)?;
    Ok(connection)
}

/// `campanile_fold(text)`: ignoring case as everywhere else. `campanile_starts_with(text, folded)` and its brothers: the
/// same test on the folded text; NULL gives NULL. `campanile_decimal(number, scale)` and
/// `campanile_time(millis)`: the stored text of a number or instant, for tests that look at its characters.
fn add_functions(connection: &Connection) -> Result<(), rusqlite::Error> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("campanile_fold", 1, flags, |context| {
        Ok(match context.get_raw(0) {
            ValueRef::Text(bytes) => Some(fold(&String::from_utf8_lossy(bytes))),
            ValueRef::Integer(number) => Some(number.to_string()),
            _ => None,
        })
    })?;
    text_test(connection, "campanile_starts_with", flags, |text, part| text.starts_with(part))?;
    text_test(connection, "campanile_ends_with", flags, |text, part| text.ends_with(part))?;
    text_test(connection, "campanile_contains", flags, |text, part| text.contains(part))?;
    connection.create_scalar_function("campanile_decimal", 2, flags, |context| {
        let scale: u8 = context.get(1)?;
        let number: Option<f64> = context.get(0)?;
        Ok(number.map(|n| decimal_text(n, scale)))
    })?;
    connection.create_scalar_function("campanile_time", 1, flags, |context| {
        let millis: Option<i64> = context.get(0)?;
        Ok(millis.map(glide_text))
    })
}

/// A test of the folded first argument against the second, which is folded already.
fn text_test(
    connection: &Connection,
    name: &str,
    flags: FunctionFlags,
    test: fn(&str, &str) -> bool,
) -> Result<(), rusqlite::Error> {
    connection.create_scalar_function(name, 2, flags, move |context| {
        let ValueRef::Text(bytes) = context.get_raw(0) else { return Ok(None) };
        let part = context.get_raw(1).as_str()?;
        Ok(Some(test(&fold(&String::from_utf8_lossy(bytes)), part)))
    })
}
