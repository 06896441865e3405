//! One run of work for a session on one script thread: its sandbox, budget, messages, report and, while an
//! outermost operation holds the writer, the write transaction.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use campanile_model::{Dictionary, Instant, Record, SysId, TableDef};
use campanile_script::{
    Bindings, Host, LimitKind, Limits, MessageKind, RunOutcome, Sandbox, ScriptKind, ScriptSource,
};
use campanile_store::{CommitMark, ReadTx, StoreError, WriteTx};

use super::budget::Budget;
use super::display::Formats;
pub use super::execution_fire::FireResult;
pub use super::execution_report::{ExecutionReport, FiredEvent, LogLine, WrittenRecord};
use super::once::Seal;
use super::operation::Failure;
use super::operation::transaction::Transaction;
use super::script_host::ScriptHost;
use super::script_metrics;
use super::unit_of_work::Unit;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::fire::ordinals::FireOrdinals;
use crate::session::Session;
use crate::spent;

/// One run of work for a session on one script thread.
pub struct Execution {
    pub(super) engine: Arc<Engine>,
    pub(super) session: Session,
    pub(super) sandbox: Rc<Sandbox>,
    pub(super) id: OnceCell<Arc<str>>,
    pub(super) budget: Budget,
    pub(super) report: RefCell<ExecutionReport>,
    pub(super) messages: RefCell<Vec<(MessageKind, String)>>,
    pub(super) commit_mark: Cell<CommitMark>,
    pub(super) transaction: RefCell<Option<Transaction>>,
    /// How many scripts stood on the thread when that operation began.
    operation_depth: Cell<usize>,
    pub(super) unit: RefCell<Option<Unit>>,
    pub(super) seal: RefCell<Option<Seal>>,
    pub(super) ordinals: RefCell<FireOrdinals>,
    pub(super) running: RefCell<Vec<ScriptSource>>,
    pub(super) warnings: RefCell<Vec<String>>,
    pub(super) formats: OnceCell<Formats>,
}

impl Execution {
    /// An execution; [`crate::worker::Worker::execution`] is how others make one.
    pub(crate) fn new(engine: Arc<Engine>, sandbox: Rc<Sandbox>, session: Session) -> Rc<Self> {
        Rc::new(Self {
            engine,
            session,
            sandbox,
            id: OnceCell::new(),
            budget: Budget::default(),
            report: RefCell::default(),
            messages: RefCell::default(),
            commit_mark: Cell::new(CommitMark::default()),
            transaction: RefCell::new(None),
            operation_depth: Cell::new(0),
            unit: RefCell::new(None),
            seal: RefCell::new(None),
            ordinals: RefCell::default(),
            running: RefCell::default(),
            warnings: RefCell::default(),
            formats: OnceCell::new(),
        })
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Who acts.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Joins log lines that belong together.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        self.id.get_or_init(|| Arc::from(SysId::generate(self.now()).as_str()))
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.engine.clock().now()
    }

    /// The present dictionary, as this execution sees it.
    pub(crate) fn dictionary(&self) -> Result<Arc<Dictionary>, EngineError> {
        let changed = self.unit.borrow().as_ref().and_then(|unit| unit.dictionary().cloned());
        changed.map_or_else(|| self.engine.dictionary(), Ok)
    }

