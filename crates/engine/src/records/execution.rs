//! One run of work for a session on one script thread: its sandbox, budget, messages, report and, while an
//! outermost operation holds the writer, the write transaction.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use campanile_model::{Dictionary, Instant, NewEvent, Record, SysId, TableDef};
use campanile_script::{
    Bindings, Host, LimitKind, Limits, LogLevel, MessageKind, RunOutcome, Sandbox, ScriptError,
    ScriptErrorKind, ScriptSource,
};
use campanile_store::{AppendMode, Appended, CommitMark, ReadTx, StoreError, WriteTx};

use super::budget::Budget;
use super::display::Formats;
use super::operation::Failure;
use super::operation::transaction::{Transaction, WaitingEvent};
use super::script_host::ScriptHost;
use super::unit_of_work::Unit;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::fire::ordinals::FireOrdinals;
use crate::events::fire::provision::{self, Provision};
use crate::events::fire::{self, FireRequest, Resolved};
use crate::session::Session;

/// One line that a script logged, as far as the bounds of §16 allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Level.
    pub level: LogLevel,
    /// Text, cut at `max_log_chars`.
    pub text: String,
}

/// An event that this execution fired and that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiredEvent {
    /// Its key.
    pub sys_id: SysId,
    /// Its name.
    pub name: Arc<str>,
    /// Its queue; empty is the default queue.
    pub queue: Arc<str>,
    /// Earliest moment of processing.
    pub process_on: Instant,
}

/// A row that this execution wrote and committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenRecord {
    /// `insert`, `update`, `delete`.
    pub operation: &'static str,
    /// The row's class.
    pub table: Arc<str>,
    /// Its key.
    pub sys_id: Arc<str>,
    /// Names of the fields that were written, journals included; empty for a delete.
    pub changes: Vec<Arc<str>>,
}

/// What an execution did, for run logs and answers.
#[derive(Debug, Clone, Default)]
pub struct ExecutionReport {
    /// Log lines in order; `log_dropped` more were not kept.
    pub log: Vec<LogLine>,
    /// Lines beyond `max_log_rows`.
    pub log_dropped: u64,
    /// Session messages in order.
    pub messages: Vec<(MessageKind, String)>,
    /// Events that were kept.
    pub fired: Vec<FiredEvent>,
    /// Rows that were written and committed.
    pub written: Vec<WrittenRecord>,
    /// Database statements.
    pub statements: u64,
}

/// What became of a fired event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FireResult {
    /// It waits for the commit of the operation that runs.
    Waiting(SysId),
    /// It is stored (or was already).
    Stored(Appended),
    /// Nothing was stored, for this reason.
    NotStored(&'static str),
}

/// One run of work for a session on one script thread.
pub struct Execution {
    engine: Arc<Engine>,
    session: Session,
    sandbox: Rc<Sandbox>,
    id: OnceCell<Arc<str>>,
    budget: Budget,
    report: RefCell<ExecutionReport>,
    messages: RefCell<Vec<(MessageKind, String)>>,
    commit_mark: Cell<CommitMark>,
    transaction: RefCell<Option<Transaction>>,
    pub(super) unit: RefCell<Option<Unit>>,
    ordinals: RefCell<FireOrdinals>,
    running: RefCell<Vec<ScriptSource>>,
    warnings: RefCell<Vec<String>>,
    formats: OnceCell<Formats>,
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
            unit: RefCell::new(None),
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
    /// While this execution holds the writer, the wall time is cut to what `max_writer_ms` leaves.
    #[must_use]
    pub fn run_script(
        self: &Rc<Self>,
        source: &ScriptSource,
        bindings: &Bindings,
        mut limits: Limits,
    ) -> RunOutcome {
        if let Some(left) = self.writer_time_left() {
            limits.max_wall = limits.max_wall.min(left);
        }
        let host: Rc<dyn Host> = Rc::new(ScriptHost::new(Rc::clone(self)));
        self.running.borrow_mut().push(source.clone());
        let outcome = self.sandbox.run(source, bindings, limits, &host);
        self.running.borrow_mut().pop();
        outcome
    }

    /// The script that runs at this moment, innermost.
    pub(crate) fn running_script(&self) -> Option<ScriptSource> {
        self.running.borrow().last().cloned()
    }

