//! Events in the order of their queue: what comes late finds its place without the others being moved.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use campanile_model::{Event, NewEvent, SysId};

/// Events, the first one first.
#[derive(Debug)]
pub(super) struct InOrder {
    by_priority: bool,
    events: BTreeMap<Turn, Box<Event>>,
    /// `claimed_by` → how many of them bear it.
    counts: HashMap<Arc<str>, usize>,
    bytes: usize,
}

/// Where an event stands among the others; no two have one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    /// The same for all where priority is ignored.
    lane: Lane,
    due: i64,
    sequence: i64,
}

/// A priority; the lowest goes first.
#[derive(Debug, Clone, Copy)]
struct Lane(f64);

/// What is first in a queue, as far as others can be compared with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::postgres) struct First {
    priority: f64,
    due: i64,
    by_priority: bool,
}

impl First {
    /// Whether what has this priority and is due at `due` may go before it.
    pub(in crate::postgres) fn may_follow(&self, priority: f64, due: i64) -> bool {
        let lanes = match self.by_priority {
            true => priority.total_cmp(&self.priority),
            false => Ordering::Equal,
        };
        lanes.then(due.cmp(&self.due)).is_le()
    }
}

impl Default for InOrder {
    fn default() -> Self {
        Self { by_priority: true, events: BTreeMap::new(), counts: HashMap::new(), bytes: 0 }
    }
}

/// Memory that an event takes, roughly.
pub(super) fn bytes_of(event: &NewEvent) -> usize {
    const ALONE: usize = 1_024;
    ALONE + event.parm1.len() + event.parm2.len() + event.snapshot.len() + event.uri.len()
}

impl InOrder {
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Memory that they take, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many are this processor's.
    pub(super) fn count_of(&self, claimed_by: &str) -> usize {
        self.counts.get(claimed_by).copied().unwrap_or(0)
    }

    pub(super) fn insert(&mut self, event: Event) {
        let (by, bytes) = (Arc::clone(&event.claimed_by), bytes_of(&event.fired));
        if let Some(old) = self.events.insert(Turn::of(&event, self.by_priority), Box::new(event)) {
            self.forget(&old);
        }
        *self.counts.entry(by).or_default() += 1;
        self.bytes += bytes;
    }

    /// This one is not among them any more.
    fn forget(&mut self, event: &Event) {
        self.bytes = self.bytes.saturating_sub(bytes_of(&event.fired));
        if let Some(count) = self.counts.get_mut(&event.claimed_by) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&event.claimed_by);
            }
        }
    }

    /// What goes before all others.
    pub(super) fn first(&mut self, by_priority: bool) -> Option<First> {
        self.sort(by_priority);
        let (_, event) = self.events.first_key_value()?;
        let (priority, due) = (event.fired.priority, event.fired.process_on.as_millis());
        Some(First { priority, due, by_priority })
    }

    /// Takes out the first `limit` of them, in their order.
    pub(super) fn take(&mut self, limit: usize, by_priority: bool) -> Vec<Event> {
        self.sort(by_priority);
        let mut events = Vec::with_capacity(limit.min(self.events.len()));
        while events.len() < limit
            && let Some((_, event)) = self.events.pop_first()
        {
            self.forget(&event);
            events.push(*event);
        }
        events
    }

    /// Takes out the last `count` of this processor's. Returns their keys.
    pub(super) fn drain_of(&mut self, claimed_by: &str, count: usize) -> Vec<SysId> {
        let own = self.events.iter().rev().filter(|(_, event)| *event.claimed_by == *claimed_by);
        let turns: Vec<Turn> = own.take(count).map(|(turn, _)| *turn).collect();
        turns.iter().filter_map(|turn| self.remove_at(turn)).collect()
    }

    /// Takes out those that are meant. Returns them.
    pub(super) fn drain_those(
        &mut self,
        is_meant: impl Fn(&Event) -> bool,
    ) -> Vec<(Arc<str>, SysId)> {
        let meant = self.events.iter().filter(|(_, event)| is_meant(event));
        let meant: Vec<_> =
            meant.map(|(turn, event)| (*turn, Arc::clone(&event.claimed_by))).collect();
        meant
            .into_iter()
            .filter_map(|(turn, by)| self.remove_at(&turn).map(|event| (by, event)))
            .collect()
    }

    fn remove_at(&mut self, turn: &Turn) -> Option<SysId> {
        let event = self.events.remove(turn)?;
        self.forget(&event);
        Some(event.fired.sys_id)
    }

    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.counts.clear();
        self.bytes = 0;
    }

    /// The order is another one when somebody has changed the property since.
    fn sort(&mut self, by_priority: bool) {
        if self.by_priority == by_priority {
            return;
        }
        self.by_priority = by_priority;
        let events = std::mem::take(&mut self.events).into_values();
        self.events = events.map(|event| (Turn::of(&event, by_priority), event)).collect();
    }
}

