//! Tables whose rows are not written by the record operation: the seam to the room that gives them meaning.
//!
//! `records` reaches upward through these functions only; they are put together where the engine is.

use std::collections::HashMap;
use std::rc::Rc;

use super::execution::Execution;
use super::service::{WriteRequest, Written};
use crate::error::EngineError;

/// Updates a row whose version must still be this one, if any is given.
pub type Update = fn(&Rc<Execution>, &WriteRequest, Option<i64>) -> Result<Written, EngineError>;

/// How rows of such a table are written from outside. Deleting is refused. The gate was passed already.
#[derive(Debug, Clone, Copy)]
pub struct SpecialTable {
    /// Instead of an insert.
    pub insert: fn(&Rc<Execution>, &WriteRequest) -> Result<Written, EngineError>,
    /// Instead of an update; the row exists.
    pub update: Update,
}

/// How rows are written that only the engine writes (the action log, the runs of handlers): not at all, whoever asks.
pub const READ_ONLY: SpecialTable = SpecialTable {
    insert: |_, request| denied("Insert", request),
    update: |_, request, _| denied("Update", request),
};

fn denied(operation: &'static str, request: &WriteRequest) -> Result<Written, EngineError> {
    Err(EngineError::OperationDenied { operation, table: request.table.clone() })
}

/// All such tables.
#[derive(Debug, Default)]
pub struct SpecialTables {
    by_name: HashMap<&'static str, SpecialTable>,
}

impl SpecialTables {
    /// Adds a table.
    #[must_use]
    pub fn with(mut self, table: &'static str, special: SpecialTable) -> Self {
        self.by_name.insert(table, special);
        self
    }

    pub(super) fn of(&self, table: &str) -> Option<SpecialTable> {
        self.by_name.get(table).copied()
    }
}
