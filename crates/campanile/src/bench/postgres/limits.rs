//! The limits: PostgreSQL itself, with the same tables, columns and indexes, and nothing of the product.

use super::server::{Bare, Database};
use crate::bench::append::side_by_side;
use crate::bench::house::BATCH;
use crate::bench::took::{Took, timed};
use crate::output::Failure;

/// Connections of the bare loop: the product claims on one and completes on another.
const CONNECTIONS: usize = 2;

/// Rows that the server makes up by itself, as the product stores them, with keys in the order of time.
const INSERT: &str = "INSERT INTO sysevent_live (sys_id, queue, derived_priority, process_on, sys_created_on, name, \
     \"table\", instance, parm1, parm2, user_name, uri, \"partition\", depth, source, queue_from_call, registered, \
     scheduled, max_attempts, coalesce_seconds) \
     SELECT '0190' || lpad(to_hex(n), 28, '0'), '', 100, 1700000000000 + n, 1700000000000 + n, 'bench.fired', \
     'u_bench_task', 'a' || lpad(to_hex(n % 1000), 31, '0'), lpad(to_hex(n), 32, '0'), 'fred.luddy', 'system', \
     '/api/events', n % 16, 0, 'api', false, true, false, 0, 0 FROM generate_series($1::bigint, $2::bigint) AS n";

const BY_INDEX: &str =
    "BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off";

const CLAIM: &str = "UPDATE sysevent_live SET state = 'queued', claimed_by = 'bare/1', claim_token = 1 \
     WHERE sequence = ANY (ARRAY (SELECT sequence FROM sysevent_live WHERE queue = '' AND state = 'ready' \
     AND process_on <= $1 ORDER BY queue, derived_priority, process_on, sequence LIMIT $2 FOR UPDATE SKIP LOCKED)) \
     RETURNING sequence";

/// The same rows as the product writes at the end of an event with one handler.
const RUNS: &str = "INSERT INTO sysevent_run (sys_id, event, epoch, attempt, handler_kind, handler, handler_name, \
     \"order\", outcome, started_at, duration_ms, error_line, fired_events, written_records, definition_version) \
     SELECT '0191' || lpad(to_hex(n), 28, '0'), '0190' || lpad(to_hex(n), 28, '0'), 0, 1, 'script_action', \
     '0190' || lpad(to_hex(n), 28, '0'), 'Bench reads the event and its record', 1, 'succeeded', 1700000000000, 1, 0, \
     0, 0, 1 FROM unnest($1::bigint[]) AS n";

/// A database with the tables of the product, and what was put into it.
#[derive(Debug)]
pub(super) struct Limits {
    database: Database,
    inserted: i64,
}

impl Limits {
    /// Over `database`, which has the schema.
    pub(super) fn on(database: Database) -> Self {
        Self { database, inserted: 0 }
    }

    /// Inserts `count` rows on one connection, [`BATCH`] a transaction.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn insert(&mut self, count: usize) -> Result<Took, Failure> {
        let bare = Bare::connect(&self.database.url)?;
        let insert = bare.prepared(INSERT)?;
        let batch = i64::try_from(BATCH).map_err(Failure::failed)?;
        let (took, ()) = timed(|| {
            for _ in 0..count / BATCH {
                bare.execute(&insert, &[&(self.inserted + 1), &(self.inserted + batch)])?;
                self.inserted += batch;
            }
            Ok::<_, Failure>(())
        })?;
        Ok(took)
    }

    /// Claims everything that waits, `limit` at a time, and writes it to the log with a run each.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn claim_and_complete(&self, limit: usize) -> Result<Took, Failure> {
        let limit = i64::try_from(limit).map_err(Failure::failed)?;
        side_by_side(CONNECTIONS, |_| {
            let bare = Bare::connect(&self.database.url)?;
            let columns = bare.first(
                "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position) \
                 FROM information_schema.columns WHERE table_name = 'sysevent_log' \
                 AND column_name NOT IN ('state', 'processed', 'processing_duration')",
            )?;
            let claim = bare.prepared(CLAIM)?;
            let finish = bare.prepared(&format!(
                "WITH gone AS (DELETE FROM sysevent_live WHERE sequence = ANY ($1) AND claim_token = 1 RETURNING *) \
                 INSERT INTO sysevent_log ({columns}, state, processed, processing_duration) \
                 SELECT {columns}, 'processed', 1700000000000, 1 FROM gone"
            ))?;
            let runs = bare.prepared(RUNS)?;
            loop {
                bare.run(BY_INDEX)?;
                let claimed = bare.numbers(&claim, &[&i64::MAX, &limit])?;
                bare.run("COMMIT")?;
                if claimed.is_empty() {
                    return Ok(());
                }
                bare.run(BY_INDEX)?;
                bare.execute(&finish, &[&claimed])?;
                bare.execute(&runs, &[&claimed])?;
                bare.run("COMMIT")?;
            }
        })
    }
}
