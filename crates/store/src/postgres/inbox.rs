//! The inbox of one processor: what was born for it (`births`), and what says whether more may be.

use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use campanile_model::Event;

/// What was born for one processor, and whether more may be.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) queue: Arc<str>,
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
    pub(super) fn new(queue: &str, room: usize) -> Self {
        Self {
            queue: Arc::from(queue),
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
