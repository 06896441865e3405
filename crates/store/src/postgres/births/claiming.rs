//! What a processor gets that was born for it, and when it has to look at the database first.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant as Monotonic;

use campanile_model::{Event, Instant, QueueOrder, SysId};

use super::in_order::{First, bytes_of};
use super::inbox::Moment;
use super::register::{Births, State};
use crate::contract::{Claim, ClaimRequest};
use crate::postgres::held::{Claimed, Claims};

/// A look that found as many as it was for is followed by one for so many times as many.
const LOOK_GROWS: usize = 4;

/// So many times as long a processor may be at one event before more than one claim's worth of events is taken from it; and at a
/// look, which may be for thousands.
const PATIENCE: u32 = 10;

/// A look is for no more: it is one answer of the server, however large the events turn out to be.
const LOOK_MAX: usize = 2_000;

/// What a processor may have without a look at the database.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::postgres) enum InHand {
    /// Nothing.
    Nothing,
    /// What goes before all that waits, as far as is known.
    BeforeAll,
    /// What this is the first of; something else of the queue may wait.
    Beside(First),
    /// Something, but the last look was long ago: the inbox would soon be shut because of that.
    LookIsOld,
}

impl Births {
    /// See [`crate::EventStore::stay`]. Returns what was born for it and is others' to take by now: it is not as quick as it was.
    pub(in crate::postgres) fn stay(
        &self,
        queue: &str,
        claimed_by: &str,
        room: usize,
    ) -> Vec<SysId> {
        let mut state = self.state.lock();
        let Some(inbox) = state.inboxes.get_mut(queue, claimed_by) else {
            return state.inboxes.add(queue, claimed_by, room);
        };
        inbox.room = room;
        let most = room.max(inbox.limit);
        let Some(of_queue) = state.inboxes.of_queue_mut(queue) else { return Vec::new() };
        let count = of_queue.events.count_of(claimed_by);
        // What is a little more is handled before it is written.
        if count <= most.saturating_mul(2) {
            return Vec::new();
        }
        of_queue.events.drain_of(claimed_by, count - most)
    }

    /// Takes the inbox away. Returns what was born for the processor and not handed out; and the queue, when others of it have
    /// something before them: the wake for that may have been this one's.
    pub(in crate::postgres) fn leave(&self, claimed_by: &str) -> (Vec<SysId>, Option<Arc<str>>) {
        let mut state = self.state.lock();
        let queue = state.inboxes.queue_of(claimed_by);
        let born = state.inboxes.remove(claimed_by);
        let has_some = |queue: &Arc<str>| {
            state.inboxes.of_queue(queue).is_some_and(|it| !it.events.is_empty())
        };
        (born, queue.filter(has_some))
    }

    /// What the processor that claims may have.
    pub(in crate::postgres) fn in_hand(&self, request: &ClaimRequest<'_>, at: Monotonic) -> InHand {
        let now = Moment { millis: request.now.as_millis(), at };
        let mut state = self.state.lock();
        let Some(of_queue) = state.inboxes.of_queue_mut(request.queue) else {
            return InHand::Nothing;
        };
        let inbox = of_queue.inboxes.get(request.claimed_by);
        let first = of_queue.events.first(request.by_priority);
        let (Some(inbox), Some(first)) = (inbox, first) else { return InHand::Nothing };
        if !inbox.is_alone(now, self.look_every) {
            InHand::Beside(first)
        } else if inbox.is_alone(now, self.look_every / 2) {
            InHand::BeforeAll
        } else {
            InHand::LookIsOld
        }
    }

    /// The first of what was born for the processors of the queue, as many as are claimed. `None` when there is nothing.
    pub(in crate::postgres) fn take(
        &self,
        request: &ClaimRequest<'_>,
        (claims, at): (&Claims, Monotonic),
    ) -> Option<Claim> {
        let mut state = self.state.lock();
        let of_queue = state.inboxes.of_queue_mut(request.queue)?;
        if of_queue.events.is_empty() {
            return None;
        }
        let own = of_queue.inboxes.get_mut(request.claimed_by)?;
        (own.rests_since, own.busy_since) = (None, Some(at));
        own.limit = request.limit;
        let now = request.now.as_millis();
        // Something that was told of waits in the database, or may.
        let may_wait = !own.is_open || own.alone_until <= now;
        let next_due = Some(own.alone_until)
            .filter(|due| *due > now && *due < i64::MAX)
            .map(Instant::from_millis);
        let mut events = of_queue.events.take(request.limit.max(1), request.by_priority);
        let more = may_wait || !of_queue.events.is_empty();
        // The wakes of others may come for nothing.
        for (by, other) in &mut of_queue.inboxes {
            let is_anothers = |event: &Event| event.claimed_by == *by;
            other.woken_for_another |=
                other.rests_since.is_some() && events.iter().any(is_anothers);
        }
        claims.pass_on(&mut events, request.claimed_by);
        Some(Claim { events, next_due, more, ..Claim::default() })
    }

