//! Whose turn it is: which partitions of a queue a claim looks at, in which order, so that empty ones cost next to nothing.
//!
//! A partition that was looked at is left alone until an event has come to it since, or what waits there is due, or so long
//! has passed that a notice may have been lost. The memory is this program's, and all its processors share it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What nobody told of is found after so long, by a processor that polls.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The memory.
#[derive(Debug)]
pub(super) struct Turns {
    partitions: usize,
    first: usize,
    queues: Mutex<HashMap<Arc<str>, Queue>>,
}

#[derive(Debug)]
struct Queue {
    /// The partition whose turn is next.
    next: usize,
    places: Vec<Place>,
}

/// One partition of one queue.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// How often something came.
    wakes: u64,
    seen: Option<Seen>,
}

/// What a look has found.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// What had come when it began.
    wakes: u64,
    at: Instant,
    /// When the first event that it left is due.
    due: Option<i64>,
    /// What was due belonged to a transaction in progress: it may have ended.
    held: bool,
}

/// How a look has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It left something that is due then, or nothing.
    Unserved(Option<i64>),
    /// The same, and it took something: the turn goes on.
    Served(Option<i64>),
    /// What is due belongs to a transaction in progress; the next look at this time.
    Held(i64),
}

/// A partition whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) partition: i64,
    /// What had come before the look.
    wakes: u64,
}

impl Turns {
    /// Of so many partitions, beginning with `first`.
    pub(super) fn new(partitions: usize, first: usize) -> Self {
        Self { partitions, first, queues: Mutex::default() }
    }

    /// Something came to `partition` of `queue`, or to some partition of it.
    pub(super) fn woken(&self, queue: &str, partition: Option<usize>) {
        self.with(queue, |queue| match partition {
            Some(partition) => {
                if let Some(place) = queue.places.get_mut(partition) {
                    place.wakes += 1;
                }
            }
            None => queue.places.iter_mut().for_each(|place| place.wakes += 1),
        });
    }

    /// The partitions that are worth a look at `now`, beginning behind the last one whose turn it was.
    pub(super) fn to_look_at(&self, queue: &str, now: i64) -> Vec<Turn> {
        self.with(queue, |queue| {
            let count = queue.places.len();
            let in_turn = (0..count).map(|step| (queue.next + step) % count);
            in_turn
                .filter(|at| queue.places[*at].is_worth_a_look(now))
                .map(|at| Turn {
                    partition: i64::try_from(at).unwrap_or(0),
                    wakes: queue.places[at].wakes,
                })
                .collect()
        })
    }

    /// This partition of the queue, whether or not it is worth a look.
    pub(super) fn turn(&self, queue: &str, partition: i64) -> Turn {
        let at = usize::try_from(partition).unwrap_or(0);
        self.with(queue, |queue| Turn {
            partition,
            wakes: queue.places.get(at).map_or(0, |place| place.wakes),
        })
    }

    /// A look has ended so.
    pub(super) fn seen(&self, queue: &str, turn: Turn, ended: Ended) {
        let at = usize::try_from(turn.partition).unwrap_or(0);
        let (due, held) = match ended {
            Ended::Unserved(due) | Ended::Served(due) => (due, false),
            Ended::Held(again) => (Some(again), true),
        };
        self.with(queue, |queue| {
            if matches!(ended, Ended::Served(_)) {
                queue.next = (at + 1) % queue.places.len();
            }
            if let Some(place) = queue.places.get_mut(at) {
                place.seen = Some(Seen { wakes: turn.wakes, at: Instant::now(), due, held });
            }
        });
    }

    /// Whether any partition is worth a look at `now` because something is there; and if none is, when something will be due.
    pub(super) fn what_waits(&self, queue: &str, now: i64) -> (bool, Option<i64>) {
        self.with(queue, |queue| {
            let is_waiting = queue.places.iter().any(|place| place.may_hold_due(now));
            let due = queue.places.iter().filter_map(|place| place.seen?.due).min();
            (is_waiting, due)
        })
    }

    fn with<T>(&self, queue: &str, work: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queues = self.queues.lock();
        if !queues.contains_key(queue) {
            let new = Queue { next: self.first, places: vec![Place::default(); self.partitions] };
            queues.insert(Arc::from(queue), new);
        }
        let queue = queues.get_mut(queue).expect("it was put there");
        work(queue)
    }
}

impl Place {
    fn is_worth_a_look(&self, now: i64) -> bool {
        let may_have_changed = |seen: Seen| seen.held || seen.at.elapsed() >= LOOK_AGAIN;
        self.may_hold_due(now) || self.seen.is_none_or(may_have_changed)
    }

    /// As far as is known, and not because it was not looked at for long.
    fn may_hold_due(&self, now: i64) -> bool {
        match self.seen {
            None => self.wakes > 0,
            Some(seen) => seen.wakes != self.wakes || seen.due.is_some_and(|due| due <= now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns_of(turns: &Turns, now: i64) -> Vec<i64> {
        turns.to_look_at("q", now).iter().map(|turn| turn.partition).collect()
    }

    #[test]
    fn an_empty_partition_is_left_alone_until_something_comes_or_is_due() {
        let turns = Turns::new(4, 2);
        assert_eq!(turns_of(&turns, 0), [2, 3, 0, 1], "at first all, beginning with the first");
        for turn in turns.to_look_at("q", 0) {
            turns.seen("q", turn, Ended::Unserved((turn.partition == 1).then_some(50)));
        }
        assert_eq!(turns_of(&turns, 49), [] as [i64; 0]);
        assert_eq!(turns.what_waits("q", 49), (false, Some(50)));
        assert_eq!(turns_of(&turns, 50), [1]);
        turns.woken("q", Some(3));
        turns.woken("other", Some(0));
        assert_eq!(turns_of(&turns, 0), [3]);
        assert_eq!(turns.what_waits("q", 0), (true, Some(50)));
        turns.woken("q", None);
        assert_eq!(turns_of(&turns, 0), [2, 3, 0, 1]);
    }

    #[test]
    fn what_comes_during_a_look_is_not_lost_on_it() {
        let turns = Turns::new(2, 0);
        let turn = turns.to_look_at("q", 0)[0];
        turns.woken("q", Some(0));
        turns.seen("q", turn, Ended::Unserved(None));
        assert_eq!(turns_of(&turns, 0), [0, 1]);
    }

    #[test]
    fn whoever_was_served_is_last_in_the_next_round() {
        let turns = Turns::new(3, 0);
        let turn = turns.to_look_at("q", 0)[1];
        turns.seen("q", turn, Ended::Served(Some(0)));
        assert_eq!(turns_of(&turns, 0), [2, 0, 1]);
    }

    #[test]
    fn what_belongs_to_another_transaction_is_looked_at_by_whoever_comes_and_hurries_nobody() {
        let turns = Turns::new(1, 0);
        turns.seen("q", turns.to_look_at("q", 0)[0], Ended::Held(50));
        assert_eq!(turns_of(&turns, 0), [0]);
        assert_eq!(turns.what_waits("q", 0), (false, Some(50)));
    }
}
