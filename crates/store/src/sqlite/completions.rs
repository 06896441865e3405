//! The end of attempts: rows go from the live table to the log, with what their handlers did.
//!
//! Nobody waits for a completion. They are handed in to a bounded line, in order, and written in batches by the
//! group writer; order among them, and behind everything committed before, is kept because there is one writer.

use std::collections::VecDeque;
use std::time::Duration;

use campanile_model::{EventState, HandlerRun};
use parking_lot::{Condvar, Mutex};
use rusqlite::types::ToSqlOutput;
use rusqlite::{CachedStatement, Connection, params};

use super::append::forget_internal_keys;
use super::effects::{Effect, EventEffects};
use super::events::COLUMNS;
use super::order;
use super::runs::RunWriter;
use crate::contract::{Completion, NextState, StoreError};

/// Completions that are written at one go.
pub(super) const BATCH_MAX: usize = 100;

/// A unit of the group writer takes batch after batch for so long: a commit is shared by some hundreds in a drain, and
/// a fire behind them waits no longer than this.
pub(super) const UNIT_MAX: Duration = Duration::from_millis(2);

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

/// What whoever handed something in must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Todo {
    /// Schedule a unit of the group writer.
    Schedule,
    /// Let it begin: a whole batch waits.
    Hurry,
    Nothing,
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
    /// Hands in, waiting for space. Returns what the caller must do.
    pub(super) fn push(&self, pending: Pending) -> Todo {
        let mut state = self.state.lock();
        while state.waiting.len() >= PENDING_MAX && state.is_scheduled {
            self.moved.wait(&mut state);
        }
        state.waiting.push_back(pending);
        state.handed_in += 1;
        if !std::mem::replace(&mut state.is_scheduled, true) {
            Todo::Schedule
        } else if state.waiting.len() == BATCH_MAX {
            Todo::Hurry
        } else {
            Todo::Nothing
        }
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
    let mut runs = RunWriter::new(connection)?;
    let mut log = LogWriter::new(connection)?;
    for pending in batch {
        let (sequence, completion) = match pending {
            Pending::Runs(more) => {
                more.iter().try_for_each(|run| runs.write(run))?;
                continue;
            }
            Pending::End(sequence, completion) => (*sequence, completion),
        };
        completion.runs.iter().try_for_each(|run| runs.write(run))?;
        let ended = match &completion.next {
            NextState::Processed => {
                Ended { state: EventState::Processed, code: None, message: None }
            }
            NextState::Error { code, message } => {
                Ended { state: EventState::Error, code: Some(code), message: Some(message) }
            }
            NextState::RetryAt(at) => {
                retry(connection, sequence, completion, at.as_millis())?;
                effects.note(Effect::Retried(completion.event, *at));
                continue;
            }
        };
        match log.finish(sequence, completion, &ended) {
            Ok(()) => {}
            // Another program took the row away. Nothing is left to be moved, and those behind it must not wait for ever.
            Err(StoreError::EventUnknown(event)) => {
                tracing::error!(
                    event.id = event,
                    "the row of a handled event is gone; its end was not logged"
                );
            }
            Err(error) => return Err(error),
        }
        if ended.state == EventState::Error
            && let Some(queue) = effects.claims().halting_queue(&completion.event)
        {
            let ended_at = completion.started.plus_millis(completion.duration_ms);
            order::halt(connection, &queue, (&completion.event, ended_at), effects)?;
        }
        if effects.claims().has_fired(&completion.event) {
            forget_internal_keys(connection, &completion.event)?;
        }
        effects.note(Effect::Ended(completion.event));
    }
    Ok(())
}

/// T4: the event stays where it is, for later.
fn retry(
    connection: &Connection,
    sequence: i64,
    completion: &Completion,
    process_on: i64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE sysevent_live SET process_on = ?2, attempts = attempts + 1, processed = ?3, \
             processing_duration = ?4, sys_updated_on = ?3 + ?4, sys_updated_by = 'system', \
             sys_mod_count = sys_mod_count + 1 WHERE sequence = ?1",
        )?
        .execute((sequence, process_on, completion.started.as_millis(), completion.duration_ms))?;
    Ok(())
}

/// How an event ended.
struct Ended<'a> {
    state: EventState,
    code: Option<&'a str>,
    message: Option<&'a str>,
}

/// Moves rows from the live table to the log.
///
/// Reading a row and inserting it are two statements: `INSERT … SELECT` with a key of our own makes SQLite keep a
/// journal for each statement, which cost a sixth of a completion.
struct LogWriter<'c> {
    read: CachedStatement<'c>,
    insert: CachedStatement<'c>,
    leave: CachedStatement<'c>,
}

impl<'c> LogWriter<'c> {
    fn new(connection: &'c Connection) -> Result<Self, StoreError> {
        let columns =
            COLUMNS.replace(" state,", " ?2,").replace(" attempts,", " attempts + 1,").replace(
                " processed, processing_duration, error_code, error_message",
                " ?3, ?4, ?5, ?6",
            );
        let places = vec!["?"; COLUMNS.split(',').count() + 3].join(", ");
        Ok(Self {
            read: connection.prepare_cached(&format!(
                "SELECT {columns}, ?3 + ?4, 'system', sys_mod_count + 1 FROM sysevent_live \
                 WHERE sequence = ?1"
            ))?,
            insert: connection.prepare_cached(&format!(
                "INSERT INTO sysevent_log ({COLUMNS}, sys_updated_on, sys_updated_by, sys_mod_count) \
                 VALUES ({places})"
            ))?,
            leave: connection.prepare_cached("DELETE FROM sysevent_live WHERE sequence = ?1")?,
        })
    }

    fn finish(
        &mut self,
        sequence: i64,
        completion: &Completion,
        ended: &Ended<'_>,
    ) -> Result<(), StoreError> {
        let mut rows = self.read.query(params![
            sequence,
            ended.state.as_str(),
            completion.started.as_millis(),
            completion.duration_ms,
            ended.code,
            ended.message,
        ])?;
        let Some(row) = rows.next()? else {
            return Err(StoreError::EventUnknown(completion.event.to_string()));
        };
        for index in 0..row.as_ref().column_count() {
            self.insert
                .raw_bind_parameter(index + 1, ToSqlOutput::Borrowed(row.get_ref(index)?))?;
        }
        drop(rows);
        self.insert.raw_execute()?;
        self.leave.execute([sequence])?;
        Ok(())
    }
}
