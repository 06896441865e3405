//! A database that takes everything of another one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use campanile_model::{Dictionary, TableDef};
use rusqlite::{Connection, params_from_iter};

use super::connection::{Role, open};
use super::ddl::ensure_tables;
use super::dump::rows;
use super::failure::located;
use super::lock::FolderLock;
use super::marks;
use super::store::DATABASE_FILE;
use crate::contract::{CopyMark, Dump, DumpRow, DumpTable, DumpValue, Load, StoreError};
use crate::migrate::{expect_all_known, migrate_sqlite, newest_sqlite};
use crate::sql::dump::{COPY_KEYS, UNFINISHED_KEY, fixed_tables, mark_key, param};
use crate::sql::quoted;

/// Tables that a database has for itself: their rows are not copied.
const OWN_TABLES: [&str; 3] =
    ["campanile_migration", "sysevent_log_instance", "sysevent_log_indexing"];

/// Pages of log after which it is moved into the file: nobody waits for commits here.
const LOG_PAGES: u32 = 4_096;

/// An open target. It holds the lock on its folder.
#[derive(Debug)]
pub struct SqliteLoader {
    connection: Connection,
    file: PathBuf,
    // Goes last.
    _lock: FolderLock,
}

impl SqliteLoader {
    /// Opens the database in `folder`, making it when it is missing. One that is occupied is left as it is.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::NewerSchema`], [`StoreError::Unavailable`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let lock = FolderLock::take(folder)?;
        let file = folder.join(DATABASE_FILE);
        let connection = open(&file, Role::Writer).map_err(|e| located(e.into(), &file))?;
        let mut loader = Self { connection, file, _lock: lock };
        loader.on(|loader| {
            loader.connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
            Ok(())
        })?;
        if loader.occupied_by()?.is_none() {
            let file = loader.file.clone();
            let schema =
                migrate_sqlite(&mut loader.connection, &file).map_err(|e| located(e, &file))?;
            expect_all_known(schema, &file.display().to_string(), newest_sqlite())?;
        }
        Ok(loader)
    }

    fn on<T>(&self, work: impl FnOnce(&Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        work(self).map_err(|error| located(error, &self.file))
    }

    fn in_transaction(
        &self,
        work: impl FnOnce(&Connection) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.on(|loader| {
            let transaction = loader.connection.unchecked_transaction()?;
            work(&transaction)?;
            transaction.commit()?;
            Ok(())
        })
    }

    fn tables(&self) -> Result<Vec<String>, StoreError> {
        self.on(|loader| {
            let mut statement = loader.connection.prepare(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                 ORDER BY name",
            )?;
            let names = statement.query_map([], |row| row.get(0))?;
            Ok(names.collect::<Result<_, _>>()?)
        })
    }

    fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.on(|loader| marks::get(&loader.connection, key))
    }
}

/// What a copy that is not finished in this database was begun with.
pub(in crate::sqlite) fn unfinished(connection: &Connection) -> Result<Option<String>, StoreError> {
    marks::get(connection, UNFINISHED_KEY)
}

impl Dump for SqliteLoader {
    fn place(&self) -> String {
        self.file.display().to_string()
    }

    fn rows(
        &self,
        table: &DumpTable,
        after: &[DumpValue],
        rows_max: usize,
    ) -> Result<Vec<DumpRow>, StoreError> {
        self.on(|loader| rows(&loader.connection, table, after, rows_max))
    }
}

impl Load for SqliteLoader {
    fn occupied_by(&self) -> Result<Option<String>, StoreError> {
        if self.unfinished()?.is_some() {
            return Ok(None);
        }
        let fixed: Vec<String> = fixed_tables().into_iter().map(|table| table.name).collect();
        for name in self.tables()? {
            if OWN_TABLES.contains(&name.as_str()) {
                continue;
            }
            let has_rows = || -> Result<bool, StoreError> {
                let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", quoted(&name));
                Ok(self.connection.query_row(&sql, [], |row| row.get(0))?)
            };
            if !fixed.contains(&name) || self.on(|_| has_rows())? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn unfinished(&self) -> Result<Option<String>, StoreError> {
        if self.tables()?.iter().any(|name| name == "campanile_meta") {
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
        let names: Vec<String> = table.columns.iter().map(|(name, _)| quoted(name)).collect();
        let places = vec!["?"; names.len()].join(", ");
        let table_name = quoted(&table.name);
        let sql = format!("INSERT INTO {table_name} ({}) VALUES ({places})", names.join(", "));
        self.in_transaction(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            for row in rows {
                statement.execute(params_from_iter(row.iter().map(param)))?;
            }
            marks::set(connection, &mark_key(table), &mark.to_text())
        })
    }

    /// Differs because the next number of an event, a run or an action is the highest that is there and one more.
    fn finish(&mut self) -> Result<(), StoreError> {
        self.on(|loader| {
            loader.connection.pragma_update(None, "synchronous", "FULL")?;
            loader.connection.execute(
                "DELETE FROM campanile_meta WHERE substr(key, 1, length(?1)) = ?1",
                [COPY_KEYS],
            )?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A table or column that a later migration adds has to be copied too, or be named as one's own.
    #[test]
    fn every_table_and_column_that_migrations_make_is_copied_or_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        let loader = SqliteLoader::open(folder.path()).unwrap();
        let mut known: BTreeSet<String> = OWN_TABLES.map(str::to_owned).into();
        for table in fixed_tables() {
            let mut statement = loader
                .connection
                .prepare("SELECT name FROM pragma_table_info(?1) ORDER BY name")
                .unwrap();
            let names = statement.query_map([&table.name], |row| row.get(0)).unwrap();
            let found: BTreeSet<String> = names.map(Result::unwrap).collect();
            let mut copied: BTreeSet<String> =
                table.columns.iter().map(|(name, _)| name.clone()).collect();
            if table.name == "sysevent_live" {
                // Always `ready`.
                copied.insert("state".to_owned());
            }
            assert_eq!(found, copied, "{}", table.name);
            known.insert(table.name);
        }
        assert_eq!(loader.tables().unwrap().into_iter().collect::<BTreeSet<_>>(), known);
    }
}
