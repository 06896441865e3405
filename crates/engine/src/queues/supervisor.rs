//! Keeps the processors that the queues ask for: starts, wakes, reconfigures, stops them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use campanile_model::QueueDef;
use parking_lot::{Condvar, Mutex, RwLock};

use super::processor::{Counts, Processor};
use super::signal::{Patience, Signal};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::queue_registry::{QUEUE_TABLE, QueueRegistry, shown};
use crate::worker::{SCRIPT_STACK_BYTES, spawn_named};

/// Property: processors are woken by new events; off, they look every poll interval only (§4.5).
pub const WAKE: &str = "campanile.queues.wake";
/// How long a processor or the supervisor rests after the store failed.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Poll interval of a queue whose row cannot be read.
const POLL_UNKNOWN: Duration = Duration::from_secs(5);

/// The processors of this node.
#[derive(Default)]
pub struct Queues {
    signals: RwLock<HashMap<Arc<str>, Arc<Line>>>,
    control: Mutex<Control>,
    changed: Condvar,
    stopping: Arc<AtomicBool>,
}

/// The processors of one queue.
#[derive(Default)]
struct Line {
    signal: Signal,
    busy: AtomicUsize,
    running: AtomicUsize,
}

#[derive(Default)]
struct Control {
    supervisor: Option<JoinHandle<()>>,
    processors: Vec<Running>,
    /// The registry has changed since it was last looked at.
    dirty: bool,
}

struct Running {
    queue: Arc<str>,
    number: usize,
    slot: usize,
    thread: JoinHandle<()>,
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
        control.dirty = true;
        let weak = Arc::downgrade(engine);
        let supervisor =
            spawn_named("queues", None, move || supervise(&weak)).map_err(no_thread)?;
        control.supervisor = Some(supervisor);
        drop(control);
        // At once too, so that whoever starts the queues finds them served.
        self.bring_in_line(engine)
    }

    /// Queues that ask for processors and have none that lives; `None` while the supervisor does not run.
    #[must_use]
    pub fn unserved(&self, registry: &QueueRegistry) -> Option<Vec<String>> {
        let control = self.control.lock();
        if control.supervisor.as_ref().is_none_or(JoinHandle::is_finished) {
            return None;
        }
        let lives = |queue: &QueueDef| {
            let mut processors = control.processors.iter();
            processors.any(|r| r.queue == queue.name && !r.thread.is_finished())
        };
        // What was registered a moment ago is the supervisor's next look.
        let missing = registry
            .queues()
            .filter(|queue| !control.dirty && queue.processors > 0 && !lives(queue));
        Some(missing.map(|queue| shown(&queue.name).to_owned()).collect())
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
        let processors = std::mem::take(&mut self.control.lock().processors);
        for running in processors {
            join(Some(running.thread), &running.queue);
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
        let is_dirty = self.control.lock().dirty;
        let lines = self.signals.read();
        let waits =
            |line: &Arc<Line>| line.signal.waiting() == line.running.load(Ordering::Acquire);
        !is_dirty && !lines.is_empty() && lines.values().all(waits)
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
        self.control.lock().dirty = true;
        self.changed.notify_all();
    }

    /// As [`Queues::reconfigure`], for a thread that is about to end.
    fn replace_lost(&self) {
        let mut control = self.control.lock();
        // A defect that strikes again and again must not keep the machine busy with threads.
        if !self.stopping.load(Ordering::Acquire) {
            self.changed.wait_for(&mut control, REST_AFTER_FAILURE);
        }
        let own = std::thread::current().id();
        control.processors.retain(|running| running.thread.thread().id() != own);
        control.dirty = true;
        self.changed.notify_all();
    }

    fn line(&self, queue: &Arc<str>) -> Arc<Line> {
        let mut signals = self.signals.write();
        Arc::clone(signals.entry(Arc::clone(queue)).or_default())
    }

    /// Starts what is missing. Processors that are not wanted any more end by themselves once they look.
    fn bring_in_line(&self, engine: &Arc<Engine>) -> Result<(), EngineError> {
        let registry = engine.definitions::<QueueRegistry>()?;
        let mut control = self.control.lock();
        control.processors.retain(|running| !running.thread.is_finished());
        for queue in registry.queues() {
            for number in 1..=queue.processors {
                let runs = |r: &Running| r.queue == queue.name && r.number == number;
                if !control.processors.iter().any(runs) {
                    let running = self.processor(engine, queue, number, free_slot(&control))?;
                    control.processors.push(running);
                }
            }
        }
        drop(control);
        self.wake_all();
        Ok(())
    }

    /// Whether a processor that found itself unwanted may end. Under the lock, so that a queue that is scaled down
    /// and up again does not lose it: either it sees the new registry here, or the supervisor misses it later.
    fn retire(&self, processor: &Processor) -> bool {
        let mut control = self.control.lock();
        if processor.is_wanted() {
            return false;
        }
        control.processors.retain(|running| running.slot != processor.slot());
        true
    }

    fn processor(
        &self,
        engine: &Arc<Engine>,
        queue: &QueueDef,
        number: usize,
        slot: usize,
    ) -> Result<Running, EngineError> {
        let line = self.line(&queue.name);
        let name = format!("q-{}-{number}", shown(&queue.name));
        let (engine, queue) = (Arc::clone(engine), Arc::clone(&queue.name));
        let stopping = Arc::clone(&self.stopping);
        let running = Arc::clone(&queue);
        let thread = spawn_named(&name, Some(SCRIPT_STACK_BYTES), move || {
            let processor =
                Processor::new(Arc::clone(&engine), queue, (number, slot), Arc::clone(&stopping));
            let _runs = Runs::count(&engine, &line);
            serve(&engine, &line, processor, &stopping);
        })
        .map_err(no_thread)?;
        Ok(Running { queue: running, number, slot, thread })
    }
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queues").field("processors", &self.control.lock().processors.len()).finish()
    }
}

