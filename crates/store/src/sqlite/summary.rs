//! Counting what became of the events that arrived after some point.

use std::str::FromStr;

use campanile_model::{EventState, Instant, Outcome};
use rusqlite::Connection;

use crate::contract::{EventSummary, StoreError};

/// What became of the events whose sequence is above `after`. The sequence is the key of both tables, so only those
/// events are looked at.
///
/// # Errors
/// What SQLite said.
pub(super) fn summary(
    connection: &Connection,
    after: i64,
    now: Instant,
) -> Result<EventSummary, StoreError> {
    // One transaction, so that an event that is completed meanwhile is not counted twice.
    let tx = connection.unchecked_transaction()?;
    let summary = read(&tx, after, now.as_millis())?;
    tx.finish()?;
    Ok(summary)
}

fn read(connection: &Connection, after: i64, now: i64) -> Result<EventSummary, StoreError> {
    let last_sequence = connection
        .prepare_cached(
            "SELECT max(COALESCE((SELECT max(sequence) FROM sysevent_live), 0), \
             COALESCE((SELECT max(sequence) FROM sysevent_log), 0))",
        )?
        .query_row([], |row| row.get(0))?;
    let mut events = connection.prepare_cached(
        "SELECT name, state, count(*) FROM ( \
           SELECT name, CASE WHEN campanile_claimed_by(sequence) IS NULL THEN 'ready' ELSE 'queued' END AS state \
           FROM sysevent_live WHERE sequence > ?1 \
           UNION ALL SELECT name, state FROM sysevent_log WHERE sequence > ?1) \
         GROUP BY name, state ORDER BY name, state",
    )?;
    let events = events
        .query_map([after], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, count(row.get(2)?))))?
        .map(|row| {
            let (name, state, count) = row?;
            // The table checks the word.
            Ok((name, EventState::from_str(&state).unwrap_or(EventState::Error), count))
        })
        .collect::<Result<Vec<_>, rusqlite::Error>>()?;
    let mut runs = connection.prepare_cached(
        "SELECT COALESCE(handler_name, ''), outcome, count(*) FROM ( \
           SELECT sys_id FROM sysevent_live WHERE sequence > ?1 \
           UNION ALL SELECT sys_id FROM sysevent_log WHERE sequence > ?1) AS fired \
         CROSS JOIN sysevent_run AS run ON run.event = fired.sys_id \
         GROUP BY handler_name, outcome ORDER BY handler_name, outcome",
    )?;
    let runs = runs
        .query_map([after], |row| {
            let outcome: String = row.get(1)?;
            Ok((row.get(0)?, Outcome::from_word(&outcome), count(row.get(2)?)))
        })?
        .collect::<Result<Vec<_>, rusqlite::Error>>()?;
    let waiting = connection
        .prepare_cached(
            "SELECT count(*) FROM sysevent_live WHERE sequence > ?1 \
             AND (process_on <= ?2 OR campanile_claimed_by(sequence) IS NOT NULL)",
        )?
        .query_row([after, now], |row| row.get(0).map(count))?;
    Ok(EventSummary { last_sequence, events, runs, waiting })
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