    pub(crate) fn formats_cell(&self) -> &OnceCell<Formats> {
        &self.formats
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    // --- scripts --------------------------------------------------------------------------------------------

    /// Runs a script with these globals and bounds. What it logs, fires and writes is in [`Execution::report`].
    /// While this execution holds the writer, `max_writer_ms` ends it too.
    #[must_use]
    pub fn run_script(
        self: &Rc<Self>,
        source: &ScriptSource,
        bindings: &Bindings,
        limits: Limits,
    ) -> RunOutcome {
        self.bound_writer_time();
        let host: Rc<dyn Host> = Rc::new(ScriptHost::new(Rc::clone(self)));
        self.running.borrow_mut().push(source.clone());
        let outcome = self.sandbox.run(source, bindings, limits, &host);
        self.running.borrow_mut().pop();
        script_metrics::ran(source, outcome.usage.wall, outcome.result.as_ref().err());
        outcome
    }

    /// How many of the scripts that stand on the stack are of some sort.
    pub(crate) fn count_running(&self, of_sort: impl Fn(&ScriptSource) -> bool) -> usize {
        self.running.borrow().iter().filter(|script| of_sort(script)).count()
    }

    /// The script that runs at this moment, innermost.
    pub(crate) fn running_script(&self) -> Option<ScriptSource> {
        self.running.borrow().last().cloned()
    }

    /// The kind of the outermost script that runs; its quotas hold for all that it causes.
    pub(crate) fn outermost_kind(&self) -> Option<ScriptKind> {
        self.running.borrow().first().map(|script| script.kind)
    }

    /// What is left of `max_writer_ms`; `None` while the writer is not held.
    pub(crate) fn writer_time_left(&self) -> Option<Duration> {
        let by_operation = self.transaction.borrow().as_ref().and_then(Transaction::held_for);
        let by_unit = self.unit.borrow().as_ref().and_then(Unit::held_for);
        let held = by_operation.max(by_unit)?;
        let allowed = Duration::from_millis(self.budget.writer_ms(&self.engine));
        Some(allowed.saturating_sub(held))
    }

    /// Tells the sandbox how long the scripts that hold the writer may go on: those inside the operation that took
    /// it, or all of them when a unit of work did.
    pub(crate) fn bound_writer_time(&self) {
        let unit_holds = self.unit.borrow().as_ref().and_then(Unit::held_for).is_some();
        let from = if unit_holds { 0 } else { self.operation_depth.get() };
        self.sandbox.cancel_after(from, self.writer_time_left());
    }

    /// Why the script that calls now must end, if it must.
    pub(crate) fn must_end(&self) -> Option<LimitKind> {
        if self.transaction.borrow().as_ref().is_some_and(|tx| tx.failure.is_some()) {
            return Some(LimitKind::Cancelled);
        }
        if self.writer_time_left().is_some_and(|left| left.is_zero()) {
            return Some(LimitKind::Cancelled);
        }
        self.budget.exceeded(&self.engine, self.outermost_kind())
    }

    // --- reading and writing --------------------------------------------------------------------------------

    /// Reads: through the write transaction while this execution holds it (so it sees its own writes), else
    /// through a reader. `read` must not call back into this execution.
    ///
    /// # Errors
    /// What the store answers.
    pub fn with_read<T>(
        &self,
        read: impl FnOnce(&dyn ReadTx) -> Result<T, StoreError>,
    ) -> Result<T, EngineError> {
        self.budget.count_statement();
        spent::in_database(|| {
            let transaction = self.transaction.borrow();
            if let Some(writer) = transaction.as_ref().and_then(|tx| tx.writer.as_ref()) {
                return Ok(read(writer.as_read())?);
            }
            if let Some(writer) = self.unit.borrow().as_ref().and_then(Unit::writer) {
                return Ok(read(writer.as_read())?);
            }
            let reader = Arc::clone(self.engine.store()).read()?;
            Ok(read(&*reader)?)
        })
    }

    /// The row of `table` with this key.
    pub(crate) fn read_row(
        &self,
        table: &Arc<TableDef>,
        sys_id: &str,
    ) -> Result<Option<Record>, EngineError> {
        if self.in_unit()
            || self.transaction.borrow().as_ref().is_some_and(|tx| tx.writer.is_some())
        {
            return self.with_read(|tx| tx.get(table, sys_id));
        }
        self.budget.count_statement();
        Ok(self.engine.store().row(table, sys_id)?)
    }

    /// The row with the fields of its real class.
    pub(crate) fn read_real_row(
        &self,
        table: &Arc<TableDef>,
        sys_id: &str,
    ) -> Result<Option<Record>, EngineError> {
        let Some(row) = self.read_row(table, sys_id)? else { return Ok(None) };
        self.in_real_class(table, row)
    }

    /// As [`Execution::read_real_row`], for a row that an operation is about to change: while this execution holds the
    /// writer, nobody else changes it any more.
    pub(crate) fn read_to_change(
        &self,
        table: &Arc<TableDef>,
        sys_id: &str,
    ) -> Result<Option<Record>, EngineError> {
        let held = {
            let (transaction, unit) = (self.transaction.borrow(), self.unit.borrow());
            let of_operation = transaction.as_ref().and_then(|tx| tx.writer.as_deref());
            let writer = of_operation.or_else(|| unit.as_ref().and_then(Unit::writer));
            writer.map(|writer| {
                self.budget.count_statement();
                spent::in_database(|| writer.get_for_change(table, sys_id))
            })
        };
        let row = match held {
            Some(row) => row?,
            None => self.read_row(table, sys_id)?,
        };
        row.map_or(Ok(None), |row| self.in_real_class(table, row))
    }

    fn in_real_class(
        &self,
        table: &Arc<TableDef>,
        row: Record,
    ) -> Result<Option<Record>, EngineError> {
        if row.class_name() == &*table.name {
            return Ok(Some(row));
        }
        let dictionary = self.dictionary()?;
        match dictionary.table(row.class_name()) {
            Some(class) if class.extends(&table.root) => self.read_row(class, row.text("sys_id")),
            _ => Ok(Some(row)),
        }
    }

    /// Whether a row that the caller of an outermost operation read just now may stand for the stored one: until
    /// the writer is taken, which checks it.
    pub(crate) fn may_use_fresh(&self) -> bool {
        self.transaction(|tx| tx.first_attempt && tx.writer.is_none() && tx.frames.len() == 1)
            == Some(true)
    }

    /// Whether an operation of this execution runs.
    #[must_use]
    pub fn in_operation(&self) -> bool {
        self.transaction.borrow().is_some()
    }

    pub(crate) fn begin_transaction(&self, tx: Transaction) {
        *self.transaction.borrow_mut() = Some(tx);
        self.operation_depth.set(self.sandbox.depth());
        self.bound_writer_time();
    }

    pub(crate) fn end_transaction(&self) -> Option<Transaction> {
        let ended = self.transaction.borrow_mut().take();
        self.bound_writer_time();
        self.budget.release(ended.as_ref().map_or(0, |ended| ended.events_bytes));
        ended
    }

    /// Does something with the present transaction; `None` outside an operation. `f` must not call back.
    pub(crate) fn transaction<T>(&self, f: impl FnOnce(&mut Transaction) -> T) -> Option<T> {
        self.transaction.borrow_mut().as_mut().map(f)
    }

    /// Takes the writer, if this operation does not hold it yet, and checks that no row that it read has moved.
    ///
    /// # Errors
    /// [`Failure::Restart`] when one has; what the store answers.
    pub(crate) fn ensure_writer(&self) -> Result<(), Failure> {
        let reads = {
            let mut slot = self.transaction.borrow_mut();
            let Some(tx) = slot.as_mut() else { return Ok(()) };
            if tx.writer.is_some() {
                return Ok(());
            }
            tx.frames.iter_mut().filter_map(|frame| frame.read.take()).collect::<Vec<_>>()
        };
        let store = Arc::clone(self.engine.store());
        let writer = spent::in_database(|| match &self.session.cause {
            Some(cause) => store.write_for(&cause.event),
            None => store.write(),
        })?;
        for read in &reads {
            let now = writer.get_for_change(read.table(), read.text("sys_id"))?;
            let is_same = |now: Record| now.shares_values(read) || now.values() == read.values();
            if !now.is_some_and(is_same) {
                return Err(Failure::Restart);
            }
        }
        self.transaction(|tx| tx.hold(writer));
        self.bound_writer_time();
        Ok(())
    }

    /// Writes through the write transaction, which is taken first if need be. `write` must not call back.
    pub(crate) fn with_writer<T>(
        &self,
        write: impl FnOnce(&mut dyn WriteTx) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.ensure_writer()?;
        self.budget.count_statement();
        let mut slot = self.transaction.borrow_mut();
        match slot.as_mut().and_then(|tx| tx.writer.as_mut()) {
            Some(writer) => spent::in_database(|| write(&mut **writer)),
            None => Err(Failure::Error(EngineError::Unavailable(
                "a row was to be written outside an operation".to_owned(),
            ))),
        }
    }

    /// Runs `f` with the writer when this execution holds it, else without.
    pub(crate) fn with_writer_if_held<T>(
        &self,
        f: impl FnOnce(Option<&mut dyn WriteTx>) -> T,
    ) -> T {
        let mut slot = self.transaction.borrow_mut();
        match slot.as_mut().and_then(|tx| tx.writer.as_mut()) {
            Some(writer) => f(Some(&mut **writer)),
            None => {
                drop(slot);
                f(None)
            }
        }
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution")
            .field("user", &self.session.user.user_name)
            .finish_non_exhaustive()
    }
}
