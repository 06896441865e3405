//! How much waits in each queue, cheaply: totals stand in memory, only future-dated events are counted in the index.

use std::collections::BTreeMap;

use campanile_model::Instant;
use rusqlite::{Connection, OptionalExtension};

use super::claims::QueueCount;
use crate::contract::{Backlog, StoreError};

/// The backlog of every queue in `counts`, as of `now`, sorted by queue.
///
/// # Errors
/// What SQLite said.
pub(super) fn backlog(
    connection: &Connection,
    counts: Vec<QueueCount>,
    now: Instant,
) -> Result<Vec<Backlog>, StoreError> {
    let now = now.as_millis();
    let mut future = connection.prepare_cached(
        "SELECT count(*) FROM sysevent_live WHERE queue = ?1 AND derived_priority = ?2 AND process_on > ?3",
    )?;
    let mut oldest = connection.prepare_cached(
        "SELECT max(process_on, sys_created_on) FROM sysevent_live \
         WHERE queue = ?1 AND derived_priority = ?2 AND process_on <= ?3 \
         AND campanile_claimed_by(sequence) IS NULL ORDER BY process_on LIMIT 1",
    )?;
    let mut queues = BTreeMap::new();
    for QueueCount { queue, lanes, claimed } in counts {
        let mut one = Backlog { queue: queue.to_string(), queued: claimed, ..Backlog::default() };
        let mut total = 0;
        let mut oldest_ready: Option<i64> = None;
        for (priority, events, latest) in lanes {
            total += events;
            if latest > now {
                let events: i64 = future.query_row((&*queue, priority.0, now), |row| row.get(0))?;
                one.scheduled += u64::try_from(events).unwrap_or(0);
            }
            let first: Option<i64> =
                oldest.query_row((&*queue, priority.0, now), |row| row.get(0)).optional()?;
            oldest_ready = match (oldest_ready, first) {
                (Some(known), Some(first)) => Some(known.min(first)),
                (known, first) => known.or(first),
            };
        }
        // Counts and index are read one after the other, so they may differ by what happened between.
        one.ready = total.saturating_sub(claimed).saturating_sub(one.scheduled);
        one.oldest_ready = oldest_ready.map(Instant::from_millis);
        queues.insert(one.queue.clone(), one);
    }
    Ok(queues.into_values().collect())
}
