//! A database that takes everything of another one.

use std::sync::Arc;

use campanile_model::{Dictionary, TableDef};
use tokio_postgres::types::Type;

use super::address::Address;
use super::behind_pool::Way;
use super::connection::Connection;
use super::ddl::ensure_tables;
use super::distributed::copying::as_spread;
use super::distributed::{Spread, setup};
use super::dump::rows;
use super::failure::located;
use super::marks;
use super::nodes::working;
use super::options::Connections;
use super::order;
use super::server::{AtPlace, check_server};
use super::url::DatabaseUrl;
use crate::contract::{CopyMark, Dump, DumpKind, DumpRow, DumpTable, DumpValue, Load, StoreError};
use crate::migrate::{expect_all_known, migrate_postgres, newest_postgres};
use crate::sql::dump::{COPY_KEYS, UNFINISHED_KEY, fixed_tables, mark_key, param};
use crate::sql::quoted;
use crate::sql::values::Param;

/// Tables that a database has for itself: their rows are not copied.
const OWN_TABLES: [&str; 4] =
    ["campanile_distribution", "campanile_migration", "campanile_node", "campanile_node_writer"];

/// The advisory lock of [`crate::contract::Store::alone`].
const TRY_TO_BE_ALONE: &str = "SELECT 1::bigint WHERE pg_try_advisory_xact_lock(1667329392, 3)";

/// What gives numbers, where the numbers stand, and in which column.
const NUMBERS: [(&str, &str); 3] = [
    (
        "'sysevent_sequence'",
        "SELECT sequence FROM sysevent_live UNION ALL SELECT sequence FROM sysevent_log",
    ),
    ("pg_get_serial_sequence('sysevent_run', 'run')", "SELECT run AS sequence FROM sysevent_run"),
    (
        "pg_get_serial_sequence('sysevent_action', 'id')",
        "SELECT id AS sequence FROM sysevent_action",
    ),
];

/// An open target. No program can start on it meanwhile.
#[derive(Debug)]
pub struct PostgresLoader {
    connection: Connection,
    /// Differs because there are others: its transaction holds the lock that whoever starts has to take.
    _alone: Connection,
    address: Arc<Address>,
    /// How the rows of events are spread, in distributed mode.
    spread: Option<Spread>,
}

impl PostgresLoader {
    /// Opens the database at `url`. One that is occupied is left as it is.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`]; [`StoreError::Unavailable`] with the reason: what the server said, or that another
    /// program works on the database.
    pub fn open(url: impl Into<DatabaseUrl>) -> Result<Self, StoreError> {
        Self::open_in_partitions(url, None)
    }

    /// As [`PostgresLoader::open`]; `partitions` as in [`PostgresOptions`](super::PostgresOptions).
    ///
    /// # Errors
    /// As [`PostgresLoader::open`]; also when these are not the partitions that it has.
    pub fn open_in_partitions(
        url: impl Into<DatabaseUrl>,
        partitions: Option<u16>,
    ) -> Result<Self, StoreError> {
        let way = Way::find(&url.into(), &Connections::default())?;
        let Way { address, connections: (connection, alone), .. } = way;
        check_server(&connection, &address)?;
        let mut loader = Self { connection, _alone: alone, address, spread: None };
        loader.on(Self::expect_to_be_alone)?;
        if loader.occupied_by()?.is_none() {
            let target = AtPlace(&loader.connection, &loader.address);
            let schema =
                migrate_postgres(&target).map_err(|e| located(e, loader.address.place()))?;
            expect_all_known(schema, loader.address.place(), newest_postgres())?;
            let partitions = loader.on(|loader| loader.settle(partitions))?;
            loader.spread = partitions.map(|partitions| Spread::new(partitions, 0));
        }
        Ok(loader)
    }

