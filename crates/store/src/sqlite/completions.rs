//! The end of attempts: rows go from the live table to the log, with what their handlers did.
//!
//! Nobody waits for a completion. They are handed in to a bounded line, in order, and written in batches by the
//! group writer; order among them, and behind everything committed before, is kept because there is one writer.

use std::collections::VecDeque;

use campanile_model::{EventState, HandlerRun};
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, params};

use super::append::forget_internal_keys;
use super::effects::{Effect, EventEffects};
use super::events::COLUMNS;
use super::runs::RunWriter;
use crate::contract::{Completion, NextState, StoreError};

/// Completions in one unit of the group writer: a fire behind them waits about a millisecond.
pub(super) const BATCH_MAX: usize = 100;

/// Completions that wait to be written; whoever hands in more waits.
pub(super) const PENDING_MAX: usize = 8_192;

/// Something that was handed in and that nobody waits for.
#[derive(Debug)]
pub(super) enum Pending {
    /// Runs of an attempt that goes on.
    Runs(Vec<HandlerRun>),
    /// The end of the attempt at the event with this sequence.
    End(i64, Box<Completion>),
}

/// What was handed in and is not written yet.
#[derive(Debug, Default)]
pub(super) struct PendingLine {
    state: Mutex<PendingState>,
    /// Entries were taken, written or put back.
    moved: Condvar,
}

#[derive(Debug, Default)]
struct PendingState {
    waiting: VecDeque<Pending>,
    /// A unit of the group writer is on its way, or being written.
    is_scheduled: bool,
    /// Entries handed in so far.
    handed_in: u64,
    /// Entries committed so far; they are committed in the order in which they were handed in.
    written: u64,
    /// Why the last batch could not be written.
    failed: Option<StoreError>,
}

impl PendingLine {
    /// Hands in, waiting for space. Returns whether the caller must schedule a unit.
    pub(super) fn push(&self, pending: Pending) -> bool {
        let mut state = self.state.lock();
        while state.waiting.len() >= PENDING_MAX && state.is_scheduled {
            self.moved.wait(&mut state);
        }
        state.waiting.push_back(pending);
        state.handed_in += 1;
        !std::mem::replace(&mut state.is_scheduled, true)
    }

    /// Takes the next batch.
    pub(super) fn take(&self) -> Vec<Pending> {
        let mut state = self.state.lock();
        let count = state.waiting.len().min(BATCH_MAX);
        let batch = state.waiting.drain(..count).collect();
        self.moved.notify_all();
        batch
    }

    /// A batch of `count` was committed.
    pub(super) fn written(&self, count: usize) {
        let mut state = self.state.lock();
        state.written += count as u64;
        state.failed = None;
        self.moved.notify_all();
    }

    /// Ends a unit that wrote its batch. Returns whether there is more, for which the caller must schedule the next.
    pub(super) fn go_on(&self) -> bool {
        let mut state = self.state.lock();
        state.is_scheduled = !state.waiting.is_empty();
        state.is_scheduled
    }

    /// Puts a batch that could not be written back in front. No unit is scheduled then: the next to hand in, or
    /// [`PendingLine::schedule_again`], tries again.
    pub(super) fn put_back(&self, batch: Vec<Pending>, error: StoreError) {
        let mut state = self.state.lock();
        for pending in batch.into_iter().rev() {
            state.waiting.push_front(pending);
        }
        state.is_scheduled = false;
        state.failed = Some(error);
        self.moved.notify_all();
    }

    /// Waits until everything that was handed in before is committed.
    ///
    /// # Errors
    /// Why it could not be written.
    pub(super) fn wait_written(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let target = state.handed_in;
        while state.written < target {
            if let (Some(error), false) = (&state.failed, state.is_scheduled) {
                return Err(error.clone());
            }
            self.moved.wait(&mut state);
        }
        Ok(())
    }

    /// Whether something waits for which no unit is scheduled; the caller must then schedule one.
    pub(super) fn schedule_again(&self) -> bool {
        let mut state = self.state.lock();
        if state.waiting.is_empty() || state.is_scheduled {
            return false;
        }
        state.is_scheduled = true;
        true
    }

    /// Number of entries that wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().waiting.len()
    }
}

/// Writes a batch in the transaction of `connection`.
///
/// # Errors
/// What SQLite said; then the caller rolls back and hands the batch in again.
pub(super) fn write_batch(
    connection: &Connection,
    batch: &[Pending],
    effects: &mut EventEffects,
) -> Result<(), StoreError> {
    let mut writer = RunWriter::new(connection)?;
    let mut finish = connection.prepare_cached(&format!(
        "INSERT INTO sysevent_log ({COLUMNS}, sys_updated_on, sys_updated_by, sys_mod_count) \
         SELECT sequence, sys_id, ?2, queue, derived_priority, process_on, sys_created_on, name, \"table\", \
         instance, parm1, parm2, descriptive_name, user_id, user_name, uri, snapshot, \"partition\", depth, \
         cause_event, cause_handler, dedupe_key, source, queue_from_call, registered, scheduled, max_attempts, \
         coalesce_seconds, origin_id, epoch, attempts + 1, lapses, only_failed, coalesced, ?3, ?4, ?5, ?6, \
         ?3 + ?4, 'system', sys_mod_count + 1 FROM sysevent_live WHERE sequence = ?1"
    ))?;
    let mut leave = connection.prepare_cached("DELETE FROM sysevent_live WHERE sequence = ?1")?;
    for pending in batch {
        let (sequence, completion) = match pending {
            Pending::Runs(runs) => {
                runs.iter().try_for_each(|run| writer.write(run))?;
                continue;
            }
            Pending::End(sequence, completion) => (*sequence, completion),
        };
        completion.runs.iter().try_for_each(|run| writer.write(run))?;
        let began = completion.started.as_millis();
        let (state, code, message) = match &completion.next {
            NextState::Processed => (EventState::Processed, None, None),
            NextState::Error { code, message } => {
                (EventState::Error, Some(*code), Some(message.as_str()))
            }
            NextState::RetryAt(at) => {
                connection
                    .prepare_cached(
                        "UPDATE sysevent_live SET process_on = ?2, attempts = attempts + 1, processed = ?3, \
                         processing_duration = ?4, sys_updated_on = ?3 + ?4, sys_updated_by = 'system', \
                         sys_mod_count = sys_mod_count + 1 WHERE sequence = ?1",
                    )?
                    .execute(params![sequence, at.as_millis(), began, completion.duration_ms])?;
                effects.note(Effect::Retried(completion.event, *at));
                continue;
            }
        };
        let moved = finish.execute(params![
            sequence,
            state.as_str(),
            began,
            completion.duration_ms,
            code,
            message
        ])?;
        debug_assert_eq!(moved, 1, "a claimed event stands in the live table");
        leave.execute([sequence])?;
        if effects.claims().has_fired(&completion.event) {
            forget_internal_keys(connection, &completion.event)?;
        }
        effects.note(Effect::Ended(completion.event));
    }
    Ok(())
}
