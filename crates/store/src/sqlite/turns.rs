//! Whose turn it is in queues that keep an order: pure bookkeeping, no database.
//!
//! Differs because it stands in memory, where one program has the database; on PostgreSQL each claim proves it there.
//! A sequential queue knows what was begun and waits for its next attempt. A queue with order by record knows all that
//! waits, by record: the first event of a record that nobody handles is its *head*, and claims take heads alone, so what
//! waits for its record costs them nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher};

use campanile_model::QueueOrder;
use foldhash::fast::{FixedState, RandomState};

use super::window::{Position, Priority};
use crate::contract::QueueRule;

/// An event for now is due when it arrives. When the last one was due so much later, that was before the clock was set
/// back: no operation takes so long from its first event to its commit.
const CLOCK_BACK_MS: i64 = 10_000;

/// A number for the record that an event is about; for one about none, a number of its own. Two records that share one by
/// chance wait for each other, no more.
pub(super) fn record_of(table: &str, instance: &str, sys_id: &str) -> u64 {
    let (table, key) = if instance.is_empty() { ("", sys_id) } else { (table, instance) };
    let mut hasher = FixedState::default().build_hasher();
    hasher.write_u8(u8::from(instance.is_empty()));
    hasher.write(table.as_bytes());
    if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
        hasher.write(key.to_ascii_lowercase().as_bytes());
    } else {
        hasher.write(key.as_bytes());
    }
    hasher.finish()
}

/// One queue that keeps an order.
#[derive(Debug)]
pub(super) struct Turns {
    pub(super) rule: QueueRule,
    /// An event in error has stopped it.
    pub(super) halted: bool,
    /// When the event that arrived last was due.
    last_due: i64,
    /// What was begun and waits for its next attempt, by sequence.
    begun: BTreeMap<i64, (Priority, Position)>,
    /// By record; `None` until it was read.
    pub(super) records: Option<Records>,
}

/// A waiting event as it comes or goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) record: u64,
    pub(super) priority: Priority,
    pub(super) at: Position,
    /// It has attempts or lapses behind it.
    pub(super) begun: bool,
}

impl Turns {
    pub(super) fn new(rule: QueueRule) -> Self {
        Self { rule, halted: false, last_due: i64::MIN, begun: BTreeMap::new(), records: None }
    }

    /// Whether records must be read before the first claim.
    pub(super) fn is_unread(&self) -> bool {
        self.rule.order == QueueOrder::ByRecord && self.records.is_none()
    }

    /// When an event for `due` is due that arrives now.
    pub(super) fn due_on_arrival(&mut self, due: i64) -> i64 {
        let is_sane = self.last_due.saturating_sub(due) <= CLOCK_BACK_MS;
        self.last_due = if is_sane { self.last_due.max(due) } else { due };
        self.last_due
    }

    /// The clock was set back: what was due by it says nothing any more.
    pub(super) fn forget_due(&mut self) {
        self.last_due = i64::MIN;
    }

    /// The event that was begun first, if any waits.
    pub(super) fn first_begun(&self) -> Option<(Priority, Position)> {
        self.begun.values().min_by_key(|(_, at)| *at).copied()
    }

    /// It waits now.
    pub(super) fn add(&mut self, arrival: Arrival) {
        if arrival.begun {
            self.begun.insert(arrival.at.sequence, (arrival.priority, arrival.at));
        }
        if let Some(records) = &mut self.records {
            records.add(arrival);
        }
    }

    /// It was claimed, or waits no longer.
    pub(super) fn remove(&mut self, at: Position, claimed: bool) {
        self.begun.remove(&at.sequence);
        if let Some(records) = &mut self.records {
            records.remove(at, claimed);
        }
    }

    /// Its claim has ended.
    pub(super) fn end_claim(&mut self, record: u64) {
        if let Some(records) = &mut self.records {
            records.end_claim(record);
        }
    }
}

/// What waits in a queue with order by record.
#[derive(Debug, Default)]
pub(super) struct Records {
    by_record: HashMap<u64, Record, RandomState>,
    /// Record of each waiting event, by sequence.
    of_event: HashMap<i64, u64, RandomState>,
    /// The first event of each record of which none is claimed.
    heads: BTreeSet<(Priority, Position, u64)>,
}

