//! A consistent view for reading, on a connection of the pool.

use std::cell::Cell;
use std::sync::Arc;

use campanile_model::query::BoundQuery;
use campanile_model::{Instant, Record, TableDef};

use super::answers;
use super::connection::Connection;
use super::plans::BEGIN_VIEW;
use super::pool::Lent;
use super::rows;
use super::store::PostgresStore;
use crate::contract::{ReadTx, Select, StoreError};
use crate::sql::Part;

/// Sees what was committed when it first read, and nothing later.
#[derive(Debug)]
pub(super) struct PostgresReadTx {
    store: Arc<PostgresStore>,
    connection: Lent,
    has_begun: Cell<bool>,
}

impl PostgresReadTx {
    pub(super) fn begin(store: Arc<PostgresStore>) -> Result<Self, StoreError> {
        let connection = store.readers.take()?;
        Ok(Self { store, connection, has_begun: Cell::new(false) })
    }

    /// The address, for people.
    pub(super) fn address(&self) -> String {
        self.store.shared.place().to_owned()
    }

    /// Whether the database is in distributed mode.
    pub(super) fn is_spread(&self) -> bool {
        self.store.claims.spread().is_some()
    }

    pub(super) fn on<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let begin = || -> Result<(), StoreError> {
            if !self.has_begun.replace(true) {
                self.connection.batch(BEGIN_VIEW)?;
            }
            Ok(())
        };
        begin().and_then(|()| read(&self.connection)).map_err(|e| self.store.located(e))
    }
}

impl Drop for PostgresReadTx {
    fn drop(&mut self) {
        if self.has_begun.get()
            && let Err(error) = self.connection.batch("ROLLBACK")
        {
            tracing::debug!(%error, "a view could not be ended");
            self.connection.spoil();
        }
    }
}

impl ReadTx for PostgresReadTx {
    fn get(&self, table: &Arc<TableDef>, sys_id: &str) -> Result<Option<Record>, StoreError> {
        self.on(|connection| rows::get(connection, Part::whole(table), sys_id))
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
