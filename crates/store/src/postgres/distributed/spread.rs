//! How many partitions there are, and which one an event belongs to.

use std::ops::Range;

use campanile_model::partition::partition;
use campanile_model::{NewEvent, QueueOrder};

use super::strays::Told;
use super::turns::Turns;

/// How the rows of a database are spread.
#[derive(Debug)]
pub(in crate::postgres) struct Spread {
    partitions: i64,
    turns: Turns,
    told_strays: Told,
}

impl Spread {
    /// Over so many partitions. `first` is where this program begins to look, so that not all begin with the same.
    pub(in crate::postgres) fn new(partitions: i64, first: i64) -> Self {
        let count = usize::try_from(partitions).unwrap_or(1).max(1);
        let first = usize::try_from(first.rem_euclid(partitions.max(1))).unwrap_or(0);
        Self { partitions, turns: Turns::new(count, first), told_strays: Told::default() }
    }

    /// Every partition.
    pub(in crate::postgres) fn all(&self) -> Range<i64> {
        0..self.partitions
    }

    /// The partition of an event, in a queue that keeps this order.
    pub(in crate::postgres) fn partition_of(&self, event: &NewEvent, order: QueueOrder) -> i64 {
        if order == QueueOrder::Sequential {
            return self.home_of(&event.queue);
        }
        self.partition_of_key(&Key {
            instance: &event.instance,
            name: &event.name,
            sys_id: event.sys_id.as_str(),
            may_be_counted: event.coalesce_seconds > 0,
        })
    }

    /// The partition of an event of which this is known. Those about one record share one, so that their order is kept; so do
    /// those that may be counted on each other, which are about no record and have one name.
    pub(super) fn partition_of_key(&self, key: &Key<'_>) -> i64 {
        let key = match key {
            Key { instance: "", may_be_counted: true, name, .. } => name,
            Key { instance: "", sys_id, .. } => sys_id,
            Key { instance, .. } => instance,
        };
        // Keys are compared ignoring case.
        partition(&key.to_ascii_lowercase(), self.partitions.unsigned_abs())
    }

    /// The partition in which a sequential queue has all its events: who handles one after the other asks one place.
    pub(in crate::postgres) fn home_of(&self, queue: &str) -> i64 {
        partition(&queue.to_ascii_lowercase(), self.partitions.unsigned_abs())
    }

    /// Which partitions to look at.
    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Of which events it was told that they cannot come to the partition of their queue.
    pub(super) fn told_strays(&self) -> &Told {
        &self.told_strays
    }

    /// Events of `queue` have come, in `partition` if that is known.
    pub(in crate::postgres) fn woken(&self, queue: &str, partition: Option<i64>) {
        self.turns.woken(queue, partition.and_then(|partition| usize::try_from(partition).ok()));
    }
}

/// Whose turn an event waits for, in a queue that keeps this order; `None` in one that keeps none. Two records that share a
/// number by chance wait for each other, no more.
///
/// Differs because nothing of ours runs where the rows are. It has to agree within one database, and so it does.
pub(super) fn turn_of(order: QueueOrder, event: &NewEvent) -> Option<i64> {
    match order {
        QueueOrder::Parallel => None,
        QueueOrder::Sequential => Some(0),
        QueueOrder::ByRecord => {
            Some(turn_of_record(&event.table, &event.instance, event.sys_id.as_str()))
        }
    }
}

/// The same by what it is of, in a queue with order by record: each event without a record has one of its own.
pub(super) fn turn_of_record(table: &str, instance: &str, sys_id: &str) -> i64 {
    let (table, key) = if instance.is_empty() { ("", sys_id) } else { (table, instance) };
    // All 63 bits: partitions are few, turns are many.
    partition(&format!("{table} {}", key.to_ascii_lowercase()), 1 << 63)
}

/// By what an event is spread.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Key<'a> {
    pub(super) instance: &'a str,
    pub(super) name: &'a str,
    pub(super) sys_id: &'a str,
    pub(super) may_be_counted: bool,
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::testing;

    fn event(instance: &str, name: &str, coalesce_seconds: i64) -> NewEvent {
        let (table, instance) = (Arc::from(""), Arc::from(instance));
        NewEvent { table, instance, coalesce_seconds, ..testing::event(name) }
    }

    #[test]
    fn events_of_one_record_or_that_may_be_counted_on_each_other_share_a_partition() {
        let spread = Spread::new(16, 5);
        let of = |instance, name, coalesce| {
            let event = event(instance, name, coalesce);
            let by_record = spread.partition_of(&event, QueueOrder::ByRecord);
            assert_eq!(spread.partition_of(&event, QueueOrder::Parallel), by_record);
            by_record
        };
        assert_eq!(of("9C57", "a", 0), of("9c57", "b", 5), "whatever their name and spelling");
        assert_eq!(of("", "storm", 5), of("", "storm", 5));
    }

    #[test]
    fn others_are_spread_over_all_partitions() {
        let spread = Spread::new(16, 5);
        let hit: BTreeSet<i64> = (0..500)
            .map(|_| spread.partition_of(&event("", "n", 0), QueueOrder::Parallel))
            .collect();
        assert_eq!(hit, spread.all().collect());
    }

    #[test]
    fn a_sequential_queue_has_all_its_events_in_one_partition_and_one_turn() {
        let spread = Spread::new(16, 5);
        let events: Vec<NewEvent> = (0..50).map(|n| event(&n.to_string(), "n", n % 2)).collect();
        let hit: BTreeSet<i64> =
            events.iter().map(|e| spread.partition_of(e, QueueOrder::Sequential)).collect();
        assert_eq!(hit, BTreeSet::from([spread.home_of("")]));
        assert_ne!(spread.home_of("mail"), spread.home_of("post"), "queues are spread");
        assert!(events.iter().all(|event| turn_of(QueueOrder::Sequential, event) == Some(0)));
    }

    #[test]
    fn by_record_each_record_has_its_turn_and_so_has_each_event_without_one() {
        let turn = |event: &NewEvent| turn_of(QueueOrder::ByRecord, event).unwrap();
        assert_eq!(turn(&event("9C57", "a", 0)), turn(&event("9c57", "b", 0)));
        let other = NewEvent { table: Arc::from("problem"), ..event("9c57", "a", 0) };
        let turns: BTreeSet<i64> =
            [&event("9c57", "a", 0), &other, &event("", "a", 0), &event("", "a", 0)]
                .map(turn)
                .into();
        assert_eq!(turns.len(), 4);
        assert!(turns.iter().all(|turn| *turn >= 0));
        assert_eq!(turn_of(QueueOrder::Parallel, &other), None);
    }
}
