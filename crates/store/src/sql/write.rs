//! Records as INSERT, UPDATE and DELETE.

use campanile_model::{ColumnStorage, FieldIndex, Record, TableDef};

use super::dialect::Dialect;
use super::statement::Statement;
use super::values::to_column;
use crate::contract::StoreError;

/// Adds the row. Fields that are nil are left to the database, which has no defaults.
pub(crate) fn insert(dialect: Dialect, record: &Record) -> Result<Statement, StoreError> {
    let table = record.table();
    let mut statement = Statement::new(dialect, "INSERT INTO ");
    statement.name(&table.root).push(" (");
    let mut places = String::new();
    // All columns, nil ones too: one prepared statement for each class.
    for (i, field) in table.fields.iter().enumerate() {
        if field.storage == ColumnStorage::None {
            continue;
        }
        let first = statement.params.is_empty();
        statement.push(if first { "" } else { ", " }).name(&field.column);
        places.push_str(if first { "?" } else { ", ?" });
        statement.params.push(to_column(field, record.at(i))?);
    }
    statement.push(") VALUES (").push(&places).push(")");
    Ok(statement)
}

/// Writes the `changed` fields of the record's row; `None` when none of them has a column.
pub(crate) fn update(
    dialect: Dialect,
    record: &Record,
    changed: &[FieldIndex],
) -> Result<Option<Statement>, StoreError> {
    let table = record.table();
    let mut statement = Statement::new(dialect, "UPDATE ");
    statement.name(&table.root).push(" SET ");
    for field_index in changed {
        let field = &table.fields[*field_index];
        if field.storage == ColumnStorage::None {
            continue;
        }
        let first = statement.params.is_empty();
        statement.push(if first { "" } else { ", " }).name(&field.column).push(" = ");
        statement.bind(to_column(field, record.at(*field_index))?);
    }
    if statement.params.is_empty() {
        return Ok(None);
    }
    statement.push(" WHERE ").is_key("\"sys_id\"", record.text("sys_id"));
    Ok(Some(statement))
}

/// Deletes the row of `table` or of a class below it.
pub(crate) fn delete(dialect: Dialect, table: &TableDef, sys_id: &str) -> Statement {
    let mut statement = Statement::new(dialect, "DELETE FROM ");
    statement.name(&table.root).push(" AS t0 WHERE ").is_key("\"sys_id\"", sys_id);
    statement.class_condition_beside_key(" AND ", "t0", table);
    statement
}
