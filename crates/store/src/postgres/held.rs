//! What this node knows of the events that it has claimed: they also stand in memory, to know at once whose they are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use campanile_model::{Event, SysId};
use parking_lot::{Mutex, RwLock};

use super::births::Births;
use super::distributed::Spread;
use super::floors::Floors;
use super::stale::Fresh;
use super::unanswered::Unanswered;
use crate::contract::ClaimRequest;

/// The claims of this node.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// How rows are spread, in distributed mode.
    spread: Option<Arc<Spread>>,
    claimed: Mutex<HashMap<SysId, Claimed>>,
    /// Events that were being handled here when the lease lapsed, and still are: what comes of that counts for nothing.
    lost: Mutex<HashSet<SysId>>,
    /// Held by whoever asks the database for events until they are noted here, together with others; and alone by whoever gives back
    /// what nobody here holds: in between an event may be claimed there and not be known here yet.
    pub(super) claiming: RwLock<()>,
    /// Events that have begun; those that have ended go at the next look.
    begun: Mutex<HashSet<SysId>>,
    /// Until when nothing of a queue will have waited for too long.
    fresh: Fresh,
    /// Events whose rows say that another processor of this program has them.
    passed_on: Mutex<Vec<SysId>>,
    /// What this node may have claimed and not been told.
    pub(super) unanswered: Unanswered,
    /// What was claimed for its processors at the append, and not handed out yet.
    pub(super) births: Arc<Births>,
    /// From where on claims look.
    pub(super) floors: Arc<Floors>,
    pub(super) asked: Asked,
}

/// How often the database was asked for events to claim, and for how long in all.
#[derive(Debug, Default)]
pub(super) struct Asked {
    count: AtomicU64,
    micros: AtomicU64,
}

impl Asked {
    /// Once more.
    pub(super) fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// How often, and for how many microseconds.
    pub(super) fn so_far(&self) -> (u64, u64) {
        (self.count.load(Ordering::Relaxed), self.micros.load(Ordering::Relaxed))
    }
}

/// What this node knows of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has claimed it, unless the lease has lapsed without its knowledge.
    Claimed,
    /// It handles it under a lease that has lapsed.
    Lost,
    /// Neither.
    Unknown,
}

/// Which claim of which event: an event that was released, or failed, may be claimed again, here too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) sequence: i64,
    /// The lease that it was claimed under.
    pub(super) token: i64,
    /// Attempts that had ended by then.
    pub(super) attempts: i64,
}

/// One claimed event.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    pub(super) event: SysId,
    pub(super) held: Held,
    /// Where it stands, in distributed mode.
    pub(super) partition: Option<i64>,
    pub(super) queue: Arc<str>,
    pub(super) process_on: i64,
    pub(super) epoch: i64,
    pub(super) by: Arc<str>,
    /// When it was claimed, in milliseconds.
    pub(super) at: i64,
    /// Slot of the processor that began to handle it.
    pub(super) slot: Option<usize>,
    /// Its completion was handed in.
    pub(super) ending: bool,
    /// Its handlers may have fired under internal keys.
    pub(super) fired: bool,
    /// Others may wait for its end.
    pub(super) in_turn: bool,
}

impl Claimed {
    /// What was claimed just now; see [`Claims::add`].
    pub(super) fn now(
        event: &Event,
        (partition, token, now): (Option<i64>, i64, i64),
        in_turn: bool,
    ) -> Self {
        Self {
            event: event.fired.sys_id,
            held: Held { sequence: event.sequence, token, attempts: event.attempts },
            partition,
            queue: Arc::clone(&event.fired.queue),
            process_on: event.fired.process_on.as_millis(),
            epoch: event.epoch,
            by: Arc::clone(&event.claimed_by),
            at: now,
            slot: None,
            ending: false,
            // A first attempt starts with no keys; who tried before may have left some.
            fired: event.attempts > 0 || event.lapses > 0,
            in_turn,
        }
    }
}

impl Claims {
    /// None yet; `spread` in distributed mode; how long others may go unheard.
    pub(super) fn new(spread: Option<Arc<Spread>>, unheard_max: Duration) -> Self {
        Self { spread, births: Arc::new(Births::new(unheard_max)), ..Self::default() }
    }

    /// Something that nobody told of may wait in any queue.
    pub(super) fn may_have_missed_some(&self) {
        self.births.may_have_missed_some();
        self.floors.may_have_missed_some();
    }

    /// How rows are spread, in distributed mode.
    pub(super) fn spread(&self) -> Option<&Arc<Spread>> {
        self.spread.as_ref()
    }

