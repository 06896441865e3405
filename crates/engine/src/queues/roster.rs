//! Which processors of this node run, and which queues have none.
//!
//! It starts and stops no thread: the supervisor does, and says how.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use campanile_model::limits::PROCESSORS_MAX;
use campanile_model::{Nodes, QueueDef};

use crate::events::queue_registry::QueueRegistry;

/// The processors that run, by queue. A queue that stands here has been looked at, even when it has no processor.
#[derive(Default)]
pub(super) struct Roster {
    queues: HashMap<Arc<str>, BTreeMap<usize, Running>>,
    slots: Slots,
}

struct Running {
    slot: usize,
    thread: JoinHandle<()>,
}

/// A processor that a queue asks for and that does not run.
#[derive(Debug, Clone)]
pub(super) struct Vacancy {
    pub(super) queue: Arc<QueueDef>,
    /// From 1.
    pub(super) number: usize,
}

/// Where a processor stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) queue: Arc<str>,
    /// From 1, within its queue.
    pub(super) number: usize,
    /// Unique among the processors of this node.
    pub(super) slot: usize,
}

impl Roster {
    /// What is missing for `registry` on this one of `nodes`. When the machine has not enough threads, the first ones count most: one for each
    /// queue before second ones, and queues that somebody registered before provisional ones. All queues of `registry`
    /// have been looked at afterwards.
    pub(super) fn vacancies(&mut self, registry: &QueueRegistry, nodes: &Nodes) -> Vec<Vacancy> {
        let mut vacancies = Vec::new();
        for queue in registry.queues() {
            let running = self.queues.entry(Arc::clone(&queue.name)).or_default();
            running.retain(|_, running| self.slots.keep_unless_ended(running));
            let share = queue.placement.share(&queue.name, nodes);
            for number in
                (1..=share.min(PROCESSORS_MAX)).filter(|number| !running.contains_key(number))
            {
                vacancies.push(Vacancy { queue: Arc::clone(queue), number });
            }
        }
        self.queues.retain(|name, running| !running.is_empty() || registry.find(name).is_some());
        vacancies.sort_unstable_by(|a, b| a.rank().cmp(&b.rank()));
        vacancies
    }

    /// Lets `start` start a processor in the given place, unless one runs there already.
    ///
    /// # Errors
    /// What `start` answers; when there are as many processors as there may be.
    pub(super) fn fill(
        &mut self,
        vacancy: &Vacancy,
        start: impl FnOnce(Place) -> io::Result<JoinHandle<()>>,
    ) -> io::Result<()> {
        let running = self.queues.entry(Arc::clone(&vacancy.queue.name)).or_default();
        if running.contains_key(&vacancy.number) {
            return Ok(());
        }
        let Some(slot) = self.slots.take() else {
            return Err(io::Error::other(format!(
                "this node has {PROCESSORS_MAX} processors already, which is the limit"
            )));
        };
        let queue = Arc::clone(&vacancy.queue.name);
        match start(Place { queue, number: vacancy.number, slot }) {
            Ok(thread) => {
                running.insert(vacancy.number, Running { slot, thread });
                Ok(())
            }
            Err(error) => {
                self.slots.give_back(slot);
                Err(error)
            }
        }
    }

    /// The processor in this place has ended, or is about to. A queue that has lost its last one has to be looked at anew.
    pub(super) fn forget(&mut self, place: &Place) {
        let Some(running) = self.queues.get_mut(&place.queue) else { return };
        if running.get(&place.number).is_some_and(|running| running.slot == place.slot) {
            running.remove(&place.number);
            self.slots.give_back(place.slot);
        }
        if running.is_empty() {
            self.queues.remove(&place.queue);
        }
    }

    /// Whether a processor of `queue` lives; `None` when the queue has not been looked at yet.
    pub(super) fn serves(&self, queue: &str) -> Option<bool> {
        let running = self.queues.get(queue)?;
        Some(running.values().any(|running| !running.thread.is_finished()))
    }

    /// How many processors run.
    pub(super) fn len(&self) -> usize {
        self.queues.values().map(BTreeMap::len).sum()
    }

    /// Leaves nothing behind; the threads, with the names of their queues.
    pub(super) fn take_all(&mut self) -> Vec<(Arc<str>, JoinHandle<()>)> {
        let queues = std::mem::take(self).queues.into_iter();
        let threads = queues.flat_map(|(queue, running)| {
            running.into_values().map(move |running| (Arc::clone(&queue), running.thread))
        });
        threads.collect()
    }
}

impl Vacancy {
    fn rank(&self) -> (usize, bool, &Arc<str>) {
        (self.number, self.queue.provisional, &self.queue.name)
    }
}

/// Small numbers that are taken and given back; the least free one comes first.
#[derive(Default)]
struct Slots {
    /// Every number from here on is free.
    next: usize,
    /// Free ones below.
    free: BTreeSet<usize>,
}

impl Slots {
    fn take(&mut self) -> Option<usize> {
        if let Some(slot) = self.free.pop_first() {
            return Some(slot);
        }
        (self.next < PROCESSORS_MAX).then(|| {
            self.next += 1;
            self.next - 1
        })
    }

    fn give_back(&mut self, slot: usize) {
        self.free.insert(slot);
    }

