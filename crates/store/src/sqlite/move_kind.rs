//! Moving all waiting events of a kind to another queue (§4.8).
//!
//! There is no index on the name: every append would pay for it, and somebody presses this button now and then. So the
//! live table is looked through by a reader, and the writer only changes what was found, some hundred at a time.

use std::sync::Arc;

use rusqlite::Connection;

use super::claims::Readers as _;
use super::effects::{Effect, EventEffects, Standing};
use super::event_store::Events;
use super::events::sys_id;
use super::readers::Readers;
use super::turns::record_of;
use super::window::{Position, Priority, Waiting};
use super::writer::Writer;
use crate::contract::{KindMoved, StoreError};

/// Events that one transaction moves: some milliseconds.
const STEP_EVENTS_MAX: usize = 500;

/// Which events go where.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    pub(super) name: Arc<str>,
    pub(super) to_queue: Arc<str>,
}

/// Moves the waiting events of `kind` whose sequence is above `after`, all in the transaction of `connection`. Claimed
/// ones stay. Returns how many moved.
///
/// # Errors
/// What SQLite said.
pub(super) fn move_all(
    connection: &Connection,
    kind: &Kind,
    after: i64,
    effects: &mut EventEffects,
) -> Result<u64, StoreError> {
    let found = find(connection, kind, (after, i64::MAX), usize::MAX)?;
    move_found(connection, kind, &found, effects)
}

/// Moves the waiting events of `kind` that have arrived, step by step.
///
/// # Errors
/// What SQLite said; the steps before stay.
pub(super) fn move_in_steps(
    events: &Arc<Events>,
    (readers, writer): (&Readers, &Writer),
    kind: &Kind,
) -> Result<KindMoved, StoreError> {
    let mut done = KindMoved::default();
    readers.with_reader(&mut |connection| {
        // Sequences rise in the order of commits: nothing up to this one comes later.
        let newest: Option<i64> =
            connection
                .query_row("SELECT max(sequence) FROM sysevent_live", [], |row| row.get(0))?;
        done.upto = newest.unwrap_or(0);
        Ok(())
    })?;
    let mut after = 0;
    loop {
        let mut found = Vec::new();
        readers.with_reader(&mut |connection| {
            found = find(connection, kind, (after, done.upto), STEP_EVENTS_MAX)?;
            Ok(())
        })?;
        let Some(last) = found.last() else { return Ok(done) };
        after = *last;
        let (claims, kind) = (Arc::clone(&events.claims), kind.clone());
        let ((moved, _), _) = writer.run_and_wait(
            move |connection| {
                let mut effects = EventEffects::new(&claims);
                let moved = move_found(connection, &kind, &found, &mut effects)?;
                Ok((moved, parking_lot::Mutex::new(Some(effects))))
            },
            |(_, effects), _| {
                if let Some(effects) = effects.lock().take() {
                    effects.carry_out();
                }
            },
        )?;
        done.moved += moved;
    }
}

/// The sequences of the first `limit` events of `kind` above `after` and up to `upto`.
fn find(
    connection: &Connection,
    kind: &Kind,
    (after, upto): (i64, i64),
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence FROM sysevent_live WHERE sequence > ?1 AND sequence <= ?2 AND name = ?3 \
         AND queue_from_call = 0 AND queue <> ?4 ORDER BY sequence LIMIT ?5",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = statement
        .query_map((after, upto, &*kind.name, &*kind.to_queue, limit), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// Moves those of `found` that still wait and that nobody has claimed.
fn move_found(
    connection: &Connection,
    kind: &Kind,
    found: &[i64],
    effects: &mut EventEffects,
) -> Result<u64, StoreError> {
    let mut read = connection.prepare_cached(
        "SELECT sequence, sys_id, queue, derived_priority, process_on, epoch, attempts, lapses, \
         \"table\", instance \
         FROM sysevent_live WHERE sequence = ?1 AND queue <> ?2",
    )?;
    let mut change = connection.prepare_cached(
        "UPDATE sysevent_live SET queue = ?2, sys_mod_count = sys_mod_count + 1 WHERE sequence = ?1",
    )?;
    let mut moved = 0;
    for sequence in found {
        let mut rows = read.query((sequence, &*kind.to_queue))?;
        let Some(row) = rows.next()? else { continue };
        let at = Position { process_on: row.get(4)?, sequence: *sequence };
        let standing = Standing { queue: row.get(2)?, priority: Priority(row.get(3)?), at };
        let key = sys_id(row, 1)?;
        let (table, instance): (Option<String>, Option<String>) = (row.get(8)?, row.get(9)?);
        let record =
            record_of(&table.unwrap_or_default(), &instance.unwrap_or_default(), key.as_str());
        let waiting = Waiting {
            sys_id: key,
            epoch: row.get(5)?,
            attempts: row.get(6)?,
            lapses: row.get(7)?,
            record,
            event: None,
        };
        drop(rows);
        if effects.hold(standing.clone(), &waiting.sys_id).is_err() {
            continue;
        }
        change.execute((sequence, &*kind.to_queue))?;
        let there = Standing { queue: Arc::clone(&kind.to_queue), ..standing.clone() };
        effects.note(Effect::Removed(standing));
        effects.note(Effect::Added(there, waiting));
        moved += 1;
    }
    Ok(moved)
}
