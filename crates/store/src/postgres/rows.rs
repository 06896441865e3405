//! Running built statements, and rows as records.

use std::sync::Arc;

use campanile_model::query::BoundQuery;
use campanile_model::{ColumnStorage, FieldDef, FieldIndex, Record, TableDef, Value};
use tokio_postgres::Row;

use super::connection::Connection;
use super::text::read;
use crate::contract::{Select, StoreError};
use crate::sql::EVENT_TABLES;
use crate::sql::values::{from_integer, from_real};
use crate::sql::{self, Dialect, Statement};

/// The row of `table` or of a class below it with this key.
pub(super) fn get(
    connection: &Connection,
    table: &Arc<TableDef>,
    sys_id: &str,
) -> Result<Option<Record>, StoreError> {
    let (statement, fields) = sql::by_key(Dialect::Postgres, table, sys_id);
    Ok(records(connection, &statement, table, &fields)?.pop())
}

/// The rows of `table` or of classes below it with these keys, in no order.
pub(super) fn get_all(
    connection: &Connection,
    table: &Arc<TableDef>,
    sys_ids: &[&str],
) -> Result<Vec<Record>, StoreError> {
    let (statement, fields) = sql::by_keys(table, sys_ids);
    records(connection, &statement, table, &fields)
}

/// The same as [`get`], and nobody else changes the row until the transaction ends.
pub(super) fn get_for_change(
    connection: &Connection,
    table: &Arc<TableDef>,
    sys_id: &str,
) -> Result<Option<Record>, StoreError> {
    let (mut statement, fields) = sql::by_key(Dialect::Postgres, table, sys_id);
    // Rows of a view of several tables cannot be locked; what changes an event locks it by itself.
    if !EVENT_TABLES.contains(&&*table.root) {
        statement.push(" FOR UPDATE OF t0");
    }
    Ok(records(connection, &statement, table, &fields)?.pop())
}

/// The rows of `select`.
pub(super) fn select(connection: &Connection, select: &Select) -> Result<Vec<Record>, StoreError> {
    let (statement, fields) = sql::select(Dialect::Postgres, select);
    records(connection, &statement, &select.query.table, &fields)
}

/// The number of rows of `query`.
pub(super) fn count(connection: &Connection, query: &BoundQuery) -> Result<u64, StoreError> {
    let rows = connection.select(&sql::count(Dialect::Postgres, query))?;
    let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn records(
    connection: &Connection,
    statement: &Statement,
    table: &Arc<TableDef>,
    fields: &[FieldIndex],
) -> Result<Vec<Record>, StoreError> {
    connection.select(statement)?.iter().map(|row| record(row, table, fields)).collect()
}

fn record(row: &Row, table: &Arc<TableDef>, fields: &[FieldIndex]) -> Result<Record, StoreError> {
    let mut values = vec![Value::Nil; table.fields.len()];
    for (column, field) in fields.iter().enumerate() {
        values[*field] = value(&table.fields[*field], row, column)?;
    }
    Ok(Record::from_values(Arc::clone(table), values))
}

/// The stored text of a column's value.
fn value(field: &FieldDef, row: &Row, column: usize) -> Result<Value, StoreError> {
    let integer = |number: Option<i64>| number.map(|number| from_integer(field, number));
    let found = match field.storage {
        ColumnStorage::Text | ColumnStorage::None => {
            row.try_get::<_, Option<&str>>(column)?.map(|text| Value::text(&read(text)))
        }
        ColumnStorage::Integer | ColumnStorage::EpochMillis => integer(row.try_get(column)?),
        ColumnStorage::Boolean => integer(row.try_get::<_, Option<bool>>(column)?.map(i64::from)),
        ColumnStorage::Real => {
            row.try_get::<_, Option<f64>>(column)?.map(|number| from_real(field, number))
        }
    };
    Ok(found.unwrap_or(Value::Nil))
}