    /// Puts what a look found to what was born for the processors of the queue, in the order of both; `token` is the lease that it
    /// was claimed under. Returns what the processor can have as it is, or has to: what is to be handled by itself.
    pub(in crate::postgres) fn add(
        &self,
        request: &ClaimRequest<'_>,
        found: Claim,
        token: i64,
    ) -> Option<Claim> {
        let mut state = self.state.lock();
        let is_mixed = found.order == QueueOrder::Parallel
            && found.events.iter().all(|event| event.lapses == 0)
            && token > state.lapsed;
        let of_queue = state.inboxes.of_queue_mut(request.queue);
        let of_queue = of_queue.filter(|it| it.inboxes.contains_key(request.claimed_by));
        let Some(of_queue) = of_queue.filter(|_| is_mixed) else { return Some(found) };
        let bytes: usize = found.events.iter().map(|event| bytes_of(&event.fired)).sum();
        if let Some(mean) = bytes.checked_div(found.events.len()) {
            if of_queue.mean_bytes > 0 && mean > of_queue.mean_bytes.saturating_mul(2) {
                // Those that come next may be larger still.
                of_queue.inboxes.values_mut().for_each(|inbox| inbox.look_max = 0);
            }
            of_queue.mean_bytes = mean;
        }
        if of_queue.events.is_empty() && found.events.len() <= request.limit {
            return Some(found);
        }
        found.events.into_iter().for_each(|event| of_queue.events.insert(event));
        None
    }

    /// The processor begins to handle an event: it is not stuck.
    pub(in crate::postgres) fn begun(&self, claimed_by: &str, at: Monotonic) {
        if let Some(inbox) = self.state.lock().inboxes.of_processor(claimed_by) {
            (inbox.busy_since, inbox.looks) = (Some(at), false);
        }
    }

    /// Whether a look at the database would find nothing for the processor, which comes from what was born for it: nothing more
    /// was, and nothing else may wait. Then, when that may be over. One that rests already was woken by something else, or polls,
    /// and looks, unless it was woken for what was born for another one.
    pub(in crate::postgres) fn rests(
        &self,
        request: &ClaimRequest<'_>,
        at: Monotonic,
    ) -> Option<Claim> {
        let mut state = self.state.lock();
        let rests = state.rests + 1;
        let of_queue = state.inboxes.of_queue_mut(request.queue)?;
        if !of_queue.events.is_empty() {
            return None;
        }
        let inbox = of_queue.inboxes.get_mut(request.claimed_by)?;
        let now = Moment { millis: request.now.as_millis(), at };
        let goes_on = std::mem::take(&mut inbox.woken_for_another);
        if (inbox.rests_since.is_some() && !goes_on) || !inbox.is_alone(now, self.look_every) {
            return None;
        }
        let next_due = (inbox.alone_until < i64::MAX).then_some(inbox.alone_until);
        inbox.rests_since = inbox.rests_since.or(Some(rests));
        (inbox.busy_since, inbox.limit) = (None, request.limit);
        state.rests = rests;
        Some(Claim { next_due: next_due.map(Instant::from_millis), ..Claim::default() })
    }

    /// The processor is about to look at the database: what others have told is found by that look. If nothing was left at the
    /// last one, events may be born for it meanwhile; not when the database may have claimed for it without its knowledge. Returns
    /// how many events the look may claim: as many as may be born for it, lest it never catches up with what is fired meanwhile. It
    /// comes to that by steps: how large they are is known then.
    pub(in crate::postgres) fn begin_look(
        &self,
        request: &ClaimRequest<'_>,
        at: Monotonic,
        is_answered: bool,
    ) -> usize {
        let mut state = self.state.lock();
        let look_max = state.look_max(request);
        let inbox = state.inboxes.get_mut(request.queue, request.claimed_by);
        let Some(inbox) = inbox else { return look_max };
        inbox.is_open = inbox.caught_up && is_answered;
        inbox.alone_until = i64::MAX;
        inbox.looked = Some(at);
        // The database may keep it waiting.
        (inbox.rests_since, inbox.busy_since) = (None, Some(at));
        (inbox.looks, inbox.reserved) = (true, look_max);
        inbox.limit = request.limit;
        look_max
    }

