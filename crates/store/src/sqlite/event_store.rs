//! The events half of the store: each promise of [`EventStore`] as a unit of the group writer or a read.

use std::sync::Arc;

use campanile_model::{Event, EventState, HandlerRun, Instant, NewEvent, SysId};
use parking_lot::Mutex;
use rusqlite::Connection;

use super::actions::{act, actions, log_action};
use super::append::{Arrivals, append_events};
use super::backlog::backlog;
use super::claims::{Claims, Readers as LendReaders};
use super::clock_back::{self, LatestNow};
use super::completions::{Pending, PendingLine, Todo};
use super::effects::EventEffects;
use super::event_units::{AppendUnit, CompletionUnit};
use super::events::{Place, find};
use super::handling::Handling;
use super::lapses::count_lapses;
use super::move_kind::{Kind, move_in_steps};
use super::order;
use super::readers::Readers;
use super::runs::runs;
use super::store::SqliteStore;
use super::summary::summary;
use crate::contract::{
    ActionRecord, AppendAnswer, AppendCallback, AppendMode, AppendOutcome, Backlog, Claim,
    ClaimRequest, CommitMark, Completion, EventAction, EventStore, EventSummary, Halt, KindMoved,
    StoreError, WakeListener,
};

/// What a store keeps for its events.
#[derive(Debug)]
pub(in crate::sqlite) struct Events {
    pub(in crate::sqlite) claims: Arc<Claims>,
    pub(in crate::sqlite) arrivals: Arrivals,
    pub(super) pending: PendingLine,
    latest_now: LatestNow,
    /// Events whose handling had ended with the process before this opening.
    lapses_counted: usize,
}

impl Events {
    /// Reads where the queues stand, after counting the lapses of a crash. `folder` is the data folder.
    ///
    /// # Errors
    /// What the file system or SQLite said.
    pub(in crate::sqlite) fn open(
        connection: &Connection,
        folder: &std::path::Path,
    ) -> Result<Arc<Self>, StoreError> {
        let at_folder = |error: std::io::Error| super::failure::io_failure(&error, folder);
        let (handling, begun) = Handling::open(folder).map_err(at_folder)?;
        let mut lapses_counted = 0;
        if !begun.is_empty() {
            let transaction = connection.unchecked_transaction()?;
            let counted = count_lapses(&transaction, &begun)?;
            transaction.commit()?;
            lapses_counted = counted;
            if counted > 0 {
                tracing::warn!(
                    events = counted,
                    "the last process ended while it was handling events"
                );
            }
            handling.clear().map_err(at_folder)?;
        }
        let claims = Arc::new(Claims::new(handling));
        claims.discover(connection)?;
        let arrivals = Arrivals::after_all(connection)?;
        claims.log_index().open(connection, arrivals.at_opening())?;
        let latest_now = LatestNow::of_newest(connection)?;
        Ok(Arc::new(Self {
            arrivals,
            claims,
            pending: PendingLine::default(),
            latest_now,
            lapses_counted,
        }))
    }

    /// Appends inside a transaction; carry the effects out after its commit.
    ///
    /// # Errors
    /// See [`append_events`].
    pub(in crate::sqlite) fn append(
        &self,
        connection: &Connection,
        events: &[NewEvent],
    ) -> Result<(Vec<AppendOutcome>, EventEffects), StoreError> {
        let mut effects = EventEffects::new(&self.claims);
        let outcomes = append_events(connection, &self.arrivals, events, &mut effects)?;
        Ok((outcomes, effects))
    }

    /// Numbers for metrics: completions to be written, events and bytes in the windows, claims.
    pub(in crate::sqlite) fn numbers(&self) -> Vec<(&'static str, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
        let number = |n: usize| n as f64;
        let (events, bytes, claimed) = self.claims.sizes();
        vec![
            ("completions_waiting", number(self.pending.len())),
            ("window_events", number(events)),
            ("window_bytes", number(bytes)),
            ("claimed_events", number(claimed)),
            ("log_rows_not_indexed", {
                #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
                let span = self.claims.log_index().span_missing() as f64;
                span
            }),
            ("lapses_counted", number(self.lapses_counted)),
        ]
    }

    /// Nothing is being handled any more: a clean close.
    ///
    /// # Errors
    /// What the file system said.
    pub(in crate::sqlite) fn forget_handling(&self) -> std::io::Result<()> {
        self.claims.forget_handling()
    }
}

impl LendReaders for Readers {
    fn with_reader(
        &self,
        read: &mut dyn FnMut(&Connection) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let connection = self.take()?;
        let outcome = read(&connection);
        self.give_back(connection);
        outcome
    }
}

impl SqliteStore {
    fn read_with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = self.readers.take()?;
        let outcome = read(&connection);
        self.readers.give_back(connection);
        outcome
    }

    /// Runs `work` in the group writer, and carries out its effects after the commit.
    fn write_with_effects(
        &self,
        work: impl FnOnce(&Connection) -> Result<Option<EventEffects>, StoreError> + Send + 'static,
    ) -> Result<CommitMark, StoreError> {
        let (_, mark) = self.writer.run_and_wait(
            move |connection| work(connection).map(Mutex::new),
            |effects, _| {
                if let Some(effects) = effects.lock().take() {
                    effects.carry_out();
                }
            },
        )?;
        Ok(mark)
    }

    fn hand_in(&self, pending: Pending) {
        match self.events.pending.push(pending) {
            Todo::Schedule => CompletionUnit::schedule(&self.events, &self.writer),
            Todo::Hurry => self.writer.hurry(),
            Todo::Nothing => {}
        }
    }

    /// Tries again what could not be written, for example because the disk was full.
    fn retry_completions(&self) {
        if self.events.pending.schedule_again() {
            CompletionUnit::schedule(&self.events, &self.writer);
        }
    }
}

