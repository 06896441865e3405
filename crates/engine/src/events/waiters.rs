//! Who waits for the end of an event (rest-api §17.4). Waiting costs no thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use campanile_model::SysId;
use parking_lot::Mutex;

use crate::engine::Engine;

type Callback = Box<dyn FnOnce() + Send>;

/// The callbacks by event.
#[derive(Default)]
pub struct Waiters {
    /// Number of waiting callbacks: while it is 0, an ending event costs one load.
    count: AtomicUsize,
    next: AtomicU64,
    by_event: Mutex<HashMap<SysId, Vec<(u64, Callback)>>>,
}

impl Waiters {
    /// Calls back once when `event` is processed, in error or cancelled, after that is committed. Dropping the
    /// answer forgets the callback.
    #[must_use]
    pub fn add(self: &Arc<Self>, event: SysId, callback: Callback) -> Waiting {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::SeqCst);
        self.by_event.lock().entry(event).or_default().push((ticket, callback));
        Waiting { waiters: Arc::clone(self), event, ticket }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The end of `event` was handed to the store.
    pub(crate) fn ended(&self, engine: &Engine, event: &SysId) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let Some(callbacks) = self.by_event.lock().remove(event) else { return };
        self.count.fetch_sub(callbacks.len(), Ordering::SeqCst);
        if let Err(error) = engine.store().flush() {
            tracing::warn!(%error, event.id = %event, "waiters are told of an end that is not committed");
        }
        for (_, callback) in callbacks {
            callback();
        }
    }
}

impl std::fmt::Debug for Waiters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiters").field("waiting", &self.len()).finish()
    }
}

/// Somebody waits; dropping it ends that.
#[derive(Debug)]
pub struct Waiting {
    waiters: Arc<Waiters>,
    event: SysId,
    ticket: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut by_event = self.waiters.by_event.lock();
        let Some(callbacks) = by_event.get_mut(&self.event) else { return };
        let before = callbacks.len();
        callbacks.retain(|(ticket, _)| *ticket != self.ticket);
        self.waiters.count.fetch_sub(before - callbacks.len(), Ordering::SeqCst);
        if callbacks.is_empty() {
            by_event.remove(&self.event);
        }
    }
}
