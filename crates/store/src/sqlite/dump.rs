//! Reading everything for a copy.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params_from_iter};

use super::read_tx::SqliteReadTx;
use crate::contract::{Dump, DumpKind, DumpRow, DumpTable, DumpValue, StoreError};
use crate::sql::Dialect;
use crate::sql::dump::{other_kind, page};

impl Dump for SqliteReadTx {
    fn place(&self) -> String {
        self.file()
    }

    fn rows(
        &self,
        table: &DumpTable,
        after: &[DumpValue],
        rows_max: usize,
    ) -> Result<Vec<DumpRow>, StoreError> {
        self.on(|connection| rows(connection, table, after, rows_max))
    }
}

/// The rows of `table` behind `after`.
pub(in crate::sqlite) fn rows(
    connection: &Connection,
    table: &DumpTable,
    after: &[DumpValue],
    rows_max: usize,
) -> Result<Vec<DumpRow>, StoreError> {
    let statement = page(Dialect::Sqlite, table, after, rows_max);
    let mut prepared = connection.prepare_cached(&statement.text)?;
    let mut found = prepared.query(params_from_iter(&statement.params))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let values = (0..table.columns.len()).map(|column| value(row, table, column));
        rows.push(values.collect::<Result<_, _>>()?);
    }
    Ok(rows)
}

/// Differs because a column takes values of any type here, whatever it was declared as.
fn value(row: &Row<'_>, table: &DumpTable, column: usize) -> Result<DumpValue, StoreError> {
    let found = row.get_ref(column)?;
    let refused = |found: &str| {
        let key = table.key.first().and_then(|key| row.get_ref(*key).ok());
        let key = match key {
            Some(ValueRef::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            Some(ValueRef::Integer(number)) => number.to_string(),
            _ => "?".to_owned(),
        };
        other_kind(table, column, &key, found)
    };
    Ok(match (table.columns[column].1, found) {
        (_, ValueRef::Null) => DumpValue::Null,
        (DumpKind::Text, ValueRef::Text(text)) => match std::str::from_utf8(text) {
            Ok(text) => DumpValue::Text(text.into()),
            Err(_) => return Err(refused("a text that is not UTF-8")),
        },
        (DumpKind::Integer, ValueRef::Integer(number)) => DumpValue::Integer(number),
        (DumpKind::Flag, ValueRef::Integer(number @ (0 | 1))) => DumpValue::Flag(number == 1),
        (DumpKind::Real, ValueRef::Real(number)) => DumpValue::Real(number),
        (_, other) => return Err(refused(&format!("a value of type {}", other.data_type()))),
    })
}