impl EventStore for SqliteStore {
    fn append(&self, events: Vec<NewEvent>, mode: AppendMode, done: AppendCallback) {
        self.retry_completions();
        self.writer.submit(Box::new(AppendUnit {
            store: Arc::clone(&self.events),
            events,
            mode,
            outcomes: Vec::new(),
            is_refused: false,
            effects: None,
            done,
        }));
    }

    fn append_blocking(&self, events: Vec<NewEvent>, mode: AppendMode) -> AppendAnswer {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        self.append(
            events,
            mode,
            Box::new(move |answer| {
                if tell.send(answer).is_err() {
                    tracing::debug!("nobody waits for this append any more");
                }
            }),
        );
        told.recv().unwrap_or_else(|_| Err(super::failure::closed(self.writer.file())))
    }

    fn claim(&self, request: &ClaimRequest<'_>) -> Result<Claim, StoreError> {
        self.retry_completions();
        let now = request.now.as_millis();
        if self.events.latest_now.went_back(now) {
            clock_back::follow(&self.events, (&self.readers, &self.writer), now)?;
        }
        if self.events.claims.is_unread(request.queue) {
            order::read_records(&self.events, &self.writer, request.queue)?;
        }
        self.events.claims.claim(request, &*self.readers)
    }

    fn begin(&self, event: &SysId, claimed_by: &str, slot: usize) -> bool {
        self.events.claims.begin(event, claimed_by, slot)
    }

    fn release(&self, claimed_by: &str, events: &[SysId]) {
        self.events.claims.release(claimed_by, events);
    }

    fn sequence_at_opening(&self) -> i64 {
        self.events.arrivals.at_opening()
    }

    fn record_runs(&self, runs: Vec<HandlerRun>) {
        if !runs.is_empty() {
            self.hand_in(Pending::Runs(runs));
        }
    }

    fn complete(&self, completion: Completion) {
        let Some(sequence) = self.events.claims.begin_ending(&completion.event, completion.epoch)
        else {
            tracing::warn!(
                event.id = %completion.event,
                epoch = completion.epoch,
                "a completion came for an event that is not claimed; it was dropped"
            );
            return;
        };
        self.hand_in(Pending::End(sequence, Box::new(completion)));
    }

    fn act(&self, action: EventAction) -> Result<CommitMark, StoreError> {
        let claims = Arc::clone(&self.events.claims);
        self.write_with_effects(move |connection| {
            let mut effects = EventEffects::new(&claims);
            act(connection, &action, &mut effects)?;
            Ok(Some(effects))
        })
    }

    fn move_kind(&self, name: &str, to_queue: &str) -> Result<KindMoved, StoreError> {
        let kind = Kind { name: Arc::from(name), to_queue: Arc::from(to_queue) };
        move_in_steps(&self.events, (&self.readers, &self.writer), &kind)
    }

    fn halts(&self) -> Result<Vec<Halt>, StoreError> {
        self.read_with(order::halts)
    }

    fn resume(&self, queue: &str, record: ActionRecord) -> Result<Option<CommitMark>, StoreError> {
        let (claims, queue) = (Arc::clone(&self.events.claims), Arc::from(queue));
        let ((resumed, _), mark) = self.writer.run_and_wait(
            move |connection| {
                let mut effects = EventEffects::new(&claims);
                let resumed = order::resume(connection, &queue, &mut effects)?;
                if resumed {
                    log_action(connection, &record)?;
                }
                Ok((resumed, Mutex::new(Some(effects))))
            },
            |(_, effects), _| {
                if let Some(effects) = effects.lock().take() {
                    effects.carry_out();
                }
            },
        )?;
        Ok(resumed.then_some(mark))
    }

    fn log_action(&self, record: ActionRecord) -> Result<CommitMark, StoreError> {
        self.write_with_effects(move |connection| {
            log_action(connection, &record)?;
            Ok(None)
        })
    }

    fn event(&self, sys_id: &SysId) -> Result<Option<Event>, StoreError> {
        self.read_with(|connection| {
            // One snapshot: between two the event could go from one place to the other.
            let transaction = connection.unchecked_transaction()?;
            let Some(mut event) = find(&transaction, Place::Live, sys_id)? else {
                return find(&transaction, Place::Log, sys_id);
            };
            if let Some(by) = self.events.claims.claimed_by(event.sequence) {
                event.state = EventState::Queued;
                event.claimed_by = by;
            }
            Ok(Some(event))
        })
    }

    fn runs(&self, event: &SysId, epoch: Option<i64>) -> Result<Vec<HandlerRun>, StoreError> {
        self.read_with(|connection| runs(connection, event, epoch))
    }

    fn actions(&self, event: &SysId) -> Result<Vec<ActionRecord>, StoreError> {
        self.read_with(|connection| actions(connection, event))
    }

    fn backlog(&self, now: Instant) -> Result<Vec<Backlog>, StoreError> {
        let counts = self.events.claims.counts();
        self.read_with(|connection| backlog(connection, counts, now))
    }

    fn summary(&self, after: i64, now: Instant) -> Result<EventSummary, StoreError> {
        self.read_with(|connection| summary(connection, after, now))
    }

    fn set_wake_listener(&self, listener: WakeListener) {
        self.events.claims.set_listener(listener);
    }

    fn flush(&self) -> Result<CommitMark, StoreError> {
        self.retry_completions();
        self.writer.hurry();
        self.events.pending.wait_written()?;
        let ((), mark) = self.writer.run_and_wait(|_| Ok(()), |(), _| {})?;
        Ok(mark)
    }
}
