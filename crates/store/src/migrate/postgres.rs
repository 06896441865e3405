//! Running PostgreSQL's migrations.

use super::compatible::{COLUMN, Schema, known};
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

    /// The texts that `sql` gives, one a row.
    ///
    /// # Errors
    /// What PostgreSQL said.
    fn texts(&self, sql: &str) -> Result<Vec<String>, StoreError>;

    /// The address, for people.
    fn place(&self) -> &str;
}

/// The advisory lock of whoever migrates: "camp" and 1.
const MIGRATING: &str = "SELECT pg_advisory_xact_lock(1667329392, 1)";

/// Programs that work on the database. None of them knows a migration that is still to be run.
const WORKING: &str = "SELECT name FROM campanile_node WHERE gone_at IS NULL \
     AND beat_at + lease_ms * interval '1 millisecond' > clock_timestamp() ORDER BY token";

/// Brings the database to the newest schema, in one transaction. Does nothing when it is there, or when a newer version
/// has only added to it. Returns the number of its newest migration.
///
/// # Errors
/// [`StoreError::NewerSchema`] when a newer version has changed what this one uses; [`StoreError::OlderAtWork`] when this
/// one is to do so while an older one works: nothing is changed then. [`StoreError::Full`], [`StoreError::Unavailable`].
pub(crate) fn migrate_postgres(database: &dyn Database) -> Result<i64, StoreError> {
    run(database, POSTGRES)
}

/// The number of the newest migration that this program knows.
pub(crate) fn newest_postgres() -> u64 {
    u64::try_from(known(POSTGRES)).unwrap_or(0)
}

fn run(database: &dyn Database, migrations: &[Migration]) -> Result<i64, StoreError> {
    database.run("BEGIN ISOLATION LEVEL READ COMMITTED")?;
    let migrated = run_in_transaction(database, migrations);
    match &migrated {
        Ok(_) => database.run("COMMIT")?,
        Err(_) => database.run("ROLLBACK")?,
    }
    migrated
}

fn run_in_transaction(
    database: &dyn Database,
    migrations: &[Migration],
) -> Result<i64, StoreError> {
    // Whoever else migrates at the same time waits, then finds everything done.
    database.run(MIGRATING)?;
    let schema = schema_of(database)?;
    schema.expect_usable(database.place(), known(migrations))?;
    let missing = || migrations.iter().filter(|migration| migration.number > schema.newest);
    // Differs because others may be at work.
    if let Some(stops) = missing().find(|migration| migration.stops_older()) {
        expect_nobody(database, stops)?;
    }
    for migration in missing() {
        let Migration { number, name, sql, .. } = migration;
        database.run(sql)?;
        // The first migration makes the table.
        database.run(&format!(
            "ALTER TABLE campanile_migration ADD COLUMN IF NOT EXISTS {COLUMN} BOOLEAN NOT NULL DEFAULT true; \
             INSERT INTO campanile_migration (number, name, {COLUMN}) VALUES ({number}, '{name}', {})",
            migration.stops_older()
        ))?;
        tracing::info!(number, name, "migrated the database");
    }
    Ok(schema.newest.max(known(migrations)))
}

fn expect_nobody(database: &dyn Database, migration: &Migration) -> Result<(), StoreError> {
    if !is_there(database, "to_regclass('campanile_node') IS NOT NULL")? {
        return Ok(());
    }
    let names = database.texts(WORKING)?;
    if names.is_empty() {
        return Ok(());
    }
    Err(StoreError::OlderAtWork {
        place: database.place().to_owned(),
        number: migration.number,
        names: names.join("', '"),
    })
}

fn schema_of(database: &dyn Database) -> Result<Schema, StoreError> {
    if !is_there(database, "to_regclass('campanile_migration') IS NOT NULL")? {
        return Ok(Schema::default());
    }
    let newest = database.number("SELECT coalesce(max(number), 0) FROM campanile_migration")?;
    let newest = newest.unwrap_or(0);
    let column = format!(
        "EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('campanile_migration') \
         AND attname = '{COLUMN}' AND NOT attisdropped)"
    );
    let has_column = is_there(database, &column)?;
    if !has_column {
        return Ok(Schema { newest, stops_older: newest });
    }
    let stops_older = database.number(&format!(
        "SELECT coalesce(max(number), 0) FROM campanile_migration WHERE {COLUMN}"
    ))?;
    Ok(Schema { newest, stops_older: stops_older.unwrap_or(0) })
}

fn is_there(database: &dyn Database, what: &str) -> Result<bool, StoreError> {
    Ok(database.number(&format!("SELECT 1::bigint WHERE {what}"))?.is_some())
}
