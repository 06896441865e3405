//! One nesting level: an engine runtime with its budget and its realm.
//!
//! Limits, stack and the queue of promise jobs belong to a runtime, so a script that runs inside another script's
//! host call has a runtime of its own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rquickjs::{Ctx, Error, Result, Runtime};

use crate::budget::Budget;
use crate::compile::Prepared;
use crate::glide::RunControl;
use crate::host::Host;
use crate::memory::MeteredAllocator;
use crate::realm::Realm;
use crate::rejections::Rejections;
use crate::run::LimitKind;

/// Garbage of cycles is looked for whenever this much was allocated; hot scripts make none.
const GC_THRESHOLD_BYTES: usize = 4 << 20;

/// A runtime and what belongs to it. Fields drop in this order: engine values before their runtime.
pub(crate) struct Level {
    /// The realm that is ready for the next ordinary script.
    pub(crate) realm: RefCell<Option<Realm>>,
    pub(crate) rejections: Rc<Rejections>,
    /// What natives of this level's realms look at.
    pub(crate) state: Rc<LevelState>,
    pub(crate) budget: Rc<Budget>,
    pub(crate) runtime: Runtime,
}

/// What the natives of a realm need of their level.
pub(crate) struct LevelState {
    pub(crate) budget: Rc<Budget>,
    /// The host of the run; `None` between runs.
    pub(crate) host: RefCell<Option<Rc<dyn Host>>>,
    /// The script of the run; `None` between runs.
    pub(crate) script: RefCell<Option<Rc<Prepared>>>,
    /// The realm of the run must not be used again.
    pub(crate) tainted: Cell<bool>,
}

/// A level could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The thread that enforces time limits could not be started.
    #[error("the script watchdog could not be started")]
    Watchdog(#[from] std::io::Error),
    /// The engine refused to start, or a realm could not be made.
    #[error("the script engine could not be started")]
    Engine(#[from] Error),
}

impl Level {
    pub(crate) fn new() -> std::result::Result<Self, SandboxError> {
        let budget = Budget::new()?;
        let runtime = Runtime::new_with_alloc(MeteredAllocator::new(Rc::clone(&budget)))?;
        runtime.set_gc_threshold(GC_THRESHOLD_BYTES);
        let asked = Rc::clone(&budget);
        runtime.set_interrupt_handler(Some(Box::new(move || asked.is_to_stop())));
        let rejections = Rc::new(Rejections::default());
        runtime.set_host_promise_rejection_tracker(Some(rejections.tracker()));
        let state = Rc::new(LevelState {
            budget: Rc::clone(&budget),
            host: RefCell::new(None),
            script: RefCell::new(None),
            tainted: Cell::new(false),
        });
        Ok(Self { realm: RefCell::new(None), rejections, state, budget, runtime })
    }
}

impl RunControl for Budget {
    fn check(&self, ctx: &Ctx<'_>) -> Result<()> {
        Self::check(self, ctx)
    }

    fn terminate(&self, ctx: &Ctx<'_>, limit: LimitKind) -> Error {
        Self::terminate(self, ctx, limit)
    }

    fn string_bytes_max(&self) -> usize {
        Self::string_bytes_max(self)
    }

    fn time_left(&self) -> Option<Duration> {
        self.deadline().map(|(at, _, _)| at.saturating_duration_since(Instant::now()))
    }

    fn check_time(&self, ctx: &Ctx<'_>) -> Result<()> {
        if self.is_over() { Self::check(self, ctx) } else { Ok(()) }
    }
}
