//! What a record object holds outside the memory that the sandbox meters: it counts against the same limit (scripting §16).

use campanile_model::{Record, Value};
use campanile_script::HostError;

use super::object::ScriptRecord;

/// A record object without its values, the cells that lead to it included.
const OBJECT_BYTES: usize = 1_024;

/// About how many bytes the values of a row take.
pub(super) fn bytes_of(record: &Record) -> usize {
    record.values().iter().map(|value| size_of::<Value>() + value.as_str().len()).sum()
}

impl ScriptRecord {
    /// Counts what the object holds now, after it may have become more.
    pub(super) fn count_held(&self) {
        let now = {
            // Whoever is busy with the object counts when it has ended.
            let (Some(row), Ok(search)) = (self.bare_row(), self.search.try_borrow()) else {
                return;
            };
            OBJECT_BYTES + size_of_val(row.record.values()) + row.assigned_bytes + search.bytes()
        };
        let before = self.held.replace(now);
        let budget = self.execution.budget();
        budget.hold(now.saturating_sub(before));
        budget.release(before.saturating_sub(now));
    }

    /// As [`ScriptRecord::count_held`]; ends the script when it holds too much.
    pub(super) fn check_held(&self) -> Result<(), HostError> {
        self.count_held();
        let execution = &self.execution;
        match execution.budget().holds_too_much(execution.engine(), execution.outermost_kind()) {
            true => self.check_budget(),
            false => Ok(()),
        }
    }

    pub(super) fn release_held(&self) {
        self.execution.budget().release(self.held.get());
    }
}
