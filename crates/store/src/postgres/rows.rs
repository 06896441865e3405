//! Running built statements, and rows as records.

use std::borrow::Cow;
use std::iter::{self, repeat_n};
use std::rc::Rc;
use std::sync::Arc;

use campanile_model::query::BoundQuery;
use campanile_model::{ColumnStorage, FieldDef, FieldIndex, Record, TableDef, Value};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::connection::{Asked, Connection};
use super::text::{read, stored};
use crate::contract::{Select, StoreError};
use crate::sql::values::{from_integer, from_real};
use crate::sql::{self, Dialect, KeyedRead, Keys, Part};

/// The row with this key.
pub(super) fn get(
    connection: &Connection,
    part: Part<'_>,
    sys_id: &str,
) -> Result<Option<Record>, StoreError> {
    keyed(connection, (Keys::One, sys_id), part)
}

/// Gives `told` the rows with these keys for each of the parts, in no order, as they come; the keys are read too. All of them
/// together are one round trip.
pub(super) fn get_each(
    connection: &Connection,
    asked: &[(Part<'_>, Vec<&str>)],
    mut told: impl FnMut(usize, Result<Vec<Record>, StoreError>),
) {
    let reads: Vec<(Rc<KeyedRead>, Vec<Cow<'_, str>>)> = asked
        .iter()
        .map(|(part, sys_ids)| {
            let keys = sys_ids.iter().map(|sys_id| key(sys_id)).collect();
            (sql::keyed(Dialect::Postgres, Keys::Several, *part), keys)
        })
        .collect();
    let params: Vec<_> = reads.iter().map(|(read, keys)| params(keys, read)).collect();
    let statements: Vec<Asked<'_>> = reads
        .iter()
        .zip(&params)
        .map(|((read, _), params)| (read.text.as_str(), params.as_slice()))
        .collect();
    connection.tell_all(&statements, |at, rows| {
        let found = rows.map_err(StoreError::from);
        told(at, found.and_then(|rows| records(&rows, asked[at].0.table, &reads[at].0.fields)));
    });
}

/// The same as [`get`], and nobody else changes the row until the transaction ends.
pub(super) fn get_for_change(
    connection: &Connection,
    part: Part<'_>,
    sys_id: &str,
) -> Result<Option<Record>, StoreError> {
    keyed(connection, (Keys::OneForChange, sys_id), part)
}

/// A key as it is compared, ignoring case.
pub(super) fn key(sys_id: &str) -> Cow<'_, str> {
    if sys_id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(stored(&sys_id.to_ascii_lowercase()).into_owned())
    } else {
        stored(sys_id)
    }
}

fn keyed(
    connection: &Connection,
    (keys, sys_id): (Keys, &str),
    part: Part<'_>,
) -> Result<Option<Record>, StoreError> {
    let read = sql::keyed(Dialect::Postgres, keys, part);
    let row = connection.query_first(&read.text, &params(&key(sys_id), &read))?;
    row.map(|row| record(&row, part.table, &read.fields)).transpose()
}

fn params<'a>(key: &'a (dyn ToSql + Sync), read: &'a KeyedRead) -> Vec<&'a (dyn ToSql + Sync)> {
    let classes = read.classes.iter().map(|class| class as &(dyn ToSql + Sync));
    iter::once(key).chain(classes).collect()
}

/// The rows of `select`.
pub(super) fn select(connection: &Connection, select: &Select) -> Result<Vec<Record>, StoreError> {
    let (statement, fields) = sql::select(Dialect::Postgres, select);
    records(&connection.select(&statement)?, &select.query.table, &fields)
}

/// The number of rows of `query`.
pub(super) fn count(connection: &Connection, query: &BoundQuery) -> Result<u64, StoreError> {
    let rows = connection.select(&sql::count(Dialect::Postgres, query))?;
    let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn records(
    rows: &[Row],
    table: &Arc<TableDef>,
    fields: &[FieldIndex],
) -> Result<Vec<Record>, StoreError> {
    rows.iter().map(|row| record(row, table, fields)).collect()
}

fn record(row: &Row, table: &Arc<TableDef>, fields: &[FieldIndex]) -> Result<Record, StoreError> {
    let mut shared: Arc<[Value]> = repeat_n(Value::Nil, table.fields.len()).collect();
    let values = Arc::make_mut(&mut shared);
    for (column, field) in fields.iter().enumerate() {
        values[*field] = value(&table.fields[*field], row, column)?;
    }
    Ok(Record::from_values(Arc::clone(table), shared))
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
