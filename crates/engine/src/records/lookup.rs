//! Selecting rows by plain field values, for code that knows the table it reads.

use std::sync::Arc;

use campanile_model::query::{BoundOrder, BoundPath, BoundQuery, BoundTerm, Test};
use campanile_model::{Dictionary, FieldIndex, TableDef};
use campanile_store::Select;

use crate::error::EngineError;

/// The table called `name`.
///
/// # Errors
/// [`EngineError::TableUnknown`].
pub fn table<'a>(dictionary: &'a Dictionary, name: &str) -> Result<&'a Arc<TableDef>, EngineError> {
    dictionary.table(name).ok_or_else(|| EngineError::TableUnknown(name.to_owned()))
}

/// The rows of `table` whose fields have these values (compared as the database compares: ignoring case).
/// A field that the table does not have matches no row.
#[must_use]
pub fn equal(table: &Arc<TableDef>, values: &[(&str, &str)]) -> Select {
    let lists: Vec<(&str, Vec<Arc<str>>)> =
        values.iter().map(|(field, value)| (*field, vec![Arc::from(*value)])).collect();
    one_of(table, &lists)
}

/// The rows of `table` whose fields each have one of the listed values; an empty text in a list means nil.
#[must_use]
pub fn one_of(table: &Arc<TableDef>, values: &[(&str, Vec<Arc<str>>)]) -> Select {
    let mut query = BoundQuery::all(Arc::clone(table));
    let mut groups = Vec::new();
    for (name, list) in values {
        let Some(field) = table.index(name) else {
            query.never = true;
            continue;
        };
        groups.push(vec![BoundTerm {
            path: path(table, field),
            test: test(list),
            text: Arc::from(*name),
        }]);
    }
    if !groups.is_empty() {
        query.alternatives = vec![groups];
    }
    Select::new(query)
}

/// The same rows in the order of `fields`, ascending; unknown fields are left out.
#[must_use]
pub fn ordered(mut select: Select, fields: &[&str]) -> Select {
    let table = Arc::clone(&select.query.table);
    let keys = fields.iter().filter_map(|name| table.index(name));
    select.query.order =
        keys.map(|field| BoundOrder { path: path(&table, field), descending: false }).collect();
    select
}

/// The same rows in the opposite order of their keys.
#[must_use]
pub fn reversed(mut select: Select) -> Select {
    for key in &mut select.query.order {
        key.descending = !key.descending;
    }
    select
}

fn test(list: &[Arc<str>]) -> Test {
    match list {
        [] => Test::Never,
        [only] if only.is_empty() => Test::Nil,
        values => Test::In(values.to_vec()),
    }
}

fn path(table: &Arc<TableDef>, field: FieldIndex) -> BoundPath {
    BoundPath { steps: Vec::new(), table: Arc::clone(table), field }
}
