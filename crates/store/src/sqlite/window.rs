//! What waits in a queue, as far as it stands in memory: pure bookkeeping, no database.
//!
//! A queue is a set of *lanes*, one for each distinct priority. A lane holds its next events in order of
//! `(process_on, sequence)`, complete up to its *bound*; what lies behind the bound stands in the database only.
//! Not-due events are the tail of each lane, so a claim never steps over them, whatever their priority, and the
//! order with and without priority comes from the same lanes.

use std::collections::{BTreeMap, HashMap, HashSet};

use campanile_model::{Event, SysId};

use super::turns::record_of;

/// Events of one lane in memory, after which its bound closes. Twice as many before it is cut back.
pub(super) const LANE_EVENTS_MAX: usize = 4_096;

/// Place of an event within its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Position {
    /// Due time in milliseconds.
    pub(super) process_on: i64,
    /// Order of arrival.
    pub(super) sequence: i64,
}

impl Position {
    /// Before every event.
    pub(super) const FIRST: Self = Self { process_on: i64::MIN, sequence: i64::MIN };

    /// Behind every event.
    pub(super) const LAST: Self = Self { process_on: i64::MAX, sequence: i64::MAX };

    /// The nearest place behind this one.
    pub(super) const fn next(self) -> Self {
        Self { process_on: self.process_on, sequence: self.sequence + 1 }
    }
}

/// A priority with a total order; lower goes first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Priority(pub(super) f64);

impl Eq for Priority {}

impl PartialOrd for Priority {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Priority {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Adding zero makes one of the two zeros.
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

/// An event that waits in memory.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    /// Its key.
    pub(super) sys_id: SysId,
    /// Its epoch.
    pub(super) epoch: i64,
    /// Its attempts in this epoch.
    pub(super) attempts: i64,
    /// Claims that lapsed in this epoch; it is then claimed alone.
    pub(super) lapses: i64,
    /// The record that it is about, as a number.
    pub(super) record: u64,
    /// The whole event, where it is small enough to be kept.
    pub(super) event: Option<Box<Event>>,
}

impl Waiting {
    /// `event` as it waits, whole.
    pub(super) fn whole(event: Event) -> Self {
        let bare = Self::bare(&event);
        Self { event: Some(Box::new(event)), ..bare }
    }

    /// `event` as it waits, to be read again at its claim.
    pub(super) fn bare(event: &Event) -> Self {
        Self {
            sys_id: event.fired.sys_id,
            epoch: event.epoch,
            attempts: event.attempts,
            lapses: event.lapses,
            record: record_of(
                &event.fired.table,
                &event.fired.instance,
                event.fired.sys_id.as_str(),
            ),
            event: None,
        }
    }

    /// Bytes of the kept event, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.event.as_deref().map_or(0, event_bytes)
    }
}

/// Bytes that an event takes in memory, roughly; texts that rows share are not counted.
pub(super) fn event_bytes(event: &Event) -> usize {
    let fired = &event.fired;
    size_of::<Event>()
        + [
            &fired.parm1,
            &fired.parm2,
            &fired.instance,
            &fired.snapshot,
            &fired.descriptive_name,
            &fired.uri,
        ]
        .into_iter()
        .map(|text| text.len() + 16)
        .sum::<usize>()
}

/// What happens to a lane while its next events are read.
///
/// It begins before the snapshot of the read, so a change may be in the snapshot as well as noted here: carrying it
/// out twice comes to the same.
#[derive(Debug, Default)]
struct Refill {
    /// Left the lane since then.
    gone: HashSet<i64>,
    /// Came to the lane, behind its bound, since then.
    added: BTreeMap<Position, Waiting>,
}

/// The events of one queue and priority.
#[derive(Debug)]
pub(super) struct Lane {
    entries: BTreeMap<Position, Waiting>,
    /// Every event before it is in `entries` (or claimed); `None` when there is nothing else.
    bound: Option<Position>,
    /// Events of the lane, claimed ones included.
    total: u64,
    /// Latest due time that the lane has seen.
    latest: i64,
    refill: Option<Refill>,
}

/// What a queue has for a claim.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Next {
    /// This event is next, and due.
    Due(Priority, Position),
    /// The next event of this lane must be read first, from this place on.
    Unread(Priority, Position),
    /// Nothing is due; the earliest due time, if anything waits.
    Later(Option<i64>),
}

