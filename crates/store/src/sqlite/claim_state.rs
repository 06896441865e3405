//! The claims and windows themselves, behind the lock of [`Claims`](super::claims::Claims).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use campanile_model::SysId;
use foldhash::fast::RandomState;

use super::effects::{Effect, Standing};
use super::turns::{Arrival, Records, Turns};
use super::window::{Line, Next, Position, Priority, Waiting};
use crate::contract::{ClaimRequest, QueueRule, TAKE_BACK_AFTER};

/// Bytes of whole events that all windows together keep; beyond, an event is read again at its claim.
pub(super) const KEPT_BYTES_MAX: usize = 24 * 1024 * 1024;

/// [`TAKE_BACK_AFTER`] in milliseconds.
#[expect(clippy::cast_possible_truncation, reason = "some seconds")]
const TAKE_BACK_AFTER_MS: i64 = TAKE_BACK_AFTER.as_millis() as i64;

/// A larger event is never kept whole.
const KEPT_EVENT_BYTES_MAX: usize = 8 * 1024;

#[derive(Default)]
pub(super) struct State {
    pub(super) lines: HashMap<Arc<str>, Line>,
    pub(super) claimed: HashMap<SysId, Claimed, RandomState>,
    pub(super) by_sequence: HashMap<i64, SysId, RandomState>,
    /// Waiting events that a transaction in progress is about to change, with the number of holds.
    pub(super) held: HashMap<i64, u32>,
    /// Bytes of whole events in all windows.
    pub(super) kept_bytes: usize,
    /// The queues that keep an order.
    pub(super) turns: HashMap<Arc<str>, Turns>,
    /// Events up to this one may have left internal keys behind before the store was opened.
    pub(super) fired_before: i64,
}

/// One claimed event.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    pub(super) standing: Standing,
    pub(super) by: Arc<str>,
    /// When it was claimed, in milliseconds.
    pub(super) at: i64,
    pub(super) epoch: i64,
    pub(super) attempts: i64,
    pub(super) lapses: i64,
    /// The record that it is about, as a number.
    pub(super) record: u64,
    /// Slot of the processor that began to handle it.
    pub(super) slot: Option<usize>,
    /// Its completion was handed in.
    pub(super) ending: bool,
    /// Its handlers may have fired under internal keys.
    pub(super) fired: bool,
}

impl State {
    pub(super) fn claimed_by(&self, sequence: i64) -> Option<Arc<str>> {
        let event = self.by_sequence.get(&sequence)?;
        self.claimed.get(event).map(|claimed| Arc::clone(&claimed.by))
    }

    pub(super) fn next(&self, request: &ClaimRequest<'_>) -> Next {
        let Some(line) = self.lines.get(request.queue) else { return Next::Later(None) };
        let now = request.now.as_millis();
        // What somebody is about to change is stepped over, unless that would change the order.
        let is_strict = self.turns.contains_key(request.queue);
        let nothing = HashMap::new();
        let held = if is_strict { &nothing } else { &self.held };
        let next = if request.by_priority {
            line.next_by_priority(now, held)
        } else {
            line.next_by_arrival(now, held)
        };
        match next {
            // Whoever lets it go tells.
            Next::Due(_, at) if is_strict && self.held.contains_key(&at.sequence) => {
                Next::Later(None)
            }
            next => next,
        }
    }

    /// Takes due events out of the windows, as far as these reach.
    pub(super) fn take(
        &mut self,
        request: &ClaimRequest<'_>,
        by: &Arc<str>,
    ) -> Vec<(Standing, Waiting)> {
        let mut taken = Vec::new();
        while taken.len() < request.limit {
            let Next::Due(priority, at) = self.next(request) else { break };
            let Some((queue, line)) = self.lines.get_key_value(request.queue) else { break };
            let has_lapsed = line.has_lapsed(priority, at);
            if has_lapsed && !taken.is_empty() {
                break;
            }
            let standing = Standing { queue: Arc::clone(queue), priority, at };
            let Some(waiting) =
                self.change_line(request.queue, |line| line.take(priority, at)).flatten()
            else {
                break;
            };
            self.note_claim(&standing, &waiting, request, by);
            taken.push((standing, waiting));
            if has_lapsed {
                break;
            }
        }
        taken
    }

