//! Running PostgreSQL's migrations.

use std::time::{Duration, Instant};

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
/// one is to do so while an older one works: nothing is changed then. [`StoreError::HeldUp`] with those who
/// have had its tables for a minute. [`StoreError::Full`], [`StoreError::Unavailable`].
pub(crate) fn migrate_postgres(database: &dyn Database) -> Result<i64, StoreError> {
    run(database, POSTGRES, Patience::default())
}

/// The number of the newest migration that this program knows.
pub(crate) fn newest_postgres() -> u64 {
    u64::try_from(known(POSTGRES)).unwrap_or(0)
}

/// How long a migration waits for tables that others have.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For one of them at one go: everybody who comes later waits behind it.
    lock: Duration,
    /// How long to try again.
    tries: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { lock: Duration::from_secs(2), tries: Duration::from_secs(60) }
    }
}

/// The rest between two tries, in which others go on.
const REST: Duration = Duration::from_millis(500);

/// Who has tables of ours in a transaction, the oldest first.
const HOLDERS: &str = "SELECT format('process %s, ''%s'' of %s, since %s', activity.pid, application_name, usename, \
     to_char(xact_start AT TIME ZONE 'UTC', 'HH24:MI:SS \"UTC\"')) FROM pg_stat_activity AS activity \
     WHERE activity.pid <> pg_backend_pid() AND EXISTS (SELECT FROM pg_locks AS held \
     JOIN pg_class AS class ON class.oid = held.relation \
     WHERE held.pid = activity.pid AND held.granted AND activity.datname = current_database() \
     AND class.relkind = 'r' AND (class.relname LIKE 'sysevent\\_%' OR class.relname LIKE 'campanile\\_%')) \
     ORDER BY xact_start LIMIT 3";

fn run(
    database: &dyn Database,
    migrations: &[Migration],
    patience: Patience,
) -> Result<i64, StoreError> {
    let began = Instant::now();
    loop {
        database.run("BEGIN ISOLATION LEVEL READ COMMITTED")?;
        let migrated = run_in_transaction(database, migrations, patience.lock);
        match &migrated {
            Ok(_) => database.run("COMMIT")?,
            Err(_) => database.run("ROLLBACK")?,
        }
        match migrated {
            Err(StoreError::HeldUp { .. }) if began.elapsed() < patience.tries => {
                tracing::warn!("a migration waits for tables that others use; trying again");
                std::thread::sleep(REST);
            }
            Err(StoreError::HeldUp { place, reason }) => {
                return Err(held_up(database, place, reason));
            }
            ended => return ended,
        }
    }
}

/// The same error with those who hold the tables.
fn held_up(database: &dyn Database, place: String, reason: String) -> StoreError {
    match database.texts(HOLDERS) {
        Ok(holders) if !holders.is_empty() => StoreError::HeldUp {
            place,
            reason: format!(
                "its schema cannot be changed while others have its tables in a transaction ({}): end it (SELECT \
                 pg_terminate_backend(PROCESS)), and start again",
                holders.join("; ")
            ),
        },
        Ok(_) => StoreError::HeldUp { place, reason },
        Err(error) => error,
    }
}

fn run_in_transaction(
    database: &dyn Database,
    migrations: &[Migration],
    lock_patience: Duration,
) -> Result<i64, StoreError> {
    // Whoever else migrates at the same time waits, then finds everything done.
    database.run(MIGRATING)?;
    database.run(&format!("SET LOCAL lock_timeout = {}", lock_patience.as_millis()))?;
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

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::postgres::Admin;
    use crate::testing::TestDatabase;

    #[test]
    fn who_keeps_a_migration_from_its_tables_for_too_long_is_named_with_the_fix() {
        let database = TestDatabase::create_empty();
        let admin = Admin::open(database.url()).unwrap();
        let patience = Patience { lock: Duration::from_millis(50), tries: Duration::ZERO };
        let earlier = &POSTGRES[..5];
        run(&admin, earlier, patience).unwrap();
        let stranger = database.stranger();
        stranger.run("BEGIN; SELECT FROM campanile_node");
        let told = run(&admin, POSTGRES, patience).unwrap_err();
        assert!(matches!(told, StoreError::HeldUp { .. }), "{told}");
        let told = told.to_string();
        assert!(!told.contains('\n'), "{told}");
        let process = "SELECT format('(process %s, ''stranger'' of %s, since ', pid, usename) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = 'stranger'";
        for part in [
            "its schema cannot be changed",
            &database.texts(process)[0],
            "end it (SELECT pg_terminate_backend(PROCESS)), and start again",
        ] {
            assert!(told.contains(part), "{told}");
        }
        let newest = "SELECT max(number)::text FROM campanile_migration";
        assert_eq!(database.texts(newest), ["5"], "nothing was changed");
        stranger.run("ROLLBACK");
        assert_eq!(run(&admin, POSTGRES, patience).unwrap(), known(POSTGRES));
    }
}