    fn expect_to_be_alone(&self) -> Result<(), StoreError> {
        let refused = |reason: String| StoreError::Unavailable { place: self.place(), reason };
        self._alone.batch("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")?;
        if self._alone.query_first(TRY_TO_BE_ALONE, &[])?.is_none() {
            return Err(refused(
                "another campanile starts on it or copies to it: wait for its end".to_owned(),
            ));
        }
        if !self.tables()?.iter().any(|name| name == "campanile_node") {
            return Ok(());
        }
        match working(&self.connection, 0)?.first() {
            None => Ok(()),
            Some(name) => Err(refused(format!(
                "'{name}' works on it: stop every server on it (one that was killed counts until its lease is over)"
            ))),
        }
    }

    /// How many partitions it has; an unfinished copy goes on with what it was begun with.
    fn settle(&self, wanted: Option<u16>) -> Result<Option<i64>, StoreError> {
        let wanted = wanted.filter(|_| matches!(self.unfinished(), Ok(None)));
        setup::settle(&self.connection, wanted)
    }

    fn on<T>(&self, work: impl FnOnce(&Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        work(self).map_err(|error| located(error, self.address.place()))
    }

    fn in_transaction<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.on(|loader| {
            loader.connection.batch("BEGIN ISOLATION LEVEL READ COMMITTED")?;
            let worked = work(&loader.connection);
            match &worked {
                Ok(_) => loader.connection.batch("COMMIT")?,
                Err(_) => loader.connection.batch("ROLLBACK")?,
            }
            worked
        })
    }

    fn tables(&self) -> Result<Vec<String>, StoreError> {
        let found = self.connection.query(
            "SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace(current_schema()::text) \
             AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname",
            &[],
        )?;
        found.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// How a page would be read.
    #[cfg(test)]
    pub(super) fn page_plan(
        &self,
        table: &DumpTable,
        after: &[DumpValue],
    ) -> Result<Vec<String>, StoreError> {
        let mut statement = crate::sql::dump::page(crate::sql::Dialect::Postgres, table, after, 10);
        statement.text.insert_str(0, "EXPLAIN ");
        self.in_transaction(|connection| {
            connection.batch(super::dump::ALONG_AN_INDEX)?;
            let lines = connection.select(&statement)?;
            lines.iter().map(|line| Ok(line.try_get(0)?)).collect()
        })
    }

    fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.on(|loader| marks::get(&loader.connection, key))
    }
}

/// What a copy that is not finished in this database was begun with.
pub(super) fn unfinished(connection: &Connection) -> Result<Option<String>, StoreError> {
    marks::get(connection, UNFINISHED_KEY)
}

impl Dump for PostgresLoader {
    fn place(&self) -> String {
        self.address.place().to_owned()
    }

    fn rows(
        &self,
        table: &DumpTable,
        after: &[DumpValue],
        rows_max: usize,
    ) -> Result<Vec<DumpRow>, StoreError> {
        let table = (table, self.spread.is_some());
        self.in_transaction(|connection| rows(connection, table, after, rows_max))
    }
}

