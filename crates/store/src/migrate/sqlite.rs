//! Running SQLite's migrations.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::compatible::{COLUMN, Schema, known};
use super::list::{Migration, SQLITE};
use crate::contract::StoreError;

/// Brings the database behind `connection` to the newest schema, in one transaction. Does nothing when it is there, or
/// when a newer version has only added to it. Returns the number of its newest migration.
///
/// # Errors
/// [`StoreError::NewerSchema`] when a newer version has changed what this one uses: nothing is changed then.
/// [`StoreError::Full`], [`StoreError::Unavailable`].
pub(crate) fn migrate_sqlite(connection: &mut Connection, file: &Path) -> Result<i64, StoreError> {
    run(connection, file, SQLITE)
}

/// The number of the newest migration that this program knows.
pub(crate) fn newest_sqlite() -> u64 {
    u64::try_from(known(SQLITE)).unwrap_or(0)
}

fn run(
    connection: &mut Connection,
    file: &Path,
    migrations: &[Migration],
) -> Result<i64, StoreError> {
    // IMMEDIATE: whoever else migrates at the same time waits, then finds everything done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let schema = schema_of(&transaction)?.unwrap_or_default();
    schema.expect_usable(&file.display().to_string(), known(migrations))?;
    for migration in migrations.iter().filter(|m| m.number > schema.newest) {
        transaction.execute_batch(migration.sql)?;
        // The first migration makes the table.
        if !has_column(&transaction)? {
            transaction.execute_batch(&format!(
                "ALTER TABLE campanile_migration ADD COLUMN {COLUMN} INTEGER NOT NULL DEFAULT 1"
            ))?;
        }
        transaction.execute(
            &format!(
                "INSERT INTO campanile_migration (number, name, {COLUMN}) VALUES (?1, ?2, ?3)"
            ),
            (migration.number, migration.name, migration.stops_older()),
        )?;
        tracing::info!(number = migration.number, name = migration.name, "migrated the database");
    }
    transaction.commit()?;
    Ok(schema.newest.max(known(migrations)))
}

/// How far a database is; `None` when it is not one of ours, or not yet.
///
/// # Errors
/// What SQLite said.
pub(crate) fn schema_of(connection: &Connection) -> Result<Option<Schema>, rusqlite::Error> {
    let has_table = connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE name = 'campanile_migration'", [], |_| Ok(()))
        .optional()?
        .is_some();
    if !has_table {
        return Ok(None);
    }
    let number = |condition: &str| {
        connection.query_row(
            &format!("SELECT coalesce(max(number), 0) FROM campanile_migration WHERE {condition}"),
            [],
            |row| row.get(0),
        )
    };
    let newest = number("true")?;
    let stops_older = if has_column(connection)? { number(COLUMN)? } else { newest };
    Ok(Some(Schema { newest, stops_older }))
}

fn has_column(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM pragma_table_info('campanile_migration') WHERE name = ?1)",
        [COLUMN],
        |row| row.get(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::list::OlderPrograms;

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
        let broken = Migration {
            number: 2,
            name: "broken",
            older_programs: OlderPrograms::Stop,
            sql: "CREATE TABLE half (x); SELECT nonsense;",
        };
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

    /// A database after a migration that only a later version knows.
    fn of_a_later_version(older_programs: OlderPrograms) -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        let later = Migration {
            number: known(SQLITE) + 1,
            name: "later",
            older_programs,
            sql: "-- Why: a test.\nALTER TABLE sysevent_live ADD COLUMN later TEXT;",
        };
        let all: Vec<Migration> = SQLITE.iter().copied().chain([later]).collect();
        run(&mut connection, Path::new("campanile.db"), &all).unwrap();
        connection
    }

    #[test]
    fn an_older_program_goes_on_where_a_newer_one_has_only_added() {
        let mut connection = of_a_later_version(OlderPrograms::GoOn);
        let before = names(&connection);
        let found = migrate_sqlite(&mut connection, Path::new("campanile.db")).unwrap();
        assert_eq!(found, known(SQLITE) + 1);
        assert_eq!(names(&connection), before);
    }

    #[test]
    fn an_older_program_is_refused_where_a_newer_one_has_changed_what_it_uses() {
        let mut connection = of_a_later_version(OlderPrograms::Stop);
        let error = migrate_sqlite(&mut connection, Path::new("campanile.db")).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { .. }), "{error}");
        assert!(error.to_string().contains("campanile.db"), "{error}");
    }

    #[test]
    fn a_database_from_before_migrations_said_so_is_migrated_on() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SQLITE[0].sql).unwrap();
        connection
            .execute("INSERT INTO campanile_migration (number, name) VALUES (1, 'base')", [])
            .unwrap();
        migrate_sqlite(&mut connection, Path::new("campanile.db")).unwrap();
        assert_eq!(names(&connection).len(), SQLITE.len());
    }
}
