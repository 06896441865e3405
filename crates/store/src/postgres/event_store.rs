//! The events half of the store: each promise of [`EventStore`].

use std::sync::Arc;
use std::time::Instant as Monotonic;

use campanile_model::{Event, HandlerRun, Instant, NewEvent, SysId};

use super::actions::{act, actions, log_action};
use super::backlog::backlog;
use super::connection::Connection;
use super::effects::Effects;
use super::events::{Hold, Place, find};
use super::fate::{self, Mark};
use super::held::Claimed;
use super::holders;
use super::let_go::let_go;
use super::line::Unit;
use super::move_kind::{self, Step};
use super::order;
use super::pending::Pending;
use super::plans::BEGIN_VIEW;
use super::runs::runs;
use super::store::PostgresStore;
use super::summary::summary;
use crate::contract::{
    ActionRecord, AppendAnswer, AppendCallback, AppendMode, Backlog, Claim, ClaimRequest,
    CommitMark, Completion, EventAction, EventStore, EventSummary, Halt, KindMoved, StoreError,
    WakeListener,
};

/// As many events as one step of moving a kind takes, of those that wait for a processor of this program.
const STEP_WAITING_MAX: usize = 500;

impl PostgresStore {
    fn read_with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.readers.take()?;
        let view = || -> Result<T, StoreError> {
            connection.batch(BEGIN_VIEW)?;
            read(&connection)
        };
        let outcome = view();
        if connection.batch("ROLLBACK").is_err() {
            connection.spoil();
        }
        outcome.map_err(|error| self.located(error))
    }

    /// Does `work` in a transaction of its own, and what follows it after the commit, also when the answer to it was lost.
    fn write_with(
        &self,
        work: impl FnOnce(&Connection) -> Result<Effects, StoreError>,
    ) -> Result<CommitMark, StoreError> {
        let mut connection = self.writers.take()?;
        let patience = self.patience().as_millis();
        let silence = self.silence_max().as_millis();
        let transaction = || -> Result<Effects, StoreError> {
            let begun = connection.batch_row(&format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {patience}; \
                 SET LOCAL idle_in_transaction_session_timeout = {silence}; {}",
                Mark::SELECT
            ))?;
            let mark = Mark::read(&begun)?;
            let effects = work(&connection)?;
            fate::commit(&connection, &mark, &self.shared, &[])?;
            Ok(effects)
        };
        match transaction() {
            Ok(effects) => {
                let mark = self.committed();
                self.carry_out(&effects);
                Ok(mark)
            }
            Err(error) => {
                if connection.batch("ROLLBACK").is_err() {
                    connection.spoil();
                }
                Err(self.located(error))
            }
        }
    }

    /// Gives claims back, at once if the server answers, else as soon as it does.
    pub(super) fn give_back(&self, given: Vec<Claimed>) {
        // Each under the lease that it was claimed under.
        let (given, others) = match given.first().map(|first| first.held.token) {
            Some(token) => given.into_iter().partition(|claimed| claimed.held.token == token),
            None => return,
        };
        self.give_back_of_one_lease(given);
        self.give_back(others);
    }

    fn give_back_of_one_lease(&self, given: Vec<Claimed>) {
        let Some(token) = given.first().map(|claimed| claimed.held.token) else { return };
        // What their handlers did is written before.
        let written = self.shared.pending.wait_written();
        let given_back = written.and_then(|()| {
            self.write_with(|connection| holders::give_back(connection, &given, token))
        });
        if let Err(error) = given_back {
            tracing::warn!(%error, "claims could not be given back yet");
            self.shared.pending.push(Pending::GiveBack(given));
        }
    }

    /// Moves the events of a kind that wait for a processor of this program, some hundred at a time. Returns how many.
    fn move_kind_waiting_here(&self, kind: (&str, &str)) -> Result<u64, StoreError> {
        let mut waiting = self.claims.kind_waiting_here(kind.0, kind.1);
        let mut moved = 0;
        while !waiting.is_empty() {
            let some = waiting.split_off(waiting.len().saturating_sub(STEP_WAITING_MAX));
            let stepped = self.write_with(|connection| {
                let (step, effects) = move_kind::move_waiting(connection, kind, &some)?;
                moved += step.moved;
                Ok(effects)
            });
            if let Err(error) = stepped {
                self.shared.give_back_later(&some);
                self.shared.give_back_later(&waiting);
                return Err(error);
            }
        }
        Ok(moved)
    }
}

