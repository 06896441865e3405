//! A consistent view for reading, on a connection of the pool.

use std::sync::Arc;

use campanile_model::query::BoundQuery;
use campanile_model::{Instant, Record, TableDef};
use rusqlite::Connection;

use super::answers;
use super::failure::closed;
use super::group::statement;
use super::rows;
use super::store::SqliteStore;
use crate::contract::{ReadTx, Select, StoreError};

/// Sees what was committed when it first read, and nothing later.
#[derive(Debug)]
pub(in crate::sqlite) struct SqliteReadTx {
    store: Arc<SqliteStore>,
    /// `Some` until the view is dropped.
    connection: Option<Connection>,
}

impl SqliteReadTx {
    pub(in crate::sqlite) fn begin(store: Arc<SqliteStore>) -> Result<Self, StoreError> {
        let connection = store.readers.take()?;
        let tx = Self { store, connection: Some(connection) };
        tx.on(|connection| statement(connection, "BEGIN DEFERRED"))?;
        Ok(tx)
    }

    /// The database file.
    pub(in crate::sqlite) fn file(&self) -> String {
        self.store.file().display().to_string()
    }

    pub(in crate::sqlite) fn on<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &self.connection {
            Some(connection) => read(connection).map_err(|e| self.store.located(e)),
            None => Err(closed(self.store.file())),
        }
    }
}

impl Drop for SqliteReadTx {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.store.readers.give_back(connection);
        }
    }
}

impl ReadTx for SqliteReadTx {
    fn get(&self, table: &Arc<TableDef>, sys_id: &str) -> Result<Option<Record>, StoreError> {
        self.on(|connection| rows::get(connection, table, sys_id))
    }

    fn select(&self, select: &Select) -> Result<Vec<Record>, StoreError> {
        self.on(|connection| rows::select(connection, select))
    }

    fn count(&self, query: &BoundQuery) -> Result<u64, StoreError> {
        self.on(|connection| rows::count(connection, query))
    }

    fn kept_answer(
        &self,
        key: &str,
        content_hash: u64,
        forgotten: Instant,
    ) -> Result<Option<String>, StoreError> {
        self.on(|connection| answers::kept(connection, key, content_hash, forgotten))
    }
}