/// Counts a processor while its thread runs. A thread that ends in a panic is replaced.
struct Runs<'a> {
    engine: &'a Engine,
    line: &'a Line,
}

impl<'a> Runs<'a> {
    fn count(engine: &'a Engine, line: &'a Line) -> Self {
        line.running.fetch_add(1, Ordering::AcqRel);
        Self { engine, line }
    }
}

impl Drop for Runs<'_> {
    fn drop(&mut self) {
        self.line.running.fetch_sub(1, Ordering::AcqRel);
        if std::thread::panicking() {
            tracing::error!("a processor of a queue panicked; another one takes its place");
            self.engine.queues.replace_lost();
        }
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
            queues.changed.wait(&mut control);
            continue;
        }
        control.dirty = false;
        drop(control);
        if let Err(error) = queues.bring_in_line(&engine) {
            tracing::error!(%error, "the processors of the queues could not be brought in line");
            let mut control = queues.control.lock();
            control.dirty = true;
            queues.changed.wait_for(&mut control, REST_AFTER_FAILURE);
        }
    }
}

/// Body of a processor's thread: register for the wake-up, look, wait.
fn serve(engine: &Arc<Engine>, line: &Line, mut processor: Processor, stopping: &AtomicBool) {
    loop {
        let ticket = line.signal.ticket();
        if stopping.load(Ordering::Acquire) {
            return;
        }
        line.busy.fetch_add(1, Ordering::Relaxed);
        let look = processor.run_once();
        line.busy.fetch_sub(1, Ordering::Relaxed);
        let mut patience = Patience {
            next_due: None,
            poll: processor.poll_interval().unwrap_or(POLL_UNKNOWN),
            wake: engine.bool_property(WAKE, true),
        };
        match look {
            Ok(look) if look.unwanted => {
                if engine.queues.retire(&processor) {
                    return;
                }
                continue;
            }
            Ok(look) if look.counts.claimed > look.counts.released => {
                if look.more {
                    line.signal.work();
                }
                continue;
            }
            Ok(look) => patience.next_due = look.next_due,
            Err(error) => {
                tracing::error!(%error, queue.name = processor.queue(), "a processor could not work");
                patience.poll = patience.poll.min(REST_AFTER_FAILURE);
                patience.wake = false;
            }
        }
        line.signal.wait(ticket, patience, engine.clock());
    }
}

fn free_slot(control: &Control) -> usize {
    let is_free = |slot: &usize| control.processors.iter().all(|running| running.slot != *slot);
    (0..).find(is_free).unwrap_or(0)
}

fn join(thread: Option<JoinHandle<()>>, what: &str) {
    let Some(thread) = thread else { return };
    // The last owner of the engine may be one of these threads: it cannot wait for itself.
    if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
        tracing::error!(what, "a thread of the queues ended in a panic");
    }
}

fn no_thread(error: std::io::Error) -> EngineError {
    EngineError::Unavailable(format!("a thread of the queues could not be started: {error}"))
}

/// Handles everything that is due now in all queues, one event after another, on a thread of its own, and returns
/// when nothing is due any more. For tests and tools that step by step move the clock; not beside running
/// processors.
///
/// # Errors
/// What the store answers.
pub fn drain(engine: &Arc<Engine>) -> Result<Counts, EngineError> {
    let engine = Arc::clone(engine);
    let thread = spawn_named("drain", Some(SCRIPT_STACK_BYTES), move || drain_here(&engine));
    match thread.map_err(no_thread)?.join() {
        Ok(counts) => counts,
        Err(_panic) => Err(EngineError::Unavailable("draining the queues panicked".to_owned())),
    }
}

fn drain_here(engine: &Arc<Engine>) -> Result<Counts, EngineError> {
    let stopping = Arc::new(AtomicBool::new(false));
    let mut processors: HashMap<Arc<str>, Processor> = HashMap::new();
    let mut total = Counts::default();
    loop {
        let before = total;
        for queue in engine.definitions::<QueueRegistry>()?.queues() {
            let slot = processors.len();
            let processor = processors.entry(Arc::clone(&queue.name)).or_insert_with(|| {
                let name = Arc::clone(&queue.name);
                Processor::new(Arc::clone(engine), name, (1, slot), Arc::clone(&stopping))
            });
            total += processor.run_once()?.counts;
        }
        // What was handled must be committed before anybody looks, and before it can be claimed again.
        engine.store().flush()?;
        if total == before {
            return Ok(total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
