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

#[cfg(test)]
mod tests {
    use super::super::load::SqliteLoader;
    use super::*;
    use crate::contract::Load;
    use crate::sql::dump::dump_tables;

    /// A page that sorted its table, or read it from the beginning, would make a copy take the square of its size.
    #[test]
    fn every_page_is_read_along_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let dictionary = campanile_model::testing::dictionary();
        SqliteLoader::open(folder.path()).unwrap().begin("source", &dictionary).unwrap();
        let connection = Connection::open(folder.path().join("campanile.db")).unwrap();
        for table in dump_tables(&dictionary).unwrap() {
            let value = |at: &usize| match table.columns[*at].1 {
                DumpKind::Integer => DumpValue::Integer(7),
                _ => DumpValue::Text("k".into()),
            };
            let after: Vec<DumpValue> = table.key.iter().map(value).collect();
            let statement = page(Dialect::Sqlite, &table, &after, 10);
            let mut explained =
                connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.text)).unwrap();
            let lines = explained
                .query_map(params_from_iter(&statement.params), |row| row.get::<_, String>(3))
                .unwrap();
            let plan: Vec<String> = lines.map(Result::unwrap).collect();
            let is_search = matches!(&plan[..], [line] if line.starts_with("SEARCH"));
            assert!(is_search, "{}: {plan:?}", table.name);
        }
    }
}
