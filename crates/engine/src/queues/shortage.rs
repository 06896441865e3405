//! Processors that could not be started, and how that is told.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::roster::Vacancy;
use crate::events::queue_registry::shown;

/// How long until the machine is asked again for threads that it did not give.
pub(super) const REST_AFTER_SHORTAGE: Duration = Duration::from_secs(5);
/// Names of queues in one line of the log.
const NAMES_SHOWN_MAX: usize = 20;

/// Processors that could not be started.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    processors: usize,
    /// Queues that have none.
    queues: BTreeSet<Arc<str>>,
    /// What the machine said last.
    error: String,
}

impl Shortage {
    /// Nothing is missing.
    pub(super) fn is_none(&self) -> bool {
        self.processors == 0
    }

    /// The processor was not started.
    pub(super) fn note(&mut self, vacancy: &Vacancy, error: &io::Error) {
        self.processors += 1;
        if vacancy.number == 1 {
            self.queues.insert(Arc::clone(&vacancy.queue.name));
        }
        self.error = error.to_string();
    }

    /// Tells it in the log, unless it was told `before`.
    pub(super) fn tell(&self, before: &Self) {
        if self.processors == before.processors && self.queues == before.queues {
            return;
        }
        if self.is_none() {
            tracing::info!("every queue has its processors again");
            return;
        }
        let names: Vec<&str> = self.queues.iter().take(NAMES_SHOWN_MAX).map(|q| shown(q)).collect();
        tracing::error!(
            error = self.error,
            processors = self.processors,
            queues = self.queues.len(),
            queue.names = names.join(", "),
            "processors of queues could not be started: the named queues (the first of them) have none; it is tried \
             again every {} s; delete queues that nobody needs, or give this machine more threads",
            REST_AFTER_SHORTAGE.as_secs()
        );
    }
}
