//! The processors of one queue on this node, and what the thread of each does: register for the wake-up, look, wait. Which
//! threads there are to be is the supervisor's.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::processor::Processor;
use super::roster::Place;
use super::signal::{Patience, Signal};
use super::supervisor::{REST_AFTER_FAILURE, WAKE};
use crate::engine::Engine;

/// Poll interval of a queue whose row cannot be read.
const POLL_UNKNOWN: Duration = Duration::from_secs(5);

/// The processors of one queue.
#[derive(Default)]
pub(super) struct Line {
    pub(super) signal: Signal,
    /// Those that look or handle at the moment.
    pub(super) busy: AtomicUsize,
    /// Those whose threads run.
    pub(super) running: AtomicUsize,
}

/// Counts a processor while its thread runs. A thread that ends in a panic is replaced.
pub(super) struct Runs<'a> {
    engine: &'a Engine,
    line: &'a Line,
    place: Place,
}

impl<'a> Runs<'a> {
    /// From here until it is dropped, on the processor's own thread.
    pub(super) fn count(engine: &'a Engine, line: &'a Line, place: Place) -> Self {
        line.running.fetch_add(1, Ordering::AcqRel);
        Self { engine, line, place }
    }
}

impl Drop for Runs<'_> {
    fn drop(&mut self) {
        self.line.running.fetch_sub(1, Ordering::AcqRel);
        if std::thread::panicking() {
            tracing::error!("a processor of a queue panicked; another one takes its place");
            self.engine.queues.replace_lost(&self.place);
        }
    }
}

/// Body of a processor's thread. Returns when the queues are stopped, or its queue does not ask for it any more.
pub(super) fn serve(engine: &Engine, line: &Line, mut processor: Processor, stopping: &AtomicBool) {
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
            // Nothing tells of what waits behind events that are all another's to handle.
            Ok(look) if look.more || look.counts.claimed > look.counts.released => {
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
