//! A machine's clock that was set back.
//!
//! An event that was fired for "now", or is to be tried again "in 30 seconds", has its time from the clock as it was; set
//! back by an hour, the clock would keep it waiting for an hour. Such events move with the clock. What somebody asked
//! to happen at a certain time (`scheduled`, rescheduled by hand) keeps that time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::Connection;

use super::claims::Readers as _;
use super::effects::{Effect, EventEffects, Standing};
use super::event_store::Events;
use super::events::{COLUMNS, Texts, read_event};
use super::readers::Readers;
use super::window::Waiting;
use super::writer::Writer;
use crate::contract::StoreError;

/// Threads read the clock one after the other and come in another order; a step back up to this is none.
const STEP_BACK_MIN_MS: i64 = 1_000;

/// Events that one transaction moves.
const STEP_EVENTS_MAX: usize = 500;

/// The latest time that anybody has told.
#[derive(Debug)]
pub(super) struct LatestNow(AtomicI64);

impl LatestNow {
    /// Begins with the arrival of the newest event: the clock may have been set back while nobody looked.
    ///
    /// # Errors
    /// What SQLite said.
    pub(super) fn of_newest(connection: &Connection) -> Result<Self, StoreError> {
        let latest: Option<i64> = connection.query_row(
            "SELECT max(created) FROM ( \
             SELECT sys_created_on AS created FROM sysevent_live WHERE sequence = (SELECT max(sequence) FROM sysevent_live) \
             UNION ALL \
             SELECT sys_created_on FROM sysevent_log WHERE sequence = (SELECT max(sequence) FROM sysevent_log))",
            [],
            |row| row.get(0),
        )?;
        Ok(Self(AtomicI64::new(latest.unwrap_or(i64::MIN))))
    }

    /// Takes note of `now`. Returns true, once, when it lies before what was told earlier.
    pub(super) fn went_back(&self, now: i64) -> bool {
        let latest = self.0.fetch_max(now, Ordering::Relaxed);
        latest.saturating_sub(now) >= STEP_BACK_MIN_MS
            && self.0.compare_exchange(latest, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Moves what was told to be due relative to a clock that stands now at `now`. Returns how many events moved.
///
/// # Errors
/// What SQLite said; the steps before stay.
pub(super) fn follow(
    events: &Arc<Events>,
    (readers, writer): (&Readers, &Writer),
    now: i64,
) -> Result<u64, StoreError> {
    events.claims.forget_dues();
    let mut total = 0;
    let lanes = events.claims.counts().into_iter().flat_map(|count| {
        let queue = count.queue;
        count
            .lanes
            .into_iter()
            .map(move |(priority, _, latest)| (Arc::clone(&queue), priority, latest))
    });
    for (queue, priority, _) in lanes.filter(|(_, _, latest)| *latest > now) {
        let mut from = (now, i64::MAX);
        loop {
            let mut found: Vec<(i64, i64)> = Vec::new();
            readers.with_reader(&mut |connection| {
                found = find(connection, (&queue, priority.0), from, now)?;
                Ok(())
            })?;
            let Some(last) = found.last() else { break };
            from = *last;
            let claims = Arc::clone(&events.claims);
            let ((moved, _), _) = writer.run_and_wait(
                move |connection| {
                    let mut effects = EventEffects::new(&claims);
                    let moved = move_found(connection, &found, now, &mut effects)?;
                    Ok((moved, parking_lot::Mutex::new(Some(effects))))
                },
                |(_, effects), _| {
                    if let Some(effects) = effects.lock().take() {
                        effects.carry_out();
                    }
                },
            )?;
            total += moved;
        }
    }
    if total > 0 {
        tracing::warn!(
            events = total,
            "the clock was set back: events that were due by it move along"
        );
    }
    Ok(total)
}

/// What was last written at `written` and is due at `process_on` is due so long after `now`, if it moves at all.
const MOVES: &str = "process_on > ?1 AND scheduled = 0 AND COALESCE(sys_updated_on, sys_created_on) > ?1 \
     AND (COALESCE(sys_updated_by, 'system') = 'system' OR process_on <= sys_updated_on)";

/// Due time and sequence of the next events of a lane that move.
fn find(
    connection: &Connection,
    (queue, priority): (&str, f64),
    (after, sequence): (i64, i64),
    now: i64,
) -> Result<Vec<(i64, i64)>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT process_on, sequence FROM sysevent_live WHERE queue = ?2 AND derived_priority = ?3 \
         AND process_on >= ?4 AND (process_on > ?4 OR sequence > ?5) AND {MOVES} \
         ORDER BY process_on, sequence LIMIT {STEP_EVENTS_MAX}"
    ))?;
    let found = statement
        .query_map((now, queue, priority, after, sequence), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// Moves those of `found` that still wait so and that nobody has claimed.
fn move_found(
    connection: &Connection,
    found: &[(i64, i64)],
    now: i64,
    effects: &mut EventEffects,
) -> Result<u64, StoreError> {
    let mut texts = Texts::default();
    let mut read = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, COALESCE(sys_updated_on, sys_created_on) AS written FROM sysevent_live \
         WHERE sequence = ?2 AND {MOVES}"
    ))?;
    let mut change = connection.prepare_cached(
        "UPDATE sysevent_live SET process_on = ?2, sys_mod_count = sys_mod_count + 1 WHERE sequence = ?1",
    )?;
    let mut moved = 0;
    for (_, sequence) in found {
        let mut rows = read.query((now, sequence))?;
        let Some(row) = rows.next()? else { continue };
        let mut event = read_event(row, &mut texts)?;
        let written: i64 = row.get("written")?;
        drop(rows);
        let standing = Standing::of(&event);
        if effects.hold(standing.clone(), &event.fired.sys_id).is_err() {
            continue;
        }
        let delay = event.fired.process_on.as_millis().saturating_sub(written).max(0);
        let process_on = now.saturating_add(delay);
        change.execute((sequence, process_on))?;
        effects.note(Effect::Removed(standing));
        event.fired.process_on = campanile_model::Instant::from_millis(process_on);
        effects.note(Effect::Added(Standing::of(&event), Waiting::bare(&event)));
        moved += 1;
    }
    Ok(moved)
}