    /// What is left of `max_writer_ms`; `None` while the writer is not held.
    pub(crate) fn writer_time_left(&self) -> Option<Duration> {
        let by_operation = self.transaction.borrow().as_ref().and_then(Transaction::held_for);
        let by_unit = self.unit.borrow().as_ref().and_then(Unit::held_for);
        let held = by_operation.max(by_unit)?;
        let allowed = Duration::from_millis(self.budget.writer_ms(&self.engine));
        Some(allowed.saturating_sub(held))
    }

    /// Why the script that calls now must end, if it must.
    pub(crate) fn must_end(&self) -> Option<LimitKind> {
        if self.transaction.borrow().as_ref().is_some_and(|tx| tx.failure.is_some()) {
            return Some(LimitKind::Cancelled);
        }
        if self.writer_time_left().is_some_and(|left| left.is_zero()) {
            return Some(LimitKind::Cancelled);
        }
        self.budget.exceeded(&self.engine)
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
        if let Some(writer) = self.transaction.borrow().as_ref().and_then(|tx| tx.writer.as_ref()) {
            return Ok(read(writer.as_read())?);
        }
        if let Some(writer) = self.unit.borrow().as_ref().and_then(Unit::writer) {
            return Ok(read(writer.as_read())?);
        }
        let reader = Arc::clone(self.engine.store()).read()?;
        Ok(read(&*reader)?)
    }

    /// The row of `table` with this key.
    pub(crate) fn read_row(
        &self,
        table: &Arc<TableDef>,
        sys_id: &str,
    ) -> Result<Option<Record>, EngineError> {
        self.with_read(|tx| tx.get(table, sys_id))
    }