    /// Where the claimed `event` stands, in distributed mode.
    pub(super) fn partition(&self, event: &SysId) -> Option<i64> {
        self.claimed.lock().get(event).and_then(|claimed| claimed.partition)
    }

    /// Notes what was claimed just now under `token`; `partition` in distributed mode; whether others may wait for its end. The
    /// same claim may have been made before, and undone by a crash of the server (`UNSYNCED`): who handles the event under that
    /// one ends first, and what comes of it counts for nothing.
    pub(super) fn add(
        &self,
        events: &[Event],
        (partition, token, now): (Option<i64>, i64, i64),
        in_turn: bool,
    ) {
        let mut lost = self.lost.lock();
        let mut all = self.claimed.lock();
        for event in events {
            let new = Claimed::now(event, (partition, token, now), in_turn);
            let same = |old: &&Claimed| old.held == new.held && old.epoch == new.epoch;
            if let Some(undone) = all.get(&new.event).filter(same) {
                if undone.ending {
                    // Its end is the event's, under whichever of the two.
                    continue;
                }
                if undone.slot.is_some() {
                    lost.insert(new.event);
                }
            }
            all.insert(new.event, new);
        }
    }

    /// Hands these events over to `claimed_by`, whoever they were claimed for; their rows may say another one. Those are left out
    /// whose claims have ended or begun, or are others by now.
    pub(super) fn pass_on(&self, events: &mut Vec<Event>, claimed_by: &str) {
        let to: Arc<str> = Arc::from(claimed_by);
        let mut passed_on = self.passed_on.lock();
        let mut all = self.claimed.lock();
        events.retain_mut(|event| {
            let same = |claimed: &&mut Claimed| {
                claimed.by == event.claimed_by
                    && claimed.slot.is_none()
                    && !claimed.ending
                    && claimed.held.sequence == event.sequence
                    && claimed.held.attempts == event.attempts
            };
            let Some(claimed) = all.get_mut(&event.fired.sys_id).filter(same) else { return false };
            if claimed.by != to {
                claimed.by = Arc::clone(&to);
                event.claimed_by = Arc::clone(&to);
                passed_on.push(event.fired.sys_id);
            }
            true
        });
    }

    /// What is being handled by another one than its row says. Each is told once; what was passed on and has not begun stays.
    pub(super) fn passed_on(&self) -> Vec<Claimed> {
        let mut passed_on = self.passed_on.lock();
        if passed_on.is_empty() {
            return Vec::new();
        }
        let all = self.claimed.lock();
        let mut begun = Vec::new();
        passed_on.retain(|event| match all.get(event).filter(|claimed| !claimed.ending) {
            Some(claimed) if claimed.slot.is_some() => {
                begun.push(claimed.clone());
                false
            }
            Some(_) => true,
            None => false,
        });
        begun
    }

    /// See [`crate::EventStore::begin`]. Returns the sequence of the event.
    pub(super) fn begin(&self, event: &SysId, claimed_by: &str, slot: usize) -> Option<i64> {
        // Claimed again while the handler of the lapsed claim still runs: after it.
        if self.lost.lock().contains(event) {
            return None;
        }
        let mut all = self.claimed.lock();
        let is_own = |claimed: &&mut Claimed| {
            *claimed.by == *claimed_by && !claimed.ending && claimed.slot.is_none()
        };
        let claimed = all.get_mut(event).filter(is_own)?;
        claimed.slot = Some(slot);
        let sequence = claimed.held.sequence;
        drop(all);
        self.begun.lock().insert(*event);
        Some(sequence)
    }

    /// Forgets those of `events` that `claimed_by` holds and that are not ending. Returns them.
    pub(super) fn take_out(&self, claimed_by: &str, events: &[SysId]) -> Vec<Claimed> {
        let mut all = self.claimed.lock();
        events
            .iter()
            .filter_map(|event| {
                let is_own = |claimed: &Claimed| !claimed.ending && *claimed.by == *claimed_by;
                all.get(event).is_some_and(is_own).then(|| all.remove(event)).flatten()
            })
            .collect()
    }

    /// As [`Claims::take_out`], each of who has it.
    pub(super) fn take_out_all(&self, events: &[(Arc<str>, SysId)]) -> Vec<Claimed> {
        let each = events.iter();
        each.flat_map(|(by, event)| self.take_out(by, std::slice::from_ref(event))).collect()
    }

    /// Forgets what somebody else has claimed long ago and not begun (§4.3). Returns it, and when the next one will
    /// have waited long enough.
    pub(super) fn take_stale(&self, request: &ClaimRequest<'_>) -> (Vec<Claimed>, Option<i64>) {
        self.fresh.take_stale(request, &self.claimed)
    }