#[derive(Debug, Default)]
struct Record {
    waiting: BTreeMap<Position, Priority>,
    /// Those of them that were begun.
    begun: BTreeSet<Position>,
    claimed: u32,
    head: Option<(Priority, Position)>,
}

impl Record {
    fn first(&self) -> Option<(Priority, Position)> {
        if self.claimed > 0 {
            return None;
        }
        let at = self.begun.first().or_else(|| self.waiting.keys().next())?;
        self.waiting.get(at).map(|priority| (*priority, *at))
    }
}

impl Records {
    pub(super) fn add(&mut self, arrival: Arrival) {
        let Arrival { record: key, priority, at, begun } = arrival;
        self.of_event.insert(at.sequence, key);
        let record = self.by_record.entry(key).or_default();
        record.waiting.insert(at, priority);
        if begun {
            record.begun.insert(at);
        }
        self.refresh(key);
    }

    /// An event of the record is claimed by somebody.
    pub(super) fn add_claim(&mut self, key: u64) {
        self.by_record.entry(key).or_default().claimed += 1;
        self.refresh(key);
    }

    fn remove(&mut self, at: Position, claimed: bool) {
        let Some(key) = self.of_event.remove(&at.sequence) else { return };
        if let Some(record) = self.by_record.get_mut(&key) {
            record.waiting.remove(&at);
            record.begun.remove(&at);
            record.claimed += u32::from(claimed);
        }
        self.refresh(key);
    }

    fn end_claim(&mut self, key: u64) {
        if let Some(record) = self.by_record.get_mut(&key) {
            record.claimed = record.claimed.saturating_sub(1);
        }
        self.refresh(key);
    }

    /// Puts the head of a record where it belongs.
    fn refresh(&mut self, key: u64) {
        let Some(record) = self.by_record.get_mut(&key) else { return };
        let head = record.first();
        if head != record.head {
            if let Some((priority, at)) = record.head {
                self.heads.remove(&(priority, at, key));
            }
            if let Some((priority, at)) = head {
                self.heads.insert((priority, at, key));
            }
            record.head = head;
        }
        if record.waiting.is_empty() && record.claimed == 0 {
            self.by_record.remove(&key);
        }
    }

    /// What a claim of at most `limit` events takes: due heads, and, where there are fewer, some of what follows them.
    /// The events of a record stand in its order.
    pub(super) fn pick(
        &self,
        (now, by_priority, limit): (i64, bool, usize),
        is_held: impl Fn(i64) -> bool,
    ) -> Vec<(Priority, Position)> {
        let is_free = |at: &Position| at.process_on <= now && !is_held(at.sequence);
        let mut heads = Vec::new();
        if by_priority {
            let mut from = self.heads.first().copied();
            while let Some((lane, ..)) = from {
                let in_lane = self.heads.range((lane, Position::FIRST, 0)..);
                let due = in_lane
                    .take_while(|(priority, at, _)| *priority == lane && at.process_on <= now);
                heads.extend(due.filter(|(_, at, _)| is_free(at)).take(limit - heads.len()));
                from = match heads.len() >= limit {
                    true => None,
                    false => self.heads.range((lane, Position::LAST, u64::MAX)..).next().copied(),
                };
            }
        } else {
            heads.extend(self.heads.iter().filter(|(_, at, _)| is_free(at)));
            heads.sort_unstable_by_key(|(_, at, _)| *at);
            heads.truncate(limit);
        }
        let follow = if heads.is_empty() { 0 } else { limit / heads.len() - 1 };
        let mut picked: Vec<(Priority, Position)> =
            heads.iter().map(|(priority, at, _)| (*priority, *at)).collect();
        for (_, head, key) in heads {
            let Some(record) = self.by_record.get(&key).filter(|_| follow > 0) else { continue };
            // What was tried before is tried alone.
            if record.begun.contains(&head) {
                continue;
            }
            let behind = record.waiting.range(head.next()..).take(follow);
            let free = behind.take_while(|(at, _)| is_free(at));
            picked.extend(free.map(|(at, priority)| (*priority, *at)));
        }
        picked
    }

