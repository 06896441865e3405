//! From where on a claim looks into its queue.
//!
//! Differs because what was claimed stays in the index that claims go by until a vacuum, and for as long as the oldest snapshot lasts.
//! A claim that begins at the beginning walks past all of it: a backlog of 200,000 events made claims three times as dear on its
//! way, and a snapshot that somebody holds open makes them dearer without end. So the last claim's end is remembered for each
//! lane (events of one priority), and whoever makes something claimable that is due before it says so (`notices`). Not everybody can:
//! a claim may be undone with the connection of its program. So now and then a claim begins at the beginning. What a claim goes past
//! because somebody holds it is no reason for that: it is seen as left, and no floor is put above it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use parking_lot::Mutex;

/// A claim begins at the beginning at least so long after the last one that did: what nobody told of waits no longer for it.
const FULL_EVERY: Duration = Duration::from_millis(250);

/// And so many times as long as that one took: a twentieth of the time goes into it.
const FULL_PART: u32 = 20;

/// But after so long in any case: it may have taken long for another reason.
const FULL_REST_MAX: Duration = Duration::from_secs(5);

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
    /// The look under way that did.
    full: Option<u64>,
    looks: Vec<UnderWay>,
    looks_begun: u64,
}

/// Events of one priority.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Lane {
    priority: f64,
    /// Nothing that is due before it waits, as far as is known.
    floor: i64,
    /// The number of the last look that claimed from it.
    used: u64,
}

/// A look that has not ended.
#[derive(Debug)]
struct UnderWay {
    number: u64,
    /// The earliest due time that was told since it began.
    told: i64,
    /// Floors that others have lowered since.
    lowered: Vec<(f64, i64)>,
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
        known.looks_begun += 1;
        let number = known.looks_begun;
        // One at a time.
        let is_full = known.full.is_none() && known.full_at.is_none_or(|at| began >= at);
        if is_full {
            known.full = Some(number);
        }
        known.looks.push(UnderWay { number, told: i64::MAX, lowered: Vec::new() });
        let from = |lane: &Lane| if is_full { i64::MIN } else { lane.floor };
        Look {
            floors: self,
            queue,
            number,
            began,
            is_full,
            lanes: known.lanes.iter().map(|lane| lane.priority).collect(),
            from: known.lanes.iter().map(from).collect(),
        }
    }

    /// The lanes of `queue` that are known, rising, and where each begins.
    pub(super) fn known(&self, queue: &str) -> (Vec<f64>, Vec<i64>) {
        let all = self.0.lock();
        let lanes = all.get(queue).into_iter().flat_map(|known| &known.lanes);
        lanes.map(|lane| (lane.priority, lane.floor)).unzip()
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
        for look in &mut self.looks {
            look.told = look.told.min(due);
        }
    }

    /// A look found that nothing of this lane is left that was due before `due`.
    fn reached(&mut self, number: u64, priority: f64, due: i64) {
        let floor = self.looks.iter().find(|look| look.number == number).map_or(i64::MIN, |look| {
            let lowered = look.lowered.iter().filter(|(of, _)| of.total_cmp(&priority).is_eq());
            lowered.map(|(_, floor)| *floor).fold(due.min(look.told), i64::min)
        });
        let lane = Lane { priority, floor, used: self.looks_begun };
        let at = self.lanes.partition_point(|lane| lane.priority < priority);
        match self.lanes.get(at).filter(|known| known.priority <= priority) {
            Some(known) => {
                // What was found below the floor may not be all that is there: other looks must not pass it by.
                if floor < known.floor {
                    let others = self.looks.iter_mut().filter(|look| look.number != number);
                    others.for_each(|look| look.lowered.push((priority, floor)));
                }
                self.lanes[at] = lane;
            }
            None => {
                self.lanes.insert(at, lane);
                if self.lanes.len() > LANES_MAX {
                    let oldest = self.lanes.iter().map(|lane| lane.used).min();
                    let oldest = self.lanes.iter().position(|lane| Some(lane.used) == oldest);
                    oldest.map(|at| self.lanes.remove(at));
                }
            }
        }
    }
}