impl Turn {
    fn of(event: &Event, by_priority: bool) -> Self {
        let lane = Lane(if by_priority { event.fired.priority } else { 0.0 });
        Self { lane, due: event.fired.process_on.as_millis(), sequence: event.sequence }
    }
}

impl Ord for Lane {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Lane {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Lane {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Lane {}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::sync::Arc;

    use super::super::promises::born;
    use super::*;
    use crate::testing::{NOW, event};

    fn all(of: &[(i64, f64, i64)]) -> InOrder {
        let mut in_order = InOrder::default();
        for &(sequence, priority, due) in of {
            let mut new = event("a");
            (new.priority, new.process_on) = (priority, NOW.plus_millis(due));
            in_order.insert(born(&new, sequence, &Arc::from("by")));
        }
        in_order
    }

    fn sequences(events: &[Event]) -> Vec<i64> {
        events.iter().map(|event| event.sequence).collect()
    }

    #[test]
    fn events_come_by_priority_then_due_time_then_arrival() {
        let mut events =
            all(&[(1, 100.0, 0), (3, 50.0, 5), (2, 50.0, 5), (4, 50.0, 4), (5, -1.0, 9)]);
        assert_eq!(sequences(&events.take(4, true)), [5, 4, 2, 3]);
        assert_eq!(sequences(&events.take(4, true)), [1]);
        assert!(events.is_empty() && events.take(4, true).is_empty());
    }

    #[test]
    fn the_order_is_another_one_once_priorities_are_ignored_and_back() {
        let mut events = all(&[(1, 100.0, 0), (2, 50.0, 5), (3, 10.0, 9), (4, 1.0, 0)]);
        assert_eq!(sequences(&events.take(1, false)), [1]);
        assert_eq!(sequences(&events.take(1, false)), [4]);
        assert_eq!(sequences(&events.take(9, true)), [3, 2]);
    }

    #[test]
    fn what_is_as_early_may_have_come_first() {
        let mut events = all(&[(1, 100.0, 5), (2, 50.0, 7)]);
        let due = |after| NOW.plus_millis(after).as_millis();
        let first = events.first(true).unwrap();
        assert!(first.may_follow(50.0, due(7)) && first.may_follow(40.0, due(90)));
        assert!(!first.may_follow(50.0, due(8)) && !first.may_follow(100.0, due(0)));
        let first = events.first(false).unwrap();
        assert!(first.may_follow(999.0, due(5)) && !first.may_follow(0.0, due(6)));
        assert_eq!(InOrder::default().first(true), None);
    }

    #[test]
    fn whose_they_are_and_what_they_take_is_counted() {
        let mut events = all(&[(1, 100.0, 0), (2, 100.0, 1), (3, 100.0, 2)]);
        let mut new = event("a");
        new.parm1 = Arc::from("x".repeat(100));
        let other = born(&new, 9, &Arc::from("other"));
        events.insert(other.clone());
        events.insert(other.clone());
        assert_eq!((events.count_of("by"), events.count_of("other"), events.len()), (3, 1, 4));
        let bytes = events.bytes();
        assert!(bytes > 4 * 1_024 + 100, "{bytes}");
        assert_eq!(events.drain_of("other", 9), [new.sys_id]);
        assert_eq!((events.count_of("other"), bytes - events.bytes()), (0, bytes_of(&new)));
        assert_eq!(events.drain_of("by", 1).len(), 1);
        assert_eq!(sequences(&events.take(9, true)), [1, 2], "the last one went");
        assert_eq!((events.count_of("by"), events.bytes()), (0, 0));
        events.insert(other);
        assert_eq!(events.drain_those(|event| event.sequence == 9).len(), 1);
        assert!(events.is_empty() && events.bytes() == 0);
    }
}
