//! Events that wait for a processor of this program, and that somebody changes by hand: no processor has come to them, so they are
//! still waiting. They are let go of in the transaction that changes them; when that is undone they are given back.
//!
//! Differs because on SQLite what waits for a processor is claimed by nobody.

use super::connection::Connection;
use super::effects::Effects;
use super::held::{Claimed, Claims};
use super::holders;
use crate::contract::{EventAction, StoreError};

impl Claims {
    /// Takes out what is meant by `action`, if it waits here.
    pub(super) fn waiting_here(&self, action: &EventAction) -> Vec<Claimed> {
        match action {
            EventAction::Move { sys_id, .. }
            | EventAction::Reschedule { sys_id, .. }
            | EventAction::Cancel { sys_id, .. } => {
                self.take_out_all(&self.births.drain_those(|event| event.fired.sys_id == *sys_id))
            }
            EventAction::Reprocess { .. } | EventAction::RunNow { .. } => Vec::new(),
        }
    }

    /// Takes out the events of a kind that wait here and are to go to another queue.
    pub(super) fn kind_waiting_here(&self, name: &str, to_queue: &str) -> Vec<Claimed> {
        let born = self.births.drain_those(|event| {
            let fired = &event.fired;
            *fired.name == *name && !fired.queue_from_call && *fired.queue != *to_queue
        });
        self.take_out_all(&born)
    }
}

/// What one transaction has let go of.
#[derive(Debug, Default)]
pub(super) struct LetGo {
    gone: Vec<Claimed>,
    /// That was undone: their rows are claimed again, and nobody holds them.
    undone: Vec<Claimed>,
}

impl LetGo {
    /// Takes on what waits here and is about to be let go of; what was let go of before and that was undone too.
    pub(super) fn take_on(
        &mut self,
        mut waiting: Vec<Claimed>,
        action: &EventAction,
    ) -> Vec<Claimed> {
        let (again, undone) =
            std::mem::take(&mut self.undone).into_iter().partition(|one| is_about(action, one));
        self.undone = undone;
        let again: Vec<Claimed> = again;
        waiting.extend(again);
        waiting
    }

    /// These were let go of, or that was undone at once.
    pub(super) fn note(&mut self, waiting: Vec<Claimed>, was_done: bool) {
        if was_done { self.gone.extend(waiting) } else { self.undone.extend(waiting) }
    }

    /// How many were let go of so far.
    pub(super) fn len(&self) -> usize {
        self.gone.len()
    }

    /// All but the first `count` were not let go of after all.
    pub(super) fn undo_to(&mut self, count: usize) {
        self.undone.extend(self.gone.split_off(count.min(self.gone.len())));
    }

    /// The transaction was committed. What is left is to be given back.
    pub(super) fn committed(&mut self) {
        self.gone.clear();
    }

    /// What is to be given back, now that the transaction has ended.
    pub(super) fn left(&mut self) -> Vec<Claimed> {
        self.undo_to(0);
        std::mem::take(&mut self.undone)
    }
}

fn is_about(action: &EventAction, claimed: &Claimed) -> bool {
    match action {
        EventAction::Move { sys_id, .. }
        | EventAction::Reschedule { sys_id, .. }
        | EventAction::Cancel { sys_id, .. }
        | EventAction::Reprocess { sys_id, .. }
        | EventAction::RunNow { sys_id, .. } => *sys_id == claimed.event,
    }
}

/// Gives these claims back in the database, each under its own lease, before the same transaction changes their events.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn let_go(connection: &Connection, waiting: &[Claimed]) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    for of_one_lease in waiting.chunk_by(|l, r| l.held.token == r.held.token) {
        if let Some(first) = of_one_lease.first() {
            effects.extend(&holders::give_back(connection, of_one_lease, first.held.token)?);
        }
    }
    Ok(effects)
}
