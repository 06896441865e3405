//! Which definitions of tables and columns may not be deleted: told before the cascade has emptied what points at them.

use std::rc::Rc;
use std::sync::Arc;

use campanile_model::query::BoundQuery;
use campanile_model::{Dictionary, Record, TableDef};

use super::change::Kind;
use super::integrity;
use crate::error::EngineError;
use crate::records::execution::Execution;
use crate::records::seed;

/// Refuses the deletion of a table that others extend or refer to, of one that has rows, and of one of the system's
/// own.
pub(super) fn table(
    execution: &Rc<Execution>,
    record: &Record,
    _insists: bool,
) -> Result<(), EngineError> {
    let name = record.text("name");
    let dictionary = execution.dictionary()?;
    let child = dictionary.tables().find(|table| *table.name != *name && table.extends(name));
    let detail = if let Some(child) = child {
        format!("table '{name}' cannot be deleted while '{}' extends it", child.name)
    } else if seed::system_dictionary()?.table(name).is_some() {
        format!("table '{name}' belongs to the system: it cannot be deleted")
    } else if let Some(refers) = referring_column(&dictionary, name) {
        format!(
            "table '{name}' cannot be deleted while '{refers}' refers to it: delete that column first"
        )
    } else {
        match dictionary.table(name).map_or(Ok(0), |table| count(execution, table))? {
            0 => return Ok(()),
            1 => format!(
                "table '{name}' has one row: delete it first, it would be lost with the table"
            ),
            rows => format!(
                "table '{name}' has {rows} rows: delete them first, they would be lost with the table"
            ),
        }
    };
    Err(integrity::refusal_of("definition_invalid", Kind::Delete, record, detail))
}

/// A column of another table that points to rows of `name`.
fn referring_column(dictionary: &Dictionary, name: &str) -> Option<String> {
    let others = dictionary.tables().filter(|table| *table.name != *name);
    let mut columns =
        others.flat_map(|table| table.fields.iter().filter(|field| field.defined_on == table.name));
    columns
        .find(|field| *field.reference == *name)
        .map(|field| format!("{}.{}", field.defined_on, field.name))
}

fn count(execution: &Execution, table: &Arc<TableDef>) -> Result<u64, EngineError> {
    execution.with_read(|read| read.count(&BoundQuery::all(Arc::clone(table))))
}

/// Refuses the deletion of a column of one of the system's own tables that the system itself has put there.
pub(super) fn column(
    _execution: &Rc<Execution>,
    record: &Record,
    _insists: bool,
) -> Result<(), EngineError> {
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
