//! Reading everything for a copy.

use tokio_postgres::Row;

use super::connection::Connection;
use super::read_tx::PostgresReadTx;
use super::text::read;
use crate::contract::{Dump, DumpKind, DumpRow, DumpTable, DumpValue, StoreError};
use crate::sql::Dialect;
use crate::sql::dump::page;

impl Dump for PostgresReadTx {
    fn place(&self) -> String {
        self.address()
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

/// The rows of `table` behind `after`. Inside a transaction: the settings keep each page an index scan, however the tables
/// were analysed.
pub(super) fn rows(
    connection: &Connection,
    table: &DumpTable,
    after: &[DumpValue],
    rows_max: usize,
) -> Result<Vec<DumpRow>, StoreError> {
    connection.batch("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")?;
    let found = connection.select(&page(Dialect::Postgres, table, after, rows_max))?;
    let row = |row: &Row| {
        (0..table.columns.len()).map(|column| value(row, table, column)).collect::<Result<_, _>>()
    };
    found.iter().map(row).collect()
}

fn value(row: &Row, table: &DumpTable, column: usize) -> Result<DumpValue, StoreError> {
    let found = match table.columns[column].1 {
        DumpKind::Text => {
            let text: Option<&str> = row.try_get(column)?;
            text.map(|text| DumpValue::Text(read(text).into()))
        }
        DumpKind::Integer => row.try_get::<_, Option<i64>>(column)?.map(DumpValue::Integer),
        DumpKind::Flag => row.try_get::<_, Option<bool>>(column)?.map(DumpValue::Flag),
        DumpKind::Real => row.try_get::<_, Option<f64>>(column)?.map(DumpValue::Real),
    };
    Ok(found.unwrap_or(DumpValue::Null))
}
