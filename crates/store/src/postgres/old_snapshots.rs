//! Who keeps the server from clearing dead events away, and how many there are.
//!
//! Differs because on SQLite nobody else has the database. Here an event that is done is a dead row, which goes only when no
//! transaction of this database can see it any more: sessions, prepared transactions, and replicas that report what they still read.
//! Until then each claim steps over it (5.7 ms became 16 ms in 150 claims beside an open snapshot).

use std::time::Duration;

use tokio_postgres::Row;

use super::connection::Connection;
use crate::contract::{Concern, StoreError};

/// A transaction that is older is told.
pub(super) const OLD: Duration = Duration::from_secs(300);

/// A statement that runs is nobody's oversight for so long: a dump of a large database, a report.
const LONG_STATEMENT: Duration = Duration::from_secs(3_600);

/// More dead events than that wait to be cleared away: twenty times what wakes the server's cleaner.
const DEAD_ROWS_MAX: i64 = 100_000;

/// A replica that works and holds back more transactions than that is told.
const REPLICA_TRANSACTIONS_MAX: i64 = 1_000_000;

/// Sessions that are told; more than a few have one cause.
const SESSIONS_TOLD_MAX: i64 = 10;

/// What all of it leads to.
const EFFECT: &str =
    "events that are done cannot be cleared away meanwhile, and all queues become slower";

/// The sessions of this database whose transactions count; the server's own cleaner, which has no user, does not. What a session
/// of another user is at is shown to members of pg_monitor only; that it has a snapshot is shown to all.
const HOLDERS: &str = "FROM pg_stat_activity WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) \
     AND datname = current_database() AND usename IS NOT NULL AND pid <> pg_backend_pid()";

/// What replicas hold back, by a slot or without one.
const REPLICAS: &str = "(SELECT format('replication slot %L', slot_name) AS name, slot_name::text AS slot, active, xmin \
     FROM pg_replication_slots WHERE xmin IS NOT NULL \
     UNION ALL SELECT format('replica %L', application_name), '', true, backend_xmin FROM pg_stat_activity \
     WHERE datname IS NULL AND usename IS NOT NULL AND backend_xmin IS NOT NULL) AS replica";

/// What the server counts of the events that wait: of the table, or of its partitions.
const LIVE_STATISTICS: &str = "(SELECT * FROM pg_stat_user_tables WHERE relid = to_regclass('sysevent_live') \
     UNION ALL SELECT stat.* FROM pg_stat_user_tables AS stat JOIN pg_inherits ON inhrelid = relid \
     WHERE inhparent = to_regclass('sysevent_live')) AS live";

/// Numbers for metrics.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn numbers(connection: &Connection) -> Result<Vec<(&'static str, f64)>, StoreError> {
    let row = connection.query_first(
        &format!(
            "WITH holder AS (SELECT xact_start, backend_xmin {HOLDERS}) \
             SELECT coalesce((SELECT max(extract(epoch FROM clock_timestamp() - xact_start)) FROM holder \
             WHERE backend_xmin IS NOT NULL), 0)::float8, \
             coalesce((SELECT max(extract(epoch FROM clock_timestamp() - xact_start)) FROM holder), 0)::float8, \
             (SELECT count(*) FROM holder WHERE xact_start IS NULL)::float8, \
             coalesce((SELECT max(extract(epoch FROM clock_timestamp() - prepared)) FROM pg_prepared_xacts \
             WHERE database = current_database()), 0)::float8, \
             coalesce((SELECT max(age(xmin)) FROM {REPLICAS}), 0)::float8, \
             coalesce((SELECT sum(n_dead_tup) FROM {LIVE_STATISTICS}), 0)::float8"
        ),
        &[],
    )?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let names = [
        "oldest_snapshot_seconds",
        "oldest_transaction_seconds",
        "hidden_snapshots",
        "oldest_prepared_seconds",
        "oldest_replica_transactions",
        "dead_events",
    ];
    names.iter().enumerate().map(|(at, name)| Ok((*name, row.try_get(at)?))).collect()
}

/// What is to be told of transactions that are older than `old`, of replicas, and of dead events.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn concerns(connection: &Connection, old: Duration) -> Result<Vec<Concern>, StoreError> {
    let mut concerns = Vec::new();
    sessions(connection, old, &mut concerns)?;
    hidden(connection, &mut concerns)?;
    prepared(connection, old, &mut concerns)?;
    replicas(connection, &mut concerns)?;
    dead_events(connection, &mut concerns)?;
    Ok(concerns)
}

/// A moment as people read it.
fn shown(column: &str) -> String {
    format!("coalesce(to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), '?')")
}

fn sessions(
    connection: &Connection,
    old: Duration,
    concerns: &mut Vec<Concern>,
) -> Result<(), StoreError> {
    let (since, query_start) = (shown("xact_start"), shown("query_start"));
    let rows = connection.query(
        &format!(
            "SELECT pid, coalesce(usename::text, '?'), coalesce(nullif(application_name, ''), backend_type), \
             coalesce(client_addr::text, 'this machine'), coalesce(state, '?'), {since}, {query_start}, \
             extract(epoch FROM clock_timestamp() - xact_start)::float8 {HOLDERS} \
             AND xact_start < clock_timestamp() - $1::float8 * interval '1 second' ORDER BY xact_start LIMIT $2"
        ),
        &[&old.as_secs_f64(), &SESSIONS_TOLD_MAX],
    )?;
    for row in &rows {
        concerns.push(session(row)?);
    }
    Ok(())
}