    /// What was taken is claimed by `by` from now on.
    pub(super) fn note_claim(
        &mut self,
        standing: &Standing,
        waiting: &Waiting,
        request: &ClaimRequest<'_>,
        by: &Arc<str>,
    ) {
        let at = standing.at;
        if let Some(turns) = self.turns.get_mut(&standing.queue) {
            turns.remove(at, true);
        }
        self.by_sequence.insert(at.sequence, waiting.sys_id);
        self.claimed.insert(
            waiting.sys_id,
            Claimed {
                standing: standing.clone(),
                by: Arc::clone(by),
                at: request.now.as_millis(),
                epoch: waiting.epoch,
                attempts: waiting.attempts,
                lapses: waiting.lapses,
                record: waiting.record,
                slot: None,
                ending: false,
                // A first attempt starts with no keys; who tried before may have left some.
                fired: waiting.attempts > 0
                    || waiting.lapses > 0
                    || at.sequence <= self.fired_before,
            },
        );
    }

    /// Ends the claim of an event that was not completed; it waits again where it stood.
    pub(super) fn give_back(&mut self, event: &SysId) -> Option<Claimed> {
        let claimed = self.claimed.remove(event)?;
        let Standing { queue, priority, at } = &claimed.standing;
        self.by_sequence.remove(&at.sequence);
        let waiting = Waiting {
            sys_id: *event,
            epoch: claimed.epoch,
            attempts: claimed.attempts,
            lapses: claimed.lapses,
            record: claimed.record,
            event: None,
        };
        if let Some(turns) = self.turns.get_mut(queue) {
            turns.end_claim(claimed.record);
            turns.add(arrival(*priority, *at, &waiting));
        }
        self.change_line(queue, |line| line.give_back(*priority, *at, waiting));
        Some(claimed)
    }

    /// Gives back what somebody has claimed long ago and not begun (§4.3). Returns how many, and when the next one
    /// will have waited long enough.
    pub(super) fn take_back(&mut self, request: &ClaimRequest<'_>) -> (usize, Option<i64>) {
        let now = request.now.as_millis();
        let mut stale = Vec::new();
        let mut next = None;
        for (event, claimed) in &mut self.claimed {
            let is_idle = claimed.slot.is_none() && !claimed.ending;
            if !is_idle
                || *claimed.standing.queue != *request.queue
                || *claimed.by == *request.claimed_by
            {
                continue;
            }
            // The clock may have been set back since.
            claimed.at = claimed.at.min(now);
            let ends = claimed.at.saturating_add(TAKE_BACK_AFTER_MS);
            if ends <= now {
                stale.push(*event);
            } else {
                next = Some(next.map_or(ends, |next: i64| next.min(ends)));
            }
        }
        for event in &stale {
            self.give_back(event);
        }
        (stale.len(), next)
    }

    /// Changes one queue and keeps the sum of bytes.
    pub(super) fn change_line<T>(
        &mut self,
        queue: &str,
        change: impl FnOnce(&mut Line) -> T,
    ) -> Option<T> {
        let line = self.lines.get_mut(queue)?;
        let before = line.bytes;
        let outcome = change(line);
        self.kept_bytes = (self.kept_bytes + line.bytes).saturating_sub(before);
        if line.is_empty() {
            self.lines.remove(queue);
        }
        Some(outcome)
    }

    pub(super) fn carry_out(&mut self, effect: Effect, wakes: &mut Vec<(Arc<str>, i64)>) {
        match effect {
            Effect::Added(standing, waiting) => self.add(standing, waiting, wakes),
            Effect::Removed(standing) => {
                if let Some(turns) = self.turns.get_mut(&standing.queue) {
                    turns.remove(standing.at, false);
                    // Whoever waited for it may go.
                    note_wake(wakes, &standing.queue, standing.at.process_on);
                }
                self.change_line(&standing.queue, |line| {
                    line.remove(standing.priority, standing.at);
                });
            }
            Effect::Touched(standing) => {
                self.change_line(&standing.queue, |line| {
                    line.touch(standing.priority, standing.at);
                });
            }
            Effect::Ended(event) => {
                if let Some(Claimed { standing, .. }) = self.end(&event)
                    && self.turns.contains_key(&standing.queue)
                {
                    note_wake(wakes, &standing.queue, standing.at.process_on);
                }
            }
            Effect::OrderSet(queue, rule) => self.set_order(&queue, rule),
            Effect::Halted(queue, halted) => {
                if let Some(turns) = self.turns.get_mut(&queue) {
                    turns.halted = halted;
                    note_wake(wakes, &queue, i64::MIN);
                }
            }
            Effect::RecordsRead(queue, arrivals) => self.note_records(&queue, arrivals),
            Effect::Retried(event, at) => {
                let Some(claimed) = self.end(&event) else { return };
                let Standing { queue, priority, at: was } = claimed.standing;
                let at = Position { process_on: at.as_millis(), sequence: was.sequence };
                let waiting = Waiting {
                    sys_id: event,
                    epoch: claimed.epoch,
                    attempts: claimed.attempts + 1,
                    lapses: claimed.lapses,
                    record: claimed.record,
                    event: None,
                };
                self.add(Standing { queue, priority, at }, waiting, wakes);
            }
        }
    }

