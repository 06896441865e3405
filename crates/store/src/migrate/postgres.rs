//! Running PostgreSQL's migrations.

use super::list::{Migration, POSTGRES};
use crate::contract::StoreError;

/// What migrating needs of a connection.
pub(crate) trait Database {
    /// Runs statements without parameters.
    ///
    /// # Errors
    /// What PostgreSQL said.
    fn run(&self, sql: &str) -> Result<(), StoreError>;

    /// The number that `sql` gives, if it gives one.
    ///
    /// # Errors
    /// What PostgreSQL said.
    fn number(&self, sql: &str) -> Result<Option<i64>, StoreError>;

    /// The address, for people.
    fn place(&self) -> &str;
}

/// The advisory lock of whoever migrates: "camp" and 1.
const MIGRATING: &str = "SELECT pg_advisory_xact_lock(1667329392, 1)";

/// Brings the database to the newest schema, in one transaction. Does nothing when it is there.
///
/// # Errors
/// [`StoreError::NewerSchema`] when it was written by a newer version: nothing is changed then.
/// [`StoreError::Full`], [`StoreError::Unavailable`].
pub(crate) fn migrate_postgres(database: &dyn Database) -> Result<(), StoreError> {
    run(database, POSTGRES)
}

/// The number of the newest migration: what a database has once it was opened.
pub(crate) fn newest_postgres() -> u64 {
    POSTGRES.last().map_or(0, |last| u64::try_from(last.number).unwrap_or(0))
}

fn run(database: &dyn Database, migrations: &[Migration]) -> Result<(), StoreError> {
    database.run("BEGIN ISOLATION LEVEL READ COMMITTED")?;
    let migrated = run_in_transaction(database, migrations);
    match &migrated {
        Ok(()) => database.run("COMMIT")?,
        Err(_) => database.run("ROLLBACK")?,
    }
    migrated
}

fn run_in_transaction(database: &dyn Database, migrations: &[Migration]) -> Result<(), StoreError> {
    // Whoever else migrates at the same time waits, then finds everything done.
    database.run(MIGRATING)?;
    let found = version(database)?;
    let known = migrations.last().map_or(0, |last| last.number);
    if found > known {
        return Err(StoreError::NewerSchema { place: database.place().to_owned(), found, known });
    }
    for migration in migrations.iter().filter(|m| m.number > found) {
        let Migration { number, name, sql } = migration;
        database.run(sql)?;
        database.run(&format!(
            "INSERT INTO campanile_migration (number, name) VALUES ({number}, '{name}')"
        ))?;
        tracing::info!(number, name, "migrated the database");
    }
    Ok(())
}

/// The newest migration that the database has seen; 0 for a new one.
fn version(database: &dyn Database) -> Result<i64, StoreError> {
    let has_table = database
        .number("SELECT 1::bigint WHERE to_regclass('campanile_migration') IS NOT NULL")?
        .is_some();
    if !has_table {
        return Ok(0);
    }
    let newest = database.number("SELECT coalesce(max(number), 0) FROM campanile_migration")?;
    Ok(newest.unwrap_or(0))
}
