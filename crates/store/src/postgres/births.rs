//! Events that are born claimed: appended by this program for a processor of its own that has nothing else to do first.
//!
//! Differs because a claim on PostgreSQL writes a wide row and its indexes anew, and is the dearest statement of an event. A
//! processor that stays has an *inbox* here. While nothing else that is due may wait in its queue, the writer inserts what is
//! fired for it as claimed, and the inbox hands it out without asking the database. It is shut when anything else may wait: from
//! then on events wait as ever, until the processor has looked at the database again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use campanile_model::{Event, Instant, NewEvent, QueueOrder, SysId};
use parking_lot::Mutex;

use super::claims::{Claimed, Claims, sort};
use super::inbox::{Inboxes, Moment};
use super::promises::{InDoubt, Promises};
use crate::contract::{Claim, ClaimRequest};

/// A processor that has been busy for longer than this part of the time for which others may go unheard (a hundred milliseconds of
/// four seconds) is slow: nothing is born for it, and what was is given back.
const SLOW_PART: u32 = 40;

/// The inboxes of this program.
#[derive(Debug, Default)]
pub(super) struct Births {
    /// After so long without a look at the database an inbox is shut: others may have told of events, and not been heard.
    look_every: Duration,
    /// So long may a processor be busy before it counts as slow.
    slow_after: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    inboxes: Inboxes,
    /// Looks that found nothing, so far.
    rests: u64,
    /// Leases of this program up to this one have lapsed; 0 for none.
    lapsed: i64,
    /// The lease of what is in the inboxes.
    token: i64,
    /// `claimed_by` → events of groups under way.
    promised: HashMap<Arc<str>, usize>,
    /// Groups of which nobody knows what became of them.
    in_doubt: Vec<InDoubt>,
}

/// What became of the events that were born.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// Who is to be woken: the queue of each inbox that was filled, and when its event is due.
    pub(super) wakes: Vec<(Arc<str>, i64)>,
    /// What nobody is there for any more, to be given back.
    pub(super) orphans: Vec<Claimed>,
}

/// What an inbox gave.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) claim: Claim,
    /// It was born for another processor.
    pub(super) is_anothers: bool,
    /// The lease that it stands on.
    pub(super) token: i64,
}

impl Births {
    /// No inbox yet.
    pub(super) fn new(look_every: Duration) -> Self {
        Self { look_every, slow_after: look_every / SLOW_PART, ..Self::default() }
    }

    /// See [`crate::EventStore::stay`].
    pub(super) fn stay(&self, queue: &str, claimed_by: &str, room: usize) {
        let mut state = self.state.lock();
        match state.inboxes.get_mut(queue, claimed_by) {
            Some(inbox) => inbox.room = room,
            None => state.inboxes.add(queue, claimed_by, room),
        }
    }

    /// Takes the inbox away. Returns what was in it.
    pub(super) fn leave(&self, claimed_by: &str) -> Vec<SysId> {
        let inbox = self.state.lock().inboxes.remove(claimed_by);
        inbox.map_or_else(Vec::new, |inbox| inbox.events.iter().map(|e| e.fired.sys_id).collect())
    }

    /// What was born for the processor that claims, as far as its claim goes, in the order of the queue; else what was born for
    /// another one of the queue. `None` when there is nothing.
    pub(super) fn take(
        &self,
        request: &ClaimRequest<'_>,
        (claims, at): (&Claims, Monotonic),
    ) -> Option<Taken> {
        let mut state = self.state.lock();
        let own = state.inboxes.get_mut(request.queue, request.claimed_by)?;
        let is_anothers = own.events.is_empty();
        let from = if is_anothers {
            let of_queue = state.inboxes.of_queue(request.queue);
            let others = of_queue.filter(|(_, inbox)| !inbox.events.is_empty());
            others.max_by_key(|(_, inbox)| inbox.events.len()).map(|(by, _)| Arc::clone(by))?
        } else {
            Arc::from(request.claimed_by)
        };
        let inbox = state.inboxes.get_mut(request.queue, &from)?;
        sort(&mut inbox.events, request.by_priority);
        let rest = inbox.events.split_off(request.limit.clamp(1, inbox.events.len()));
        let mut events = std::mem::replace(&mut inbox.events, rest);
        let more = !inbox.events.is_empty();
        let next_due = Some(inbox.alone_until)
            .filter(|due| *due > request.now.as_millis() && *due < i64::MAX)
            .map(Instant::from_millis);
        if is_anothers {
            let by: Arc<str> = Arc::from(request.claimed_by);
            events.iter_mut().for_each(|event| event.claimed_by = Arc::clone(&by));
            claims.pass_on(&events);
        }
        if let Some(own) = state.inboxes.get_mut(request.queue, request.claimed_by) {
            (own.rests_since, own.busy_since) = (None, Some(at));
            own.limit = request.limit;
        }
        let claim = Claim { events, next_due, more, ..Claim::default() };
        Some(Taken { claim, is_anothers, token: state.token })
    }

