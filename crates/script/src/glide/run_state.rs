//! What belongs to one run: the host, the record objects that are alive, and the objects that were bound.
//!
//! A realm outlives its runs. Whatever a script left behind in it must not keep records of an old run alive, so
//! JavaScript objects hold a [`RecordCell`], and the end of the run empties every cell.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use rquickjs::{Ctx, Error, Object, Persistent, Result};

use super::errors;
use super::native::{ClassNumbers, Shared};
use crate::host::{Host, HostError, RecordRef};

/// How the sandbox lets natives take part in its limits.
pub(crate) trait RunControl {
    /// Fails when the run is over already: no host call is served any more.
    fn check(&self, ctx: &Ctx<'_>) -> Result<()>;
    /// Ends the run; the error that comes back cannot be caught by the script.
    fn terminate(&self, ctx: &Ctx<'_>, limit: crate::run::LimitKind) -> Error;
    /// Longest string that may cross to the host, in bytes.
    fn string_bytes_max(&self) -> usize;
    /// Time until the run is ended; `None` when nothing ends it.
    fn time_left(&self) -> Option<Duration>;
    /// As `check`, and looks at the clock first.
    fn check_time(&self, ctx: &Ctx<'_>) -> Result<()>;
}

/// A record object as JavaScript holds it; empty once its run is over.
#[derive(Default)]
pub(super) struct RecordCell(RefCell<Option<RecordRef>>);

impl RecordCell {
    /// The record, or a `TypeError` when its run is over.
    pub(super) fn record(&self, ctx: &Ctx<'_>) -> Result<RecordRef> {
        self.0.borrow().clone().ok_or_else(|| {
            errors::type_error(ctx, "this record object belongs to a script that has ended")
        })
    }

    /// The record, unless its run is over.
    pub(super) fn live(&self) -> Option<RecordRef> {
        self.0.borrow().clone()
    }
}

/// State of the run that a runtime is busy with; empty between runs.
pub(super) struct GlideRun {
    class_numbers: Cell<ClassNumbers>,
    host: RefCell<Option<Rc<dyn Host>>>,
    control: RefCell<Option<Rc<dyn RunControl>>>,
    /// `current`, for functions that read it without an argument.
    current: RefCell<Option<RecordRef>>,
    /// Record objects that were bound to names: binding one twice gives the same object.
    bound: RefCell<Vec<(RecordRef, Persistent<Object<'static>>)>>,
    cells: RefCell<Vec<Weak<RecordCell>>>,
    /// Sweep `cells` when it has grown to this.
    sweep_at: Cell<usize>,
}

/// Dead cells are forgotten when this many have gathered; a loop that makes record objects stays bounded.
const CELLS_SWEEP_MIN: usize = 64;

impl GlideRun {
    /// The run state of this runtime.
    pub(super) fn of(ctx: &Ctx<'_>) -> Result<Rc<Self>> {
        ctx.userdata::<Shared<Self>>()
            .map(|shared| Rc::clone(&shared.0))
            .ok_or_else(|| errors::type_error(ctx, "the Glide API is not installed in this realm"))
    }

    /// Puts run state into a runtime, once; later calls return what is there.
    pub(super) fn install(ctx: &Ctx<'_>) -> Result<Rc<Self>> {
        if let Some(shared) = ctx.userdata::<Shared<Self>>() {
            return Ok(Rc::clone(&shared.0));
        }
        let made = Rc::new(Self {
            class_numbers: Cell::new(ClassNumbers::default()),
            host: RefCell::new(None),
            control: RefCell::new(None),
            current: RefCell::new(None),
            bound: RefCell::new(Vec::new()),
            cells: RefCell::new(Vec::new()),
            sweep_at: Cell::new(CELLS_SWEEP_MIN),
        });
        match ctx.store_userdata(Shared(Rc::clone(&made))) {
            Ok(_) => Ok(made),
            Err(_) => {
                Err(errors::type_error(ctx, "the Glide API was installed while it was in use"))
            }
        }
    }

    pub(super) fn class_numbers(&self) -> ClassNumbers {
        self.class_numbers.get()
    }

    pub(super) fn set_class_numbers(&self, numbers: ClassNumbers) {
        self.class_numbers.set(numbers);
    }

    /// Starts a run.
    pub(super) fn begin(&self, host: Rc<dyn Host>, control: Rc<dyn RunControl>) {
        self.end();
        *self.host.borrow_mut() = Some(host);
        *self.control.borrow_mut() = Some(control);
    }

    /// Ends the run: all record objects that it made or was given are let go, whoever still points at them.
    pub(super) fn end(&self) {
        // Taken out first: dropping a record or an object may run code that looks at this state.
        let bound = std::mem::take(&mut *self.bound.borrow_mut());
        let cells = std::mem::take(&mut *self.cells.borrow_mut());
        let host = self.host.borrow_mut().take();
        let control = self.control.borrow_mut().take();
        let current = self.current.borrow_mut().take();
        self.sweep_at.set(CELLS_SWEEP_MIN);
        for cell in cells.iter().filter_map(Weak::upgrade) {
            let record = cell.0.borrow_mut().take();
            drop(record);
        }
        drop((bound, host, control, current));
    }

    pub(super) fn host(&self, ctx: &Ctx<'_>) -> Result<Rc<dyn Host>> {
        self.host.borrow().clone().ok_or_else(|| {
            errors::type_error(ctx, "the script that this call belongs to has ended")
        })
    }

    /// Fails when the run is over, or was never begun.
    pub(super) fn check(&self, ctx: &Ctx<'_>) -> Result<()> {
        match &*self.control.borrow() {
            Some(control) => control.check(ctx),
            None => Err(errors::type_error(ctx, "the script that this call belongs to has ended")),
        }
    }

    /// Ends the script when the host says so.
    pub(super) fn check_host(&self, ctx: &Ctx<'_>) -> Result<()> {
        match self.host(ctx)?.must_end() {
            Some(limit) => Err(self.raise(ctx, HostError::Terminated(limit))),
            None => Ok(()),
        }
    }

    /// Turns what the host answered into what the script meets.
    pub(super) fn raise(&self, ctx: &Ctx<'_>, error: HostError) -> Error {
        match error {
            HostError::Throw { class, message } => errors::throw(ctx, class, &message),
            HostError::Terminated(limit) => {
                let control = self.control.borrow().clone();
                match control {
                    Some(control) => control.terminate(ctx, limit),
                    None => {
                        errors::type_error(ctx, "the script that this call belongs to has ended")
                    }
                }
            }
        }
    }

    /// Time until the run is ended; `None` when nothing ends it.
    pub(super) fn time_left(&self) -> Option<Duration> {
        self.control.borrow().as_ref().and_then(|control| control.time_left())
    }

    /// Fails when the run's time is up.
    pub(super) fn check_time(&self, ctx: &Ctx<'_>) -> Result<()> {
        let control = self.control.borrow().clone();
        control.map_or(Ok(()), |control| control.check_time(ctx))
    }

    pub(super) fn string_bytes_max(&self) -> usize {
        self.control.borrow().as_ref().map_or(usize::MAX, |control| control.string_bytes_max())
    }

    /// A cell for a record object that JavaScript is about to hold.
    pub(super) fn cell(&self, record: RecordRef) -> Rc<RecordCell> {
        let cell = Rc::new(RecordCell(RefCell::new(Some(record))));
        let mut cells = self.cells.borrow_mut();
        if cells.len() >= self.sweep_at.get() {
            cells.retain(|cell| cell.strong_count() > 0);
            self.sweep_at.set((cells.len() * 2).max(CELLS_SWEEP_MIN));
        }
        cells.push(Rc::downgrade(&cell));
        cell
    }

    /// The JavaScript object of a bound record.
    pub(super) fn bound<'js>(
        &self,
        ctx: &Ctx<'js>,
        record: &RecordRef,
    ) -> Result<Option<Object<'js>>> {
        let found = self
            .bound
            .borrow()
            .iter()
            .find(|(known, _)| same_record(known, record))
            .map(|(_, object)| object.clone());
        found.map(|object| object.restore(ctx)).transpose()
    }

    /// Keeps the JavaScript object of a record until the run ends.
    pub(super) fn remember_bound<'js>(
        &self,
        ctx: &Ctx<'js>,
        record: &RecordRef,
        object: &Object<'js>,
    ) -> Result<()> {
        if self.bound(ctx, record)?.is_none() {
            let kept = (Rc::clone(record), Persistent::save(ctx, object.clone()));
            self.bound.borrow_mut().push(kept);
        }
        Ok(())
    }

    pub(super) fn current(&self) -> Option<RecordRef> {
        self.current.borrow().clone()
    }

    pub(super) fn set_current(&self, record: Option<RecordRef>) {
        *self.current.borrow_mut() = record;
    }
}

/// Both are the same record object of the host.
pub(super) fn same_record(a: &RecordRef, b: &RecordRef) -> bool {
    std::ptr::eq(Rc::as_ptr(a).cast::<()>(), Rc::as_ptr(b).cast::<()>())
}