/// One queue.
#[derive(Debug, Default)]
pub(super) struct Line {
    lanes: BTreeMap<Priority, Lane>,
    /// Bytes of kept events.
    pub(super) bytes: usize,
}

impl Lane {
    fn new(bound: Option<Position>) -> Self {
        Self { entries: BTreeMap::new(), bound, total: 0, latest: i64::MIN, refill: None }
    }

    /// The first event in memory that nobody holds.
    fn first(&self, held: &HashMap<i64, u32>) -> Option<Position> {
        self.entries.keys().find(|at| held.is_empty() || !held.contains_key(&at.sequence)).copied()
    }

    fn is_behind_bound(&self, at: Position) -> bool {
        self.bound.is_some_and(|bound| at >= bound)
    }

    /// Puts an event that the database has where it belongs. Returns the change in kept bytes.
    fn put(&mut self, at: Position, waiting: Waiting) -> isize {
        if self.is_behind_bound(at) {
            if let Some(refill) = &mut self.refill {
                refill.added.insert(at, waiting);
            }
            return 0;
        }
        let is_tail = self.entries.last_key_value().is_none_or(|(last, _)| at > *last);
        if is_tail && self.entries.len() >= LANE_EVENTS_MAX && self.refill.is_none() {
            self.bound = Some(at);
            return 0;
        }
        let mut change = signed(waiting.bytes());
        if let Some(old) = self.entries.insert(at, waiting) {
            change -= signed(old.bytes());
        }
        if self.entries.len() > 2 * LANE_EVENTS_MAX && self.refill.is_none() {
            change -= signed(self.cut());
        }
        change
    }

    /// Forgets the tail. Returns the bytes that were kept for it.
    fn cut(&mut self) -> usize {
        let Some(first) = self.entries.keys().nth(LANE_EVENTS_MAX).copied() else { return 0 };
        let tail = self.entries.split_off(&first);
        self.bound = Some(first);
        tail.values().map(Waiting::bytes).sum()
    }
}

fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

impl Line {
    /// Whether nothing waits and nothing is claimed.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Notes that the database has `total` events of this priority, the latest due at `latest`; none is read.
    pub(super) fn discover(&mut self, priority: Priority, total: u64, latest: i64) {
        let lane = self.lanes.entry(priority).or_insert_with(|| Lane::new(Some(Position::FIRST)));
        lane.total += total;
        lane.latest = lane.latest.max(latest);
    }

    /// Adds an event that was committed.
    pub(super) fn add(&mut self, priority: Priority, at: Position, waiting: Waiting) {
        let lane = self.lanes.entry(priority).or_insert_with(|| Lane::new(None));
        lane.total += 1;
        lane.latest = lane.latest.max(at.process_on);
        let change = lane.put(at, waiting);
        self.bytes = self.bytes.saturating_add_signed(change);
    }

    /// Gives a claimed event back: it is counted already.
    pub(super) fn give_back(&mut self, priority: Priority, at: Position, waiting: Waiting) {
        let Some(lane) = self.lanes.get_mut(&priority) else { return };
        let change = lane.put(at, waiting);
        self.bytes = self.bytes.saturating_add_signed(change);
    }

    /// Takes an event out for good: it was completed, cancelled, moved or rescheduled.
    pub(super) fn remove(&mut self, priority: Priority, at: Position) {
        let Some(lane) = self.lanes.get_mut(&priority) else { return };
        lane.total = lane.total.saturating_sub(1);
        if let Some(old) = lane.entries.remove(&at) {
            self.bytes = self.bytes.saturating_sub(old.bytes());
        }
        if let Some(refill) = &mut lane.refill {
            refill.gone.insert(at.sequence);
            refill.added.remove(&at);
        } else if lane.total == 0 {
            self.lanes.remove(&priority);
        }
    }

    /// Forgets the kept copy of an event whose row has changed.
    pub(super) fn touch(&mut self, priority: Priority, at: Position) {
        let Some(lane) = self.lanes.get_mut(&priority) else { return };
        let Some(waiting) = lane.entries.get_mut(&at) else { return };
        self.bytes = self.bytes.saturating_sub(waiting.bytes());
        waiting.event = None;
    }

