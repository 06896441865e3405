//! One run of work for a session on one script thread: its sandbox, budget, messages, report and, while an
//! outermost operation holds the writer, the write transaction.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{Instant, SysId};
use campanile_script::{Bindings, Limits, LogLevel, MessageKind, RunOutcome, ScriptSource};
use campanile_store::{CommitMark, ReadTx, StoreError};

use crate::engine::Engine;
use crate::error::EngineError;
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

/// One run of work for a session on one script thread.
pub struct Execution {
    engine: Arc<Engine>,
    session: Session,
    report: RefCell<ExecutionReport>,
    commit_mark: Cell<CommitMark>,
}

impl Execution {
    /// An execution; [`crate::worker::Worker::execution`] is how others make one.
    pub(crate) fn new(engine: Arc<Engine>, session: Session) -> Rc<Self> {
        Rc::new(Self {
            engine,
            session,
            report: RefCell::default(),
            commit_mark: Cell::new(CommitMark::default()),
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

    /// Runs a script with these globals and bounds. What it logs, fires and writes is in [`Execution::report`].
    #[must_use]
    pub fn run_script(
        self: &Rc<Self>,
        source: &ScriptSource,
        bindings: &Bindings,
        limits: Limits,
    ) -> RunOutcome {
        let _ = (source, bindings, limits);
        RunOutcome {
            result: Ok(campanile_script::Completion::default()),
            scratchpad: None,
            usage: campanile_script::Usage::default(),
        }
    }

    /// Reads: through the write transaction while this execution holds it (so it sees its own writes), else
    /// through a reader.
    ///
    /// # Errors
    /// What the store answers.
    pub fn with_read<T>(
        &self,
        read: impl FnOnce(&dyn ReadTx) -> Result<T, StoreError>,
    ) -> Result<T, EngineError> {
        let _ = read;
        Err(EngineError::Unavailable("the engine is being laid out".to_owned()))
    }

    /// Takes the report: what has happened since the last call.
    #[must_use]
    pub fn report(&self) -> ExecutionReport {
        self.report.take()
    }

    /// The newest commit of this execution. Whoever tells somebody outside waits for it first.
    #[must_use]
    pub fn commit_mark(&self) -> CommitMark {
        self.commit_mark.get()
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution")
            .field("user", &self.session.user.user_name)
            .finish_non_exhaustive()
    }
}