impl EventStore for PostgresStore {
    fn append(&self, events: Vec<NewEvent>, mode: AppendMode, done: AppendCallback) {
        self.shared.line.submit(Unit { events, mode, done }, self.shared.place());
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
        told.recv().unwrap_or_else(|_| Err(super::failure::closed(self.shared.place())))
    }

    fn claim(&self, request: &ClaimRequest<'_>) -> Result<Claim, StoreError> {
        let claim = self.claim_some(request)?;
        if let Some(row_reads) = &self.row_reads {
            row_reads.ahead.claimed(&claim);
        }
        Ok(claim)
    }

    fn stay(&self, queue: &str, claimed_by: &str, room: usize) {
        // In distributed mode, and behind a pool that mixes connections up, appends go the long way, and nothing is born.
        if self.claims.spread().is_none() && !self.shared.is_shared {
            let born = self.claims.births.stay(queue, claimed_by, room);
            let given = self.claims.take_out(claimed_by, &born);
            self.shared.give_back_later(&given);
        }
    }

    fn leave(&self, claimed_by: &str) {
        if let Some(row_reads) = &self.row_reads {
            row_reads.ahead.claimed(&Claim::default());
        }
        let (born, queue) = self.claims.births.leave(claimed_by);
        self.give_back(self.claims.take_out(claimed_by, &born));
        if let Some(queue) = queue {
            self.shared.notices.wake(&queue, 0);
        }
    }

    fn begin(&self, event: &SysId, claimed_by: &str, slot: usize) -> bool {
        // Whoever stood still for so long must not begin what others may have taken over. If nobody has, nobody else would ever
        // handle it; what is being handled under a lapsed lease is ended by who handles it.
        if !self.shared.node.is_sure() {
            let born = self.claims.births.drain_those(|other| *other.claimed_by == *claimed_by);
            let mut given = self.claims.take_out(claimed_by, std::slice::from_ref(event));
            given.extend(self.claims.take_out_all(&born));
            self.give_back(given);
            return false;
        }
        let is_own = self.claims.begin(event, claimed_by, slot).is_some();
        if is_own {
            self.claims.births.begun(claimed_by, Monotonic::now());
            if let Some(row_reads) = &self.row_reads {
                row_reads.ahead.begun(event);
            }
            self.shared.pending.note_handling();
        }
        is_own
    }

    fn release(&self, claimed_by: &str, events: &[SysId]) {
        let again: Vec<Claimed> =
            events.iter().filter_map(|event| self.claims.end_lost(event)).flatten().collect();
        if !again.is_empty() {
            self.claims.births.take_out(&again);
            self.give_back(again);
        }
        self.give_back(self.claims.take_out(claimed_by, events));
    }

    fn sequence_at_opening(&self) -> i64 {
        self.sequence_at_opening
    }

    fn record_runs(&self, runs: Vec<HandlerRun>) {
        let Some(first) = runs.first() else { return };
        match self.claims.held(&first.event) {
            Some(held) => self.shared.pending.push(Pending::Runs(held, runs)),
            None => tracing::warn!(
                event.id = %first.event,
                "runs came for an event that is not claimed; they were dropped"
            ),
        }
    }