    /// What is next in (priority, due time, arrival).
    pub(super) fn next_by_priority(&self, now: i64, held: &HashMap<i64, u32>) -> Next {
        let mut later = None;
        for (priority, lane) in &self.lanes {
            match (lane.first(held), lane.bound) {
                (Some(at), _) if at.process_on <= now => return Next::Due(*priority, at),
                (None, Some(bound)) if bound.process_on <= now => {
                    return Next::Unread(*priority, bound);
                }
                (Some(at), _) | (None, Some(at)) => later = earlier(later, at.process_on),
                (None, None) => {}
            }
        }
        Next::Later(later)
    }

    /// What is next in (due time, arrival), whatever the priority.
    pub(super) fn next_by_arrival(&self, now: i64, held: &HashMap<i64, u32>) -> Next {
        let first = self
            .lanes
            .iter()
            .filter_map(|(priority, lane)| match (lane.first(held), lane.bound) {
                (Some(at), _) => Some((at, true, *priority)),
                // Among equals, what is unread goes first: it may hold an earlier event.
                (None, Some(bound)) => Some((bound, false, *priority)),
                (None, None) => None,
            })
            .min_by_key(|(at, known, _)| (*at, *known));
        match first {
            None => Next::Later(None),
            Some((at, _, _)) if at.process_on > now => Next::Later(Some(at.process_on)),
            Some((at, true, priority)) => Next::Due(priority, at),
            Some((at, false, priority)) => Next::Unread(priority, at),
        }
    }

    /// Takes an event for a claim; it stays counted.
    pub(super) fn take(&mut self, priority: Priority, at: Position) -> Option<Waiting> {
        let waiting = self.lanes.get_mut(&priority)?.entries.remove(&at)?;
        self.bytes = self.bytes.saturating_sub(waiting.bytes());
        Some(waiting)
    }

    /// Whether this event stands in memory.
    pub(super) fn has(&self, priority: Priority, at: Position) -> bool {
        self.lanes.get(&priority).is_some_and(|lane| lane.entries.contains_key(&at))
    }

    /// Whether this event, which is next, lapsed before.
    pub(super) fn has_lapsed(&self, priority: Priority, at: Position) -> bool {
        self.lanes
            .get(&priority)
            .and_then(|lane| lane.entries.get(&at))
            .is_some_and(|w| w.lapses > 0)
    }

    /// Begins a refill, before the snapshot of its read. Returns false when one is under way.
    pub(super) fn begin_refill(&mut self, priority: Priority) -> bool {
        match self.lanes.get_mut(&priority) {
            Some(lane) if lane.refill.is_none() => {
                lane.refill = Some(Refill::default());
                true
            }
            _ => false,
        }
    }

    /// Ends a refill: `rows` are what the snapshot had from the old bound to the new one, `is_claimed` tells what
    /// is in somebody's hands.
    pub(super) fn end_refill(
        &mut self,
        priority: Priority,
        rows: Vec<(Position, Waiting)>,
        bound: Option<Position>,
        is_claimed: impl Fn(i64) -> bool,
    ) {
        let Some(lane) = self.lanes.get_mut(&priority) else { return };
        let refill = lane.refill.take().unwrap_or_default();
        lane.bound = bound;
        let mut change = 0;
        for (at, waiting) in rows {
            if !refill.gone.contains(&at.sequence) && !is_claimed(at.sequence) {
                change += signed(waiting.bytes());
                if let Some(old) = lane.entries.insert(at, waiting) {
                    change -= signed(old.bytes());
                }
            }
        }
        for (at, waiting) in refill.added {
            change += lane.put(at, waiting);
        }
        if lane.total == 0 {
            change -= signed(lane.entries.values().map(Waiting::bytes).sum());
            self.lanes.remove(&priority);
        }
        self.bytes = self.bytes.saturating_add_signed(change);
    }

    /// Ends a refill that failed: what was known stays known.
    pub(super) fn abandon_refill(&mut self, priority: Priority) {
        if let Some(lane) = self.lanes.get_mut(&priority) {
            // What came meanwhile lies behind the bound, where the next refill finds it.
            lane.refill = None;
            if lane.total == 0 {
                self.lanes.remove(&priority);
            }
        }
    }

    /// Number of events of each priority, claimed ones included, with the latest due time.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Priority, u64, i64)> + '_ {
        self.lanes.iter().map(|(priority, lane)| (*priority, lane.total, lane.latest))
    }

    /// Events in memory.
    pub(super) fn in_memory(&self) -> usize {
        self.lanes.values().map(|lane| lane.entries.len()).sum()
    }
}

fn earlier(known: Option<i64>, other: i64) -> Option<i64> {
    Some(known.map_or(other, |known| known.min(other)))
}
