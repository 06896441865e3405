//! Claims: who handles what, and what is next. All of it stands in memory.
//!
//! A claim is not written. The lock on the data folder proves that a claim from before a crash is dead, and
//! readers see claims through `campanile_claimed_by`. What waits is kept as windows ([`super::window`]); commits
//! change them through [`EventEffects`](super::effects::EventEffects), in their order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use campanile_model::{EventState, Instant, QueueOrder, SysId};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::Connection;

use super::claim_state::{Claimed, KEPT_BYTES_MAX, State, keep_within, note_wake};
use super::effects::{Effect, Standing};
use super::handling::{Begun, Handling};
use super::log_index::LogIndex;
use super::order;
use super::refill;
use super::turn_claims::TurnOf;
use super::turns::{Arrival, Turns};
use super::window::{Line, Next, Position, Priority, Waiting};
use crate::contract::{Claim, ClaimRequest, QueueRule, StoreError, WakeListener};

/// Lends a connection for reading, outside of any transaction.
pub(in crate::sqlite) trait Readers {
    /// Calls `read` once with a connection.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], and what `read` returns.
    fn with_reader(
        &self,
        read: &mut dyn FnMut(&Connection) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;
}

/// What a claim has taken out of the windows.
type Taken = Vec<(Standing, Waiting)>;

/// All claims and windows of one store.
pub(in crate::sqlite) struct Claims {
    state: Mutex<State>,
    /// A refill ended.
    refilled: Condvar,
    handling: Handling,
    log_index: LogIndex,
    listener: Mutex<Option<WakeListener>>,
    /// Some queue keeps, or kept, an order: else nobody has to look.
    any_order: AtomicBool,
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Claims")
            .field("queues", &state.lines.len())
            .field("claimed", &state.claimed.len())
            .finish_non_exhaustive()
    }
}

impl Claims {
    /// Nothing is known yet: call [`Claims::discover`] before the first claim.
    pub(super) fn new(handling: Handling) -> Self {
        Self {
            state: Mutex::default(),
            refilled: Condvar::new(),
            handling,
            log_index: LogIndex::default(),
            listener: Mutex::new(None),
            any_order: AtomicBool::new(false),
        }
    }

    /// Learns which queues and priorities have waiting events; the events themselves are read when claimed.
    ///
    /// # Errors
    /// What SQLite said.
    pub(super) fn discover(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection.prepare(
            "SELECT queue, derived_priority, count(*), max(process_on) FROM sysevent_live \
             GROUP BY queue, derived_priority",
        )?;
        let mut rows = statement.query([])?;
        let fired_before: Option<i64> = connection.query_row(
            "SELECT max(sequence) FROM sysevent_live WHERE EXISTS (SELECT 1 FROM sysevent_fired)",
            [],
            |row| row.get(0),
        )?;
        let mut state = self.state.lock();
        state.fired_before = fired_before.unwrap_or(0);
        while let Some(row) = rows.next()? {
            let queue: Arc<str> = row.get(0)?;
            let total: i64 = row.get(2)?;
            let line = state.lines.entry(queue).or_default();
            line.discover(Priority(row.get(1)?), u64::try_from(total).unwrap_or(0), row.get(3)?);
        }
        drop(state);
        order::discover(connection, self)
    }

    /// Sets who is told of new claimable events.
    pub(super) fn set_listener(&self, listener: WakeListener) {
        *self.listener.lock() = Some(listener);
    }

    /// Carries out what a committed transaction has changed, and lets go of what it held.
    pub(super) fn settle(&self, effects: Vec<Effect>, held: Vec<Standing>) {
        let mut wakes = Vec::new();
        {
            let mut state = self.state.lock();
            for effect in effects {
                if matches!(effect, Effect::OrderSet(..)) {
                    self.any_order.store(true, Ordering::Release);
                }
                state.carry_out(effect, &mut wakes);
            }
            state.let_go(held, &mut wakes);
        }
        self.wake(&wakes);
    }

