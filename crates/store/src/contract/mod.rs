//! The promises of a store, a file per family. No word here belongs to one engine.

mod answers;
mod budget;
mod dump;
mod error;
mod events;
mod records;

use std::fmt::Debug;
use std::sync::Arc;

use campanile_model::{FieldIndex, Nodes, Record, SysId, TableDef};

pub use answers::KeptAnswer;
pub use budget::ConnectionBudget;
pub use dump::{CopyMark, Dump, DumpKind, DumpRow, DumpSum, DumpTable, DumpValue, Load};
pub use error::StoreError;
pub use events::{
    ActionRecord, AppendAnswer, AppendCallback, AppendMode, AppendOutcome, Appended, Backlog,
    Claim, ClaimRequest, Completion, DurableCallback, EventAction, EventStore, EventSummary, Halt,
    KindMoved, NextState, QueueRule, ReprocessOptions, TAKE_BACK_AFTER, WakeListener,
};
pub use records::{CommitMark, ReadTx, SavepointId, Select, WriteTx};

/// Called with a table whose rows another program on the database has changed, without one when that may be any. May be
/// called from any thread; must not block.
pub type TableListener = Arc<dyn Fn(Option<&str>) + Send + Sync>;

/// Something that an administrator of the database should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// It does not pass by itself.
    pub is_serious: bool,
    /// What it is, who does it, since when, and what it leads to.
    pub what: String,
    /// How to mend it.
    pub fix: String,
}

/// A database: records and events. Cheap to share (`Arc<dyn Store>`), safe to use from many threads.
pub trait Store: EventStore + Send + Sync + Debug {
    /// A consistent view for reading. Outside a write transaction nobody sees what is not committed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    fn read(self: Arc<Self>) -> Result<Box<dyn ReadTx>, StoreError>;

    /// The row of `table` as it is committed now: what [`ReadTx::get`] gives in a view of its own, but it may come
    /// from memory.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    fn row(&self, table: &Arc<TableDef>, sys_id: &str) -> Result<Option<Record>, StoreError>;

    /// As [`Store::row`], for whoever needs the values of `fields`, by position, and no others: those may be nil.
    ///
    /// # Errors
    /// As [`Store::row`].
    fn row_with(
        &self,
        table: &Arc<TableDef>,
        sys_id: &str,
        _fields: &[FieldIndex],
    ) -> Result<Option<Record>, StoreError> {
        // Where rows are kept in memory, whole ones are what is at hand, and the next who asks may need all of it.
        self.row(table, sys_id)
    }

    /// The write transaction. Waits its turn behind the group writer and other operations; dropping it without
    /// [`WriteTx::commit`] rolls back.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the turn does not come within the store's patience,
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    fn write(self: Arc<Self>) -> Result<Box<dyn WriteTx>, StoreError>;

    /// As [`Store::write`], for what a handler of `event` does: while it lasts, nobody else takes the event over. An event that
    /// this program does not hold and never lost is not looked at.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the claim under which the handler runs has lapsed; as [`Store::write`].
    fn write_for(self: Arc<Self>, _event: &SysId) -> Result<Box<dyn WriteTx>, StoreError> {
        // Where one program has the database, no claim lapses while it lives.
        self.write()
    }

    /// Until what it returns is dropped, no other program on the same database is inside the same call: for what has to
    /// be done once, as making a database or bringing its shipped rows up to date. Not to be called twice at a time.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when others take too long, [`StoreError::Unavailable`].
    fn alone(self: Arc<Self>) -> Result<Box<dyn std::any::Any>, StoreError> {
        // Where one program has the database, it is alone.
        Ok(Box::new(()))
    }

    /// Tells the other programs on the database, soon, that rows of these tables were committed.
    fn tell_tables(&self, _tables: &[&str]) {
        // Where one program has the database, there are none.
    }

    /// Sets who is told of tables that other programs have changed. Replaces an earlier listener.
    fn set_table_listener(&self, _listener: TableListener) {}

    /// Names of the other programs that work on the database, as far as their leases tell.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    fn others(&self) -> Result<Vec<String>, StoreError> {
        // Where one program has the database, there are none.
        Ok(Vec::new())
    }

    /// How many connections the programs on the database take; `None` where there is one program and needs none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    fn connection_budget(&self) -> Result<Option<ConnectionBudget>, StoreError> {
        Ok(None)
    }

    /// The nodes whose processors run, as far as leases tell; it may be some seconds old. Costs nothing: it is asked
    /// before every event.
    fn nodes(&self) -> Nodes {
        // Where one program has the database, it is alone.
        Nodes::alone()
    }

    /// Tells the other nodes whether processors run in this one. Until it is called they do not.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    fn serve(&self, _serves: bool) -> Result<(), StoreError> {
        // Where one program has the database, nobody is to be told.
        Ok(())
    }

    /// Everything that is in the database now, for a copy.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] when a newer version has added to the database, even if this one works on it;
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    fn dump(self: Arc<Self>) -> Result<Box<dyn Dump>, StoreError>;

    /// Whether what was committed is on disk as soon as that was answered: then nobody waits for a mark.
    fn is_durable_at_commit(&self) -> bool {
        false
    }

    /// Returns when everything up to `mark` is on disk.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the disk refused; then nobody is ever told that it is durable.
    fn wait_durable(&self, mark: CommitMark) -> Result<(), StoreError>;

    /// As [`Store::wait_durable`], but calls back from another thread instead of blocking.
    fn on_durable(&self, mark: CommitMark, callback: DurableCallback);

    /// The database's own integrity check: the problems found, none when it is clean. Slow on large databases.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    fn integrity_problems(&self) -> Result<Vec<String>, StoreError>;

    /// What others do to the database that makes the work on it slow, as far as this program may see that; empty where nobody
    /// else has it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    fn concerns(&self) -> Result<Vec<Concern>, StoreError> {
        Ok(Vec::new())
    }

    /// Numbers for metrics and `doctor`: name and value, for example `database_bytes`, `wal_bytes`,
    /// `last_sync_ms`; `lapses_counted` for the events that this program found, and whose handling had ended with
    /// another, or with itself before a crash.
    fn gauges(&self) -> Vec<(&'static str, f64)>;

    /// Stops the store's threads, writes back what it can and closes. Later calls fail.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the last sync failed.
    fn close(&self) -> Result<(), StoreError>;
}