fn session(row: &Row) -> Result<Concern, StoreError> {
    let pid: i32 = row.try_get(0)?;
    let text = |at: usize| row.try_get::<_, String>(at);
    let (user, program, place, state) = (text(1)?, text(2)?, text(3)?, text(4)?);
    let (since, query_start, seconds) = (text(5)?, text(6)?, row.try_get::<_, f64>(7)?);
    let works = state == "active";
    let fix = if works {
        format!("wait for its end, or stop it: SELECT pg_cancel_backend({pid})")
    } else {
        format!(
            "end it: SELECT pg_terminate_backend({pid}); and set idle_in_transaction_session_timeout for '{user}'"
        )
    };
    Ok(Concern {
        is_serious: !works || seconds >= LONG_STATEMENT.as_secs_f64(),
        what: format!(
            "session {pid} of '{user}' ({program}, {place}) has a transaction open since {since} UTC; it is {state}, its last \
             statement began {query_start} UTC: {EFFECT}"
        ),
        fix,
    })
}

/// Those whose age this user may not see.
fn hidden(connection: &Connection, concerns: &mut Vec<Concern>) -> Result<(), StoreError> {
    let row = connection.query_first(
        &format!(
            "SELECT count(*), current_user::text, coalesce(max(age(coalesce(backend_xmin, backend_xid))), 0)::bigint {HOLDERS} \
             AND xact_start IS NULL"
        ),
        &[],
    )?;
    let Some(row) = row else { return Ok(()) };
    let (count, user, age): (i64, String, i64) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if count > 0 {
        concerns.push(Concern {
            is_serious: false,
            what: format!(
                "{count} of the open transactions belong to other users, and '{user}' may not see since when; the oldest has seen \
                 {age} transactions go by"
            ),
            fix: format!("let it see them: GRANT pg_monitor TO \"{user}\""),
        });
    }
    Ok(())
}

fn prepared(
    connection: &Connection,
    old: Duration,
    concerns: &mut Vec<Concern>,
) -> Result<(), StoreError> {
    let since = shown("prepared");
    let rows = connection.query(
        &format!(
            "SELECT gid, owner::text, {since} FROM pg_prepared_xacts WHERE database = current_database() \
             AND prepared < clock_timestamp() - $1::float8 * interval '1 second' ORDER BY prepared LIMIT $2"
        ),
        &[&old.as_secs_f64(), &SESSIONS_TOLD_MAX],
    )?;
    for row in &rows {
        let (gid, owner, since): (String, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let quoted = gid.replace('\'', "''");
        concerns.push(Concern {
            is_serious: true,
            what: format!(
                "transaction '{gid}' of '{owner}' is prepared since {since} UTC and was neither committed nor rolled back: {EFFECT}"
            ),
            fix: format!("end it: ROLLBACK PREPARED '{quoted}' (or COMMIT PREPARED)"),
        });
    }
    Ok(())
}

fn replicas(connection: &Connection, concerns: &mut Vec<Concern>) -> Result<(), StoreError> {
    let rows = connection.query(
        &format!(
            "SELECT name, slot, active, age(xmin)::bigint FROM {REPLICAS} WHERE NOT active OR age(xmin)::bigint > $1 \
             ORDER BY age(xmin) DESC LIMIT $2"
        ),
        &[&REPLICA_TRANSACTIONS_MAX, &SESSIONS_TOLD_MAX],
    )?;
    for row in &rows {
        let (name, slot): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (active, age): (bool, i64) = (row.try_get(2)?, row.try_get(3)?);
        let (state, fix) = if active {
            (
                "something old is read there",
                "look for long queries on the replica, or turn its hot_standby_feedback off"
                    .to_owned(),
            )
        } else {
            let slot = slot.replace('\'', "''");
            (
                "nobody reads from it",
                format!(
                    "start its replica, or give it up: SELECT pg_drop_replication_slot('{slot}')"
                ),
            )
        };
        concerns.push(Concern {
            is_serious: !active,
            what: format!("{name} holds back {age} transactions, and {state}: {EFFECT}"),
            fix,
        });
    }
    Ok(())
}

fn dead_events(connection: &Connection, concerns: &mut Vec<Concern>) -> Result<(), StoreError> {
    let last = shown("min(greatest(last_autovacuum, last_vacuum))");
    let row = connection.query_first(
        &format!(
            "SELECT coalesce(sum(n_dead_tup), 0)::bigint, coalesce(sum(n_live_tup), 0)::bigint, {last}, \
             current_setting('autovacuum') = 'off' OR coalesce(bool_or(EXISTS (SELECT FROM pg_class \
             WHERE oid = relid AND 'autovacuum_enabled=off' = ANY (reloptions))), false) FROM {LIVE_STATISTICS}"
        ),
        &[],
    )?;
    let Some(row) = row else { return Ok(()) };
    let (dead, live, last): (i64, i64, String) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if row.try_get(3)? {
        concerns.push(Concern {
            is_serious: true,
            what: "autovacuum is off for sysevent_live: every event that is done stays there as a dead row, and all queues \
                   become slower"
                .to_owned(),
            fix: "turn it on: autovacuum = on, and ALTER TABLE sysevent_live RESET (autovacuum_enabled)".to_owned(),
        });
    }
    if dead > DEAD_ROWS_MAX {
        concerns.push(Concern {
            is_serious: false,
            what: format!(
                "sysevent_live has {dead} dead rows beside {live} events; it was last cleared {last} UTC"
            ),
            fix: "end old transactions, then VACUUM sysevent_live".to_owned(),
        });
    }
    Ok(())
}
