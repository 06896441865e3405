//! From where on a claim looks into its queue.
//!
//! Differs because what was claimed stays in the index that claims go by until a vacuum, and for as long as the oldest snapshot lasts.
//! A claim that begins at the beginning walks past all of it: a backlog of 200,000 events made claims three times as dear on its
//! way, and a snapshot that somebody holds open makes them dearer without end. So the last claim's end is remembered for each
//! lane (events of one priority), and whoever makes something claimable that is due before it says so (`notices`). Not everybody can:
//! a claim may be undone with the connection of its program. So now and then a claim begins at the beginning.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use parking_lot::Mutex;

/// A claim begins at the beginning at least so long after the last one that did: what nobody told of waits no longer for it.
const FULL_EVERY: Duration = Duration::from_millis(250);

/// And so many times as long as that one took: no more than a twentieth of the time goes into it.
const FULL_PART: u32 = 20;

/// Lanes of a queue that are remembered. Others are looked for, and walked from their beginning.
const LANES_MAX: usize = 16;

/// Queues that are remembered.
const QUEUES_MAX: usize = 1_000;

/// The floors of each queue.
#[derive(Debug, Default)]
pub(super) struct Floors(Mutex<HashMap<Arc<str>, OfQueue>>);

/// What is known of one queue.
#[derive(Debug, Default)]
struct OfQueue {
    /// In the order of their priorities.
    lanes: Vec<Lane>,
    /// When the next look is to begin at the beginning; `None`: at once.
    full_at: Option<Monotonic>,
    /// Looks under way, and the earliest due time that was told since each began.
    looks: Vec<(u64, i64)>,
    looks_begun: u64,
}

/// Events of one priority.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Lane {
    priority: f64,
    /// Nothing that is due before it waits, as far as is known.
    floor: i64,
    /// Something was claimed from it since the last look from the beginning.
    is_used: bool,
}

/// A claim that looks. Dropped without an end it teaches nothing.
#[derive(Debug)]
pub(super) struct Look<'a> {
    floors: &'a Floors,
    queue: Arc<str>,
    number: u64,
    began: Monotonic,
    is_full: bool,
    /// The priorities of the lanes that are known, rising.
    pub(super) lanes: Vec<f64>,
    /// From when on to look in each of them.
    pub(super) from: Vec<i64>,
}

impl Floors {
    /// A claim of `queue` begins.
    pub(super) fn look(&self, queue: &str, began: Monotonic) -> Look<'_> {
        let mut all = self.0.lock();
        if all.len() >= QUEUES_MAX && !all.contains_key(queue) {
            all.retain(|_, known| !known.looks.is_empty());
        }
        let queue =
            all.get_key_value(queue).map_or_else(|| Arc::from(queue), |(q, _)| Arc::clone(q));
        let known = all.entry(Arc::clone(&queue)).or_default();
        let is_full = known.full_at.is_none_or(|at| began >= at);
        if is_full {
            // Others that begin meanwhile need not, too.
            known.full_at = Some(began + FULL_EVERY);
            known.lanes.retain_mut(|lane| std::mem::take(&mut lane.is_used));
        }
        known.looks_begun += 1;
        known.looks.push((known.looks_begun, i64::MAX));
        let from = |lane: &Lane| if is_full { i64::MIN } else { lane.floor };
        Look {
            floors: self,
            queue,
            number: known.looks_begun,
            began,
            is_full,
            lanes: known.lanes.iter().map(|lane| lane.priority).collect(),
            from: known.lanes.iter().map(from).collect(),
        }
    }

    /// Something of `queue` that is due at `due` may be claimed now.
    pub(super) fn told(&self, queue: &str, due: i64) {
        if let Some(known) = self.0.lock().get_mut(queue) {
            known.told(due);
        }
    }

    /// Something that nobody told of may wait in any queue.
    pub(super) fn may_have_missed_some(&self) {
        for known in self.0.lock().values_mut() {
            known.told(i64::MIN);
        }
    }
}

impl OfQueue {
    fn told(&mut self, due: i64) {
        for lane in &mut self.lanes {
            lane.floor = lane.floor.min(due);
        }
        for (_, told) in &mut self.looks {
            *told = (*told).min(due);
        }
    }

    /// Everything in the lane that was due before `floor` has been claimed, or was told of since.
    fn raise(&mut self, priority: f64, floor: i64) {
        let at = self.lanes.partition_point(|lane| lane.priority < priority);
        let lane = Lane { priority, floor, is_used: true };
        if self.lanes.get(at).is_some_and(|known| known.priority <= priority) {
            self.lanes[at] = lane;
        } else if self.lanes.len() < LANES_MAX {
            self.lanes.insert(at, lane);
        }
    }
}

