//! Writes of scripts on tables that the record operation does not keep: events.

use campanile_model::Record;

use super::object::ScriptRecord;
use crate::error::EngineError;
use crate::records::operation::{Change, Kind};
use crate::records::service::{InputValue, WriteRequest};
use crate::records::special_tables::SpecialTable;

impl ScriptRecord {
    /// What `change` means for the table's own room: the row afterwards, or why not.
    pub(super) fn perform_special(
        &self,
        special: SpecialTable,
        change: &Change,
    ) -> Result<Record, EngineError> {
        let denied = |operation: &'static str| EngineError::OperationDenied {
            operation,
            table: change.table.name.to_string(),
        };
        let values = change.values.iter().filter(|(name, _)| !name.starts_with("sys_"));
        let request = WriteRequest {
            table: change.table.name.to_string(),
            sys_id: change.sys_id.as_deref().map(str::to_owned),
            values: values
                .map(|(name, value)| (name.to_string(), InputValue::from(value.as_str())))
                .collect(),
            ..WriteRequest::default()
        };
        match change.kind {
            Kind::Insert => {
                (special.insert)(&self.execution, &request).map(|written| written.record)
            }
            // Actions on events have a transaction of their own: inside an operation they would wait for it.
            Kind::Update if self.execution.in_operation() => Err(denied("Update")),
            Kind::Update if request.values.is_empty() => Ok(self.snapshot()),
            Kind::Update => {
                (special.update)(&self.execution, &request, None).map(|written| written.record)
            }
            Kind::Delete => Err(denied("Delete")),
        }
    }

    /// The room that keeps rows of this object's table, if it is not the record operation.
    pub(super) fn special_table(&self) -> Option<SpecialTable> {
        self.execution.engine().special_tables.of(&self.table.name)
    }
}