impl Look<'_> {
    /// The claim took events with these priorities and due times, the first of their lanes that nobody holds; `left` are the
    /// lanes in which something is left, held or not, and when the first of it is due.
    pub(super) fn found(
        self,
        claimed: impl IntoIterator<Item = (f64, i64)>,
        left: &[(f64, i64)],
        ended: Monotonic,
    ) {
        let mut all = self.floors.0.lock();
        let Some(known) = all.get_mut(&self.queue) else { return };
        // By lane: the last that was taken, but nothing above what is left.
        let mut reached: HashMap<u64, (f64, i64)> = HashMap::new();
        for (priority, due) in claimed {
            let lane = reached.entry(priority.to_bits()).or_insert((priority, due));
            lane.1 = lane.1.max(due);
        }
        for &(priority, due) in left {
            let floor = known.lanes.iter().find(|lane| lane.priority.total_cmp(&priority).is_eq());
            match reached.get_mut(&priority.to_bits()) {
                Some(lane) => lane.1 = lane.1.min(due),
                None if floor.is_some_and(|lane| due < lane.floor) => {
                    reached.insert(priority.to_bits(), (priority, due));
                }
                None => {}
            }
        }
        for (priority, due) in reached.into_values() {
            known.reached(self.number, priority, due);
        }
        if self.is_full {
            let took = ended.saturating_duration_since(self.began);
            let rest = took.saturating_mul(FULL_PART).clamp(FULL_EVERY, FULL_REST_MAX);
            known.full_at = Some(ended + rest);
            known.full = None;
        }
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        if let Some(known) = self.floors.0.lock().get_mut(&self.queue) {
            known.looks.retain(|look| look.number != self.number);
            if known.full == Some(self.number) {
                // It has not ended; the next one need not follow at once.
                known.full = None;
                known.full_at = Some(self.began + FULL_EVERY);
            }
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

        /// Where a look begins, which is not answered.
        fn from(&self, millis: u64) -> Vec<(f64, i64)> {
            let look = self.look(millis);
            look.lanes.iter().copied().zip(look.from.iter().copied()).collect()
        }

        fn claims(&self, millis: u64, all: &[(f64, i64)]) {
            self.look(millis).found(all.iter().copied(), &[], self.at(millis));
        }
    }

    #[test]
    fn a_claim_begins_where_the_last_one_of_each_lane_ended() {
        let house = House::new();
        assert_eq!(house.from(0), []);
        house.claims(250, &[(100.0, 7), (100.0, 5), (50.0, 9)]);
        assert_eq!(house.from(251), [(50.0, 9), (100.0, 7)]);
        house.claims(251, &[(100.0, 8)]);
        house.floors.look("other", house.at(1)).found([(100.0, 99)], &[], house.at(1));
        assert_eq!(house.from(252), [(50.0, 9), (100.0, 8)]);
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
        look.found([(100.0, 12)], &[], house.at(1));
        assert_eq!(house.from(2), [(50.0, 6), (100.0, 6)]);
        house.floors.may_have_missed_some();
        assert_eq!(house.from(2), [(50.0, i64::MIN), (100.0, i64::MIN)]);
    }

    #[test]
    fn no_floor_is_put_above_what_is_left_of_a_lane_because_somebody_holds_it() {
        let house = House::new();
        let left = [(50.0, 3), (70.0, 99), (100.0, 8)];
        house.look(0).found([(50.0, 9), (100.0, 7)], &left, house.at(0));
        assert_eq!(house.from(1), [(50.0, 3), (100.0, 7)]);
        house.look(1).found([(50.0, 4)], &[(50.0, 3)], house.at(1));
        assert_eq!(house.from(2), [(50.0, 3), (100.0, 7)]);
        house.look(250).found([], &[(100.0, 5)], house.at(250));
        assert_eq!(house.from(251), [(50.0, 3), (100.0, 5)], "seen from the beginning");
    }

    #[test]
    fn now_and_then_a_claim_begins_at_the_beginning_one_at_a_time_and_seldom_when_that_takes_long()
    {
        let house = House::new();
        let all = [(100.0, 7)];
        let beginning = [(100.0, i64::MIN)];
        house.claims(0, &all);
        assert_eq!(house.from(249), all);
        let full = house.look(250);
        assert_eq!(full.from, [i64::MIN]);
        assert_eq!(house.from(9_000), all, "one is under way");
        full.found(all, &[], house.at(350));
        assert_eq!(house.from(2_349), all);
        let full = house.look(2_350);
        assert_eq!(full.from, [i64::MIN]);
        drop(full);
        assert_eq!(house.from(2_599), all, "it failed");
        house.look(2_600).found(all, &[], house.at(90_000));
        assert_eq!(house.from(94_999), all);
        assert_eq!(house.from(95_000), beginning, "no later, however long the last one took");
    }

    #[test]
    fn what_one_look_finds_below_the_floor_no_other_passes_by_in_that_lane() {
        let house = House::new();
        house.claims(0, &[(50.0, 70), (100.0, 70)]);
        let other = house.look(1);
        // More may wait there that nobody told of.
        house.claims(250, &[(100.0, 3)]);
        other.found([(50.0, 90), (100.0, 90)], &[], house.at(251));
        assert_eq!(house.from(251), [(50.0, 90), (100.0, 3)]);
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
    fn the_lane_that_was_used_longest_ago_makes_place_and_so_do_queues() {
        let house = House::new();
        for n in 0..LANES_MAX {
            let lane = f64::from(u8::try_from(n).unwrap());
            house.claims(0, &[(lane, 7)]);
        }
        house.claims(0, &[(0.0, 8)]);
        house.claims(0, &[(100.0, 7)]);
        let lanes: Vec<f64> = house.from(0).iter().map(|(lane, _)| *lane).collect();
        assert_eq!((lanes.len(), &lanes[..2], lanes[15]), (LANES_MAX, &[0.0, 2.0][..], 100.0));
        for number in 0..=QUEUES_MAX {
            drop(house.floors.look(&number.to_string(), house.began));
        }
        assert!(house.floors.0.lock().len() <= QUEUES_MAX);
    }
}