impl Load for PostgresLoader {
    fn occupied_by(&self) -> Result<Option<String>, StoreError> {
        if self.unfinished()?.is_some() {
            return Ok(None);
        }
        let fixed: Vec<String> = fixed_tables().into_iter().map(|table| table.name).collect();
        for name in self.on(Self::tables)? {
            if OWN_TABLES.contains(&name.as_str()) {
                continue;
            }
            let has_rows = || -> Result<bool, StoreError> {
                let sql = format!("SELECT 1 FROM {} LIMIT 1", quoted(&name));
                Ok(self.connection.query_first(&sql, &[])?.is_some())
            };
            if !fixed.contains(&name) || self.on(|_| has_rows())? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn unfinished(&self) -> Result<Option<String>, StoreError> {
        if self.on(Self::tables)?.iter().any(|name| name == "campanile_meta") {
            return self.meta(UNFINISHED_KEY);
        }
        Ok(None)
    }

    fn begin(&mut self, source: &str, dictionary: &Dictionary) -> Result<(), StoreError> {
        self.in_transaction(|connection| {
            let tables: Vec<Arc<TableDef>> = dictionary.tables().cloned().collect();
            ensure_tables(connection, dictionary, &tables)?;
            marks::set(connection, UNFINISHED_KEY, source)
        })
    }

    fn mark(&self, table: &DumpTable) -> Result<CopyMark, StoreError> {
        let kept = self.meta(&mark_key(table))?;
        Ok(kept.and_then(|text| CopyMark::from_text(&text)).unwrap_or_default())
    }

    fn load(
        &mut self,
        table: &DumpTable,
        rows: &[DumpRow],
        mark: &CopyMark,
    ) -> Result<(), StoreError> {
        let spread = match &self.spread {
            Some(spread) => {
                self.in_transaction(|connection| as_spread(connection, spread, table, rows))?
            }
            None => None,
        };
        let kept = mark_key(table);
        let (table, rows) =
            spread.as_ref().map_or((table, rows), |(table, rows)| (table, rows.as_slice()));
        let names: Vec<String> = table.columns.iter().map(|(name, _)| quoted(name)).collect();
        let table_name = quoted(&table.name);
        let sql = format!("COPY {table_name} ({}) FROM STDIN (FORMAT binary)", names.join(", "));
        let types: Vec<Type> = table.columns.iter().map(|(_, kind)| sql_type(*kind)).collect();
        let params: Vec<Vec<Param>> =
            rows.iter().map(|row| row.iter().map(param).collect()).collect();
        self.in_transaction(|connection| {
            connection.copy_in(&sql, &types, &params)?;
            marks::set(connection, &kept, &mark.to_text())
        })
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        self.in_transaction(|connection| {
            for (sequence, numbers) in NUMBERS {
                connection.batch(&format!(
                    "SELECT setval({sequence}, highest) FROM (SELECT max(sequence) AS highest FROM ({numbers}) AS used) \
                     AS found WHERE highest IS NOT NULL"
                ))?;
            }
            order::give_turns(connection, self.spread.as_ref())?;
            connection.execute("DELETE FROM campanile_meta WHERE starts_with(key, $1)", &[&COPY_KEYS])?;
            Ok(())
        })?;
        // What plans go by, before the first server asks.
        for name in self.on(Self::tables)? {
            self.on(|loader| {
                Ok(loader.connection.batch(&format!("ANALYZE {}", quoted(&name)))?)
            })?;
        }
        Ok(())
    }
}

fn sql_type(kind: DumpKind) -> Type {
    match kind {
        DumpKind::Text => Type::TEXT,
        DumpKind::Integer => Type::INT8,
        DumpKind::Flag => Type::BOOL,
        DumpKind::Real => Type::FLOAT8,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::TestDatabase;

    /// A table or column that a later migration adds has to be copied too, or be named as one's own.
    #[test]
    fn every_table_and_column_that_migrations_make_is_copied_or_ones_own() {
        let database = TestDatabase::create();
        let loader = PostgresLoader::open(database.url()).unwrap();
        let mut known: BTreeSet<String> = OWN_TABLES.map(str::to_owned).into();
        for table in fixed_tables() {
            let found: BTreeSet<String> = database
                .texts(&format!(
                    "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'public' \
                     AND table_name = '{}'",
                    table.name
                ))
                .into_iter()
                .collect();
            let mut copied: BTreeSet<String> =
                table.columns.iter().map(|(name, _)| name.clone()).collect();
            if table.name == "sysevent_live" {
                // A claim ends with its program; whose turn it is follows from the rest.
                copied.extend(["state", "claimed_by", "claim_token", "turn"].map(str::to_owned));
            }
            if table.name == "sysevent_queue_order" {
                // What arrives in a new database is the first, and no program of before claims there.
                copied.extend(["last_due", "set_at"].map(str::to_owned));
            }
            assert_eq!(found, copied, "{}", table.name);
            known.insert(table.name);
        }
        assert_eq!(loader.tables().unwrap().into_iter().collect::<BTreeSet<_>>(), known);
    }
}