    /// Keeps a waiting event from being claimed, until [`Claims::settle`] lets it go.
    ///
    /// # Errors
    /// [`StoreError::StateConflict`] when it is claimed.
    pub(super) fn hold(&self, standing: &Standing, sys_id: &SysId) -> Result<(), StoreError> {
        let sequence = standing.at.sequence;
        let mut state = self.state.lock();
        if let Some(by) = state.claimed_by(sequence) {
            return Err(StoreError::StateConflict {
                sys_id: sys_id.to_string(),
                state: EventState::Queued,
                detail: format!("is being handled by {by}"),
            });
        }
        *state.held.entry(sequence).or_default() += 1;
        Ok(())
    }

    /// Who holds the event with this sequence.
    pub(super) fn claimed_by(&self, sequence: i64) -> Option<Arc<str>> {
        self.state.lock().claimed_by(sequence)
    }

    /// See [`crate::EventStore::claim`].
    pub(super) fn claim(
        &self,
        request: &ClaimRequest<'_>,
        readers: &dyn Readers,
    ) -> Result<Claim, StoreError> {
        let by: Arc<str> = Arc::from(request.claimed_by);
        loop {
            let mut state = self.state.lock();
            let order = state.turns.get(request.queue).map(|turns| turns.rule.order);
            let order = order.unwrap_or_default();
            match state.turn_of(request) {
                TurnOf::Free => {}
                TurnOf::Nobody(due) => {
                    drop(state);
                    return self.deliver(Vec::new(), Next::Later(due), (&by, order), readers);
                }
                TurnOf::These(wanted) => {
                    drop(state);
                    if let Some((taken, next)) = self.take_these(request, &by, &wanted, readers)? {
                        return self.deliver(taken, next, (&by, order), readers);
                    }
                    continue;
                }
            }
            let taken = state.take(request, &by);
            match (taken.is_empty(), state.next(request)) {
                (true, Next::Unread(priority, from)) => {
                    self.refill(state, request, (priority, from), readers)?;
                }
                (true, Next::Later(due)) => {
                    let (given_back, ends) = state.take_back(request);
                    if given_back == 0 {
                        let due = due.into_iter().chain(ends).min();
                        drop(state);
                        return self.deliver(taken, Next::Later(due), (&by, order), readers);
                    }
                }
                (_, next) => {
                    drop(state);
                    return self.deliver(taken, next, (&by, order), readers);
                }
            }
        }
    }

    /// Takes exactly these events, which may stand in the database alone. `None` when others were quicker.
    fn take_these(
        &self,
        request: &ClaimRequest<'_>,
        by: &Arc<str>,
        wanted: &[(Priority, Position)],
        readers: &dyn Readers,
    ) -> Result<Option<(Taken, Next)>, StoreError> {
        let unknown = self.state.lock().not_in_memory(request.queue, wanted);
        let mut read = HashMap::new();
        if !unknown.is_empty() {
            readers.with_reader(&mut |connection| {
                read = refill::waiting_by_sequence(connection, &unknown)?;
                Ok(())
            })?;
        }
        let mut state = self.state.lock();
        let Some(taken) = state.take_these(request, by, wanted, read) else { return Ok(None) };
        let next = match state.turn_of(request) {
            TurnOf::These(more) if !taken.is_empty() => {
                more.first().map_or(Next::Later(None), |(priority, at)| Next::Due(*priority, *at))
            }
            TurnOf::These(_) | TurnOf::Free => Next::Later(None),
            TurnOf::Nobody(due) => Next::Later(due),
        };
        Ok(Some((taken, next)))
    }

    /// The queue was given this rule, is stopped, and has begun events that wait, as the database has it at the opening.
    pub(super) fn discover_order(
        &self,
        queue: Arc<str>,
        (rule, halted): (QueueRule, bool),
        begun: &[Arrival],
    ) {
        let mut turns = Turns::new(rule);
        turns.halted = halted;
        begun.iter().for_each(|arrival| turns.add(*arrival));
        self.state.lock().turns.insert(queue, turns);
        self.any_order.store(true, Ordering::Release);
    }

    /// Whether the records of this queue must be read before it can be claimed from.
    pub(super) fn is_unread(&self, queue: &str) -> bool {
        self.any_order.load(Ordering::Acquire)
            && self.state.lock().turns.get(queue).is_some_and(Turns::is_unread)
    }

