//! Records as INSERT, UPDATE and DELETE.

use std::sync::Arc;

use campanile_model::{ColumnStorage, FieldIndex, Record, TableDef};

use super::statement::Statement;
use super::values::{Param, to_column};
use crate::contract::StoreError;

/// Adds the row. Fields that are nil are left to the database, which has no defaults.
pub(crate) fn insert(record: &Record) -> Result<Statement, StoreError> {
    let table = record.table();
    let mut statement = Statement { text: "INSERT INTO ".to_owned(), params: Vec::new() };
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
    record: &Record,
    changed: &[FieldIndex],
) -> Result<Option<Statement>, StoreError> {
    let table = record.table();
    let mut statement = Statement { text: "UPDATE ".to_owned(), params: Vec::new() };
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
    statement.push(" WHERE \"sys_id\" = ");
    statement.bind(Param::Text(Arc::from(record.text("sys_id")))).push(" COLLATE NOCASE");
    Ok(Some(statement))
}

/// Deletes the row of `table` or of a class below it.
pub(crate) fn delete(table: &TableDef, sys_id: &str) -> Statement {
    let mut statement = Statement { text: "DELETE FROM ".to_owned(), params: Vec::new() };
    statement.name(&table.root).push(" AS t0 WHERE \"sys_id\" = ");
    statement.bind(Param::Text(Arc::from(sys_id))).push(" COLLATE NOCASE");
    statement.class_condition(" AND ", "t0", table);
    statement
}
