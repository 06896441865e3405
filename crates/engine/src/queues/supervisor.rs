//! Keeps the processors that the queues ask for: starts, wakes, reconfigures, stops them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant as Monotonic};

use campanile_model::{Nodes, QueueDef};
use parking_lot::{Condvar, Mutex, RwLock};

use super::line::{Line, Runs, serve};
use super::processor::Processor;
use super::roster::{Place, Roster};
use super::shortage::{REST_AFTER_SHORTAGE, Shortage};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::queue_registry::{QUEUE_TABLE, QueueRegistry, shown};
use crate::worker::{SCRIPT_STACK_BYTES, spawn_named};

/// Property: processors are woken by new events; off, they look every poll interval only (§4.5).
pub const WAKE: &str = "campanile.queues.wake";
/// How long a processor or the supervisor rests after the store failed.
pub(super) const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// A change of the registry that was not looked at for so long means that the supervisor does not come round.
const LOOK_OVERDUE: Duration = Duration::from_secs(10);
/// How often to look whether nodes have come or gone.
const NODES_LOOK_EVERY: Duration = Duration::from_secs(1);

/// The processors of this node.
#[derive(Default)]
pub struct Queues {
    signals: RwLock<HashMap<Arc<str>, Arc<Line>>>,
    control: Mutex<Control>,
    changed: Condvar,
    stopping: Arc<AtomicBool>,
}

#[derive(Default)]
struct Control {
    supervisor: Option<JoinHandle<()>>,
    roster: Roster,
    /// The registry has changed since the last look began.
    dirty: bool,
    /// Since when there is a change that no look has seen to its end.
    pending: Option<Monotonic>,
    /// The registry that was last looked at.
    seen: Option<Arc<QueueRegistry>>,
    /// The nodes at the last look.
    nodes: Option<Nodes>,
    /// What the machine did not give at the last look.
    shortage: Shortage,
}

impl Queues {
    /// Starts the supervisor, which starts the processors and keeps them in line with the registry.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] when the machine gives no thread.
    pub fn start(&self, engine: &Arc<Engine>) -> Result<(), EngineError> {
        let mut control = self.control.lock();
        if control.supervisor.is_some() {
            return Ok(());
        }
        self.stopping.store(false, Ordering::Release);
        let listener = Arc::downgrade(engine);
        // Register for the wake-up first; processors look once they are there.
        engine.store().set_wake_listener(Arc::new(move |queue, _due| {
            if let Some(engine) = listener.upgrade() {
                engine.queues.wake(queue);
            }
        }));
        // Seen by the other nodes, so that each has its share of what is constant.
        engine.store().serve(true)?;
        control.note_change();
        let weak = Arc::downgrade(engine);
        let supervisor =
            spawn_named("queues", None, move || supervise(&weak)).map_err(no_thread)?;
        control.supervisor = Some(supervisor);
        drop(control);
        // At once too, so that whoever starts the queues finds them served.
        self.bring_in_line(engine)
    }

    /// Queues that ask for processors on this one of `nodes` and have none that lives, in the order of their names; `None`
    /// while the supervisor does not run. A queue that was registered a moment ago counts once the supervisor has looked at it, or is overdue.
    #[must_use]
    pub fn unserved(&self, registry: &QueueRegistry, nodes: &Nodes) -> Option<Vec<String>> {
        let mut control = self.control.lock();
        if control.supervisor.as_ref().is_none_or(JoinHandle::is_finished) {
            return None;
        }
        let is_overdue = control.pending.is_some_and(|since| since.elapsed() >= LOOK_OVERDUE);
        let (mut missing, mut any_new) = (Vec::new(), false);
        let asks = |queue: &&Arc<QueueDef>| queue.placement.share(&queue.name, nodes) > 0;
        for queue in registry.queues().filter(asks) {
            let serves = control.roster.serves(&queue.name);
            any_new |= serves.is_none();
            if !serves.unwrap_or(!is_overdue) {
                missing.push(shown(&queue.name).to_owned());
            }
        }
        if any_new && control.pending.is_none() {
            // Nobody has told the supervisor of it: it must not stay new for ever.
            control.note_change();
            self.changed.notify_all();
        }
        missing.sort_unstable();
        Some(missing)
    }

