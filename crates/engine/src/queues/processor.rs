//! One processor: claims events of one queue in batches and handles them one after another.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use campanile_model::{Event, Instant, Nodes, QueueDef, QueueOrder, SysId};
use campanile_store::{Claim, ClaimRequest, Completion, NextState};

use super::metrics::QueueMetrics;
use super::order::waits_for;
use super::pace::Pace;
use super::roster::Place;
use super::supervisor::WAKE;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::queue_registry::{QueueRegistry, shown};
use crate::handlers::dispatch;
use crate::worker::Worker;

/// Property: claims follow priority (§4.1).
pub const PRIORITY_ENABLED: &str = "com.glide.sysevent.priority.enabled";

/// What one look at the queue came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Events that were claimed.
    pub claimed: usize,
    /// Of these, processed.
    pub processed: usize,
    /// Of these, to be tried again later.
    pub retried: usize,
    /// Of these, in error.
    pub failed: usize,
    /// Of these, given back unhandled, or taken by another processor meanwhile (§4.3).
    pub released: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.claimed += other.claimed;
        self.processed += other.processed;
        self.retried += other.retried;
        self.failed += other.failed;
        self.released += other.released;
    }
}

/// One look: the counts, and what is known of what waits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// What was done.
    pub counts: Counts,
    /// When the next waiting event becomes due.
    pub next_due: Option<Instant>,
    /// More due events wait than were claimed.
    pub more: bool,
    /// The queue no longer wants this processor: it is gone, or has fewer.
    pub unwanted: bool,
}

/// A processor; lives on one thread. The sandbox is made at the first event.
pub struct Processor {
    engine: Arc<Engine>,
    queue: Arc<str>,
    /// From 1, within its queue and node.
    number: usize,
    /// Unique among the processors of this node.
    slot: usize,
    claimed_by: String,
    stopping: Arc<AtomicBool>,
    /// It looks again whenever its queue is woken: the store may claim for it what is fired.
    stays: bool,
    pace: Pace,
    /// What it found last of its queue's processors on this node: it asks at every event.
    share: RefCell<Option<Share>>,
    /// Made at the first event: whoever collects the numbers is there by then.
    metrics: Option<QueueMetrics>,
    worker: Option<Worker>,
}

/// How many processors a queue has on this node, and what that follows from.
struct Share {
    queue: Arc<QueueDef>,
    nodes: Nodes,
    count: usize,
}

