//! What an execution did: log lines, messages, rows and events, for run logs and answers.

use std::sync::Arc;

use campanile_model::{Instant, NewEvent, SysId};
use campanile_script::{
    LogLevel, MessageKind, RunOutcome, ScriptError, ScriptErrorKind, ScriptSource,
};
use campanile_store::{CommitMark, StoreError};

use super::execution::Execution;
use super::operation::Failure;
use super::operation::transaction::Transaction;
use crate::error::{EngineError, LimitReached, ScriptPlace};

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
    /// Table of the record it is about; empty for none.
    pub table: Arc<str>,
    /// Key of that record.
    pub instance: Arc<str>,
    /// First value.
    pub parm1: Arc<str>,
    /// Second value.
    pub parm2: Arc<str>,
}

impl FiredEvent {
    /// What is told of `event`, stored under `sys_id`.
    pub(crate) fn new(event: &NewEvent, sys_id: SysId) -> Self {
        Self {
            sys_id,
            name: Arc::clone(&event.name),
            queue: Arc::clone(&event.queue),
            process_on: event.process_on,
            table: Arc::clone(&event.table),
            instance: Arc::clone(&event.instance),
            parm1: Arc::clone(&event.parm1),
            parm2: Arc::clone(&event.parm2),
        }
    }
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
    /// The database could not be reached, and this is what it was about: whatever the script made of that, it did not do
    /// its work.
    pub outage: Option<StoreError>,
}

/// That the database could not be reached, or not in time, if that is what `error` says.
pub(crate) fn outage(error: &EngineError) -> Option<StoreError> {
    match error {
        EngineError::Store(
            outage @ (StoreError::Unavailable { .. }
            | StoreError::OutcomeUnknown { .. }
            | StoreError::HeldUp { .. }
            | StoreError::Busy { .. }),
        ) => Some(outage.clone()),
        _ => None,
    }
}

impl Execution {
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

    /// Notes that the database could not be reached, if that is what `error` says.
    pub(crate) fn note_outage(&self, error: &EngineError) {
        if let Some(outage) = outage(error) {
            self.report.borrow_mut().outage.get_or_insert(outage);
        }
    }

    pub(super) fn note_fired(&self, fired: Vec<FiredEvent>) {
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
    pub(crate) fn failure_of_run(
        &self,
        source: &ScriptSource,
        outcome: &RunOutcome,
    ) -> Result<(), Failure> {
        if let Some(failure) = self.transaction(|tx| tx.failure.clone()).flatten() {
            return Err(failure);
        }
        match &outcome.result {
            Err(ScriptError {
                kind: ScriptErrorKind::Limit(limit),
                message,
                line,
                column,
                limit_set_by,
                ..
            }) => Err(Failure::Limit(Box::new(LimitReached {
                limit: *limit,
                set_by: limit_set_by,
                script: Some(ScriptPlace {
                    table: Arc::clone(&source.table),
                    sys_id: Arc::clone(&source.sys_id),
                    name: Arc::clone(&source.name),
                    line: *line,
                    column: *column,
                }),
                detail: message.clone(),
            }))),
            _ => Ok(()),
        }
    }

    pub(crate) fn keep_log_line(&self, line: LogLine) {
        self.report.borrow_mut().log.push(line);
    }

    pub(crate) fn count_dropped_line(&self) {
        self.report.borrow_mut().log_dropped += 1;
    }

    pub(crate) fn keep_message(&self, kind: MessageKind, text: String) {
        self.messages.borrow_mut().push((kind, text));
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