    /// Stops all processors: each finishes its event and gives the rest of its batch back. Returns when all threads
    /// have ended; does nothing when nothing runs.
    pub fn stop(&self) {
        let supervisor = {
            // Under the lock: the supervisor must not go to sleep between its look at the flag and this wake-up.
            let mut control = self.control.lock();
            self.stopping.store(true, Ordering::Release);
            self.changed.notify_all();
            control.supervisor.take()
        };
        join(supervisor, "queues");
        for line in self.signals.read().values() {
            line.signal.everybody();
        }
        let processors = self.control.lock().roster.take_all();
        for (queue, thread) in processors {
            join(Some(thread), &queue);
        }
    }

    /// A processor of `queue` looks for work. A queue that is not served yet makes the supervisor look.
    pub fn wake(&self, queue: &str) {
        self.wake_or(queue, Self::reconfigure);
    }

    /// As [`Queues::wake`], with what is done for a queue that is not served.
    fn wake_or(&self, queue: &str, unserved: impl FnOnce(&Self)) {
        // Let go of before the control is taken: the supervisor takes them in the other order, and the thread that wakes
        // is the writer, so that everybody would wait for ever.
        let line = self.signals.read().get(queue).cloned();
        match line {
            Some(line) => line.signal.work(),
            None => unserved(self),
        }
    }

    /// Every processor looks, for tests that move the clock.
    pub fn wake_all(&self) {
        for line in self.signals.read().values() {
            line.signal.everybody();
        }
    }

    /// Committed operations wrote rows of `table`.
    pub fn table_changed(&self, table: &str) {
        match table {
            QUEUE_TABLE => self.reconfigure(),
            "sys_properties" => self.wake_all(),
            _ => {}
        }
    }

    /// Whether every processor that runs has seen the last change of the registry or of a property, and waits. For
    /// tests.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let control = self.control.lock();
        let (is_pending, started) = (control.pending.is_some(), control.roster.len());
        drop(control);
        let lines = self.signals.read();
        let running = |line: &Arc<Line>| line.running.load(Ordering::Acquire);
        let waits = |line: &Arc<Line>| line.signal.waiting() == running(line);
        // One whose thread has not come to run yet has its first look before it.
        let all_run = lines.values().map(running).sum::<usize>() == started;
        !is_pending && started > 0 && all_run && lines.values().all(waits)
    }

    /// Queue, busy processors, idle processors.
    #[must_use]
    pub fn processors(&self) -> Vec<(Arc<str>, usize, usize)> {
        let signals = self.signals.read();
        let counts = signals.iter().map(|(queue, line)| {
            let busy = line.busy.load(Ordering::Relaxed);
            let running = line.running.load(Ordering::Relaxed);
            (Arc::clone(queue), busy, running.saturating_sub(busy))
        });
        counts.collect()
    }

    fn reconfigure(&self) {
        self.control.lock().note_change();
        self.changed.notify_all();
    }

    /// As [`Queues::reconfigure`], for the thread of the processor in `place`, which is about to end.
    pub(super) fn replace_lost(&self, place: &Place) {
        let mut control = self.control.lock();
        // A defect that strikes again and again must not keep the machine busy with threads.
        if !self.stopping.load(Ordering::Acquire) {
            self.changed.wait_for(&mut control, REST_AFTER_FAILURE);
        }
        control.roster.forget(place);
        control.note_change();
        self.changed.notify_all();
    }

    fn line(&self, queue: &Arc<str>) -> Arc<Line> {
        let mut signals = self.signals.write();
        Arc::clone(signals.entry(Arc::clone(queue)).or_default())
    }

    /// Starts what is missing, as far as the machine gives threads, and tells processors of what has changed. Those that
    /// are not wanted any more end by themselves once they look.
    fn bring_in_line(&self, engine: &Arc<Engine>) -> Result<(), EngineError> {
        let began = Monotonic::now();
        let registry = engine.definitions::<QueueRegistry>()?;
        let nodes = engine.store().nodes();
        let before = self.control.lock().nodes.replace(nodes.clone());
        let shortage =
            self.start_missing((&registry, &nodes), |place| self.start_one(engine, place));
        self.tell_of_changes(&registry);
        if before.is_some_and(|before| before != nodes) {
            // Those that are another node's now are to end.
            self.wake_all();
        }
        self.end_look(began, shortage);
        Ok(())
    }

    /// Starts each processor that is missing; one that is not given does not keep the others from being started. Ends
    /// early when the queues are stopped.
    fn start_missing(
        &self,
        (registry, nodes): (&QueueRegistry, &Nodes),
        start: impl Fn(Place) -> std::io::Result<JoinHandle<()>>,
    ) -> Shortage {
        let vacancies = self.control.lock().roster.vacancies(registry, nodes);
        let mut shortage = Shortage::default();
        for vacancy in vacancies {
            // Held for one processor at a time: the thread that wakes queues is the writer, and must not wait long.
            let mut control = self.control.lock();
            if self.stopping.load(Ordering::Acquire) {
                break;
            }
            if let Err(error) = control.roster.fill(&vacancy, &start) {
                shortage.note(&vacancy, &error);
            }
        }
        shortage
    }

    /// Lets those processors look whose queue is not as it was.
    fn tell_of_changes(&self, registry: &Arc<QueueRegistry>) {
        let seen = self.control.lock().seen.replace(Arc::clone(registry));
        let Some(seen) = seen else { return self.wake_all() };
        if Arc::ptr_eq(&seen, registry) {
            return;
        }
        for (queue, line) in self.signals.read().iter() {
            if seen.find(queue) != registry.find(queue) {
                line.signal.everybody();
            }
        }
    }

    fn end_look(&self, began: Monotonic, shortage: Shortage) {
        let mut control = self.control.lock();
        // What came meanwhile came after the beginning.
        control.pending = control.dirty.then_some(began);
        let before = std::mem::replace(&mut control.shortage, shortage);
        control.shortage.tell(&before);
    }

    /// Whether a processor that found itself unwanted may end. Under the lock, so that a queue that is scaled down
    /// and up again does not lose it: either it sees the new registry here, or the supervisor misses it later.
    pub(super) fn retire(&self, processor: &Processor) -> bool {
        let mut control = self.control.lock();
        if processor.is_wanted() {
            return false;
        }
        control.roster.forget(&processor.place());
        true
    }

    fn start_one(&self, engine: &Arc<Engine>, place: Place) -> std::io::Result<JoinHandle<()>> {
        let line = self.line(&place.queue);
        let name = format!("q-{}-{}", shown(&place.queue), place.number);
        let engine = Arc::clone(engine);
        let stopping = Arc::clone(&self.stopping);
        spawn_named(&name, Some(SCRIPT_STACK_BYTES), move || {
            let which = (place.number, place.slot);
            let queue = Arc::clone(&place.queue);
            let processor =
                Processor::new(Arc::clone(&engine), queue, which, Arc::clone(&stopping)).staying();
            let _runs = Runs::count(&engine, &line, place);
            serve(&engine, &line, processor, &stopping);
        })
    }
}