    /// Whether a look at the database would find nothing for the processor, which comes from what was born for it: nothing more
    /// was, and nothing else may wait. Then, when that may be over. One that rests already was woken by something else, or polls,
    /// and looks.
    pub(super) fn rests(&self, request: &ClaimRequest<'_>, at: Monotonic) -> Option<Claim> {
        let mut state = self.state.lock();
        let rests = state.rests + 1;
        let inbox = state.inboxes.get_mut(request.queue, request.claimed_by)?;
        let now = Moment { millis: request.now.as_millis(), at };
        if !inbox.events.is_empty() {
            return None;
        }
        if inbox.rests_since.is_some() || !inbox.is_alone(now, self.look_every) {
            return None;
        }
        let next_due = (inbox.alone_until < i64::MAX).then_some(inbox.alone_until);
        (inbox.rests_since, inbox.busy_since) = (Some(rests), None);
        inbox.limit = request.limit;
        state.rests = rests;
        Some(Claim { next_due: next_due.map(Instant::from_millis), ..Claim::default() })
    }

    /// The processor is about to look at the database: what others have told is found by that look. If nothing was left at the
    /// last one, events may be born for it meanwhile; not when the database may have claimed for it without its knowledge.
    pub(super) fn begin_look(&self, request: &ClaimRequest<'_>, at: Monotonic, is_answered: bool) {
        let mut state = self.state.lock();
        let inbox = state.inboxes.get_mut(request.queue, request.claimed_by);
        let Some(inbox) = inbox else { return };
        inbox.is_open = inbox.caught_up && is_answered;
        inbox.alone_until = i64::MAX;
        inbox.looked = Some(at);
        // The database may keep it waiting.
        (inbox.rests_since, inbox.busy_since) = (None, Some(at));
        inbox.limit = request.limit;
    }

    /// What the look came to; `None` when it failed. While the database may have claimed for the processor without its knowledge
    /// nothing is born for it: what is promised to it keeps that from being given back.
    pub(super) fn end_look(
        &self,
        request: &ClaimRequest<'_>,
        found: Option<&Claim>,
        (at, is_answered): (Monotonic, bool),
    ) {
        let mut state = self.state.lock();
        let rests = state.rests + 1;
        let inbox = state.inboxes.get_mut(request.queue, request.claimed_by);
        let Some(inbox) = inbox else { return };
        // One that lapsed before comes alone, whatever waits behind it.
        let is_all = |claim: &Claim| {
            claim.order == QueueOrder::Parallel
                && claim.events.len() < request.limit
                && claim.events.iter().all(|event| event.lapses == 0)
        };
        inbox.caught_up = found.is_some_and(is_all);
        inbox.is_open = inbox.caught_up && is_answered;
        let Some(found) = found else { return };
        let due = if found.more { Some(i64::MIN) } else { found.next_due.map(Instant::as_millis) };
        inbox.alone_until = inbox.alone_until.min(due.unwrap_or(i64::MAX));
        inbox.rests_since = found.events.is_empty().then_some(rests);
        inbox.busy_since = (!found.events.is_empty()).then_some(at);
        state.rests = rests;
    }

    /// Something of `queue` that was not born waits, and is due at `due`.
    pub(super) fn told(&self, queue: &str, due: i64) {
        self.state.lock().shut(queue, due);
    }

    /// Something that nobody told of may wait in any queue.
    pub(super) fn may_have_missed_some(&self) {
        for (_, inbox) in self.state.lock().inboxes.all_mut() {
            inbox.alone_until = i64::MIN;
        }
    }

    /// Promises the events of a group to those who may have them. `None` when that is nobody. An event that finds no room waits,
    /// and what comes after it must not go before it.
    pub(super) fn promise(
        self: &Arc<Self>,
        events: &[&NewEvent],
        token: i64,
        now: Moment,
    ) -> Option<Promises> {
        let mut state = self.state.lock();
        if state.inboxes.is_empty() || token <= state.lapsed {
            return None;
        }
        let mut is_any = false;
        let to = events.iter().map(|event| {
            if event.scheduled || event.process_on.as_millis() > now.millis {
                return None;
            }
            let Some(by) = state.best(&event.queue, now, (self.look_every, self.slow_after)) else {
                state.shut(&event.queue, i64::MIN);
                return None;
            };
            is_any = true;
            Some(by)
        });
        let to = to.collect();
        drop(state);
        is_any.then(|| Promises::new(Arc::clone(self), token, to))
    }