    pub(super) fn add(
        &mut self,
        standing: Standing,
        mut waiting: Waiting,
        wakes: &mut Vec<(Arc<str>, i64)>,
    ) {
        let Standing { queue, priority, at } = standing;
        keep_within(&mut waiting, &mut KEPT_BYTES_MAX.saturating_sub(self.kept_bytes));
        note_wake(wakes, &queue, at.process_on);
        if let Some(turns) = self.turns.get_mut(&queue) {
            turns.add(arrival(priority, at, &waiting));
        }
        if !self.lines.contains_key(&queue) {
            self.lines.insert(Arc::clone(&queue), Line::default());
        }
        self.change_line(&queue, |line| line.add(priority, at, waiting));
    }

    /// Ends a claim for good.
    pub(super) fn end(&mut self, event: &SysId) -> Option<Claimed> {
        let claimed = self.claimed.remove(event)?;
        let standing = &claimed.standing;
        self.by_sequence.remove(&standing.at.sequence);
        if let Some(turns) = self.turns.get_mut(&standing.queue) {
            turns.end_claim(claimed.record);
        }
        self.change_line(&standing.queue, |line| line.remove(standing.priority, standing.at));
        Some(claimed)
    }

    /// Whether an event of the queue is claimed.
    pub(super) fn is_busy(&self, queue: &str) -> bool {
        self.claimed.values().any(|claimed| *claimed.standing.queue == *queue)
    }

    fn set_order(&mut self, queue: &Arc<str>, rule: Option<QueueRule>) {
        match (rule, self.turns.get_mut(queue)) {
            (None, _) => {
                self.turns.remove(queue);
            }
            (Some(rule), Some(turns)) if turns.rule.order == rule.order => turns.rule = rule,
            (Some(rule), _) => {
                self.turns.insert(Arc::clone(queue), Turns::new(rule));
            }
        }
    }

    /// Carried out between two commits, so `arrivals` are what waits and what is claimed, no more and no less.
    fn note_records(&mut self, queue: &str, arrivals: Vec<Arrival>) {
        let Some(turns) = self.turns.get_mut(queue).filter(|turns| turns.is_unread()) else {
            return;
        };
        let mut records = Records::default();
        for arrival in arrivals {
            if self.by_sequence.contains_key(&arrival.at.sequence) {
                records.add_claim(arrival.record);
            } else {
                records.add(arrival);
            }
        }
        turns.records = Some(records);
    }

    /// Lets others claim what was held. Who looked meanwhile saw nothing there, so it is told again.
    pub(super) fn let_go(&mut self, held: Vec<Standing>, wakes: &mut Vec<(Arc<str>, i64)>) {
        for standing in held {
            note_wake(wakes, &standing.queue, standing.at.process_on);
            if let Entry::Occupied(mut entry) = self.held.entry(standing.at.sequence) {
                *entry.get_mut() -= 1;
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
        }
    }
}

/// How `waiting` comes to where it waits.
fn arrival(priority: Priority, at: Position, waiting: &Waiting) -> Arrival {
    let begun = waiting.attempts > 0 || waiting.lapses > 0;
    Arrival { record: waiting.record, priority, at, begun }
}

/// Drops the whole event unless it is small and fits in `budget`.
pub(super) fn keep_within(waiting: &mut Waiting, budget: &mut usize) {
    let bytes = waiting.bytes();
    if bytes > KEPT_EVENT_BYTES_MAX || bytes > *budget {
        waiting.event = None;
    } else {
        *budget -= bytes;
    }
}

pub(super) fn note_wake(wakes: &mut Vec<(Arc<str>, i64)>, queue: &Arc<str>, due: i64) {
    match wakes.iter_mut().find(|(known, _)| known == queue) {
        Some((_, earliest)) => *earliest = (*earliest).min(due),
        None => wakes.push((Arc::clone(queue), due)),
    }
}
