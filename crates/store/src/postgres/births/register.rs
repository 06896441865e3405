//! Who has an inbox, what is promised to whom, and what comes of it: the side of the writer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use campanile_model::{Event, NewEvent};
use parking_lot::Mutex;

use super::in_order::bytes_of;
use super::inbox::{Inboxes, Moment};
use super::promises::{InDoubt, Promises};
use crate::postgres::held::{Claimed, Claims};

/// A processor that has been busy with one event or look for longer than this part of the time for which others may go unheard (a hundred milliseconds of
/// four seconds) is slow: nothing is born for it, and what was is given back.
const SLOW_PART: u32 = 40;

/// Events that all processors of a program have before them: they stand in its memory, and when it dies they wait for the end of
/// its lease. One that rests may have a claim of its own all the same.
const IN_HAND_MAX: usize = 20_000;

/// Memory that they take, roughly.
const IN_HAND_BYTES_MAX: usize = 64 << 20;

/// The inboxes of this program.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Births {
    /// After so long without a look at the database an inbox is shut: others may have told of events, and not been heard.
    pub(super) look_every: Duration,
    /// So long may a processor be busy before it counts as slow.
    pub(super) slow_after: Duration,
    pub(super) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) inboxes: Inboxes,
    /// Looks that found nothing, so far.
    pub(super) rests: u64,
    /// Leases of this program up to this one have lapsed; 0 for none.
    pub(super) lapsed: i64,
    /// `claimed_by` → events of groups under way.
    promised: HashMap<Arc<str>, usize>,
    /// Groups of which nobody knows what became of them.
    in_doubt: Vec<InDoubt>,
}

/// What became of the events that were born.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Delivered {
    /// Who is to be woken: the queue of each inbox that was filled, and when its event is due.
    pub(in crate::postgres) wakes: Vec<(Arc<str>, i64)>,
    /// What nobody is there for any more, to be given back.
    pub(in crate::postgres) orphans: Vec<Claimed>,
}

impl Births {
    /// No inbox yet.
    pub(in crate::postgres) fn new(look_every: Duration) -> Self {
        Self { look_every, slow_after: look_every / SLOW_PART, ..Self::default() }
    }

    /// Something of `queue` that was not born waits, and is due at `due`.
    pub(in crate::postgres) fn told(&self, queue: &str, due: i64) {
        self.state.lock().shut(queue, due);
    }

    /// Something that nobody told of may wait in any queue.
    pub(in crate::postgres) fn may_have_missed_some(&self) {
        for of_queue in self.state.lock().inboxes.all_mut() {
            of_queue.inboxes.values_mut().for_each(|inbox| inbox.alone_until = i64::MIN);
        }
    }

    /// Promises the events of a group to those who may have them. `None` when that is nobody. An event that finds no room waits,
    /// and what comes after it must not go before it.
    pub(in crate::postgres) fn promise(
        self: &Arc<Self>,
        events: &[&NewEvent],
        token: i64,
        now: Moment,
    ) -> Option<Promises> {
        let mut state = self.state.lock();
        if state.inboxes.is_empty() || token <= state.lapsed {
            return None;
        }
        let mut left = state.left();
        let mut is_any = false;
        let to = events.iter().map(|event| {
            if event.scheduled || event.process_on.as_millis() > now.millis {
                return None;
            }
            let bytes = bytes_of(event);
            let fits = left.0 > 0 && left.1 >= bytes;
            let Some(by) = state.best(&event.queue, now, (self.look_every, self.slow_after), fits)
            else {
                state.shut(&event.queue, i64::MIN);
                return None;
            };
            left = (left.0.saturating_sub(1), left.1.saturating_sub(bytes));
            is_any = true;
            Some(by)
        });
        let to = to.collect();
        drop(state);
        is_any.then(|| Promises::new(Arc::clone(self), token, to))
    }

