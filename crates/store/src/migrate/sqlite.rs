//! Running SQLite's migrations.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::list::{Migration, SQLITE};
use crate::contract::StoreError;

/// Brings the database behind `connection` to the newest schema, in one transaction. Does nothing when it is there.
///
/// # Errors
/// [`StoreError::NewerSchema`] when it was written by a newer version: nothing is changed then.
/// [`StoreError::Full`], [`StoreError::Unavailable`].
pub(crate) fn migrate_sqlite(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    run(connection, file, SQLITE)
}

/// The number of the newest migration: what a database has once it was opened.
pub(crate) fn newest_sqlite() -> u64 {
    SQLITE.last().map_or(0, |last| u64::try_from(last.number).unwrap_or(0))
}

fn run(
    connection: &mut Connection,
    file: &Path,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    // IMMEDIATE: whoever else migrates at the same time waits, then finds everything done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let known = migrations.last().map_or(0, |last| last.number);
    if found > known {
        return Err(StoreError::NewerSchema { place: file.display().to_string(), found, known });
    }
    for migration in migrations.iter().filter(|m| m.number > found) {
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "INSERT INTO campanile_migration (number, name) VALUES (?1, ?2)",
            (migration.number, migration.name),
        )?;
        tracing::info!(number = migration.number, name = migration.name, "migrated the database");
    }
    transaction.commit()?;
    Ok(())
}

/// The newest migration that the database has seen; 0 for a new one.
fn version(transaction: &Transaction<'_>) -> Result<i64, rusqlite::Error> {
    let has_table = transaction
        .query_row("SELECT 1 FROM sqlite_schema WHERE name = 'campanile_migration'", [], |_| Ok(()))
        .optional()?
        .is_some();
    if !has_table {
        return Ok(0);
    }
    transaction
        .query_row("SELECT coalesce(max(number), 0) FROM campanile_migration", [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(connection: &Connection) -> Vec<String> {
        let mut statement =
            connection.prepare("SELECT name FROM campanile_migration ORDER BY number").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        let file = Path::new("campanile.db");
        migrate_sqlite(&mut connection, file).unwrap();
        let first = names(&connection);
        migrate_sqlite(&mut connection, file).unwrap();
        assert_eq!(names(&connection), first);
        assert_eq!(first.len(), SQLITE.len());
    }

    #[test]
    fn a_failing_migration_leaves_nothing_behind() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken =
            Migration { number: 2, name: "broken", sql: "CREATE TABLE half (x); SELECT nonsense;" };
        let all = [SQLITE[0], broken];
        assert!(run(&mut connection, Path::new("campanile.db"), &all).is_err());
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 0);
    }

    #[test]
    fn twenty_at_once_migrate_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("campanile.db");
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let mut connection = Connection::open(&file).unwrap();
                    connection.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
                    migrate_sqlite(&mut connection, &file).unwrap();
                });
            }
        });
        assert_eq!(names(&Connection::open(&file).unwrap()).len(), SQLITE.len());
    }

    #[test]
    fn a_newer_database_is_refused_and_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        let file = Path::new("campanile.db");
        migrate_sqlite(&mut connection, file).unwrap();
        connection
            .execute("INSERT INTO campanile_migration (number, name) VALUES (999, 'future')", [])
            .unwrap();
        let error = migrate_sqlite(&mut connection, file).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found: 999, .. }), "{error}");
    }
}
