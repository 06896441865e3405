//! Counting what became of the events that arrived after some point.

use std::str::FromStr;

use campanile_model::{EventState, Instant, Outcome};

use super::connection::Connection;
use super::events::text;
use crate::contract::{EventSummary, StoreError};

/// What became of the events whose sequence is above `after`. The sequence is the key of both tables, so only those
/// events are looked at; in distributed mode (`is_spread`) a run is looked for where its event stands. Call it in one view, so that an event that is completed meanwhile is not counted twice.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn summary(
    connection: &Connection,
    after: i64,
    now: Instant,
    is_spread: bool,
) -> Result<EventSummary, StoreError> {
    let last_sequence = last_sequence(connection)?;
    let rows = connection.query(
        "SELECT name, state, count(*) FROM ( \
           SELECT name, state FROM sysevent_live WHERE sequence > $1 \
           UNION ALL SELECT name, state FROM sysevent_log WHERE sequence > $1) AS fired \
         GROUP BY name, state ORDER BY name, state",
        &[&after],
    )?;
    let events = rows
        .iter()
        .map(|row| {
            let state: &str = row.try_get(1)?;
            // The table checks the word.
            let state = EventState::from_str(state).unwrap_or(EventState::Error);
            Ok((text(row, 0)?.to_string(), state, count(row.try_get(2)?)))
        })
        .collect::<Result<_, StoreError>>()?;
    let where_it_stands =
        if is_spread { "AND run.\"partition\" = fired.\"partition\" " } else { "" };
    let rows = connection.query(
        &format!(
            "SELECT COALESCE(handler_name, ''), outcome, count(*) FROM ( \
               SELECT sys_id, \"partition\" FROM sysevent_live WHERE sequence > $1 \
               UNION ALL SELECT sys_id, \"partition\" FROM sysevent_log WHERE sequence > $1) AS fired \
             JOIN sysevent_run AS run ON lower(run.event) = lower(fired.sys_id) {where_it_stands}\
             GROUP BY handler_name, outcome ORDER BY handler_name NULLS FIRST, outcome"
        ),
        &[&after],
    )?;
    let runs = rows
        .iter()
        .map(|row| {
            let outcome = Outcome::from_word(row.try_get(1)?);
            Ok((text(row, 0)?.to_string(), outcome, count(row.try_get(2)?)))
        })
        .collect::<Result<_, StoreError>>()?;
    let waiting = connection.query_first(
        "SELECT count(*) FROM sysevent_live WHERE sequence > $1 AND (process_on <= $2 OR state = 'queued')",
        &[&after, &now.as_millis()],
    )?;
    let waiting = waiting.map_or(Ok(0), |row| row.try_get(0)).map(count)?;
    Ok(EventSummary { last_sequence, events, runs, waiting })
}

/// Sequence of the newest event of all; 0 when there never was one.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn last_sequence(connection: &Connection) -> Result<i64, StoreError> {
    let row = connection.query_first(
        "SELECT greatest((SELECT max(sequence) FROM sysevent_live), (SELECT max(sequence) FROM sysevent_log), 0)",
        &[],
    )?;
    Ok(row.map_or(Ok(0), |row| row.try_get(0))?)
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