    /// What the look for at most so many events came to; `None` when it failed. While the database may have claimed for the
    /// processor without its knowledge nothing is born for it: what is promised to it keeps that from being given back.
    pub(in crate::postgres) fn end_look(
        &self,
        request: &ClaimRequest<'_>,
        (found, look_max): (Option<&Claim>, usize),
        (at, is_answered): (Monotonic, bool),
    ) {
        let mut state = self.state.lock();
        let rests = state.rests + 1;
        let Some(of_queue) = state.inboxes.of_queue_mut(request.queue) else { return };
        let has_some = !of_queue.events.is_empty();
        let Some(inbox) = of_queue.inboxes.get_mut(request.claimed_by) else { return };
        (inbox.looks, inbox.reserved) = (false, 0);
        // One that lapsed before comes alone, whatever waits behind it.
        let is_all = |claim: &Claim| {
            claim.order == QueueOrder::Parallel
                && claim.events.len() < look_max
                && claim.events.iter().all(|event| event.lapses == 0)
        };
        inbox.caught_up = found.is_some_and(is_all);
        inbox.is_open = inbox.caught_up && is_answered;
        let Some(found) = found else { return };
        let is_full = found.events.len() >= look_max;
        inbox.look_max = if is_full { look_max.saturating_mul(LOOK_GROWS) } else { look_max };
        let due = if found.more { Some(i64::MIN) } else { found.next_due.map(Instant::as_millis) };
        inbox.alone_until = inbox.alone_until.min(due.unwrap_or(i64::MAX));
        let is_idle = found.events.is_empty() && !has_some;
        inbox.rests_since = is_idle.then_some(rests);
        inbox.busy_since = (!is_idle).then_some(at);
        state.rests = rests;
    }

    /// These are given back: they are nobody's to hand out.
    pub(in crate::postgres) fn take_out(&self, given: &[Claimed]) {
        let given: HashSet<SysId> = given.iter().map(|one| one.event).collect();
        self.drain_those(|event| given.contains(&event.fired.sys_id));
    }

    /// Takes out all that was born for processors of `queue`. Returns them, and for whom they were born.
    pub(in crate::postgres) fn drain_queue(&self, queue: &str) -> Vec<(Arc<str>, SysId)> {
        let mut state = self.state.lock();
        let of_queue = state.inboxes.of_queue_mut(queue);
        of_queue.map_or_else(Vec::new, |it| it.events.drain_those(|_| true))
    }

    /// Takes out those that are meant and were not handed out yet. Returns them, and for whom they were born.
    pub(in crate::postgres) fn drain_those(
        &self,
        is_meant: impl Fn(&Event) -> bool,
    ) -> Vec<(Arc<str>, SysId)> {
        let mut state = self.state.lock();
        state.inboxes.all_mut().flat_map(|it| it.events.drain_those(&is_meant)).collect()
    }

    /// Takes out what was born for processors that turned out to be slow: who they are, and the events. Many are given back only when
    /// it takes really long: others of this program take from them meanwhile.
    pub(in crate::postgres) fn of_slow(&self, at: Monotonic) -> Vec<(Arc<str>, Vec<SysId>)> {
        let mut state = self.state.lock();
        let mut all = Vec::new();
        for of_queue in state.inboxes.all_mut() {
            for (by, inbox) in &of_queue.inboxes {
                let count = of_queue.events.count_of(by);
                let is_patient = inbox.looks || count > inbox.limit;
                let after = if is_patient { self.slow_after * PATIENCE } else { self.slow_after };
                if count > 0 && inbox.is_slow(at, after) {
                    all.push((Arc::clone(by), of_queue.events.drain_of(by, usize::MAX)));
                }
            }
        }
        all
    }
}

impl State {
    /// See [`Births::begin_look`].
    fn look_max(&mut self, request: &ClaimRequest<'_>) -> usize {
        let (left, bytes_left) = self.left();
        let of_queue = self.inboxes.of_queue(request.queue);
        let inbox = of_queue.and_then(|it| it.inboxes.get(request.claimed_by));
        let (Some(of_queue), Some(inbox)) = (of_queue, inbox) else { return request.limit };
        let room = inbox.room.saturating_sub(of_queue.events.count_of(request.claimed_by));
        let fitting = bytes_left.checked_div(of_queue.mean_bytes).unwrap_or(0);
        request.limit.max(room.min(left).min(fitting).min(inbox.look_max).min(LOOK_MAX))
    }
}
