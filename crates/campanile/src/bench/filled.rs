//! Data folders with a long log, filled past the product, which would take its time.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::context::Context;
use super::house::House;
use crate::output::Failure;

/// Finished events with one handler run each, as the product leaves them.
const FILL: [&str; 2] = [
    "WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < ?1) \
     INSERT INTO sysevent_log (sequence, sys_id, state, queue, derived_priority, process_on, sys_created_on, name, \
     \"table\", instance, parm1, parm2, user_name, uri, \"partition\", depth, source, queue_from_call, registered, \
     scheduled, max_attempts, coalesce_seconds, epoch, attempts, lapses, only_failed, coalesced, processed, \
     processing_duration, sys_mod_count) \
     SELECT n, printf('0180%028x', n), 'processed', '', 100.0, 1600000000000 + n, 1600000000000 + n, 'bench.handled', \
     'u_bench_task', printf('a%031x', n % 1000), printf('%032x', n), 'fred.luddy', 'system', '/api/events', n % 16, 0, \
     'api', 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1600000000001 + n, 1, 1 FROM counted",
    "INSERT INTO sysevent_run (run, sys_id, event, epoch, attempt, handler_kind, handler, handler_name, \"order\", \
     outcome, started_at, duration_ms, error_line, fired_events, written_records, definition_version) \
     SELECT sequence, printf('0181%028x', sequence), sys_id, 0, 1, 'script_action', \
     'c0000000000000000000000000000001', 'Bench reads the event and its record', 1, 'succeeded', process_on, 1, 0, 0, \
     0, 0 FROM sysevent_log WHERE sequence <= ?1 ORDER BY sequence",
];

/// A data folder whose log has `rows` finished events. One that was made earlier in this run is used again.
///
/// # Errors
/// What the engine or SQLite said.
pub(super) fn folder(context: &Context<'_>, rows: usize) -> Result<PathBuf, Failure> {
    let name = format!("log-{rows}");
    let folder = context.root.join(&name);
    if folder.exists() {
        return Ok(folder);
    }
    context.say(&format!("filling a log with {rows} rows"));
    let folder = House::make(context, &name)?.stop()?;
    fill(&folder, rows).map_err(|error| Failure::failed(format!("filling the log: {error}")))?;
    Ok(folder)
}

fn fill(folder: &Path, rows: usize) -> rusqlite::Result<()> {
    let mut connection = Connection::open(folder.join("campanile.db"))?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "cache_size", -200_000)?;
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    for sql in FILL {
        let tx = connection.transaction()?;
        tx.execute(sql, [rows])?;
        tx.commit()?;
    }
    Ok(())
}