    fn complete(&self, completion: Completion) {
        if let Some(again) = self.claims.end_lost(&completion.event) {
            self.claims.births.take_out(again.as_slice());
            tracing::warn!(
                event.id = %completion.event,
                "a completion came after the lease had lapsed; it was dropped"
            );
            return self.give_back(again.into_iter().collect());
        }
        let Some(held) = self.claims.begin_ending(&completion.event, completion.epoch) else {
            tracing::warn!(
                event.id = %completion.event,
                epoch = completion.epoch,
                "a completion came for an event that is not claimed; it was dropped"
            );
            return;
        };
        self.shared.pending.push(Pending::End(held, Box::new(completion)));
    }

    fn act(&self, action: EventAction) -> Result<CommitMark, StoreError> {
        let waiting = self.claims.waiting_here(&action);
        let acted = self.write_with(|connection| {
            let mut effects = let_go(connection, &waiting)?;
            effects.extend(&act(connection, &action, self.claims.spread())?);
            Ok(effects)
        });
        if acted.is_err() {
            self.shared.give_back_later(&waiting);
        }
        acted
    }

    /// Differs because a lower sequence may become visible later: what is left is looked for from the beginning.
    fn move_kind(&self, name: &str, to_queue: &str) -> Result<KindMoved, StoreError> {
        let mut done = KindMoved::default();
        let mut after = 0;
        loop {
            done.moved += self.move_kind_waiting_here((name, to_queue))?;
            let mut step = Step::default();
            self.write_with(|connection| {
                let (moved, effects) =
                    move_kind::step(connection, (name, to_queue), after, self.claims.spread())?;
                step = moved;
                Ok(effects)
            })?;
            if step.moved == 0 {
                return Ok(done);
            }
            done.moved += step.moved;
            after = step.last;
        }
    }

    fn halts(&self) -> Result<Vec<Halt>, StoreError> {
        self.read_with(order::halts)
    }

    fn resume(&self, queue: &str, record: ActionRecord) -> Result<Option<CommitMark>, StoreError> {
        let mut resumed = false;
        let mark = self.write_with(|connection| {
            let mut effects = Effects::default();
            resumed = order::resume(connection, queue, &mut effects)?;
            if resumed {
                log_action(connection, &record)?;
            }
            Ok(effects)
        })?;
        Ok(resumed.then_some(mark))
    }

    fn log_action(&self, record: ActionRecord) -> Result<CommitMark, StoreError> {
        self.write_with(|connection| {
            log_action(connection, &record)?;
            Ok(Effects::default())
        })
    }

    fn event(&self, sys_id: &SysId) -> Result<Option<Event>, StoreError> {
        // One view: between two the event could go from one place to the other.
        self.read_with(|connection| match find(connection, Place::Live, sys_id, Hold::No)? {
            Some(event) => Ok(Some(event)),
            None => find(connection, Place::Log, sys_id, Hold::No),
        })
    }

    fn runs(&self, event: &SysId, epoch: Option<i64>) -> Result<Vec<HandlerRun>, StoreError> {
        let partition = self.claims.partition(event);
        self.read_with(|connection| runs(connection, event, epoch, partition))
    }

    fn actions(&self, event: &SysId) -> Result<Vec<ActionRecord>, StoreError> {
        self.read_with(|connection| actions(connection, event))
    }

    fn backlog(&self, now: Instant) -> Result<Vec<Backlog>, StoreError> {
        self.read_with(|connection| backlog(connection, now))
    }

    fn summary(&self, after: i64, now: Instant) -> Result<EventSummary, StoreError> {
        let is_spread = self.claims.spread().is_some();
        self.read_with(|connection| summary(connection, after, now, is_spread))
    }

    fn set_wake_listener(&self, listener: WakeListener) {
        self.shared.notices.set_listener(listener);
    }

    fn flush(&self) -> Result<CommitMark, StoreError> {
        self.shared.pending.wait_written().map_err(|error| self.located(error))?;
        Ok(self.committed())
    }
}

/// The store, whichever thread asks.
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Arc<PostgresStore>>();
};
