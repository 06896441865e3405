//! Running built statements, and rows as records.

use std::iter::repeat_n;
use std::sync::Arc;

use campanile_model::query::BoundQuery;
use campanile_model::{FieldDef, FieldIndex, Record, TableDef, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, ToSql, params_from_iter};

use super::event_search;
use crate::contract::{Select, StoreError};
use crate::sql::values::{Param, from_integer, from_real};
use crate::sql::{self, Dialect, Keys, Part, Statement};

impl ToSql for Param {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            // Lists are written out, or as JSON.
            Self::List(_) => ValueRef::Null,
        }))
    }
}

/// The row of `table` or of a class below it with this key.
pub(in crate::sqlite) fn get(
    connection: &Connection,
    table: &Arc<TableDef>,
    sys_id: &str,
) -> Result<Option<Record>, StoreError> {
    let read = sql::keyed(Dialect::Sqlite, Keys::One, Part::whole(table));
    let mut prepared = connection.prepare_cached(&read.text)?;
    prepared.raw_bind_parameter(1, sys_id)?;
    for (at, class) in read.classes.iter().enumerate() {
        prepared.raw_bind_parameter(at + 2, class)?;
    }
    let mut rows = prepared.raw_query();
    match rows.next()? {
        Some(row) => Ok(Some(record(row, table, &read.fields)?)),
        None => Ok(None),
    }
}

/// The rows of `select`.
pub(in crate::sqlite) fn select(
    connection: &Connection,
    select: &Select,
) -> Result<Vec<Record>, StoreError> {
    let (statement, fields) = match event_search::narrowing(&select.query) {
        Some(narrowing) => sql::select_within(Dialect::Sqlite, select, Some(narrowing)),
        None => sql::select(Dialect::Sqlite, select),
    };
    records(connection, &statement, &select.query.table, &fields)
}

/// The number of rows of `query`.
pub(in crate::sqlite) fn count(
    connection: &Connection,
    query: &BoundQuery,
) -> Result<u64, StoreError> {
    let statement = match event_search::narrowing(query) {
        Some(narrowing) => sql::count_within(Dialect::Sqlite, query, Some(narrowing)),
        None => sql::count(Dialect::Sqlite, query),
    };
    let mut prepared = connection.prepare_cached(&statement.text)?;
    let count: i64 = prepared.query_row(params_from_iter(&statement.params), |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Runs a statement that changes rows. Returns how many.
pub(in crate::sqlite) fn execute(
    connection: &Connection,
    statement: &Statement,
) -> Result<usize, rusqlite::Error> {
    connection.prepare_cached(&statement.text)?.execute(params_from_iter(&statement.params))
}

fn records(
    connection: &Connection,
    statement: &Statement,
    table: &Arc<TableDef>,
    fields: &[FieldIndex],
) -> Result<Vec<Record>, StoreError> {
    let mut prepared = connection.prepare_cached(&statement.text)?;
    let mut rows = prepared.query(params_from_iter(&statement.params))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(record(row, table, fields)?);
    }
    Ok(records)
}

fn record(
    row: &Row<'_>,
    table: &Arc<TableDef>,
    fields: &[FieldIndex],
) -> Result<Record, StoreError> {
    let mut shared: Arc<[Value]> = repeat_n(Value::Nil, table.fields.len()).collect();
    let values = Arc::make_mut(&mut shared);
    for (column, field) in fields.iter().enumerate() {
        values[*field] = value(&table.fields[*field], row.get_ref(column)?)?;
    }
    Ok(Record::from_values(Arc::clone(table), shared))
}

/// The stored text of a column's value.
fn value(field: &FieldDef, column: ValueRef<'_>) -> Result<Value, StoreError> {
    Ok(match column {
        ValueRef::Null => Value::Nil,
        ValueRef::Integer(number) => from_integer(field, number),
        ValueRef::Real(number) => from_real(field, number),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::text(text),
            Err(_) => Value::text(&String::from_utf8_lossy(bytes)),
        },
        ValueRef::Blob(_) => {
            return Err(StoreError::Statement {
                reason: format!("column '{}' of {} holds bytes", field.column, field.defined_on),
            });
        }
    })
}