    /// The row with the fields of its real class.
    pub(crate) fn read_real_row(
        &self,
        table: &Arc<TableDef>,
        sys_id: &str,
    ) -> Result<Option<Record>, EngineError> {
        let Some(row) = self.read_row(table, sys_id)? else { return Ok(None) };
        if row.class_name() == &*table.name {
            return Ok(Some(row));
        }
        let dictionary = self.dictionary()?;
        match dictionary.table(row.class_name()) {
            Some(class) if class.extends(&table.root) => self.read_row(class, sys_id),
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
    }

    pub(crate) fn end_transaction(&self) -> Option<Transaction> {
        self.transaction.borrow_mut().take()
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
        let writer = Arc::clone(self.engine.store()).write()?;
        for read in &reads {
            let now = writer.get(read.table(), read.text("sys_id"))?;
            if now.is_none_or(|now| now.values() != read.values()) {
                return Err(Failure::Restart);
            }
        }
        self.transaction(|tx| tx.hold(writer));
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
            Some(writer) => write(&mut **writer),
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

    // --- events ---------------------------------------------------------------------------------------------

    /// Fires an event. Inside an operation it waits for that operation's commit; else it is stored when this
    /// returns, and durable when [`Execution::commit_mark`] is.
    ///
    /// # Errors
    /// [`EngineError::FireRefused`]; [`EngineError::TimeLimit`] for one event too many; what the store answers.
    pub fn fire(self: &Rc<Self>, request: FireRequest) -> Result<FireResult, EngineError> {
        self.budget.count_event(&self.engine).map_err(|limit| {
            EngineError::TimeLimit(format!("too many events in one run ({})", limit.property()))
        })?;
        let resolved =
            fire::resolve(&self.engine, &self.session, &mut self.ordinals.borrow_mut(), request)?;
        let (event, provisions) = match resolved {
            Resolved::Event(event, provisions) => (*event, provisions),
            Resolved::NotStored { reason } => return Ok(FireResult::NotStored(reason)),
        };
        let sys_id = event.sys_id;
        let mut pending = Some((event, provisions));
        self.transaction(|tx| {
            let ordinal = tx.next_ordinal();
            if let (Some(frame), Some((event, provisions))) = (tx.frames.last_mut(), pending.take())
            {
                frame.events.push(WaitingEvent { ordinal, event, provisions });
            }
        });
        match pending {
            None => Ok(FireResult::Waiting(sys_id)),
            Some((event, provisions)) => {
                self.append_now(event, &provisions).map(FireResult::Stored)
            }
        }
    }

    fn append_now(
        &self,
        event: NewEvent,
        provisions: &[Provision],
    ) -> Result<Appended, EngineError> {
        let fired = FiredEvent {
            sys_id: event.sys_id,
            name: Arc::clone(&event.name),
            queue: Arc::clone(&event.queue),
            process_on: event.process_on,
        };
        let (outcomes, mark) = if self.in_unit() {
            (self.append_in_unit(&event, provisions)?, self.commit_mark())
        } else if provisions.is_empty() {
            let mode = AppendMode { durable: false, atomic: false };
            self.engine.store().append_blocking(vec![event], mode)?
        } else {
            let mut writer = Arc::clone(self.engine.store()).write()?;
            let tables = provision::write(&self.engine, &mut *writer, provisions)?;
            let outcomes = writer.append_events(&[event])?;
            let mark = writer.commit()?;
            self.engine.tables_changed(tables);
            (outcomes, mark)
        };
        self.note_commit(mark);
        match outcomes.into_iter().next() {
            Some(Ok(appended)) => {
                self.note_fired(vec![FiredEvent { sys_id: appended.sys_id, ..fired }]);
                Ok(appended)
            }
            Some(Err(error)) => Err(error.into()),
            None => Err(EngineError::Unavailable("the store lost an event's outcome".to_owned())),
        }
    }

    /// Where the count of equal events stands, and going back to it after a roll-back.
    pub(crate) fn ordinals_mark(&self) -> usize {
        self.ordinals.borrow().mark()
    }

    pub(crate) fn ordinals_go_back(&self, mark: usize) {
        self.ordinals.borrow_mut().go_back(mark);
    }

    // --- what happened --------------------------------------------------------------------------------------

    /// Takes the report: what has happened since the last call. Messages stay with the session too.
    #[must_use]
    pub fn report(&self) -> ExecutionReport {
        let mut report = self.report.take();
        report.messages.clone_from(&self.messages.borrow());
        report.statements = self.budget.statements();
        report
    }

    /// The newest commit of this execution. Whoever tells somebody outside waits for it first.
    #[must_use]
    pub fn commit_mark(&self) -> CommitMark {
        self.commit_mark.get()
    }

    pub(crate) fn note_commit(&self, mark: CommitMark) {
        self.commit_mark.set(self.commit_mark.get().max(mark));
    }

    fn note_fired(&self, fired: Vec<FiredEvent>) {
        self.report.borrow_mut().fired.extend(fired);
    }

    /// The operation was committed.
    pub(crate) fn note_done(&self, tx: Transaction) {
        {
            let mut report = self.report.borrow_mut();
            report.written.extend(tx.written);
            report.fired.extend(tx.fired);
        }
        self.warnings.borrow_mut().extend(tx.warnings);
    }

    /// Takes what save checks found surprising.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    /// The failure that a script run stands for: one that failed below it, or a limit that ended it.
    ///
    /// # Errors
    /// That failure.
    pub(crate) fn failure_of_run(&self, outcome: &RunOutcome) -> Result<(), Failure> {
        if let Some(failure) = self.transaction(|tx| tx.failure.clone()).flatten() {
            return Err(failure);
        }
        match &outcome.result {
            Err(ScriptError { kind: ScriptErrorKind::Limit(limit), message, .. }) => {
                Err(Failure::Limit(*limit, message.clone()))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn keep_log_line(&self, line: LogLine) {
        self.report.borrow_mut().log.push(line);
    }

    pub(crate) fn count_dropped_line(&self) {
        self.report.borrow_mut().log_dropped += 1;
    }

    // --- messages -------------------------------------------------------------------------------------------

    pub(crate) fn add_message(&self, kind: MessageKind, text: &str) {
        self.messages.borrow_mut().push((kind, text.to_owned()));
    }

    /// The session's messages of both kinds, in order.
    #[must_use]
    pub fn messages(&self) -> Vec<(MessageKind, String)> {
        self.messages.borrow().clone()
    }

    pub(crate) fn message_count(&self) -> usize {
        self.messages.borrow().len()
    }

    pub(crate) fn forget_messages_after(&self, count: usize) {
        self.messages.borrow_mut().truncate(count);
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution")
            .field("user", &self.session.user.user_name)
            .finish_non_exhaustive()
    }
}
