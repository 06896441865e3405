//! The bounds of one run: wall time, memory, length of strings that leave; and the *terminated* flag.
//!
//! Once the flag is up nothing that a script does counts any more: host calls fail, compiled code raises at the
//! next loop head, function entry, `catch` or `finally`, and the outcome is the termination (scripting §16).

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rquickjs::{Ctx, Error, Exception, Result, qjs};

use crate::run::{LimitKind, Limits};
use crate::watchdog::Flag;

/// Memory that is released, once each time, when the limit was hit: enough to unwind and to settle promises.
const RESERVE_BYTES: usize = 4 << 20;
/// How often the reserve is released in one run.
const RESERVES_MAX: u8 = 4;

/// When a run ends, for which limit, and what sets that.
pub(crate) type Deadline = (Instant, LimitKind, &'static str);

fn earlier(one: Option<Deadline>, other: Option<Deadline>) -> Option<Deadline> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.0 < one.0 { other } else { one }),
        (one, other) => one.or(other),
    }
}

/// The budget of one nesting level; its runs use it one after the other.
pub(crate) struct Budget {
    flag: Arc<Flag>,
    reason: Cell<Option<LimitKind>>,
    /// The deadline of the run itself, and of those around it.
    own: Cell<Option<Deadline>>,
    /// That one, or an earlier one that the host has set.
    deadline: Cell<Option<Deadline>>,
    string_bytes: Cell<usize>,
    used_bytes: Cell<usize>,
    limit_bytes: Cell<usize>,
    peak_bytes: Cell<usize>,
    base_bytes: Cell<usize>,
    reserves: Cell<u8>,
    /// The engine was told once to go on although the run is over.
    is_warned: Cell<bool>,
}

