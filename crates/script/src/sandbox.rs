//! Runs scripts, one nesting level on top of the other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::cache::ScriptCache;
use crate::error;
use crate::host::Host;
use crate::level::{Level, SandboxError};
use crate::realm::Realm;
use crate::run::{
    Bindings, Completion, Limits, RunOutcome, ScriptError, ScriptErrorKind, ScriptKind,
    ScriptSource, Usage,
};

/// The script engine of one thread. Not `Send`: make one on each thread that runs scripts, and keep it, because
/// it keeps compiled scripts and ready realms.
///
/// The thread's stack must hold [`Limits::stack_bytes`] for each nesting level, and 256 KiB beside them.
pub struct Sandbox {
    scripts: ScriptCache,
    levels: RefCell<Vec<Rc<Level>>>,
    depth: Cell<usize>,
    /// Runs from this nesting level on end at this moment at the latest.
    cancel: Cell<(usize, Option<Instant>)>,
}

impl Sandbox {
    /// A sandbox with one level ready; further ones are made when runs nest.
    pub fn new() -> Result<Self, SandboxError> {
        Ok(Self {
            scripts: ScriptCache::default(),
            levels: RefCell::new(vec![Rc::new(Level::new()?)]),
            depth: Cell::new(0),
            cancel: Cell::new((0, None)),
        })
    }

    /// Runs `source` with `bindings` as its globals and `host` behind the Glide API.
    ///
    /// Always returns: a run that a limit ends has that limit as its outcome, whatever the script made of it. A host
    /// call made during the run may call `run` again; the nested run has limits of its own, but no later deadline.
    pub fn run(
        &self,
        source: &ScriptSource,
        bindings: &Bindings,
        limits: Limits,
        host: &Rc<dyn Host>,
    ) -> RunOutcome {
        let started = Instant::now();
        if is_empty_condition(source) {
            return RunOutcome {
                result: Ok(no_condition()),
                scratchpad: bindings.scratchpad.clone(),
                usage: Usage::default(),
            };
        }
        let prepared = match self.scripts.get(source.kind, &source.text) {
            Ok(prepared) => prepared,
            Err(syntax) => {
                return RunOutcome {
                    result: Err(error::from_syntax(&syntax)),
                    scratchpad: bindings.scratchpad.clone(),
                    usage: Usage::default(),
                };
            }
        };
        let depth = self.depth.get();
        self.depth.set(depth + 1);
        let outcome = self.run_at(depth, started, source, &prepared, bindings, &limits, host);
        self.depth.set(depth);
        outcome
    }

    /// How many runs stand on this thread, one in the other.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth.get()
    }

    /// Runs at nesting `from` (0 is the outermost) and deeper, those that stand and those that will start, end
    /// after `left` at the latest, as [`LimitKind::Cancelled`](crate::LimitKind::Cancelled). `None` takes it back.
    pub fn cancel_after(&self, from: usize, left: Option<Duration>) {
        let at = left.and_then(|left| Instant::now().checked_add(left));
        self.cancel.set((from, at));
        let levels = self.levels.borrow();
        for level in levels.iter().take(self.depth.get()).skip(from) {
            level.budget.cancel_at(at);
        }
    }

    fn level(&self, depth: usize) -> Result<Rc<Level>, SandboxError> {
        let mut levels = self.levels.borrow_mut();
        while levels.len() <= depth {
            levels.push(Rc::new(Level::new()?));
        }
        Ok(Rc::clone(&levels[depth]))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call of one place; each is a different thing"
    )]
    fn run_at(
        &self,
        depth: usize,
        started: Instant,
        source: &ScriptSource,
        prepared: &Rc<crate::compile::Prepared>,
        bindings: &Bindings,
        limits: &Limits,
        host: &Rc<dyn Host>,
    ) -> RunOutcome {
        let outer = depth.checked_sub(1).and_then(|outer| {
            self.levels.borrow().get(outer).and_then(|level| level.budget.deadline())
        });
        let level = match self.level(depth) {
            Ok(level) => level,
            Err(error) => return not_started(&error, bindings),
        };
        let ready = level.realm.borrow_mut().take();
        let realm = match ready.map_or_else(|| Realm::sealed(&level), Ok) {
            Ok(realm) => realm,
            Err(error) => return not_started(&error.into(), bindings),
        };
        // A script that may alter built-ins gets a realm of its own; the sealed one waits.
        let (realm, waiting) = if realm.suits(prepared) {
            (realm, None)
        } else {
            match Realm::open(&level) {
                Ok(open) => (open, Some(realm)),
                Err(error) => return not_started(&error.into(), bindings),
            }
        };
        level.runtime.set_max_stack_size(limits.stack_bytes);
        level.budget.begin(limits, started, outer);
        let (from, cancel_at) = self.cancel.get();
        if depth >= from && cancel_at.is_some() {
            level.budget.cancel_at(cancel_at);
        }
        let mut run = realm.run(&level, source.kind, prepared, bindings, host);
        let memory_bytes = level.budget.peak_run_bytes();
        let ended_by = level.budget.end();
        drop(level.rejections.take_first());
        if let Some(limit) = ended_by {
            // Jobs that were not drained and whatever else the script left go with their runtime.
            run.result = Err(error::from_limit(limit, run.result.err()));
            drop((realm, waiting));
            self.levels.borrow_mut().truncate(depth);
        } else {
            *level.realm.borrow_mut() = waiting.or_else(|| run.reusable.then_some(realm));
        }
        RunOutcome {
            result: run.result,
            scratchpad: run.scratchpad,
            usage: Usage { wall: started.elapsed(), memory_bytes },
        }
    }
}

/// An empty condition is none (scripting §1.4).
fn is_empty_condition(source: &ScriptSource) -> bool {
    matches!(source.kind, ScriptKind::BusinessRuleCondition | ScriptKind::ScriptActionCondition)
        && source.text.trim().is_empty()
}

fn no_condition() -> Completion {
    Completion { truthy: true, is_boolean: true, is_nullish: false, text: "true".to_owned() }
}

fn not_started(error: &SandboxError, bindings: &Bindings) -> RunOutcome {
    RunOutcome {
        result: Err(ScriptError {
            kind: ScriptErrorKind::Runtime,
            message: format!("Error: {error}"),
            line: None,
            column: None,
            stack: String::new(),
            limit_set_by: "",
        }),
        scratchpad: bindings.scratchpad.clone(),
        usage: Usage::default(),
    }
}
