//! What an operation is asked to do, and what may come of it.

use std::sync::Arc;

use campanile_model::{Record, TableDef, Value};
use campanile_store::StoreError;

use crate::error::{EngineError, LimitReached};

/// Which operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Insert,
    Update,
    Delete,
}

impl Kind {
    /// The word that scripts and messages use.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// Who writes the row: decides which integrity checks apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// A script: mandatory fields are not enforced.
    Script,
    /// A request from outside.
    Http,
    /// The product itself: nothing is read-only.
    System,
}

/// Switches of one operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Rules and audit (`setWorkflow`).
    pub(crate) workflow: bool,
    /// Created, updated and the counter are kept by the operation (`autoSysFields`).
    pub(crate) auto_sys_fields: bool,
    /// Go on even when nothing changed (`setForceUpdate`).
    pub(crate) force: bool,
    /// Delete although definitions name the row, where a caller may insist on that.
    pub(crate) insists: bool,
    /// Defaults and before rules give way to the values, nil ones included (replay: the file wins).
    pub(crate) values_win: bool,
    /// Whose write it is.
    pub(crate) door: Door,
    /// The `sys_mod_count` that the row must have.
    pub(crate) if_match: Option<i64>,
}

impl Options {
    /// Everything on, nothing forced.
    pub(crate) const fn plain(door: Door) -> Self {
        Self {
            workflow: true,
            auto_sys_fields: true,
            force: false,
            insists: false,
            values_win: false,
            door,
            if_match: None,
        }
    }
}

/// A journal entry that waits for the write of its row, or was written with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JournalEntry {
    /// Name of the journal field.
    pub(crate) field: Arc<str>,
    /// What was written.
    pub(crate) text: Arc<str>,
    /// Login of the author, when it is not the acting user.
    pub(crate) user: Option<Arc<str>>,
    /// Already stored by a nested write of the same row.
    pub(crate) stored: bool,
}

/// One operation as it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Which.
    pub(crate) kind: Kind,
    /// Table as addressed; the row's real class may lie below it.
    pub(crate) table: Arc<TableDef>,
    /// The row; on insert the key to give it, if the caller chose one.
    pub(crate) sys_id: Option<Arc<str>>,
    /// New values by field name.
    pub(crate) values: Vec<(Arc<str>, Value)>,
    /// New journal entries.
    pub(crate) journals: Vec<JournalEntry>,
    /// The row as the caller read it just now, of its real class: saves reading it once more.
    pub(crate) fresh: Option<Record>,
    /// Goes to the audit.
    pub(crate) reason: Arc<str>,
    /// Switches.
    pub(crate) options: Options,
}

impl Change {
    /// Why the row as it is stored is not the one that the caller had, if it is not (`If-Match`).
    pub(crate) fn conflict_with(&self, stored: &Record) -> Option<EngineError> {
        let expected = self.options.if_match?.to_string();
        let present = stored.text("sys_mod_count");
        (present != expected)
            .then(|| EngineError::VersionConflict { expected, present: present.to_owned() })
    }
}

/// How an operation ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It succeeded.
    Done {
        /// The row as it was written (or found), of its real class.
        record: Record,
        /// Whether anything was written.
        changed: bool,
        /// A nested operation wrote the row once more: `record` is not its last state.
        written_again: bool,
    },
    /// It was refused: nothing of its own was kept, what nested operations did stays.
    Refused(EngineError),
}

/// Why the outermost operation must roll back.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// A row has moved since it was read: begin again.
    Restart,
    /// A script inside was terminated.
    Limit(Box<LimitReached>),
    /// The store, or the product, failed.
    Error(EngineError),
}

impl Failure {
    /// The failure as callers see it.
    pub(crate) fn into_error(self) -> EngineError {
        match self {
            Self::Restart => EngineError::Unavailable(
                "the record kept changing while it was being written; try again".to_owned(),
            ),
            Self::Limit(reached) => EngineError::LimitReached(reached),
            Self::Error(error) => error,
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Error(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Error(error.into())
    }
}