impl Control {
    /// The registry is not as it was: the supervisor has to look.
    fn note_change(&mut self) {
        self.dirty = true;
        self.pending.get_or_insert_with(Monotonic::now);
    }
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queues").field("processors", &self.control.lock().roster.len()).finish()
    }
}

/// Body of the supervisor's thread.
fn supervise(engine: &Weak<Engine>) {
    loop {
        let Some(engine) = engine.upgrade() else { return };
        let queues = &engine.queues;
        let mut control = queues.control.lock();
        if queues.stopping.load(Ordering::Acquire) {
            return;
        }
        if !control.dirty {
            let patience =
                if control.shortage.is_none() { NODES_LOOK_EVERY } else { REST_AFTER_SHORTAGE };
            if queues.changed.wait_for(&mut control, patience).timed_out() {
                let has_moved = control.nodes.as_ref() != Some(&engine.store().nodes());
                if has_moved || !control.shortage.is_none() {
                    control.note_change();
                }
            }
            continue;
        }
        control.dirty = false;
        drop(control);
        if let Err(error) = queues.bring_in_line(&engine) {
            tracing::error!(%error, "the processors of the queues could not be brought in line");
            let mut control = queues.control.lock();
            control.note_change();
            queues.changed.wait_for(&mut control, REST_AFTER_FAILURE);
        }
    }
}

fn join(thread: Option<JoinHandle<()>>, what: &str) {
    let Some(thread) = thread else { return };
    // The last owner of the engine may be one of these threads: it cannot wait for itself.
    if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
        tracing::error!(what, "a thread of the queues ended in a panic");
    }
}