    /// When an event for `due` is due that arrives in this queue now.
    pub(super) fn due_on_arrival(&self, queue: &str, due: i64) -> i64 {
        if !self.any_order.load(Ordering::Acquire) {
            return due;
        }
        self.state.lock().turns.get_mut(queue).map_or(due, |turns| turns.due_on_arrival(due))
    }

    /// The clock was set back.
    pub(super) fn forget_dues(&self) {
        self.state.lock().turns.values_mut().for_each(Turns::forget_due);
    }

    /// The queue of a claimed event, if an event in error stops that queue.
    pub(super) fn halting_queue(&self, event: &SysId) -> Option<Arc<str>> {
        if !self.any_order.load(Ordering::Acquire) {
            return None;
        }
        let state = self.state.lock();
        let queue = &state.claimed.get(event)?.standing.queue;
        state.turns.get(queue).filter(|turns| turns.rule.halts).map(|_| Arc::clone(queue))
    }

    /// Makes what was taken into a claim; gives it back when an event cannot be read.
    fn deliver(
        &self,
        taken: Taken,
        next: Next,
        (by, order): (&Arc<str>, QueueOrder),
        readers: &dyn Readers,
    ) -> Result<Claim, StoreError> {
        let keys: Vec<SysId> = taken.iter().map(|(_, waiting)| waiting.sys_id).collect();
        let events =
            refill::whole_events(taken, readers).inspect_err(|_| self.release(by, &keys))?;
        let events = events
            .into_iter()
            .map(|mut event| {
                event.state = EventState::Queued;
                event.claimed_by = Arc::clone(by);
                event
            })
            .collect();
        let (next_due, more) = match next {
            Next::Later(due) => (due.map(Instant::from_millis), false),
            Next::Due(..) | Next::Unread(..) => (None, true),
        };
        Ok(Claim { events, next_due, more, order })
    }

    /// Reads the next events of a lane, or waits until whoever does that has ended.
    fn refill(
        &self,
        mut state: MutexGuard<'_, State>,
        request: &ClaimRequest<'_>,
        (priority, from): (Priority, Position),
        readers: &dyn Readers,
    ) -> Result<(), StoreError> {
        let is_mine =
            state.lines.get_mut(request.queue).is_some_and(|line| line.begin_refill(priority));
        if !is_mine {
            if state.lines.contains_key(request.queue) {
                self.refilled.wait(&mut state);
            }
            return Ok(());
        }
        drop(state);
        let mut read = None;
        let outcome = readers.with_reader(&mut |connection| {
            read = Some(refill::read_lane(
                connection,
                &refill::Wanted {
                    queue: request.queue,
                    priority,
                    from,
                    now: request.now.as_millis(),
                },
            )?);
            Ok(())
        });
        let mut state = self.state.lock();
        let State { lines, by_sequence, kept_bytes, .. } = &mut *state;
        if let Some(line) = lines.get_mut(request.queue) {
            let before = line.bytes;
            match read {
                Some((mut rows, bound)) => {
                    let mut budget = KEPT_BYTES_MAX.saturating_sub(*kept_bytes);
                    for (_, waiting) in &mut rows {
                        keep_within(waiting, &mut budget);
                    }
                    line.end_refill(priority, rows, bound, |sequence| {
                        by_sequence.contains_key(&sequence)
                    });
                }
                None => line.abandon_refill(priority),
            }
            *kept_bytes = (*kept_bytes + line.bytes).saturating_sub(before);
            if line.is_empty() {
                lines.remove(request.queue);
            }
        }
        drop(state);
        self.refilled.notify_all();
        outcome
    }

    /// See [`crate::EventStore::begin`].
    pub(super) fn begin(&self, event: &SysId, claimed_by: &str, slot: usize) -> bool {
        let begun = {
            let mut state = self.state.lock();
            let Some(claimed) =
                state.claimed.get_mut(event).filter(|claimed| *claimed.by == *claimed_by)
            else {
                return false;
            };
            claimed.slot = Some(slot);
            Begun {
                event: *event,
                epoch: claimed.epoch,
                attempts: claimed.attempts,
                lapses: claimed.lapses,
            }
        };
        self.handling.begin(slot, &begun);
        true
    }

