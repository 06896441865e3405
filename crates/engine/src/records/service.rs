//! Records for callers from outside: the gate, then the same operation that scripts use.

use std::rc::Rc;

use campanile_model::Record;
use campanile_model::query::InvalidTerm;
use campanile_script::MessageKind;
use campanile_store::CommitMark;

use super::execution::Execution;
use crate::error::EngineError;

/// Which rows of a table.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Table.
    pub table: String,
    /// Encoded query; when it is given, `name_values` are not used.
    pub query: Option<String>,
    /// `field=value` filters: equality, joined by AND; display values of choices and references match too.
    pub name_values: Vec<(String, String)>,
    /// Fields (of the table) whose values are needed; `None` reads all. The key is always read.
    pub fields: Option<Vec<String>>,
    /// Most rows; 0 gives none. `None` takes 10,000; more than 100,000 is taken as 100,000.
    pub limit: Option<u64>,
    /// Rows to leave out first.
    pub offset: u64,
    /// Whether to count all rows that satisfy the query.
    pub count: bool,
}

/// One page of rows.
#[derive(Debug, Clone, Default)]
pub struct ListPage {
    /// The rows, as rows of the table that was asked for.
    pub records: Vec<Record>,
    /// Rows that satisfy the query, when they were counted.
    pub total: Option<u64>,
    /// Terms of the query that were dropped.
    pub dropped: Vec<InvalidTerm>,
}

/// A field's new value as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InputValue {
    /// The stored form; `None` when only a display value was sent.
    pub value: Option<String>,
    /// The display form.
    pub display_value: Option<String>,
}

impl From<&str> for InputValue {
    fn from(text: &str) -> Self {
        Self { value: Some(text.to_owned()), display_value: None }
    }
}

impl From<String> for InputValue {
    fn from(text: String) -> Self {
        Self { value: Some(text), display_value: None }
    }
}

/// A row to insert or the changes of one.
#[derive(Debug, Clone, Default)]
pub struct WriteRequest {
    /// Table.
    pub table: String,
    /// The row to change; on insert the key is among `values`.
    pub sys_id: Option<String>,
    /// Field names and values, in the order they were sent. Unknown names are ignored.
    pub values: Vec<(String, InputValue)>,
    /// Values are display values (rest-api §7.5).
    pub input_display: bool,
    /// `If-Match`: the `sys_mod_count` that the caller had.
    pub if_match: Option<i64>,
}

/// What became of a write.
#[derive(Debug, Clone)]
pub struct Written {
    /// The row after all rules have run, of its real class.
    pub record: Record,
    /// Whether anything was written.
    pub changed: bool,
    /// Wait for this before telling anybody.
    pub mark: CommitMark,
    /// What was accepted but will surprise: an async rule that does not run, an unknown queue.
    pub warnings: Vec<String>,
    /// Messages that rules added.
    pub messages: Vec<(MessageKind, String)>,
}

fn not_built<T>() -> Result<T, EngineError> {
    Err(EngineError::Unavailable("the record service is being laid out".to_owned()))
}

/// The rows of `request` that the session may read.
///
/// # Errors
/// [`EngineError::TableUnknown`], [`EngineError::OperationDenied`], [`EngineError::BadParameter`] for a query
/// beyond its limits.
pub fn list(execution: &Rc<Execution>, request: &ListRequest) -> Result<ListPage, EngineError> {
    let _ = (execution, request);
    not_built()
}

/// One row, as a row of `table`.
///
/// # Errors
/// [`EngineError::TableUnknown`], [`EngineError::RecordUnknown`].
pub fn get(execution: &Rc<Execution>, table: &str, sys_id: &str) -> Result<Record, EngineError> {
    let _ = (execution, table, sys_id);
    not_built()
}

/// Inserts a row.
///
/// # Errors
/// [`EngineError::TableUnknown`], [`EngineError::OperationDenied`], [`EngineError::Aborted`],
/// [`EngineError::Mandatory`], [`EngineError::Integrity`].
pub fn insert(execution: &Rc<Execution>, request: &WriteRequest) -> Result<Written, EngineError> {
    let _ = (execution, request);
    not_built()
}

/// Changes a row. What changes nothing runs no rule and answers with the row.
///
/// # Errors
/// As [`insert`]; [`EngineError::RecordUnknown`], [`EngineError::VersionConflict`].
pub fn update(execution: &Rc<Execution>, request: &WriteRequest) -> Result<Written, EngineError> {
    let _ = (execution, request);
    not_built()
}

/// Deletes a row with its cascades.
///
/// # Errors
/// [`EngineError::TableUnknown`], [`EngineError::RecordUnknown`], [`EngineError::OperationDenied`],
/// [`EngineError::Aborted`], [`EngineError::Integrity`].
pub fn delete(
    execution: &Rc<Execution>,
    table: &str,
    sys_id: &str,
) -> Result<CommitMark, EngineError> {
    let _ = (execution, table, sys_id);
    not_built()
}