    /// When the first head becomes due that is not yet.
    pub(super) fn next_due(&self, now: i64) -> Option<i64> {
        let dues = self.heads.iter().map(|(_, at, _)| at.process_on);
        dues.filter(|due| *due > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(record: u64, priority: f64, process_on: i64, sequence: i64) -> Arrival {
        let at = Position { process_on, sequence };
        Arrival { record, priority: Priority(priority), at, begun: false }
    }

    fn sequences(records: &Records, limit: usize) -> Vec<i64> {
        let picked = records.pick((1_000, true, limit), |_| false);
        picked.into_iter().map(|(_, at)| at.sequence).collect()
    }

    #[test]
    fn the_first_of_each_record_is_picked_and_what_follows_it_only_where_there_is_room() {
        let mut records = Records::default();
        for (record, sequence) in [(1, 1), (1, 2), (2, 3), (1, 4), (2, 5), (3, 6)] {
            records.add(arrival(record, 100.0, 10, sequence));
        }
        assert_eq!(sequences(&records, 2), [1, 3]);
        assert_eq!(sequences(&records, 3), [1, 3, 6]);
        assert_eq!(sequences(&records, 7), [1, 3, 6, 2, 5]);
    }

    #[test]
    fn a_better_priority_overtakes_other_records_and_never_its_own() {
        let mut records = Records::default();
        records.add(arrival(1, 100.0, 10, 1));
        records.add(arrival(1, 10.0, 10, 2));
        records.add(arrival(2, 50.0, 10, 3));
        assert_eq!(sequences(&records, 2), [3, 1]);
    }

    #[test]
    fn what_was_begun_holds_its_record_until_its_end_and_a_later_time_does_not() {
        let mut turns = Turns::new(QueueRule { order: QueueOrder::ByRecord, halts: false });
        turns.records = Some(Records::default());
        turns.add(arrival(1, 100.0, 5_000, 1));
        turns.add(arrival(1, 100.0, 10, 2));
        turns.add(arrival(1, 100.0, 11, 3));
        let pick = |turns: &Turns| sequences(turns.records.as_ref().unwrap(), 1);
        assert_eq!(pick(&turns), [2], "the first is for later");
        turns.remove(Position { process_on: 10, sequence: 2 }, true);
        assert!(pick(&turns).is_empty(), "its record is busy");
        turns.end_claim(1);
        turns.add(Arrival { begun: true, ..arrival(1, 100.0, 9_000, 2) });
        assert!(pick(&turns).is_empty(), "it waits for its next attempt");
        assert_eq!(turns.records.as_ref().unwrap().next_due(1_000), Some(9_000));
        turns.remove(Position { process_on: 9_000, sequence: 2 }, false);
        assert_eq!(pick(&turns), [3], "it was cancelled");
        turns.remove(Position { process_on: 11, sequence: 3 }, true);
        turns.end_claim(1);
        turns.remove(Position { process_on: 5_000, sequence: 1 }, false);
        assert!(turns.records.unwrap().by_record.is_empty(), "nothing is left behind");
    }

    #[test]
    fn many_events_of_a_busy_record_hide_nothing_of_others_and_what_is_held_holds_its_record() {
        let mut records = Records::default();
        for sequence in 1..=20_000 {
            records.add(arrival(1, 100.0, 10, sequence));
        }
        records.add(arrival(2, 100.0, 11, 20_001));
        records.add_claim(1);
        assert_eq!(sequences(&records, 100), [20_001]);
        records.end_claim(1);
        let picked = records.pick((1_000, false, 2), |sequence| sequence == 1);
        assert_eq!(picked.len(), 1);
        assert_eq!(picked[0].1.sequence, 20_001);
    }

    #[test]
    fn events_for_now_are_due_in_the_order_of_their_arrival_until_the_clock_is_set_back() {
        let mut turns = Turns::new(QueueRule { order: QueueOrder::Sequential, halts: false });
        let dues = [1_000, 990, 1_001, -1_000_000].map(|due| turns.due_on_arrival(due));
        assert_eq!(dues, [1_000, 1_000, 1_001, -1_000_000]);
    }
}
