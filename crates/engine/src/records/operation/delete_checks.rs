//! Which definitions of tables and columns may not be deleted: told before the cascade has emptied what points at them.

use std::rc::Rc;

use campanile_model::Record;

use super::change::Kind;
use super::integrity;
use crate::error::EngineError;
use crate::records::execution::Execution;
use crate::records::seed;

/// Refuses the deletion of a table that others extend, and of one of the system's own.
pub(super) fn table(execution: &Rc<Execution>, record: &Record) -> Result<(), EngineError> {
    let name = record.text("name");
    let dictionary = execution.dictionary()?;
    let child = dictionary.tables().find(|table| *table.name != *name && table.extends(name));
    let detail = if let Some(child) = child {
        format!("table '{name}' cannot be deleted while '{}' extends it", child.name)
    } else if seed::system_dictionary()?.table(name).is_some() {
        format!("table '{name}' belongs to the system: it cannot be deleted")
    } else {
        return Ok(());
    };
    Err(integrity::refusal_of("definition_invalid", Kind::Delete, record, detail))
}

/// Refuses the deletion of a column of one of the system's own tables that the system itself has put there.
pub(super) fn column(_execution: &Rc<Execution>, record: &Record) -> Result<(), EngineError> {
    let (table, element) = (record.text("name"), record.text("element"));
    let shipped = seed::system_dictionary()?.table(table);
    if shipped.is_none_or(|shipped| !element.is_empty() && shipped.index(element).is_none()) {
        return Ok(());
    }
    let detail = match element {
        "" => {
            format!("the collection row of '{table}' belongs to the system: it cannot be deleted")
        }
        _ => format!("column '{table}.{element}' belongs to the system: it cannot be deleted"),
    };
    Err(integrity::refusal_of("definition_invalid", Kind::Delete, record, detail))
}
