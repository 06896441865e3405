//! What was handed in, that nobody waits for, and that is not written yet: a bounded line, kept in order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use campanile_model::{HandlerRun, SysId};
use parking_lot::{Condvar, Mutex};

use super::held::{Claimed, Held};
use crate::contract::{Completion, NextState, StoreError};

/// Entries that are written at one go.
pub(super) const BATCH_MAX: usize = 500;

/// Entries that wait to be written; whoever hands in more waits.
const PENDING_MAX: usize = 8_192;

/// How long what came first waits for company, unless somebody waits for it: each transaction costs the same again.
const GATHERS: Duration = Duration::from_millis(2);

/// Entries that wait for no more company.
const COMPANY: usize = 100;

/// Something that was handed in.
#[derive(Debug)]
pub(super) enum Pending {
    /// Runs of an attempt at the event of this claim that goes on.
    Runs(Held, Vec<HandlerRun>),
    /// The end of the attempt at the event of this claim.
    End(Held, Box<Completion>),
    /// Claims under one lease to give back, because it could not be done at once.
    GiveBack(Vec<Claimed>),
}

impl Pending {
    /// Claims to give back.
    pub(super) fn given_back(&self) -> Option<&[Claimed]> {
        match self {
            Self::GiveBack(given) => Some(given),
            _ => None,
        }
    }

    /// The event of an end, and the claim that ends.
    pub(super) fn ended(&self) -> Option<(&SysId, Held)> {
        match self {
            Self::End(held, completion) => Some((&completion.event, *held)),
            _ => None,
        }
    }

    /// The lease that it stands on.
    fn token(&self) -> Option<i64> {
        match self {
            Self::Runs(held, _) | Self::End(held, _) => Some(held.token),
            Self::GiveBack(given) => given.first().map(|claimed| claimed.held.token),
        }
    }

    /// An end after which nothing is tried again, with the event's sequence.
    pub(super) fn as_final(&self) -> Option<(i64, &Completion)> {
        match self {
            Self::End(_, completion) if matches!(completion.next, NextState::RetryAt(_)) => None,
            Self::End(held, completion) => Some((held.sequence, completion)),
            _ => None,
        }
    }

    /// The same end with nothing that the database could refuse: without runs, in error, saying why.
    pub(super) fn bare(&self, refusal: &StoreError) -> Option<Self> {
        let Self::End(held, completion) = self else { return None };
        let next = NextState::Error {
            code: "handler_failed",
            message: format!("what its handlers did could not be written down: {refusal}"),
        };
        let bare = Completion { next, runs: Vec::new(), ..Completion::clone(completion) };
        Some(Self::End(*held, Box::new(bare)))
    }
}

/// The line.
#[derive(Debug, Default)]
pub(super) struct PendingLine {
    state: Mutex<State>,
    /// Entries came, or what is being handled has changed, or the line was closed.
    filled: Condvar,
    /// Entries were taken or written, or could not be.
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Pending>,
    /// Which events are being handled has changed since it was written down.
    handling_changed: bool,
    handed_in: u64,
    /// They are committed in the order in which they were handed in.
    written: u64,
    /// Why the last batch could not be written; it is tried again.
    failed: Option<StoreError>,
    /// Since when something waits for company.
    gathers_since: Option<Instant>,
    /// How many wait until all that was handed in is written.
    waited_for: usize,
    stopping: bool,
}

impl State {
    fn has_work(&self) -> bool {
        !self.waiting.is_empty() || (self.handling_changed && !self.stopping)
    }

    /// Whether it is time to write.
    fn is_pressing(&self) -> bool {
        self.stopping || self.waited_for > 0 || self.waiting.len() >= COMPANY
    }
}

/// What is to be written next.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) batch: Vec<Pending>,
    /// The lease that all of the batch stands on: not necessarily the present one. `None` for an empty batch.
    pub(super) token: Option<i64>,
    pub(super) handling_changed: bool,
}

impl PendingLine {
    /// Hands in, waiting for space.
    pub(super) fn push(&self, pending: Pending) {
        let mut state = self.state.lock();
        while state.waiting.len() >= PENDING_MAX && !state.stopping && state.failed.is_none() {
            self.moved.wait(&mut state);
        }
        state.waiting.push_back(pending);
        state.handed_in += 1;
        self.tell(&state);
    }

    /// Notes that another event is being handled.
    pub(super) fn note_handling(&self) {
        let mut state = self.state.lock();
        state.handling_changed = true;
        self.tell(&state);
    }

    /// Wakes the one who writes, unless it lets company gather.
    fn tell(&self, state: &State) {
        if state.gathers_since.is_none() || state.is_pressing() {
            self.filled.notify_one();
        }
    }

    /// Waits for work. `None` when the line is closed and empty.
    pub(super) fn next(&self) -> Option<Work> {
        let mut state = self.state.lock();
        loop {
            if !state.has_work() {
                if state.stopping {
                    return None;
                }
                self.filled.wait(&mut state);
                continue;
            }
            let gathered = state.gathers_since.get_or_insert_with(Instant::now).elapsed();
            match GATHERS.checked_sub(gathered).filter(|left| !left.is_zero()) {
                Some(left) if !state.is_pressing() => {
                    self.filled.wait_for(&mut state, left);
                }
                _ => return Some(self.take(&mut state)),
            }
        }
    }

    fn take(&self, state: &mut State) -> Work {
        state.gathers_since = None;
        let token = state.waiting.front().and_then(Pending::token);
        let together = state.waiting.iter().take_while(|pending| pending.token() == token);
        let count = together.take(BATCH_MAX).count();
        let batch = state.waiting.drain(..count).collect();
        let handling_changed = std::mem::take(&mut state.handling_changed);
        self.moved.notify_all();
        Work { batch, token, handling_changed }
    }

    /// A batch of `count` was committed.
    pub(super) fn written(&self, count: usize) {
        let mut state = self.state.lock();
        state.written += count as u64;
        state.failed = None;
        self.moved.notify_all();
    }

    /// Puts work that could not be done back in front, and waits a little before it is tried again. Returns whether to go
    /// on: not when the line is closed.
    pub(super) fn put_back(&self, work: Work, error: StoreError, rest: Duration) -> bool {
        let Work { batch, handling_changed, .. } = work;
        let mut state = self.state.lock();
        state.handling_changed |= handling_changed;
        for pending in batch.into_iter().rev() {
            state.waiting.push_front(pending);
        }
        state.failed = Some(error);
        self.moved.notify_all();
        if !state.stopping {
            self.filled.wait_for(&mut state, rest);
        }
        !state.stopping
    }

    /// Waits until everything that was handed in before is committed.
    ///
    /// # Errors
    /// Why it could not be written.
    pub(super) fn wait_written(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let target = state.handed_in;
        state.waited_for += 1;
        self.tell(&state);
        while state.written < target && state.failed.is_none() {
            self.moved.wait(&mut state);
        }
        state.waited_for -= 1;
        match &state.failed {
            Some(error) if state.written < target => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Lets the writer finish what waits and end.
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.filled.notify_all();
        self.moved.notify_all();
    }

    /// Drops what waits and lets the writer end: as if the program were killed.
    pub(super) fn abandon(&self) {
        self.state.lock().waiting.clear();
        self.stop();
    }

    /// Number of entries that wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().waiting.len()
    }
}
