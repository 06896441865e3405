//! Tables of the dictionary as columns of a physical table: what is the same for every engine.

use std::collections::HashMap;
use std::sync::Arc;

use campanile_model::{ColumnStorage, FieldDef, TableDef};

use crate::contract::StoreError;

/// Tables whose rows only the event half writes; nothing may create, alter or write them as records.
pub(crate) const EVENT_TABLES: [&str; 3] =
    ["sysevent", "sysevent_handler_run", "sysevent_action_log"];

/// The stored fields of all classes of the hierarchy `root`, each column once; `sql_type` is how the engine spells a type.
///
/// # Errors
/// [`StoreError::Statement`] when two classes want one column with different types.
pub(crate) fn columns<'a>(
    root: &str,
    classes: &[&'a Arc<TableDef>],
    sql_type: fn(&FieldDef) -> &'static str,
) -> Result<Vec<&'a FieldDef>, StoreError> {
    let mut seen: HashMap<&str, &FieldDef> = HashMap::new();
    let mut columns = Vec::new();
    for field in classes.iter().flat_map(|class| &class.fields) {
        if field.storage == ColumnStorage::None {
            continue;
        }
        match seen.get(&*field.column) {
            None => {
                seen.insert(&field.column, field);
                columns.push(field);
            }
            Some(other) if sql_type(other) == sql_type(field) => {}
            Some(other) => {
                return Err(StoreError::Statement {
                    reason: format!(
                        "column '{}' of table '{root}' is {} in '{}' and {} in '{}'",
                        field.column,
                        sql_type(other),
                        other.defined_on,
                        sql_type(field),
                        field.defined_on
                    ),
                });
            }
        }
    }
    Ok(columns)
}

/// The refusal of another type for a column that is there.
pub(crate) fn other_type(root: &str, field: &FieldDef, found: &str, wanted: &str) -> StoreError {
    StoreError::Statement {
        reason: format!(
            "column '{}' of table '{root}' holds {found} and cannot become {wanted}: \
             give the field another name",
            field.column
        ),
    }
}
