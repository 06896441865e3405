//! What a write transaction will have changed in the queues once it is committed.
//!
//! Nobody may see an event that is not committed, so a transaction notes its effects here, in order, and carries
//! them out right after the commit, before the next one. Dropped instead, they never were.

use std::sync::Arc;

use campanile_model::{Event, Instant, SysId};

use super::claims::Claims;
use super::turns::Arrival;
use super::window::{Position, Priority, Waiting};
use crate::contract::{QueueRule, StoreError};

/// Where an event stands: its queue, its lane and its place in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    pub(super) queue: Arc<str>,
    pub(super) priority: Priority,
    pub(super) at: Position,
}

impl Standing {
    /// Where `event` stands while it waits.
    pub(super) fn of(event: &Event) -> Self {
        Self {
            queue: Arc::clone(&event.fired.queue),
            priority: Priority(event.fired.priority),
            at: Position {
                process_on: event.fired.process_on.as_millis(),
                sequence: event.sequence,
            },
        }
    }
}

/// One change.
#[derive(Debug)]
pub(super) enum Effect {
    /// An event waits here now.
    Added(Standing, Waiting),
    /// An event waits here no longer.
    Removed(Standing),
    /// A waiting event's row has changed without moving.
    Touched(Standing),
    /// A claimed event was completed.
    Ended(SysId),
    /// A claimed event failed and waits for another attempt at this time.
    Retried(SysId, Instant),
    /// A queue keeps an order from now on, or none.
    OrderSet(Arc<str>, Option<QueueRule>),
    /// An error has stopped a queue, or somebody has let it go on.
    Halted(Arc<str>, bool),
    /// Everything of a queue that waits or is claimed, for its records.
    RecordsRead(Arc<str>, Vec<Arrival>),
}

/// The effects of one piece of work in a transaction, in order.
#[derive(Debug)]
pub(in crate::sqlite) struct EventEffects {
    claims: Arc<Claims>,
    list: Vec<Effect>,
    /// Events that nobody may claim until this is carried out or dropped.
    held: Vec<Standing>,
}

impl EventEffects {
    pub(in crate::sqlite) fn new(claims: &Arc<Claims>) -> Self {
        Self { claims: Arc::clone(claims), list: Vec::new(), held: Vec::new() }
    }

    /// The claims that will be changed.
    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    pub(super) fn note(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Keeps anybody from claiming a waiting event until the transaction has ended.
    ///
    /// # Errors
    /// [`StoreError::StateConflict`] when it is claimed.
    pub(super) fn hold(&mut self, standing: Standing, sys_id: &SysId) -> Result<(), StoreError> {
        self.claims.hold(&standing, sys_id)?;
        self.held.push(standing);
        Ok(())
    }

    /// The transaction was committed. Called in the order of commits, before the next one.
    pub(in crate::sqlite) fn carry_out(mut self) {
        let list = std::mem::take(&mut self.list);
        let held = std::mem::take(&mut self.held);
        self.claims.settle(list, held);
    }
}

impl Drop for EventEffects {
    fn drop(&mut self) {
        if !self.held.is_empty() {
            self.claims.settle(Vec::new(), std::mem::take(&mut self.held));
        }
    }
}