    /// Hands over what was born under a promise, unless its lease has lapsed: then it is others' to take over.
    pub(super) fn deliver(
        &self,
        promises: &Promises,
        born: Vec<Event>,
        (claims, now): (&Claims, i64),
    ) -> Delivered {
        let mut delivered = Delivered::default();
        let mut state = self.state.lock();
        if promises.token <= state.lapsed {
            return delivered;
        }
        state.token = promises.token;
        let mut filled: Vec<Arc<str>> = Vec::new();
        for event in born {
            let by = Arc::clone(&event.claimed_by);
            let Some(inbox) = state.inboxes.get_mut(&event.fired.queue, &by) else {
                delivered.orphans.push(Claimed::now(&event, (None, promises.token, now), false));
                continue;
            };
            if !filled.contains(&by) {
                let (queue, due) = (&event.fired.queue, event.fired.process_on.as_millis());
                delivered.wakes.push((Arc::clone(queue), due));
                filled.push(by);
            }
            claims.add(std::slice::from_ref(&event), (None, promises.token, now), false);
            inbox.events.push(event);
        }
        delivered
    }

    /// Whether events of a group under way are promised to this processor.
    pub(super) fn is_promised(&self, claimed_by: &str) -> bool {
        self.state.lock().promised(claimed_by) > 0
    }

    /// These are given back: they are nobody's to hand out.
    pub(super) fn take_out(&self, given: &[Claimed]) {
        let is_given = |event: &Event| given.iter().any(|one| one.event == event.fired.sys_id);
        for (_, inbox) in self.state.lock().inboxes.all_mut() {
            inbox.events.retain(|event| !is_given(event));
        }
    }

    /// Takes out what was born for processors that turned out to be slow: who they are, and the events.
    pub(super) fn of_slow(&self, at: Monotonic) -> Vec<(Arc<str>, Vec<SysId>)> {
        let mut state = self.state.lock();
        let slow = state
            .inboxes
            .all_mut()
            .filter(|(_, inbox)| !inbox.events.is_empty() && inbox.is_slow(at, self.slow_after));
        slow.map(|(by, inbox)| {
            (Arc::clone(by), inbox.events.drain(..).map(|event| event.fired.sys_id).collect())
        })
        .collect()
    }

    /// The lease `token` has lapsed: what was born under it is others', and so is what will turn out to have been.
    pub(super) fn forget(&self, token: i64) {
        let mut state = self.state.lock();
        state.lapsed = state.lapsed.max(token);
        for (_, inbox) in state.inboxes.all_mut() {
            inbox.events.clear();
            (inbox.is_open, inbox.caught_up) = (false, false);
        }
        let lapsed = state.lapsed;
        let (gone, left) =
            std::mem::take(&mut state.in_doubt).into_iter().partition(|one| one.token <= lapsed);
        state.in_doubt = left;
        let gone: Vec<InDoubt> = gone;
        gone.iter().for_each(|one| state.withdraw(&one.to));
    }

    /// The groups of which nobody knows what became of them; the caller finds out, or puts them back.
    pub(super) fn in_doubt(&self) -> Vec<InDoubt> {
        std::mem::take(&mut self.state.lock().in_doubt)
    }

    /// What became of it is still not known.
    pub(super) fn still_in_doubt(&self, group: InDoubt) {
        let mut state = self.state.lock();
        if group.token <= state.lapsed {
            state.withdraw(&group.to);
        } else {
            state.in_doubt.push(group);
        }
    }

    /// These are promised no more.
    pub(super) fn withdraw(&self, to: &[Option<Arc<str>>]) {
        self.state.lock().withdraw(to);
    }
}

impl State {
    /// Who is to have the next event of `queue`: whoever rests, else whoever has least and is not slow; of those alike, who rests
    /// longest. It is promised to him.
    fn best(
        &mut self,
        queue: &str,
        now: Moment,
        (look_every, slow_after): (Duration, Duration),
    ) -> Option<Arc<str>> {
        let with_room = self.inboxes.of_queue(queue).filter_map(|(by, inbox)| {
            let filled = inbox.events.len() + self.promised(by);
            let may_have = inbox.is_alone(now, look_every) && !inbox.is_slow(now.at, slow_after);
            (may_have && filled < inbox.most()).then_some((by, inbox, filled))
        });
        let (by, ..) = with_room.min_by_key(|(_, inbox, filled)| {
            (inbox.rests_since.is_none(), *filled, inbox.rests_since)
        })?;
        let by = Arc::clone(by);
        *self.promised.entry(Arc::clone(&by)).or_default() += 1;
        Some(by)
    }

    /// Events of groups under way that are promised to this processor.
    fn promised(&self, claimed_by: &str) -> usize {
        self.promised.get(claimed_by).copied().unwrap_or(0)
    }

    fn shut(&mut self, queue: &str, due: i64) {
        for inbox in self.inboxes.of_queue_mut(queue) {
            inbox.alone_until = inbox.alone_until.min(due);
        }
    }

    fn withdraw(&mut self, to: &[Option<Arc<str>>]) {
        for by in to.iter().flatten() {
            if let Some(promised) = self.promised.get_mut(by) {
                *promised -= 1;
                if *promised == 0 {
                    self.promised.remove(by);
                }
            }
        }
    }
}
