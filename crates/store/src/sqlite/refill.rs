//! Reading what waits: the next events of a lane, and whole events for a claim.

use std::collections::HashMap;

use campanile_model::Event;
use rusqlite::{Connection, OptionalExtension, Statement, ToSql};

use super::claims::Readers;
use super::effects::Standing;
use super::events::{COLUMNS, Texts, read_event};
use super::window::{LANE_EVENTS_MAX, Position, Priority, Waiting, event_bytes};
use crate::contract::StoreError;

/// A refill reads at most so many bytes of events (a snapshot may have 256 KiB).
const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What is due this soon is read along, so that a stream of scheduled events is not read one by one.
const SOON_MS: i64 = 1_000;

/// What to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) queue: &'a str,
    pub(super) priority: Priority,
    /// First place that is not known.
    pub(super) from: Position,
    pub(super) now: i64,
}

/// The next events of a lane, and the place up to which they are complete (`None`: to its end).
pub(super) type LaneRows = (Vec<(Position, Waiting)>, Option<Position>);

/// Reads the due events of a lane from one snapshot.
///
/// # Errors
/// What SQLite said.
pub(super) fn read_lane(
    connection: &Connection,
    wanted: &Wanted<'_>,
) -> Result<LaneRows, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let until = wanted.now.saturating_add(SOON_MS);
    let mut reading = Reading::default();
    // Two ranges: one comparison of row values would walk all events of one millisecond again and again.
    let mut same_time = transaction.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM sysevent_live WHERE queue = ?1 AND derived_priority = ?2 \
         AND process_on = ?3 AND sequence >= ?4 AND process_on <= ?5 ORDER BY sequence"
    ))?;
    reading.take(
        &mut same_time,
        &[
            &wanted.queue,
            &wanted.priority.0,
            &wanted.from.process_on,
            &wanted.from.sequence,
            &until,
        ],
    )?;
    if !reading.is_full() {
        let mut later = transaction.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM sysevent_live WHERE queue = ?1 AND derived_priority = ?2 \
             AND process_on > ?3 AND process_on <= ?4 ORDER BY process_on, sequence"
        ))?;
        reading.take(
            &mut later,
            &[&wanted.queue, &wanted.priority.0, &wanted.from.process_on, &until],
        )?;
    }
    let bound = match reading.rows.last() {
        Some((last, _)) if reading.is_full() => Some(last.next()),
        _ => transaction
            .prepare_cached(
                "SELECT process_on, sequence FROM sysevent_live WHERE queue = ?1 AND derived_priority = ?2 \
                 AND process_on > ?3 ORDER BY process_on, sequence LIMIT 1",
            )?
            .query_row((wanted.queue, wanted.priority.0, until), |row| {
                Ok(Position { process_on: row.get(0)?, sequence: row.get(1)? })
            })
            .optional()?,
    };
    Ok((reading.rows, bound))
}

#[derive(Default)]
struct Reading {
    rows: Vec<(Position, Waiting)>,
    bytes: usize,
    texts: Texts,
}

impl Reading {
    fn is_full(&self) -> bool {
        self.rows.len() >= LANE_EVENTS_MAX || self.bytes >= READ_BYTES_MAX
    }

    fn take(
        &mut self,
        statement: &mut Statement<'_>,
        values: &[&dyn ToSql],
    ) -> Result<(), StoreError> {
        let mut rows = statement.query(values)?;
        while !self.is_full() {
            let Some(row) = rows.next()? else { break };
            let event = read_event(row, &mut self.texts)?;
            self.bytes += event_bytes(&event);
            self.rows.push((Standing::of(&event).at, Waiting::whole(event)));
        }
        Ok(())
    }
}

/// Events as they wait, by sequence; without those that do not any more.
///
/// # Errors
/// What SQLite said.
pub(super) fn waiting_by_sequence(
    connection: &Connection,
    sequences: &[i64],
) -> Result<HashMap<i64, Waiting>, StoreError> {
    let mut texts = Texts::default();
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM sysevent_live WHERE sequence = ?1"))?;
    let mut found = HashMap::with_capacity(sequences.len());
    for sequence in sequences {
        let event =
            statement.query_row([sequence], |row| read_event(row, &mut texts)).optional()?;
        found.extend(event.map(|event| (*sequence, Waiting::whole(event))));
    }
    Ok(found)
}

/// The whole events of what was taken, in its order; what the windows did not keep is read. One whose row is gone was
/// taken back and ended by somebody else meanwhile (this thread stood still for long): it is left out.
///
/// # Errors
/// What SQLite said.
pub(super) fn whole_events(
    taken: Vec<(Standing, Waiting)>,
    readers: &dyn Readers,
) -> Result<Vec<Event>, StoreError> {
    let missing: Vec<i64> = taken
        .iter()
        .filter(|(_, waiting)| waiting.event.is_none())
        .map(|(standing, _)| standing.at.sequence)
        .collect();
    let mut read = Vec::with_capacity(missing.len());
    if !missing.is_empty() {
        readers.with_reader(&mut |connection| {
            let mut texts = Texts::default();
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM sysevent_live WHERE sequence = ?1"
            ))?;
            for sequence in &missing {
                let event = statement.query_row([sequence], |row| read_event(row, &mut texts));
                read.push(event.optional()?);
            }
            Ok(())
        })?;
    }
    let mut read = read.into_iter();
    Ok(taken
        .into_iter()
        .filter_map(|(_, waiting)| waiting.event.map(|event| *event).or_else(|| read.next()?))
        .collect())
}