impl Look<'_> {
    /// The claim came to events with these priorities and due times, the first of their lanes.
    pub(super) fn found(self, claimed: impl IntoIterator<Item = (f64, i64)>, ended: Monotonic) {
        let mut all = self.floors.0.lock();
        let Some(known) = all.get_mut(&self.queue) else { return };
        let told = known.looks.iter().find(|(number, _)| *number == self.number);
        let told = told.map_or(i64::MIN, |(_, told)| *told);
        let mut last: HashMap<u64, (f64, i64)> = HashMap::new();
        for (priority, due) in claimed {
            let lane = last.entry(priority.to_bits()).or_insert((priority, due));
            lane.1 = lane.1.max(due);
        }
        let was = known.lanes.clone();
        for (priority, due) in last.into_values() {
            known.raise(priority, due.min(told));
        }
        // What was found below a floor may not be all that is there: other looks must not pass it by.
        let lowered = was.iter().filter_map(|was| {
            let now =
                known.lanes.iter().find(|lane| lane.priority.total_cmp(&was.priority).is_eq())?;
            (now.floor < was.floor).then_some(now.floor)
        });
        if let Some(lowest) = lowered.min() {
            known.told(lowest);
        }
        if self.is_full {
            let took = ended.saturating_duration_since(self.began);
            known.full_at = Some(ended + FULL_EVERY.max(took * FULL_PART));
        }
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        if let Some(known) = self.floors.0.lock().get_mut(&self.queue) {
            known.looks.retain(|(number, _)| *number != self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks in a queue, at milliseconds after the beginning.
    struct House {
        floors: Floors,
        began: Monotonic,
    }

    impl House {
        fn new() -> Self {
            Self { floors: Floors::default(), began: Monotonic::now() }
        }

        fn at(&self, millis: u64) -> Monotonic {
            self.began + Duration::from_millis(millis)
        }

        fn look(&self, millis: u64) -> Look<'_> {
            self.floors.look("q", self.at(millis))
        }

        /// Where a look begins, which finds nothing.
        fn from(&self, millis: u64) -> Vec<(f64, i64)> {
            let look = self.look(millis);
            look.lanes.iter().copied().zip(look.from.iter().copied()).collect()
        }

        fn claims(&self, millis: u64, all: &[(f64, i64)]) {
            self.look(millis).found(all.iter().copied(), self.at(millis));
        }
    }

    #[test]
    fn a_claim_begins_where_the_last_one_of_each_lane_ended() {
        let house = House::new();
        assert_eq!(house.from(0), []);
        house.claims(0, &[(100.0, 7), (100.0, 5), (50.0, 9)]);
        assert_eq!(house.from(1), [(50.0, 9), (100.0, 7)]);
        house.claims(1, &[(100.0, 8)]);
        house.floors.look("other", house.at(1)).found([(100.0, 99)], house.at(1));
        assert_eq!(house.from(2), [(50.0, 9), (100.0, 8)]);
    }

    #[test]
    fn what_is_told_to_be_due_before_is_looked_for_also_when_a_look_was_under_way() {
        let house = House::new();
        house.claims(0, &[(50.0, 9), (100.0, 7)]);
        house.floors.told("q", 8);
        house.floors.told("other", 1);
        assert_eq!(house.from(1), [(50.0, 8), (100.0, 7)]);
        let look = house.look(1);
        house.floors.told("q", 6);
        look.found([(100.0, 12)], house.at(1));
        assert_eq!(house.from(2), [(50.0, 6), (100.0, 6)]);
        house.floors.may_have_missed_some();
        assert_eq!(house.from(2), [(50.0, i64::MIN), (100.0, i64::MIN)]);
    }

    #[test]
    fn now_and_then_a_claim_begins_at_the_beginning_and_seldom_when_that_takes_long() {
        let house = House::new();
        let all = [(100.0, 7)];
        house.claims(0, &all);
        assert_eq!(house.from(249), all);
        assert_eq!(house.from(250), [(100.0, i64::MIN)]);
        assert_eq!(house.from(250), all, "once");
        house.look(500).found(all, house.at(600));
        assert_eq!(house.from(2_599), all);
        assert_eq!(house.from(2_600), [(100.0, i64::MIN)]);
    }

    #[test]
    fn what_one_look_finds_below_the_floor_no_other_passes_by() {
        let house = House::new();
        house.claims(0, &[(100.0, 70)]);
        let other = house.look(1);
        // More may wait there that nobody told of.
        house.claims(250, &[(100.0, 3)]);
        other.found([(100.0, 90)], house.at(251));
        assert_eq!(house.from(251), [(100.0, 3)]);
    }

    #[test]
    fn a_claim_that_failed_teaches_nothing_and_is_forgotten() {
        let house = House::new();
        house.claims(0, &[(100.0, 7)]);
        drop(house.look(1));
        assert_eq!(house.from(1), [(100.0, 7)]);
        assert!(house.floors.0.lock().values().all(|known| known.looks.is_empty()));
    }

    #[test]
    fn lanes_and_queues_that_are_not_used_any_more_are_forgotten() {
        let house = House::new();
        let lanes: Vec<(f64, i64)> = (0..30).map(|n| (f64::from(n), 7)).collect();
        house.claims(0, &lanes);
        assert_eq!(house.from(1).len(), LANES_MAX);
        house.claims(250, &[(100.0, 7)]);
        house.claims(500, &[(100.0, 7)]);
        assert_eq!(house.from(501), [(100.0, 7)]);
        for number in 0..=QUEUES_MAX {
            drop(house.floors.look(&number.to_string(), house.began));
        }
        assert!(house.floors.0.lock().len() <= QUEUES_MAX);
    }
}