    /// Hands over what was born under a promise, unless its lease has lapsed: then it is others' to take over.
    pub(in crate::postgres) fn deliver(
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
        let mut filled: Vec<Arc<str>> = Vec::new();
        for event in born {
            let by = Arc::clone(&event.claimed_by);
            let of_queue = state.inboxes.of_queue_mut(&event.fired.queue);
            let Some(of_queue) = of_queue.filter(|it| it.inboxes.contains_key(&by)) else {
                delivered.orphans.push(Claimed::now(&event, (None, promises.token, now), false));
                continue;
            };
            if !filled.contains(&by) {
                let (queue, due) = (&event.fired.queue, event.fired.process_on.as_millis());
                delivered.wakes.push((Arc::clone(queue), due));
                filled.push(by);
            }
            claims.add(std::slice::from_ref(&event), (None, promises.token, now), false);
            of_queue.events.insert(event);
        }
        for (queue, _) in &delivered.wakes {
            let of_queue = state.inboxes.of_queue_mut(queue);
            for (by, inbox) in of_queue.into_iter().flat_map(|it| &mut it.inboxes) {
                inbox.woken_for_another |= inbox.rests_since.is_some() && !filled.contains(by);
            }
        }
        delivered
    }

    /// Whether events of a group under way are promised to this processor.
    pub(in crate::postgres) fn is_promised(&self, claimed_by: &str) -> bool {
        self.state.lock().promised(claimed_by) > 0
    }

    /// The lease `token` has lapsed: what was born under it is others', and so is what will turn out to have been.
    pub(in crate::postgres) fn forget(&self, token: i64) {
        let mut state = self.state.lock();
        state.lapsed = state.lapsed.max(token);
        for of_queue in state.inboxes.all_mut() {
            of_queue.events.clear();
            for inbox in of_queue.inboxes.values_mut() {
                (inbox.is_open, inbox.caught_up) = (false, false);
            }
        }
        let lapsed = state.lapsed;
        let (gone, left) =
            std::mem::take(&mut state.in_doubt).into_iter().partition(|one| one.token <= lapsed);
        state.in_doubt = left;
        let gone: Vec<InDoubt> = gone;
        gone.iter().for_each(|one| state.withdraw(&one.to));
    }

    /// The groups of which nobody knows what became of them; the caller finds out, or puts them back.
    pub(in crate::postgres) fn in_doubt(&self) -> Vec<InDoubt> {
        std::mem::take(&mut self.state.lock().in_doubt)
    }

    /// What became of it is still not known.
    pub(in crate::postgres) fn still_in_doubt(&self, group: InDoubt) {
        let mut state = self.state.lock();
        if group.token <= state.lapsed {
            state.withdraw(&group.to);
        } else {
            state.in_doubt.push(group);
        }
    }

    /// These are promised no more.
    pub(in crate::postgres) fn withdraw(&self, to: &[Option<Arc<str>>]) {
        self.state.lock().withdraw(to);
    }
}

impl State {
    /// Who is to have the next event of `queue`: whoever rests, else whoever has least and is not slow; of those alike, who rests
    /// longest. It is promised to him. What does not fit beside all the rest is only for who rests.
    fn best(
        &mut self,
        queue: &str,
        now: Moment,
        (look_every, slow_after): (Duration, Duration),
        fits: bool,
    ) -> Option<Arc<str>> {
        let of_queue = self.inboxes.of_queue(queue)?;
        let with_room = of_queue.inboxes.iter().filter_map(|(by, inbox)| {
            let filled = of_queue.events.count_of(by) + self.promised(by);
            let may_have = inbox.is_alone(now, look_every) && !inbox.is_slow(now.at, slow_after);
            let own = if inbox.rests_since.is_some() { inbox.limit } else { 0 };
            let most = if fits { inbox.most() } else { own };
            (may_have && filled < most).then_some((by, inbox, filled))
        });
        let (by, ..) = with_room.min_by_key(|(_, inbox, filled)| {
            (inbox.rests_since.is_none(), *filled, inbox.rests_since)
        })?;
        let by = Arc::clone(by);
        *self.promised.entry(Arc::clone(&by)).or_default() += 1;
        Some(by)
    }

    /// How many events more all may have before them, and of how many bytes.
    pub(super) fn left(&self) -> (usize, usize) {
        let promised: usize = self.promised.values().sum();
        let (count, bytes) = self.inboxes.filled();
        (IN_HAND_MAX.saturating_sub(count + promised), IN_HAND_BYTES_MAX.saturating_sub(bytes))
    }

    /// Events of groups under way that are promised to this processor.
    fn promised(&self, claimed_by: &str) -> usize {
        self.promised.get(claimed_by).copied().unwrap_or(0)
    }

    fn shut(&mut self, queue: &str, due: i64) {
        let of_queue = self.inboxes.of_queue_mut(queue);
        for inbox in of_queue.into_iter().flat_map(|it| it.inboxes.values_mut()) {
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
