//! How much waits in each queue.

use campanile_model::Instant;

use super::connection::Connection;
use super::events::text;
use crate::contract::{Backlog, StoreError};

/// The backlog of every queue that has waiting events, as of `now`, sorted by queue.
///
/// Differs because totals do not stand in memory: the live table is counted, which is small while all is well.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn backlog(connection: &Connection, now: Instant) -> Result<Vec<Backlog>, StoreError> {
    let rows = connection.query(
        "SELECT queue, count(*) FILTER (WHERE state = 'ready' AND process_on <= $1), \
         count(*) FILTER (WHERE state = 'ready' AND process_on > $1), count(*) FILTER (WHERE state = 'queued'), \
         min(greatest(process_on, sys_created_on)) FILTER (WHERE state = 'ready' AND process_on <= $1) \
         FROM sysevent_live GROUP BY queue ORDER BY queue",
        &[&now.as_millis()],
    )?;
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    rows.iter()
        .map(|row| {
            Ok(Backlog {
                queue: text(row, 0)?.to_string(),
                ready: count(row.try_get(1)?),
                scheduled: count(row.try_get(2)?),
                queued: count(row.try_get(3)?),
                oldest_ready: row.try_get::<_, Option<i64>>(4)?.map(Instant::from_millis),
            })
        })
        .collect()
}