    fn keep_unless_ended(&mut self, running: &Running) -> bool {
        let has_ended = running.thread.is_finished();
        if has_ended {
            self.give_back(running.slot);
        }
        !has_ended
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use campanile_model::{Placement, QueueOrder};

    use super::*;
    use crate::worker::spawn_named;

    pub(in crate::queues) fn queue(name: &str, processors: usize) -> QueueDef {
        let second = Duration::from_secs(1);
        QueueDef {
            name: Arc::from(name),
            active: true,
            placement: Placement::PerNode(processors),
            order: QueueOrder::Parallel,
            halts_on_error: false,
            poll_interval: second,
            claim_limit: 1,
            max_attempts: 1,
            retry_backoff: second,
            handler_timeout: second,
            provisional: false,
            revision: (None, 0),
        }
    }

    /// A thread that lives until the sender is dropped.
    fn thread() -> (Sender<()>, io::Result<JoinHandle<()>>) {
        let (life, end) = channel::<()>();
        (life, spawn_named("processor", None, move || assert!(end.recv().is_err())))
    }

    /// Fills all vacancies but those of `denied`; what keeps the threads alive, and the places that were filled.
    fn fill_but(
        roster: &mut Roster,
        registry: &QueueRegistry,
        denied: &str,
    ) -> (Vec<Sender<()>>, Vec<Place>) {
        let (mut lives, mut places) = (Vec::new(), Vec::new());
        for vacancy in roster.vacancies(registry, &Nodes::alone()) {
            let started = roster.fill(&vacancy, |place| {
                if *place.queue == *denied {
                    return Err(io::Error::from(io::ErrorKind::WouldBlock));
                }
                let (life, thread) = thread();
                lives.push(life);
                places.push(place);
                thread
            });
            assert_eq!(started.is_err(), *vacancy.queue.name == *denied);
        }
        (lives, places)
    }

    #[test]
    fn a_thread_that_is_not_given_leaves_its_queue_unserved_and_the_others_served() {
        let mut roster = Roster::default();
        let registry = QueueRegistry::new(["a", "b", "c"].map(|name| queue(name, 1)));
        let (_lives, places) = fill_but(&mut roster, &registry, "b");
        assert_eq!(
            ["a", "b", "c"].map(|q| roster.serves(q)),
            [Some(true), Some(false), Some(true)]
        );
        assert_eq!(places.iter().map(|place| place.slot).collect::<Vec<_>>(), [0, 1]);
        let vacancies = roster.vacancies(&registry, &Nodes::alone());
        assert_eq!(vacancies.iter().map(|v| &*v.queue.name).collect::<Vec<_>>(), ["b"]);
        let (_life, places) = fill_but(&mut roster, &registry, "none");
        assert_eq!(places, [Place { queue: Arc::from("b"), number: 1, slot: 2 }]);
        assert_eq!((roster.serves("b"), roster.len()), (Some(true), 3));
    }

    #[test]
    fn every_queue_has_its_first_processor_before_any_has_its_second_and_registered_ones_come_first()
     {
        let registry = QueueRegistry::new([
            queue("b", 2),
            queue("", 3),
            QueueDef { provisional: true, ..queue("a_provisional", 1) },
        ]);
        let vacancies = Roster::default().vacancies(&registry, &Nodes::alone());
        let order: Vec<_> = vacancies.iter().map(|v| (&*v.queue.name, v.number)).collect();
        assert_eq!(order, [("", 1), ("b", 1), ("a_provisional", 1), ("", 2), ("b", 2), ("", 3)]);
    }

    #[test]
    fn a_queue_is_unknown_until_it_was_looked_at_and_once_it_has_lost_its_last_processor() {
        let mut roster = Roster::default();
        assert_eq!(roster.serves("a"), None);
        let registry = QueueRegistry::new([queue("a", 1)]);
        let (_lives, places) = fill_but(&mut roster, &registry, "none");
        roster.forget(&Place { slot: 7, ..places[0].clone() });
        assert_eq!(roster.serves("a"), Some(true), "another one stood there before");
        roster.forget(&places[0]);
        assert_eq!(roster.serves("a"), None);
        fill_but(&mut roster, &registry, "a");
        assert_eq!(roster.serves("a"), Some(false));
        assert!(roster.vacancies(&QueueRegistry::default(), &Nodes::alone()).is_empty());
        assert_eq!(roster.serves("a"), None, "it is gone");
    }

    #[test]
    fn the_place_and_the_slot_of_a_processor_that_ended_are_filled_again() {
        let mut roster = Roster::default();
        let registry = QueueRegistry::new([queue("a", 2)]);
        let (mut lives, _) = fill_but(&mut roster, &registry, "none");
        drop(lives.remove(0));
        let ended = (0..1_000_000).any(|_| {
            std::thread::yield_now();
            roster.queues["a"][&1].thread.is_finished()
        });
        assert!(ended);
        let (_life, places) = fill_but(&mut roster, &registry, "none");
        assert_eq!(places, [Place { queue: Arc::from("a"), number: 1, slot: 0 }]);
    }

    #[test]
    fn more_processors_than_there_may_be_are_not_started() {
        let mut roster = Roster::default();
        roster.slots.next = PROCESSORS_MAX;
        let vacancy = Vacancy { queue: Arc::new(queue("a", 1)), number: 1 };
        let refused = roster.fill(&vacancy, |_| panic!("there is no slot")).unwrap_err();
        assert!(refused.to_string().contains("4096 processors"), "{refused}");
        roster.slots.give_back(9);
        roster.fill(&vacancy, |_| thread().1).unwrap();
        assert_eq!(roster.len(), 1);
    }

    #[test]
    fn there_are_as_many_slots_as_processors_may_be_and_the_least_is_taken_first() {
        let mut slots = Slots::default();
        assert!((0..PROCESSORS_MAX).all(|slot| slots.take() == Some(slot)));
        assert_eq!(slots.take(), None);
        [5, 3].into_iter().for_each(|slot| slots.give_back(slot));
        assert_eq!([slots.take(), slots.take(), slots.take()], [Some(3), Some(5), None]);
    }
}