pub(super) fn no_thread(error: std::io::Error) -> EngineError {
    EngineError::Unavailable(format!("a thread of the queues could not be started: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::queues::roster::tests::queue;

    #[test]
    fn whoever_wakes_a_queue_that_is_not_served_holds_nothing_that_the_supervisor_needs() {
        let queues = Queues::default();
        let mut asked = false;
        // Here the thread that wakes (the writer) waits for the control, which the supervisor has while it adds a line.
        queues.wake_or("brand_new", |queues| {
            asked = true;
            let _control = queues.control.try_lock().expect("the control is free");
            assert!(queues.signals.try_write().is_some(), "the supervisor could not add its line");
        });
        assert!(asked);
    }

    #[test]
    fn a_served_queue_is_woken_while_the_supervisor_has_the_control() {
        let queues = Queues::default();
        let line = queues.line(&Arc::from("served"));
        let before = line.signal.ticket();
        let _supervisor = queues.control.lock();
        queues.wake("served");
        assert_ne!(line.signal.ticket(), before);
    }
    /// Body of a thread that does not end.
    fn live() {
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn unserved_queues_are_named_while_the_registry_keeps_changing_and_new_ones_are_no_alarm() {
        let named = |names: &[&str]| QueueRegistry::new(names.iter().map(|name| queue(name, 1)));
        let alive = || spawn_named("lives", None, live);
        let queues = Queues::default();
        assert_eq!(queues.unserved(&named(&[]), &Nodes::alone()), None, "no supervisor runs");
        queues.control.lock().supervisor = Some(alive().unwrap());
        let start = |place: Place| match &*place.queue {
            "denied" => Err(ErrorKind::WouldBlock.into()),
            _ => alive(),
        };
        let shortage =
            queues.start_missing((&named(&["", "denied", "served"]), &Nodes::alone()), start);
        queues.end_look(Monotonic::now(), shortage);
        assert!(!queues.control.lock().shortage.is_none());
        queues.reconfigure();
        let changed = named(&["", "denied", "served", "new"]);
        assert_eq!(queues.unserved(&changed, &Nodes::alone()), Some(vec!["denied".to_owned()]));
        let long_ago = Monotonic::now().checked_sub(LOOK_OVERDUE).unwrap();
        queues.control.lock().pending = Some(long_ago);
        let overdue = ["denied", "new"].map(str::to_owned).to_vec();
        assert_eq!(
            queues.unserved(&changed, &Nodes::alone()),
            Some(overdue),
            "nobody comes to look"
        );
        let shortage = queues.start_missing((&changed, &Nodes::alone()), |_| alive());
        queues.end_look(Monotonic::now(), shortage);
        assert!(queues.control.lock().shortage.is_none(), "the machine has threads again");
        assert_eq!(queues.unserved(&changed, &Nodes::alone()), Some(Vec::new()));
    }

    #[test]
    fn processors_are_woken_by_a_change_of_their_own_queue_alone() {
        let queues = Queues::default();
        let lines = ["a", "b"].map(|name| queues.line(&Arc::from(name)));
        let tickets = || [lines[0].signal.ticket(), lines[1].signal.ticket()];
        let told = |a: &[QueueDef], b: QueueDef| {
            let before = tickets();
            queues.tell_of_changes(&Arc::new(QueueRegistry::new(a.iter().cloned().chain([b]))));
            let after = tickets();
            [before[0] != after[0], before[1] != after[1]]
        };
        let (a, b) = ([queue("a", 1)], queue("b", 1));
        assert_eq!(told(&a, b.clone()), [true, true], "at first, all");
        assert_eq!(told(&a, b.clone()), [false, false]);
        let paused = QueueDef { active: false, ..b.clone() };
        assert_eq!(told(&a, paused), [false, true]);
        assert_eq!(told(&a, b.clone()), [false, true]);
        let paused_and_resumed = QueueDef { revision: (None, 2), ..b.clone() };
        assert_eq!(told(&a, paused_and_resumed), [false, true], "it may have seen the pause");
        assert_eq!(told(&[], b), [true, true], "one is gone");
    }

    #[test]
    fn a_queue_that_the_supervisor_was_not_told_of_is_told_to_it() {
        let queues = Queues::default();
        queues.control.lock().supervisor = Some(spawn_named("lives", None, live).unwrap());
        let registry = QueueRegistry::new([queue("unheard_of", 1)]);
        assert_eq!(queues.unserved(&registry, &Nodes::alone()), Some(Vec::new()));
        let control = queues.control.lock();
        assert!(control.dirty && control.pending.is_some());
    }
}
