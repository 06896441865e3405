//! The promises of [`Store`] that are neither records nor events.

use std::sync::Arc;

use campanile_model::{Record, TableDef};

use super::read_tx::SqliteReadTx;
use super::rows;
use super::store::SqliteStore;
use super::write_tx::SqliteWriteTx;
use crate::contract::{CommitMark, Dump, DurableCallback, ReadTx, Store, StoreError, WriteTx};
use crate::migrate::{expect_all_known, newest_sqlite};

impl Store for SqliteStore {
    fn read(self: Arc<Self>) -> Result<Box<dyn ReadTx>, StoreError> {
        Ok(Box::new(SqliteReadTx::begin(self)?))
    }

    fn row(&self, table: &Arc<TableDef>, sys_id: &str) -> Result<Option<Record>, StoreError> {
        let moment = match self.rows.get(table, sys_id) {
            Ok(known) => return Ok(Some(known)),
            Err(moment) => moment,
        };
        let connection = self.readers.take()?;
        let found = rows::get(&connection, table, sys_id);
        self.readers.give_back(connection);
        let found = found.map_err(|e| self.located(e))?;
        if let Some(record) = &found {
            self.rows.note(moment, sys_id, record);
        }
        Ok(found)
    }

    fn write(self: Arc<Self>) -> Result<Box<dyn WriteTx>, StoreError> {
        Ok(Box::new(SqliteWriteTx::begin(self)?))
    }

    fn dump(self: Arc<Self>) -> Result<Box<dyn Dump>, StoreError> {
        expect_all_known(self.schema, &self.file().display().to_string(), newest_sqlite())?;
        Ok(Box::new(SqliteReadTx::begin(self)?))
    }

    fn wait_durable(&self, mark: CommitMark) -> Result<(), StoreError> {
        self.durability.wait(mark)
    }

    fn on_durable(&self, mark: CommitMark, callback: DurableCallback) {
        self.durability.on_durable(mark, callback);
    }

    fn integrity_problems(&self) -> Result<Vec<String>, StoreError> {
        self.check_integrity()
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        self.numbers()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.close_all()
    }
}