impl Budget {
    /// A budget without bounds, for the time between runs.
    pub(crate) fn new() -> std::io::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            flag: Flag::new()?,
            reason: Cell::new(None),
            own: Cell::new(None),
            deadline: Cell::new(None),
            string_bytes: Cell::new(usize::MAX),
            used_bytes: Cell::new(0),
            limit_bytes: Cell::new(usize::MAX),
            peak_bytes: Cell::new(0),
            base_bytes: Cell::new(0),
            reserves: Cell::new(0),
            is_warned: Cell::new(false),
        }))
    }

    /// Starts a run. `not_after` is the deadline of the run around it.
    pub(crate) fn begin(&self, limits: &Limits, now: Instant, not_after: Option<Deadline>) {
        let own = now
            .checked_add(limits.max_wall)
            .map(|at| (at, LimitKind::Time, limits.max_wall_set_by));
        let deadline = earlier(own, not_after);
        self.reason.set(None);
        self.own.set(deadline);
        self.deadline.set(deadline);
        self.string_bytes.set(limits.string_bytes);
        self.base_bytes.set(self.used_bytes.get());
        self.peak_bytes.set(self.used_bytes.get());
        self.limit_bytes.set(self.used_bytes.get().saturating_add(limits.memory_bytes));
        self.reserves.set(RESERVES_MAX);
        self.is_warned.set(false);
        if let Some((at, _, _)) = deadline {
            self.flag.arm(at);
        }
    }

    /// From now on the run ends at `at` at the latest, as [`LimitKind::Cancelled`]; `None` takes that back. A run
    /// that is over stays so.
    pub(crate) fn cancel_at(&self, at: Option<Instant>) {
        if self.flag.is_up() {
            return;
        }
        let cancelled = LimitKind::Cancelled;
        let by_host = at.map(|at| (at, cancelled, cancelled.property()));
        let deadline = earlier(self.own.get(), by_host);
        if deadline == self.deadline.get() {
            return;
        }
        self.deadline.set(deadline);
        if let Some((at, _, _)) = deadline {
            self.flag.rearm(at);
        }
    }

    /// Ends the run and gives the limit that ended it and what sets that, if one did.
    pub(crate) fn end(&self) -> Option<(LimitKind, &'static str)> {
        let ended_by = self.terminated().map(|limit| (limit, self.set_by(limit)));
        self.flag.disarm();
        self.reason.set(None);
        self.own.set(None);
        self.deadline.set(None);
        self.limit_bytes.set(usize::MAX);
        self.string_bytes.set(usize::MAX);
        ended_by
    }

    /// What sets `limit`: for time that of this run, or of the one around it whose time was up first.
    fn set_by(&self, limit: LimitKind) -> &'static str {
        let of_deadline = self.deadline.get().filter(|(_, of, _)| *of == limit);
        of_deadline.map_or(limit.property(), |(_, _, set_by)| set_by)
    }

    /// When the run will be ended, for which limit, and what sets that.
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.deadline.get()
    }

    /// Most memory that the run held at one time, beyond what was there before.
    pub(crate) fn peak_run_bytes(&self) -> usize {
        self.peak_bytes.get().saturating_sub(self.base_bytes.get())
    }

    /// The flag that compiled code reads.
    pub(crate) fn flag(&self) -> &Arc<Flag> {
        &self.flag
    }

    /// The limit that ended the run; `None` while it may go on.
    pub(crate) fn terminated(&self) -> Option<LimitKind> {
        if !self.flag.is_up() {
            return None;
        }
        let by_time = || self.deadline.get().map_or(LimitKind::Time, |(_, limit, _)| limit);
        Some(self.reason.get().unwrap_or_else(by_time))
    }

    /// Ends the run for this reason; the first reason stays.
    pub(crate) fn set_terminated(&self, limit: LimitKind) {
        if self.terminated().is_none() {
            self.reason.set(Some(limit));
        }
        self.flag.raise();
    }

    /// The engine's periodic question whether to stop where it is. It knows no line for a jump, compiled code does: the first
    /// time the flag goes up and the next loop head or function entry ends the run; what reaches neither (a native that
    /// works for long) is stopped the second time.
    pub(crate) fn is_to_stop(&self) -> bool {
        self.is_over() && self.is_warned.replace(true)
    }

    /// Whether the time is up, or the run was ended before.
    pub(crate) fn is_over(&self) -> bool {
        if self.flag.is_up() {
            return true;
        }
        let late = self.deadline.get().filter(|(at, _, _)| Instant::now() >= *at);
        if let Some((_, limit, _)) = late {
            self.set_terminated(limit);
        }
        late.is_some()
    }

    /// Takes `bytes`; false, and the end of the run, when the limit forbids it.
    pub(crate) fn charge(&self, bytes: usize) -> bool {
        let used = self.used_bytes.get().saturating_add(bytes);
        if used > self.limit_bytes.get() {
            self.set_terminated(LimitKind::Memory);
            if let Some(left) = self.reserves.get().checked_sub(1) {
                self.reserves.set(left);
                self.limit_bytes.set(self.limit_bytes.get().saturating_add(RESERVE_BYTES));
            }
            return false;
        }
        self.used_bytes.set(used);
        if used > self.peak_bytes.get() {
            self.peak_bytes.set(used);
        }
        true
    }

    /// Gives `bytes` back.
    pub(crate) fn release(&self, bytes: usize) {
        self.used_bytes.set(self.used_bytes.get().saturating_sub(bytes));
    }

    /// Longest string that may cross to the host, in bytes.
    pub(crate) fn string_bytes_max(&self) -> usize {
        self.string_bytes.get()
    }

    /// Fails when the run is over: no host call is served any more.
    pub(crate) fn check(&self, ctx: &Ctx<'_>) -> Result<()> {
        match self.terminated() {
            None => Ok(()),
            Some(limit) => Err(throw_uncatchable(ctx, limit)),
        }
    }

    /// Ends the run; the error that comes back cannot be caught by the script.
    pub(crate) fn terminate(&self, ctx: &Ctx<'_>, limit: LimitKind) -> Error {
        self.set_terminated(limit);
        throw_uncatchable(ctx, limit)
    }
}

/// Throws an error that no `catch` of the engine sees.
fn throw_uncatchable(ctx: &Ctx<'_>, limit: LimitKind) -> Error {
    let error = Exception::throw_internal(ctx, limit.error_name());
    if !error.is_exception() {
        return error;
    }
    let raised = ctx.catch();
    #[expect(
        unsafe_code,
        reason = "the binding has no safe call for the engine's uncatchable errors"
    )]
    // SAFETY: the context and the value are alive; the call sets one bit of an error object and ignores others.
    unsafe {
        qjs::JS_SetUncatchableError(ctx.as_raw().as_ptr(), raised.as_raw());
    }
    ctx.throw(raised)
}
