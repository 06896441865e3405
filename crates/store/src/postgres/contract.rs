//! The promises of [`Store`] that are neither records nor events.

use std::any::Any;
use std::sync::Arc;

use campanile_model::{FieldIndex, Nodes, Record, SysId, TableDef};

use super::budget::budget;
use super::left_behind;
use super::nodes::working;
use super::old_snapshots::OLD;
use super::read_tx::PostgresReadTx;
use super::rows;
use super::store::PostgresStore;
use super::write_tx::PostgresWriteTx;
use crate::contract::{
    CommitMark, Concern, ConnectionBudget, Dump, DurableCallback, ReadTx, Store, StoreError,
    TableListener, WriteTx,
};
use crate::migrate::{expect_all_known, newest_postgres};
use crate::sql::Part;

impl Store for PostgresStore {
    fn read(self: Arc<Self>) -> Result<Box<dyn ReadTx>, StoreError> {
        Ok(Box::new(PostgresReadTx::begin(self)?))
    }

    /// Differs because other nodes write too: what is kept in memory is for the next events of one batch, and for a moment (`ahead`).
    fn row(&self, table: &Arc<TableDef>, sys_id: &str) -> Result<Option<Record>, StoreError> {
        self.row_now(Part::whole(table), sys_id)
    }

    /// Differs because each value that is read costs the server, the way and this program something.
    fn row_with(
        &self,
        table: &Arc<TableDef>,
        sys_id: &str,
        fields: &[FieldIndex],
    ) -> Result<Option<Record>, StoreError> {
        self.row_now(Part { table, fields: Some(fields) }, sys_id)
    }

    fn write(self: Arc<Self>) -> Result<Box<dyn WriteTx>, StoreError> {
        Ok(Box::new(PostgresWriteTx::begin(self)?))
    }

    /// Differs because there are others.
    fn write_for(self: Arc<Self>, event: &SysId) -> Result<Box<dyn WriteTx>, StoreError> {
        Ok(Box::new(PostgresWriteTx::begin_for(self, event)?))
    }

    /// Differs because there are others. A lock of a transaction, because one of a session would be lost on a
    /// connection that is shared.
    fn alone(self: Arc<Self>) -> Result<Box<dyn Any>, StoreError> {
        let mut tx = PostgresWriteTx::begin(self)?;
        tx.wait_to_be_alone()?;
        Ok(Box::new(tx))
    }

    /// Differs because there are others.
    fn tell_tables(&self, tables: &[&str]) {
        self.shared.notices.tell_tables(tables);
    }

    fn set_table_listener(&self, listener: TableListener) {
        self.shared.notices.set_table_listener(listener);
    }

    /// Differs because there are others.
    fn others(&self) -> Result<Vec<String>, StoreError> {
        let connection = self.readers.take()?;
        working(&connection, self.shared.node.token()).map_err(|e| self.located(e))
    }

    /// Differs because a server gives them.
    fn connection_budget(&self) -> Result<Option<ConnectionBudget>, StoreError> {
        let connection = self.readers.take()?;
        let token = self.shared.node.token();
        budget(&connection, self.connections(), token, self.shared.is_shared)
            .map(Some)
            .map_err(|e| self.located(e))
    }

    /// Differs because there are others.
    fn nodes(&self) -> Nodes {
        self.shared.node.nodes()
    }

    /// Differs because there are others.
    fn serve(&self, serves: bool) -> Result<(), StoreError> {
        let connection = self.readers.take()?;
        self.shared.node.serve(&connection, serves).map_err(|e| self.located(e))
    }

    fn dump(self: Arc<Self>) -> Result<Box<dyn Dump>, StoreError> {
        expect_all_known(self.schema, self.shared.place(), newest_postgres())?;
        Ok(Box::new(PostgresReadTx::begin(self)?))
    }

    /// Differs because a commit is answered when it is on the server's disk.
    fn is_durable_at_commit(&self) -> bool {
        true
    }

    fn wait_durable(&self, _: CommitMark) -> Result<(), StoreError> {
        Ok(())
    }

    fn on_durable(&self, _: CommitMark, callback: DurableCallback) {
        callback(Ok(()));
    }

    fn integrity_problems(&self) -> Result<Vec<String>, StoreError> {
        self.check_integrity()
    }

    /// Differs because there are others.
    fn concerns(&self) -> Result<Vec<Concern>, StoreError> {
        let mut concerns = self.concerns_about(OLD)?;
        if let Some(spread) = self.claims.spread() {
            let connection = self.readers.take()?;
            match left_behind::concerns(&connection, spread) {
                Ok(left) => concerns.extend(left),
                // A distributed server may refuse to look at several partitions: what else is found is to be told.
                Err(StoreError::Statement { reason }) => concerns.push(Concern {
                    is_serious: false,
                    what: format!(
                        "events that cannot come to the partition of their sequential queue could not be looked for: {reason}"
                    ),
                    fix: "look for keys (sys_id) of sysevent_live that stand in two partitions".to_owned(),
                }),
                Err(error) => return Err(self.located(error)),
            }
        }
        Ok(concerns)
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        self.numbers()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.close_all()
    }
}

impl PostgresStore {
    /// The row as it is committed now, read together with what others ask for where connections are this program's own.
    fn row_now(&self, part: Part<'_>, sys_id: &str) -> Result<Option<Record>, StoreError> {
        let found = match &self.row_reads {
            Some(row_reads) => row_reads.get(part, sys_id),
            None => self.readers.take().and_then(|reader| rows::get(&reader, part, sys_id)),
        };
        found.map_err(|e| self.located(e))
    }
}