    /// Takes a completion in: from now on the event can be neither completed again nor released. Returns its claim; `None`
    /// when it is not, or no longer, somebody's.
    pub(super) fn begin_ending(&self, event: &SysId, epoch: i64) -> Option<Held> {
        let mut all = self.claimed.lock();
        let claimed = all.get_mut(event)?;
        if claimed.ending || claimed.epoch != epoch {
            return None;
        }
        claimed.ending = true;
        Some(claimed.held)
    }

    /// How this event stands, by its key.
    pub(super) fn standing(&self, event: &str) -> Standing {
        let Ok(event) = event.parse::<SysId>() else { return Standing::Unknown };
        if self.lost.lock().contains(&event) {
            Standing::Lost
        } else if self.claimed.lock().contains_key(&event) {
            Standing::Claimed
        } else {
            Standing::Unknown
        }
    }

    /// Ends the handling of an event that was lost. `None` when it was not; else the claim that waited for this end,
    /// forgotten, if there is one.
    pub(super) fn end_lost(&self, event: &SysId) -> Option<Option<Claimed>> {
        self.lost.lock().remove(event).then(|| self.claimed.lock().remove(event))
    }

    /// The claim of an event.
    pub(super) fn held(&self, event: &SysId) -> Option<Held> {
        if self.lost.lock().contains(event) {
            return None;
        }
        self.claimed.lock().get(event).map(|claimed| claimed.held)
    }

    /// Notes that a handler of this event fires under an internal key.
    pub(super) fn mark_fired(&self, event: &SysId) {
        if let Some(claimed) = self.claimed.lock().get_mut(event) {
            claimed.fired = true;
        }
    }

    /// Whether handlers of this claimed event may have fired under internal keys.
    pub(super) fn has_fired(&self, event: &SysId) -> bool {
        self.claimed.lock().get(event).is_none_or(|claimed| claimed.fired)
    }

    /// Whether others may wait for the end of this claimed event.
    pub(super) fn is_in_turn(&self, event: &SysId) -> bool {
        self.claimed.lock().get(event).is_some_and(|claimed| claimed.in_turn)
    }

    /// The queue of this claimed event, if others may wait for its end.
    pub(super) fn queue_in_turn(&self, event: &SysId) -> Option<Arc<str>> {
        let all = self.claimed.lock();
        all.get(event).filter(|claimed| claimed.in_turn).map(|claimed| Arc::clone(&claimed.queue))
    }

    /// Those of claims that were given up whose events this node has not claimed again since.
    pub(super) fn not_again(&self, given: &[Claimed]) -> Vec<Claimed> {
        let all = self.claimed.lock();
        given.iter().filter(|given| !all.contains_key(&given.event)).cloned().collect()
    }

    /// Ends this claim of the event for good. Returns it; `None`, and nothing happens, when the event is held by another one.
    pub(super) fn end(&self, event: &SysId, held: Held) -> Option<Claimed> {
        let mut all = self.claimed.lock();
        let is_meant = all.get(event).is_some_and(|claimed| claimed.ending && claimed.held == held);
        is_meant.then(|| all.remove(event)).flatten()
    }

    /// What this program holds as far as it knows, if the database may have claimed more for this processor. Of all its
    /// processors: what was born for one may be another's by now. Not while events are promised to it: they may be there
    /// already, and are not known yet.
    pub(super) fn known_of_unanswered(&self, claimed_by: &str) -> Option<Vec<i64>> {
        if self.births.is_promised(claimed_by) || !self.unanswered.is_to_be_looked_at(claimed_by) {
            return None;
        }
        Some(self.all_known())
    }

    /// Sequences of all that this program holds as far as it knows.
    pub(super) fn all_known(&self) -> Vec<i64> {
        self.claimed.lock().values().map(|claimed| claimed.held.sequence).collect()
    }

    /// Forgets everything: this node has lost its lease `token`.
    pub(super) fn forget_all(&self, token: i64) {
        self.births.forget(token);
        let mut lost = self.lost.lock();
        for (event, claimed) in self.claimed.lock().drain() {
            if claimed.slot.is_some() && !claimed.ending {
                lost.insert(event);
            }
        }
    }

    /// Sequences of the events that are being handled.
    pub(super) fn handling(&self) -> Vec<i64> {
        let mut begun = self.begun.lock();
        let all = self.claimed.lock();
        let mut sequences = Vec::with_capacity(begun.len());
        begun.retain(|event| {
            let claimed = all.get(event).filter(|it| it.slot.is_some() && !it.ending);
            sequences.extend(claimed.map(|claimed| claimed.held.sequence));
            claimed.is_some()
        });
        sequences
    }

    /// Number of claimed events.
    pub(super) fn len(&self) -> usize {
        self.claimed.lock().len()
    }
}
