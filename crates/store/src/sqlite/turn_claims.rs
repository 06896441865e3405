//! Claims from queues that keep an order: what may be taken, and taking it. The bookkeeping is that of
//! [`turns`](super::turns), the claims those of [`claim_state`](super::claim_state).

use std::collections::HashMap;
use std::sync::Arc;

use campanile_model::QueueOrder;

use super::claim_state::State;
use super::effects::Standing;
use super::window::{Position, Priority, Waiting};
use crate::contract::ClaimRequest;

/// What a claim finds.
#[derive(Debug)]
pub(super) enum TurnOf {
    /// The queue keeps no order, or nothing of it is under way: its own order decides.
    Free,
    /// Exactly these.
    These(Vec<(Priority, Position)>),
    /// Nothing; when that may change by time alone.
    Nobody(Option<i64>),
}

impl State {
    /// Whose turn it is in the queue of `request`.
    pub(super) fn turn_of(&mut self, request: &ClaimRequest<'_>) -> TurnOf {
        let Some(turns) = self.turns.get(request.queue) else { return TurnOf::Free };
        if turns.halted {
            return TurnOf::Nobody(None);
        }
        let now = request.now.as_millis();
        let is_held = |sequence: i64| self.held.contains_key(&sequence);
        if turns.rule.order == QueueOrder::Sequential {
            let first = turns.first_begun();
            return match first {
                // The end of the claim wakes whoever waits for it.
                _ if self.is_busy(request.queue) => TurnOf::Nobody(None),
                Some((_, at)) if is_held(at.sequence) => TurnOf::Nobody(None),
                Some((priority, at)) if at.process_on <= now => TurnOf::These(vec![(priority, at)]),
                Some((_, at)) => TurnOf::Nobody(Some(at.process_on)),
                None => TurnOf::Free,
            };
        }
        let Some(records) = &turns.records else { return TurnOf::Nobody(None) };
        let wanted = (now, request.by_priority, request.limit.max(1));
        let picked = records.pick(wanted, is_held);
        if !picked.is_empty() {
            return TurnOf::These(picked);
        }
        let due = records.next_due(now);
        let (given_back, ends) = self.take_back(request);
        if given_back > 0 {
            return self.turn_of(request);
        }
        TurnOf::Nobody(due.into_iter().chain(ends).min())
    }

    /// Sequences of those of `wanted` that no window has.
    pub(super) fn not_in_memory(&self, queue: &str, wanted: &[(Priority, Position)]) -> Vec<i64> {
        let has = |(priority, at): &(Priority, Position)| {
            self.lines.get(queue).is_some_and(|line| line.has(*priority, *at))
        };
        wanted.iter().filter(|one| !has(one)).map(|(_, at)| at.sequence).collect()
    }

    /// Takes `wanted`, the rest of them being in `read`. `None`, and nothing is taken, when it is not, or not any more,
    /// exactly their turn; fewer, when the end of one is on its way here.
    pub(super) fn take_these(
        &mut self,
        request: &ClaimRequest<'_>,
        by: &Arc<str>,
        wanted: &[(Priority, Position)],
        mut read: HashMap<i64, Waiting>,
    ) -> Option<Vec<(Standing, Waiting)>> {
        match self.turn_of(request) {
            TurnOf::These(now) if now == wanted => {}
            _ => return None,
        }
        let queue = self.lines.get_key_value(request.queue).map(|(queue, _)| Arc::clone(queue))?;
        let mut taken = Vec::with_capacity(wanted.len());
        for (priority, at) in wanted {
            let standing = Standing { queue: Arc::clone(&queue), priority: *priority, at: *at };
            let in_memory = self.change_line(&queue, |line| line.take(*priority, *at)).flatten();
            // Its row is gone: what comes behind it must wait until that is told.
            let Some(waiting) = in_memory.or_else(|| read.remove(&at.sequence)) else { break };
            self.note_claim(&standing, &waiting, request, by);
            taken.push((standing, waiting));
        }
        Some(taken)
    }
}
