//! The events half of the store: each promise of [`EventStore`].

use std::sync::Arc;
use std::time::Instant as Monotonic;

use campanile_model::{Event, HandlerRun, Instant, NewEvent, QueueOrder, SysId};

use super::actions::{act, actions, log_action};
use super::backlog::backlog;
use super::claims::{self, Claimed};
use super::connection::Connection;
use super::effects::Effects;
use super::events::{Hold, Place, find};
use super::failure::is_lease_lapsed;
use super::fate::{self, Mark};
use super::holders;
use super::line::Unit;
use super::move_kind::{self, Step};
use super::order;
use super::pending::Pending;
use super::plans::BEGIN_VIEW;
use super::runs::runs;
use super::store::PostgresStore;
use super::summary::summary;
use super::turns;
use crate::contract::{
    ActionRecord, AppendAnswer, AppendCallback, AppendMode, Backlog, Claim, ClaimRequest,
    CommitMark, Completion, EventAction, EventStore, EventSummary, Halt, KindMoved, StoreError,
    WakeListener,
};

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
    fn give_back(&self, given: Vec<Claimed>) {
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

    fn claim_once(&self, request: &ClaimRequest<'_>) -> Result<Claim, StoreError> {
        let connection = self.writers.take()?;
        // Once more when the lease turns out to have lapsed, or the queue to keep an order.
        for _ in 0..3 {
            let token = self.shared.node.token();
            let order = order::of(&*self.shared.orders.known(&connection)?, request.queue);
            let began = Monotonic::now();
            let claimed = match order {
                QueueOrder::Parallel => claims::claim(&connection, &self.claims, request, token),
                order => turns::claim(&connection, &self.claims, request, (token, order)),
            };
            self.claims.asked.note(began.elapsed());
            match claimed {
                Ok(Ok(claim)) if order == QueueOrder::Parallel && claim.order != order => {
                    self.shared.orders.forget();
                }
                Ok(claim) => return claim,
                Err(error) if is_lease_lapsed(&error) => {
                    // Whoever is first registers for all.
                    let forget = || self.claims.forget_all(token);
                    self.shared.node.replace(&connection, token, forget)?;
                }
                Err(error) => {
                    self.claims.unanswered.note(request.claimed_by);
                    return Err(error.into());
                }
            }
        }
        Ok(Claim::default())
    }

    /// Asks the database.
    fn look(&self, request: &ClaimRequest<'_>) -> Result<Claim, StoreError> {
        let claim = self.claim_once(request).map_err(|error| self.located(error))?;
        if !claim.events.is_empty() || claim.more {
            return Ok(claim);
        }
        match self.unless_stale(request, claim) {
            Some(claim) => Ok(claim),
            None => self.claim_once(request).map_err(|error| self.located(error)),
        }
    }

    /// This claim, which found nothing; `None`, and it is given back, when another processor has had something for too long.
    fn unless_stale(&self, request: &ClaimRequest<'_>, claim: Claim) -> Option<Claim> {
        let (stale, ends) = self.claims.take_stale(request);
        if stale.is_empty() {
            let due = claim.next_due.into_iter().chain(ends.map(Instant::from_millis)).min();
            return Some(Claim { next_due: due, ..claim });
        }
        self.claims.births.take_out(&stale);
        self.give_back(stale);
        None
    }

    /// What was claimed at its append. Where the queue keeps an order by now, that is given back: it goes by turns.
    fn take_born(&self, request: &ClaimRequest<'_>, at: Monotonic) -> Option<Claim> {
        let taken = self.claims.births.take(request, (&self.claims, at))?;
        let events = &taken.claim.events;
        if self.shared.orders.may_be_kept(request.queue) {
            let ids: Vec<SysId> = events.iter().map(|event| event.fired.sys_id).collect();
            self.give_back(self.claims.take_out(request.claimed_by, &ids));
            return None;
        }
        if taken.is_anothers
            && let Err(error) = self.writers.take().and_then(|connection| {
                holders::pass_on(&connection, events, request.claimed_by, taken.token)
            })
        {
            // It is only who is shown to have it.
            tracing::debug!(%error, "events that were born for another processor still bear its name");
        }
        Some(taken.claim)
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
        let now = Monotonic::now();
        if let Some(claim) = self.take_born(request, now) {
            return Ok(claim);
        }
        let births = &self.claims.births;
        if let Some(rest) = births.rests(request, now)
            && let Some(claim) = self.unless_stale(request, rest)
        {
            return Ok(claim);
        }
        let is_answered = || !self.claims.unanswered.has(request.claimed_by);
        births.begin_look(request, now, is_answered());
        let looked = self.look(request);
        births.end_look(request, looked.as_ref().ok(), (Monotonic::now(), is_answered()));
        looked
    }

    fn stay(&self, queue: &str, claimed_by: &str, room: usize) {
        // In distributed mode, and behind a pool that mixes connections up, appends go the long way, and nothing is born.
        if self.claims.spread().is_none() && !self.shared.is_shared {
            self.claims.births.stay(queue, claimed_by, room);
        }
    }

    fn leave(&self, claimed_by: &str) {
        let born = self.claims.births.leave(claimed_by);
        self.give_back(self.claims.take_out(claimed_by, &born));
    }

    fn begin(&self, event: &SysId, claimed_by: &str, slot: usize) -> bool {
        // Whoever stood still for so long must not begin what others may have taken over. If nobody has, nobody else would ever
        // handle it; what is being handled under a lapsed lease is ended by who handles it.
        if !self.shared.node.is_sure() {
            self.give_back(self.claims.take_out(claimed_by, std::slice::from_ref(event)));
            return false;
        }
        let is_own = self.claims.begin(event, claimed_by, slot).is_some();
        if is_own {
            self.shared.pending.note_handling();
        }
        is_own
    }

    fn release(&self, claimed_by: &str, events: &[SysId]) {
        self.give_back(
            events.iter().filter_map(|event| self.claims.end_lost(event)).flatten().collect(),
        );
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
        self.write_with(|connection| act(connection, &action, self.claims.spread()))
    }

    /// Differs because a lower sequence may become visible later: what is left is looked for from the beginning.
    fn move_kind(&self, name: &str, to_queue: &str) -> Result<KindMoved, StoreError> {
        let mut done = KindMoved::default();
        let mut after = 0;
        loop {
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