    /// See [`crate::EventStore::release`].
    pub(super) fn release(&self, claimed_by: &str, events: &[SysId]) {
        let mut wakes = Vec::new();
        let mut slots = Vec::new();
        {
            let mut state = self.state.lock();
            for event in events {
                let is_own = |claimed: &Claimed| !claimed.ending && *claimed.by == *claimed_by;
                if !state.claimed.get(event).is_some_and(is_own) {
                    continue;
                }
                let Some(claimed) = state.give_back(event) else { continue };
                slots.extend(claimed.slot);
                let Standing { queue, at, .. } = &claimed.standing;
                note_wake(&mut wakes, queue, at.process_on);
            }
        }
        for slot in slots {
            self.handling.end(slot);
        }
        self.wake(&wakes);
    }

    /// Takes a completion in: from now on the event can be neither completed again nor released. Returns its
    /// sequence; `None` when this claim is not, or no longer, somebody's.
    pub(super) fn begin_ending(&self, event: &SysId, epoch: i64) -> Option<i64> {
        let mut state = self.state.lock();
        let claimed = state.claimed.get_mut(event)?;
        if claimed.ending || claimed.epoch != epoch {
            return None;
        }
        claimed.ending = true;
        let sequence = claimed.standing.at.sequence;
        // In one with the flag: see `leaving`.
        self.log_index.note(sequence);
        Some(sequence)
    }

    /// The sequences of events that may be entering the log at this moment: a commit may be under way.
    pub(super) fn leaving(&self) -> Vec<i64> {
        let state = self.state.lock();
        let ending = state.claimed.values().filter(|claimed| claimed.ending);
        ending
            .map(|claimed| claimed.standing.at.sequence)
            .chain(state.held.keys().copied())
            .collect()
    }

    /// What is in the log and not in its index.
    pub(super) fn log_index(&self) -> &LogIndex {
        &self.log_index
    }

    /// Notes that a handler of this event fires under an internal key.
    pub(super) fn mark_fired(&self, event: &SysId) {
        if let Some(claimed) = self.state.lock().claimed.get_mut(event) {
            claimed.fired = true;
        }
    }

    /// Whether handlers of this claimed event may have fired under internal keys.
    pub(super) fn has_fired(&self, event: &SysId) -> bool {
        self.state.lock().claimed.get(event).is_none_or(|claimed| claimed.fired)
    }

    /// Number of claimed events, of waiting events (claimed ones included) with the latest due time, by queue and
    /// priority.
    pub(super) fn counts(&self) -> Vec<QueueCount> {
        let state = self.state.lock();
        let mut counts: Vec<QueueCount> = state
            .lines
            .iter()
            .map(|(queue, line)| QueueCount {
                queue: Arc::clone(queue),
                lanes: line.counts().collect(),
                claimed: 0,
            })
            .collect();
        for claimed in state.claimed.values() {
            if let Some(count) =
                counts.iter_mut().find(|count| count.queue == claimed.standing.queue)
            {
                count.claimed += 1;
            }
        }
        counts
    }

    /// Events and bytes in memory, and claimed events.
    pub(in crate::sqlite) fn sizes(&self) -> (usize, usize, usize) {
        let state = self.state.lock();
        let events = state.lines.values().map(Line::in_memory).sum();
        (events, state.kept_bytes, state.claimed.len())
    }

    /// Forgets who handled what, at a clean close.
    pub(super) fn forget_handling(&self) -> std::io::Result<()> {
        self.handling.clear()
    }

    fn wake(&self, wakes: &[(Arc<str>, i64)]) {
        if wakes.is_empty() {
            return;
        }
        let listener = self.listener.lock().clone();
        if let Some(listener) = listener {
            for (queue, due) in wakes {
                listener(queue, Instant::from_millis(*due));
            }
        }
    }
}

/// What one queue has.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct QueueCount {
    pub(super) queue: Arc<str>,
    /// Priority, number of events (claimed ones included), latest due time.
    pub(super) lanes: Vec<(Priority, u64, i64)>,
    pub(super) claimed: u64,
}
