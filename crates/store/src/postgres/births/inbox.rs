//! What was born for the processors of a queue (`births`), and what says of each of them whether more may be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use campanile_model::SysId;

use super::in_order::InOrder;

/// The processors of one queue of this program, and what they have before them. They take from it in the order of the queue,
/// whoever comes first.
#[derive(Debug, Default)]
pub(super) struct OfQueue {
    pub(super) events: InOrder,
    /// `claimed_by` → its inbox.
    pub(super) inboxes: HashMap<Arc<str>, Inbox>,
    /// Memory that an event of the last look took, roughly; 0 when nothing is known.
    pub(super) mean_bytes: usize,
}

/// Whether more may be born for one processor.
#[derive(Debug)]
pub(super) struct Inbox {
    /// Most events that its processor has before it: others must not wait for what is slow.
    pub(super) room: usize,
    /// Most events that it claims at once.
    pub(super) limit: usize,
    /// Most events that its next look is for.
    pub(super) look_max: usize,
    pub(super) is_open: bool,
    /// The last look at the database found fewer events than it would have taken.
    pub(super) caught_up: bool,
    /// From here on something else of the queue is due, or may be; in milliseconds.
    pub(super) alone_until: i64,
    /// When the last look at the database began.
    pub(super) looked: Option<Monotonic>,
    /// Since which of the looks that found nothing its processor rests.
    pub(super) rests_since: Option<u64>,
    /// It rests, and was woken for what another one takes.
    pub(super) woken_for_another: bool,
    /// Since when it looks, or has handled the event that it handles.
    pub(super) busy_since: Option<Monotonic>,
    /// It looks.
    pub(super) looks: bool,
    /// For so many events.
    pub(super) reserved: usize,
}

/// A moment, by the clock that says what is due and by the one that is never set.
#[derive(Debug, Clone, Copy)]
pub(in crate::postgres) struct Moment {
    pub(in crate::postgres) millis: i64,
    pub(in crate::postgres) at: Monotonic,
}

impl Inbox {
    /// Shut: its processor has not looked yet.
    fn new(room: usize) -> Self {
        Self {
            room,
            limit: 0,
            look_max: 0,
            is_open: false,
            caught_up: false,
            alone_until: i64::MIN,
            looked: None,
            rests_since: None,
            woken_for_another: false,
            busy_since: None,
            looks: false,
            reserved: 0,
        }
    }

    /// Whether nothing else of the queue is due, as far as is known.
    pub(super) fn is_alone(&self, now: Moment, look_every: Duration) -> bool {
        let is_fresh = |at: Monotonic| now.at.saturating_duration_since(at) < look_every;
        self.is_open && now.millis < self.alone_until && self.looked.is_some_and(is_fresh)
    }

    /// Whether its processor has been busy for longer than this: somebody idle may be found for what waits behind that, on another
    /// node too.
    pub(super) fn is_slow(&self, at: Monotonic, slow_after: Duration) -> bool {
        self.busy_since.is_some_and(|since| at.saturating_duration_since(since) > slow_after)
    }

    /// How many events it may have before it.
    pub(super) fn most(&self) -> usize {
        if self.rests_since.is_some() { self.limit.max(self.room) } else { self.room }
    }
}

/// All inboxes of this program, by queue: what is appended to one costs the same however many others have some.
#[derive(Debug, Default)]
pub(super) struct Inboxes {
    by_queue: HashMap<Arc<str>, OfQueue>,
    /// `claimed_by` → queue.
    queues: HashMap<Arc<str>, Arc<str>>,
}

impl Inboxes {
    /// Whether nobody has one.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// A new one for a processor of `queue`, in the place of the one that it had. Returns what was born for that.
    pub(super) fn add(&mut self, queue: &str, claimed_by: &str, room: usize) -> Vec<SysId> {
        let born = self.remove(claimed_by);
        let (queue, by): (Arc<str>, Arc<str>) = (Arc::from(queue), Arc::from(claimed_by));
        let of_queue = self.by_queue.entry(Arc::clone(&queue)).or_default();
        of_queue.inboxes.insert(Arc::clone(&by), Inbox::new(room));
        self.queues.insert(by, queue);
        born
    }

    /// Takes away what a processor has. Returns what was born for it.
    pub(super) fn remove(&mut self, claimed_by: &str) -> Vec<SysId> {
        let Some(queue) = self.queues.remove(claimed_by) else { return Vec::new() };
        let Some(of_queue) = self.by_queue.get_mut(&queue) else { return Vec::new() };
        of_queue.inboxes.remove(claimed_by);
        let born = of_queue.events.drain_of(claimed_by, usize::MAX);
        if of_queue.inboxes.is_empty() {
            self.by_queue.remove(&queue);
        }
        born
    }

    /// The queue of a processor that has one.
    pub(super) fn queue_of(&self, claimed_by: &str) -> Option<Arc<str>> {
        self.queues.get(claimed_by).map(Arc::clone)
    }

    /// The inbox of a processor of `queue`.
    pub(super) fn get_mut(&mut self, queue: &str, claimed_by: &str) -> Option<&mut Inbox> {
        self.by_queue.get_mut(queue)?.inboxes.get_mut(claimed_by)
    }

    /// That of a processor.
    pub(super) fn of_processor(&mut self, claimed_by: &str) -> Option<&mut Inbox> {
        let queue = self.queues.get(claimed_by)?;
        self.by_queue.get_mut(queue)?.inboxes.get_mut(claimed_by)
    }

    /// The processors of `queue`.
    pub(super) fn of_queue(&self, queue: &str) -> Option<&OfQueue> {
        self.by_queue.get(queue)
    }

    /// The processors of `queue`.
    pub(super) fn of_queue_mut(&mut self, queue: &str) -> Option<&mut OfQueue> {
        self.by_queue.get_mut(queue)
    }

    /// Those of each queue.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut OfQueue> {
        self.by_queue.values_mut()
    }

    /// How many events all have before them, those that are looked for included, and the memory that these take.
    pub(super) fn filled(&self) -> (usize, usize) {
        self.by_queue.values().fold((0, 0), |(count, bytes), of_queue| {
            let reserved: usize = of_queue.inboxes.values().map(|inbox| inbox.reserved).sum();
            let events = &of_queue.events;
            (
                count + events.len() + reserved,
                bytes + events.bytes() + reserved.saturating_mul(of_queue.mean_bytes),
            )
        })
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;

    #[test]
    fn a_processor_has_one_inbox() {
        let mut inboxes = Inboxes::default();
        inboxes.add("a", "by", 1);
        inboxes.add("b", "by", 2);
        inboxes.add("b", "other", 3);
        assert!(inboxes.get_mut("a", "by").is_none() && inboxes.of_queue("a").is_none());
        assert_eq!(inboxes.get_mut("b", "by").unwrap().room, 2);
        assert_eq!(inboxes.of_processor("by").unwrap().room, 2);
        assert_eq!(inboxes.of_queue("b").unwrap().inboxes.len(), 2);
        inboxes.remove("by");
        inboxes.remove("by");
        assert!(!inboxes.is_empty() && inboxes.of_processor("by").is_none());
        inboxes.remove("other");
        assert!(inboxes.is_empty() && inboxes.of_queue_mut("b").is_none());
    }
}
