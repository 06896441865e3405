//! Handling what is due, step by step: for tests and tools that move the clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::processor::{Counts, Processor};
use super::supervisor::no_thread;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::queue_registry::QueueRegistry;
use crate::worker::{SCRIPT_STACK_BYTES, spawn_named};

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
