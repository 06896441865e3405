//! Reading everything for a copy.

use tokio_postgres::Row;

use super::connection::Connection;
use super::distributed::copying::as_in_the_reference;
use super::read_tx::PostgresReadTx;
use super::text::read;
use crate::contract::{Dump, DumpKind, DumpRow, DumpTable, DumpValue, StoreError};
use crate::sql::Dialect;
use crate::sql::dump::page;

/// However the tables were analysed.
pub(super) const ALONG_AN_INDEX: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off";

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
        self.on(|connection| rows(connection, (table, self.is_spread()), after, rows_max))
    }
}

/// The rows of `table` behind `after`; `is_spread` in distributed mode. To be called inside a transaction.
pub(super) fn rows(
    connection: &Connection,
    (table, is_spread): (&DumpTable, bool),
    after: &[DumpValue],
    rows_max: usize,
) -> Result<Vec<DumpRow>, StoreError> {
    connection.batch(ALONG_AN_INDEX)?;
    let found = connection.select(&page(Dialect::Postgres, table, after, rows_max))?;
    let row = |row: &Row| {
        (0..table.columns.len()).map(|column| value(row, table, column)).collect::<Result<_, _>>()
    };
    let mut rows = found.iter().map(row).collect::<Result<Vec<DumpRow>, StoreError>>()?;
    if is_spread {
        as_in_the_reference(table, &mut rows);
    }
    Ok(rows)
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

#[cfg(test)]
mod tests {
    use super::super::load::PostgresLoader;
    use super::*;
    use crate::contract::Load;
    use crate::sql::dump::dump_tables;
    use crate::testing::TestDatabase;

    /// A page that sorted its table, or read it from the beginning, would make a copy take the square of its size.
    #[test]
    fn every_page_is_read_along_an_index() {
        let database = TestDatabase::create();
        let dictionary = campanile_model::testing::dictionary();
        let mut loader = PostgresLoader::open(database.url()).unwrap();
        loader.begin("source", &dictionary).unwrap();
        loader.finish().unwrap();
        for table in dump_tables(&dictionary).unwrap() {
            let value = |at: &usize| match table.columns[*at].1 {
                DumpKind::Integer => DumpValue::Integer(7),
                _ => DumpValue::Text("k".into()),
            };
            let after: Vec<DumpValue> = table.key.iter().map(value).collect();
            for after in [&[][..], &after] {
                let plan = loader.page_plan(&table, after).unwrap().join("\n");
                assert!(plan.contains("Index Scan") || plan.contains("Index Only Scan"), "{plan}");
                assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
                let is_ranged = after.is_empty() || plan.contains("Index Cond");
                assert!(is_ranged, "{}: {plan}", table.name);
            }
        }
    }
}
