//! The line of appends that wait for the writer, bounded and in order.

use std::collections::VecDeque;

use campanile_model::NewEvent;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::failure::closed;
use crate::contract::{AppendCallback, AppendMode, StoreError};

/// A group takes no more units once it has this many events.
const GROUP_EVENTS_MAX: usize = 2_000;

/// Events that may wait; more are refused.
const WAITING_EVENTS_MAX: usize = 200_000;

/// One append.
pub(super) struct Unit {
    pub(super) events: Vec<NewEvent>,
    pub(super) mode: AppendMode,
    pub(super) done: AppendCallback,
}

/// What waits for the writer.
#[derive(Default)]
pub(super) struct Line {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    units: VecDeque<Unit>,
    events: usize,
    /// Units of the last group.
    last: usize,
    stopping: bool,
    /// The process of the server that the writer's connection leads to.
    writes_by: Option<i32>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("events", &self.state.lock().events).finish_non_exhaustive()
    }
}

impl Line {
    /// Hands `unit` in. Units are written in the order in which they were handed in.
    pub(super) fn submit(&self, unit: Unit, place: &str) {
        let refusal = {
            let mut state = self.state.lock();
            if state.stopping {
                closed(place)
            } else if state.events > WAITING_EVENTS_MAX {
                StoreError::Busy { waited_ms: 0 }
            } else {
                state.events += unit.events.len();
                state.units.push_back(unit);
                self.filled.notify_one();
                return;
            }
        };
        (unit.done)(Err(refusal));
    }

    /// Lets the writer finish what waits and end; further units are refused.
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.filled.notify_all();
    }

    /// Takes what waits as one group; `None` when there will be no more.
    pub(super) fn take(&self) -> Option<Vec<Unit>> {
        let mut state = self.state.lock();
        if state.units.len() < state.last {
            // Those who were answered just now may come again, if only they get a processor.
            MutexGuard::unlocked(&mut state, std::thread::yield_now);
        }
        while state.units.is_empty() {
            if state.stopping {
                return None;
            }
            self.filled.wait(&mut state);
        }
        let mut units = Vec::new();
        let mut events = 0;
        while events < GROUP_EVENTS_MAX {
            let Some(unit) = state.units.pop_front() else { break };
            events += unit.events.len();
            units.push(unit);
        }
        state.events = state.events.saturating_sub(events);
        state.last = units.len();
        Some(units)
    }

    /// The writer is about to use a connection to this process of the server, or to none that is known.
    pub(super) fn will_write_by(&self, process: Option<i32>) {
        self.state.lock().writes_by = process;
    }

    /// The process of the server that the writer uses, as far as it is known.
    pub(super) fn writes_by(&self) -> Option<i32> {
        self.state.lock().writes_by
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }
}
