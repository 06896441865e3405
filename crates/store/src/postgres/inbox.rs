//! The inbox of one processor: what was born for it (`births`), and what says whether more may be; and all inboxes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use campanile_model::Event;

/// What was born for one processor, and whether more may be.
#[derive(Debug)]
pub(super) struct Inbox {
    /// Most events while its processor is busy: others must not wait for what is slow.
    pub(super) room: usize,
    /// Most events that it claims at once.
    pub(super) limit: usize,
    pub(super) is_open: bool,
    /// The last look at the database found fewer events than it would have taken.
    pub(super) caught_up: bool,
    /// From here on something else of the queue is due, or may be; in milliseconds.
    pub(super) alone_until: i64,
    /// When the last look at the database began.
    pub(super) looked: Option<Monotonic>,
    /// Since which of the looks that found nothing its processor rests.
    pub(super) rests_since: Option<u64>,
    /// Since when it looks, or has had events in hand.
    pub(super) busy_since: Option<Monotonic>,
    pub(super) events: Vec<Event>,
}

/// A moment, by the clock that says what is due and by the one that is never set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) millis: i64,
    pub(super) at: Monotonic,
}

impl Inbox {
    /// Empty and shut: its processor has not looked yet.
    fn new(room: usize) -> Self {
        Self {
            room,
            limit: 0,
            is_open: false,
            caught_up: false,
            alone_until: i64::MIN,
            looked: None,
            rests_since: None,
            busy_since: None,
            events: Vec::new(),
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

    /// How many events it may hold.
    pub(super) fn most(&self) -> usize {
        if self.rests_since.is_some() { self.limit } else { self.room }
    }
}

/// All inboxes of this program, by queue: what is appended to one costs the same however many others have some.
#[derive(Debug, Default)]
pub(super) struct Inboxes {
    /// Queue → `claimed_by` → inbox.
    by_queue: HashMap<Arc<str>, HashMap<Arc<str>, Inbox>>,
    /// `claimed_by` → queue.
    queues: HashMap<Arc<str>, Arc<str>>,
}

impl Inboxes {
    /// Whether nobody has one.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// A new one for a processor of `queue`, in the place of the one that it had.
    pub(super) fn add(&mut self, queue: &str, claimed_by: &str, room: usize) {
        self.remove(claimed_by);
        let (queue, by): (Arc<str>, Arc<str>) = (Arc::from(queue), Arc::from(claimed_by));
        let of_queue = self.by_queue.entry(Arc::clone(&queue)).or_default();
        of_queue.insert(Arc::clone(&by), Inbox::new(room));
        self.queues.insert(by, queue);
    }

    /// Takes away what a processor has, if it has one.
    pub(super) fn remove(&mut self, claimed_by: &str) -> Option<Inbox> {
        let queue = self.queues.remove(claimed_by)?;
        let of_queue = self.by_queue.get_mut(&queue)?;
        let removed = of_queue.remove(claimed_by);
        if of_queue.is_empty() {
            self.by_queue.remove(&queue);
        }
        removed
    }

    /// That of a processor of `queue`.
    pub(super) fn get_mut(&mut self, queue: &str, claimed_by: &str) -> Option<&mut Inbox> {
        self.by_queue.get_mut(queue)?.get_mut(claimed_by)
    }

    /// Those of `queue`, and whose they are.
    pub(super) fn of_queue(&self, queue: &str) -> impl Iterator<Item = (&Arc<str>, &Inbox)> {
        self.by_queue.get(queue).into_iter().flatten()
    }

    /// Those of `queue`.
    pub(super) fn of_queue_mut(&mut self, queue: &str) -> impl Iterator<Item = &mut Inbox> {
        self.by_queue.get_mut(queue).into_iter().flat_map(HashMap::values_mut)
    }

    /// All, and whose they are.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, &mut Inbox)> {
        self.by_queue.values_mut().flatten()
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
        assert!(inboxes.get_mut("a", "by").is_none());
        assert_eq!(inboxes.of_queue("a").count(), 0);
        assert_eq!(inboxes.get_mut("b", "by").unwrap().room, 2);
        assert_eq!((inboxes.of_queue("b").count(), inboxes.all_mut().count()), (2, 2));
        assert_eq!(inboxes.remove("by").unwrap().room, 2);
        assert!(inboxes.remove("by").is_none() && !inboxes.is_empty());
        assert_eq!(inboxes.remove("other").unwrap().room, 3);
        assert!(inboxes.is_empty() && inboxes.of_queue_mut("b").next().is_none());
    }
}
