//! Numbers of queues and processors, by the names of rest-api §22. Event names are never labels.

use std::collections::HashSet;

use campanile_model::{Event, Instant};
use campanile_store::Completion;
use metrics::{Counter, Histogram};

use super::processor::Counts;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::queue_registry::shown;

#[expect(clippy::cast_precision_loss, reason = "times and counts of metrics")]
fn number(n: u64) -> f64 {
    n as f64
}

fn seconds_between(from: Instant, to: Instant) -> f64 {
    let millis = to.as_millis().saturating_sub(from.as_millis());
    number(u64::try_from(millis).unwrap_or(0)) / 1_000.0
}

/// The numbers of one queue; looked up once by each of its processors.
pub(super) struct QueueMetrics {
    processed: Counter,
    failed: Counter,
    retried: Counter,
    retries: Counter,
    wait: Histogram,
    duration: Histogram,
}

impl QueueMetrics {
    pub(super) fn of(queue: &str) -> Self {
        let queue = shown(queue).to_owned();
        let outcome = |outcome: &'static str| {
            let queue = queue.clone();
            metrics::counter!("campanile_events_processed_total", "queue" => queue, "outcome" => outcome)
        };
        Self {
            processed: outcome("processed"),
            failed: outcome("error"),
            retried: outcome("retried"),
            retries: metrics::counter!("campanile_retries_total"),
            wait: metrics::histogram!("campanile_event_wait_seconds", "queue" => queue.clone()),
            duration: metrics::histogram!("campanile_event_duration_seconds", "queue" => queue),
        }
    }

    /// One batch is done.
    pub(super) fn handled(&self, counts: &Counts) {
        let outcomes = [
            (&self.processed, counts.processed),
            (&self.failed, counts.failed),
            (&self.retried, counts.retried),
            (&self.retries, counts.retried),
        ];
        for (counter, count) in outcomes.into_iter().filter(|(_, count)| *count > 0) {
            counter.increment(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }

    /// One attempt is done.
    pub(super) fn completed(&self, event: &Event, completion: &Completion) {
        if event.attempts == 0 {
            let due = event.fired.process_on.max(event.fired.created);
            self.wait.record(seconds_between(due, completion.started));
        }
        let millis = u64::try_from(completion.duration_ms).unwrap_or(0);
        self.duration.record(number(millis) / 1_000.0);
    }
}

/// Sets the gauges that are counted when somebody asks: backlog and age of the oldest due event of each queue.
///
/// # Errors
/// What the store answers.
pub fn refresh(engine: &Engine) -> Result<(), EngineError> {
    let now = engine.clock().now();
    let backlog = engine.store().backlog(now)?;
    let queues = engine.definitions::<crate::events::queue_registry::QueueRegistry>()?;
    let waiting: HashSet<&str> = backlog.iter().map(|waiting| &*waiting.queue).collect();
    for queue in queues.queues().filter(|queue| !waiting.contains(&*queue.name)) {
        gauges(&queue.name, 0, 0.0);
    }
    for waiting in backlog {
        let oldest = waiting.oldest_ready.map_or(0.0, |at| seconds_between(at, now));
        gauges(&waiting.queue, waiting.ready, oldest);
    }
    for (queue, busy, idle) in engine.queues.processors() {
        for (state, count) in [("busy", busy), ("idle", idle)] {
            let queue = shown(&queue).to_owned();
            metrics::gauge!("campanile_processors", "queue" => queue, "state" => state)
                .set(number(u64::try_from(count).unwrap_or(0)));
        }
    }
    Ok(())
}

fn gauges(queue: &str, ready: u64, oldest_seconds: f64) {
    let queue = shown(queue).to_owned();
    metrics::gauge!("campanile_events_backlog", "queue" => queue.clone()).set(number(ready));
    metrics::gauge!("campanile_events_oldest_ready_seconds", "queue" => queue).set(oldest_seconds);
}
