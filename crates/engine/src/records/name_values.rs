//! `field=value` filters of a list (rest-api §6): display values of choices and references match too.

use std::rc::Rc;
use std::sync::Arc;

use campanile_model::query::build::Operand;
use campanile_model::query::{Group, Query, Term};
use campanile_model::{FieldType, TableDef};

use super::execution::Execution;
use crate::error::EngineError;

/// The query of the filters, joined by AND. Names that are no field of the table are left out.
pub(super) fn query(
    execution: &Rc<Execution>,
    table: &Arc<TableDef>,
    filters: &[(String, String)],
) -> Result<Query, EngineError> {
    let dictionary = execution.dictionary()?;
    let mut query = Query::default();
    for (path, value) in filters {
        let first = path.split('.').next().unwrap_or(path);
        let Some(field) = table.field(first) else { continue };
        let operand = if value.is_empty() { Operand::Nothing } else { Operand::Text(value) };
        let mut terms = vec![Term::build(path, "=", operand)];
        let own = first.len() == path.len() && !value.is_empty();
        if own && let Some(stored) = dictionary.choice_value(&table.name, first, value) {
            terms.push(Term::build(path, "=", Operand::Text(stored)));
        }
        if own
            && field.field_type == FieldType::Reference
            && let Some(target) = dictionary.table(&field.reference)
        {
            let display = &target.fields[target.display_field].name;
            terms.push(Term::build(&format!("{path}.{display}"), "=", Operand::Text(value)));
        }
        let mut group = Group::default();
        for term in terms {
            match term {
                Ok(term) => group.terms.push(term),
                Err(invalid) => query.invalid.push(invalid),
            }
        }
        query.push_group(group);
    }
    Ok(query)
}