impl Processor {
    /// Processor `number` (from 1) of `queue`; `slot` is unique among the processors of this node. Once
    /// `stopping` is set it finishes its event and gives the rest back.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        queue: Arc<str>,
        (number, slot): (usize, usize),
        stopping: Arc<AtomicBool>,
    ) -> Self {
        let claimed_by = format!("{}/{}/{number}", engine.node(), shown(&queue));
        let pace = Pace::default();
        Self {
            engine,
            queue,
            number,
            slot,
            claimed_by,
            stopping,
            stays: false,
            pace,
            share: RefCell::default(),
            metrics: None,
            worker: None,
        }
    }

    /// The same for who runs it again whenever the queue is woken, until it is dropped.
    #[must_use]
    pub fn staying(mut self) -> Self {
        self.stays = true;
        self
    }

    /// Claims one batch and handles it.
    ///
    /// # Errors
    /// What the store answers; events that were claimed and not handled are given back.
    pub fn run_once(&mut self) -> Result<Look, EngineError> {
        let look = self.look();
        if look.is_err() {
            // It rests before it looks again, and may fail again: what is claimed for it meanwhile would wait for that.
            self.leave();
        }
        look
    }

    fn look(&mut self) -> Result<Look, EngineError> {
        let Some(queue) = self.wanted_queue()? else {
            self.leave();
            return Ok(Look { unwanted: true, ..Look::default() });
        };
        if !queue.active || self.stopping.load(Ordering::Acquire) {
            self.leave();
            return Ok(Look::default());
        }
        self.stay(&queue);
        let engine = Arc::clone(&self.engine);
        let now = engine.clock().now();
        let claim = engine.store().claim(&ClaimRequest {
            queue: &queue.name,
            limit: self.batch(&queue),
            claimed_by: &self.claimed_by,
            by_priority: engine.bool_property(PRIORITY_ENABLED, true),
            now,
        })?;
        let mut look = Look { next_due: claim.next_due, more: claim.more, ..Look::default() };
        look.counts = self.handle_batch(&claim, &queue)?;
        if let Some(metrics) = &self.metrics {
            metrics.handled(&look.counts);
        }
        Ok(look)
    }

    /// Lets the store claim for it what is fired, but no more than it handles soon: what is slow would keep waiting what an idle
    /// processor could handle, on another node too.
    fn stay(&self, queue: &QueueDef) {
        if !self.stays {
            return;
        }
        if queue.order != QueueOrder::Parallel || !self.engine.bool_property(WAKE, true) {
            return self.leave();
        }
        let room = self.pace.ahead(queue.claim_limit);
        self.engine.store().stay(&queue.name, &self.claimed_by, room);
    }

    /// Nothing is to be claimed for it that it does not ask for.
    fn leave(&self) {
        if self.stays {
            self.engine.store().leave(&self.claimed_by);
        }
    }

    /// How many events to claim. Where records are kept in order and nobody knows yet how long they take, one record: the
    /// next one is for an idle processor.
    fn batch(&self, queue: &QueueDef) -> usize {
        match queue.order {
            QueueOrder::ByRecord if !self.pace.is_known() => 1,
            _ => self.pace.batch(queue.claim_limit),
        }
    }

    /// Name of its queue, for people.
    #[must_use]
    pub fn queue(&self) -> &str {
        shown(&self.queue)
    }

    /// Its place in the roster of this node.
    pub(super) fn place(&self) -> Place {
        Place { queue: Arc::clone(&self.queue), number: self.number, slot: self.slot }
    }

    /// Whether its queue still asks for it; also while that cannot be read.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted_queue().map_or(true, |queue| queue.is_some())
    }

    /// How long it may rest between two looks; `None` when the queue is gone or cannot be read.
    #[must_use]
    pub fn poll_interval(&self) -> Option<Duration> {
        let queues = self.engine.definitions::<QueueRegistry>().ok()?;
        queues.find(&self.queue).map(|queue| queue.poll_interval)
    }

    /// The definition of the queue, unless it is gone or has fewer processors on this node than this one's number.
    fn wanted_queue(&self) -> Result<Option<Arc<QueueDef>>, EngineError> {
        let queues = self.engine.definitions::<QueueRegistry>()?;
        let Some(queue) = queues.find(&self.queue) else { return Ok(None) };
        Ok((self.number <= self.share(queue)).then(|| Arc::clone(queue)))
    }

    /// How many processors the queue has on this node; worked out again when the definition or the nodes have changed.
    fn share(&self, queue: &Arc<QueueDef>) -> usize {
        let nodes = self.engine.store().nodes();
        let mut last = self.share.borrow_mut();
        if let Some(share) = &*last
            && Arc::ptr_eq(&share.queue, queue)
            && share.nodes == nodes
        {
            return share.count;
        }
        let count = queue.placement.share(&queue.name, &nodes);
        *last = Some(Share { queue: Arc::clone(queue), nodes, count });
        count
    }

    fn handle_batch(&mut self, claim: &Claim, queue: &QueueDef) -> Result<Counts, EngineError> {
        // The store's word: the definition was read before the claim.
        let Claim { events, order, .. } = claim;
        let mut counts = Counts { claimed: events.len(), ..Counts::default() };
        // What must wait for the end of an event that has not ended is given back.
        let mut unended: Vec<&Event> = Vec::new();
        let waits = |event: &Event, for_any: &[&Event]| {
            for_any.iter().any(|other| waits_for(*order, event, other))
        };
        for (at, event) in events.iter().enumerate() {
            if waits(event, &unended) {
                counts.released += self.release(std::slice::from_ref(event));
                continue;
            }
            let outcome = match self.may_begin(&events[..at], event, *order) {
                Ok(true) if !self.begin(event) => {
                    counts.released += 1;
                    unended.push(event);
                    continue;
                }
                Ok(true) => self.handle(event, queue),
                Ok(false) => {
                    counts.released += self.release(&events[at..]);
                    return Ok(counts);
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(completion) => {
                    let is_end = match completion.next {
                        NextState::Processed => true,
                        NextState::RetryAt(_) => false,
                        // Whether that has stopped the queue the store knows, and tells at the next claim: the definition in
                        // hand may be older.
                        NextState::Error { .. } => *order != QueueOrder::Sequential,
                    };
                    if !is_end {
                        unended.push(event);
                    }
                    self.complete(event, completion, &mut counts);
                }
                Err(error) => {
                    self.release(&events[at..]);
                    return Err(error);
                }
            }
        }
        Ok(counts)
    }

    /// Whether to go on with `event`, when those `before` it in its batch were handled. One that must follow any of them
    /// begins once the end of that is durable: whoever takes over from a node that dies then finds them in their order.
    fn may_begin(
        &self,
        before: &[Event],
        event: &Event,
        order: QueueOrder,
    ) -> Result<bool, EngineError> {
        let goes_on = self.should_go_on()?;
        if goes_on && before.iter().any(|other| waits_for(order, event, other)) {
            self.engine.store().flush()?;
        }
        Ok(goes_on)
    }

    /// The queue may have been paused or scaled down while the batch was handled (T6).
    fn should_go_on(&self) -> Result<bool, EngineError> {
        if self.stopping.load(Ordering::Acquire) {
            return Ok(false);
        }
        Ok(self.wanted_queue()?.is_some_and(|queue| queue.active))
    }

    /// Whether the event is still this processor's to handle.
    fn begin(&self, event: &Event) -> bool {
        self.engine.store().begin(&event.fired.sys_id, &self.claimed_by, self.slot)
    }

    fn handle(&mut self, event: &Event, queue: &QueueDef) -> Result<Completion, EngineError> {
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::new(Arc::clone(&self.engine))?,
        };
        let started = self.engine.clock().now();
        match catch_unwind(AssertUnwindSafe(|| dispatch::handle(&worker, event, queue))) {
            Ok(outcome) => {
                self.worker = Some(worker);
                outcome
            }
            // The worker may be broken: the next event gets a new one.
            Err(panic) => Ok(self.panicked(event, started, &*panic)),
        }
    }

    fn complete(&mut self, event: &Event, completion: Completion, counts: &mut Counts) {
        self.pace.note(completion.duration_ms);
        let metrics = self.metrics.get_or_insert_with(|| QueueMetrics::of(&self.queue));
        metrics.completed(event, &completion);
        match completion.next {
            NextState::Processed => counts.processed += 1,
            NextState::RetryAt(_) => counts.retried += 1,
            NextState::Error { .. } => counts.failed += 1,
        }
        let is_final = !matches!(completion.next, NextState::RetryAt(_));
        self.engine.store().complete(completion);
        if is_final {
            self.engine.waiters.ended(&self.engine, &event.fired.sys_id);
        }
    }

    fn release(&self, events: &[Event]) -> usize {
        let ids: Vec<SysId> = events.iter().map(|event| event.fired.sys_id).collect();
        self.engine.store().release(&self.claimed_by, &ids);
        ids.len()
    }

    /// A defect of ours must not take the processor with it, nor be tried for ever.
    fn panicked(&self, event: &Event, started: Instant, panic: &(dyn Any + Send)) -> Completion {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        tracing::error!(
            event.id = %event.fired.sys_id,
            event.name = &*event.fired.name,
            queue.name = shown(&self.queue),
            panic = text,
            "handling an event panicked; please report it"
        );
        Completion {
            event: event.fired.sys_id,
            epoch: event.epoch,
            next: NextState::Error {
                code: "handler_failed",
                message: format!("campanile itself failed while it handled the event: {text}"),
            },
            started,
            duration_ms: 0,
            runs: Vec::new(),
        }
    }
}

/// However it ends, by a panic too: what was claimed for it is others'.
impl Drop for Processor {
    fn drop(&mut self) {
        self.engine.store().leave(&self.claimed_by);
    }
}
