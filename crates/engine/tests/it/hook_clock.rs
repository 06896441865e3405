//! A clock through which a test does something while a script runs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use campanile_model::{Clock, Instant};

use crate::fixture;

/// A clock that goes on by a millisecond when a script thread looks at it, and does something once then.
#[derive(Default)]
pub(crate) struct HookClock {
    hook: Mutex<Option<Hook>>,
    looks: AtomicI64,
}

/// What happens at a look; it is given the time that the look finds.
type Hook = Box<dyn FnOnce(Instant) + Send>;

impl HookClock {
    /// `hook` runs at the next look from a thread of the fixture.
    pub(crate) fn at_next_look(&self, hook: impl FnOnce(Instant) + Send + 'static) {
        *self.hook.lock().unwrap() = Some(Box::new(hook));
    }
}

impl std::fmt::Debug for HookClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HookClock")
    }
}

impl Clock for HookClock {
    fn now(&self) -> Instant {
        let start = fixture::now();
        if std::thread::current().name() != Some("fixture") {
            return start.plus_millis(self.looks.load(Ordering::Relaxed));
        }
        let now = start.plus_millis(self.looks.fetch_add(1, Ordering::Relaxed) + 1);
        let hook = self.hook.lock().unwrap().take();
        if let Some(hook) = hook {
            hook(now);
        }
        now
    }
}
