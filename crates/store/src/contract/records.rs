//! Records: reading by bound query, writing in one transaction.

use std::any::Any;
use std::sync::Arc;

use campanile_model::query::BoundQuery;
use campanile_model::{Dictionary, FieldIndex, Instant, NewEvent, Record, TableDef};

use super::{AppendOutcome, EventAction, KeptAnswer, QueueRule, StoreError};

/// Everything committed before or with this mark is ordered before it. Marks of one store rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct CommitMark(pub u64);

/// A point inside a write transaction that can be gone back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavepointId(pub u32);

/// Which rows, in which order, how many.
#[derive(Debug, Clone)]
pub struct Select {
    /// The rows. `query.table` also decides the fields of the records that come back.
    pub query: BoundQuery,
    /// Most rows; `None` for no limit.
    pub limit: Option<u64>,
    /// Rows to leave out first.
    pub offset: u64,
    /// Fields to read, by position; `None` reads all. Fields that were not read are nil.
    pub fields: Option<Vec<FieldIndex>>,
}

impl Select {
    /// All rows of `query`, all fields.
    #[must_use]
    pub fn new(query: BoundQuery) -> Self {
        Self { query, limit: None, offset: 0, fields: None }
    }

    /// At most `rows` rows.
    #[must_use]
    pub fn limit(mut self, rows: u64) -> Self {
        self.limit = Some(rows);
        self
    }
}

/// Reading. Every order is made total by `sys_id` as its last key. Rows of `sysevent` include live and finished
/// events; a claimed one reads `queued`.
pub trait ReadTx {
    /// The row of `table` (or of a class below it) with this key, ignoring case; its fields are those of `table`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    fn get(&self, table: &Arc<TableDef>, sys_id: &str) -> Result<Option<Record>, StoreError>;

    /// The rows of `select`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Statement`].
    fn select(&self, select: &Select) -> Result<Vec<Record>, StoreError>;

    /// Number of rows of `query`.
    ///
    /// # Errors
    /// As [`ReadTx::select`].
    fn count(&self, query: &BoundQuery) -> Result<u64, StoreError>;

    /// The answer that was kept under `key` after `forgotten`, for a call that sent the same. `None` when the key is free:
    /// one that was used at `forgotten` or before is.
    ///
    /// # Errors
    /// [`StoreError::KeyReused`] when the key was used for something else, be it an event.
    fn kept_answer(
        &self,
        key: &str,
        content_hash: u64,
        forgotten: Instant,
    ) -> Result<Option<String>, StoreError>;
}

/// Reading and writing in one transaction.
pub trait WriteTx: ReadTx {
    /// This transaction as a reader (it sees its own writes).
    fn as_read(&self) -> &dyn ReadTx;

    /// As [`ReadTx::get`], for a row that is about to be changed: nobody else changes it until this transaction ends.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when somebody else has it and does not end in time; as [`ReadTx::get`].
    fn get_for_change(
        &self,
        table: &Arc<TableDef>,
        sys_id: &str,
    ) -> Result<Option<Record>, StoreError> {
        // Where one transaction writes at a time, every row is its own.
        self.get(table, sys_id)
    }

    /// Adds a row; `record.table()` is its class. Unique columns are checked ignoring nothing but nil.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] for a taken key or unique value; the transaction stays usable.
    /// [`StoreError::Full`], [`StoreError::Unavailable`].
    fn insert(&mut self, record: &Record) -> Result<(), StoreError>;

    /// Writes the `changed` fields of the row with the record's `sys_id`. Returns whether there was such a row.
    ///
    /// # Errors
    /// As [`WriteTx::insert`].
    fn update(&mut self, record: &Record, changed: &[FieldIndex]) -> Result<bool, StoreError>;

    /// Deletes the row. Returns whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn delete(&mut self, table: &Arc<TableDef>, sys_id: &str) -> Result<bool, StoreError>;

    /// Appends events; they become claimable at the commit, in this order. A duplicate or refused key is told in
    /// the outcome and disturbs nothing.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Unavailable`].
    fn append_events(&mut self, events: &[NewEvent]) -> Result<Vec<AppendOutcome>, StoreError>;

    /// Does one action on an event inside this transaction.
    ///
    /// # Errors
    /// [`StoreError::EventUnknown`], [`StoreError::StateConflict`].
    fn act_on_event(&mut self, action: &EventAction) -> Result<(), StoreError>;

    /// Notes what `queue` promises of the order of its events, `None` for nothing; to be called in the transaction that
    /// writes the queue's row. It holds for what arrives from the commit on, and for what waits then.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::OlderAtWork`] while programs work that would not keep it;
    /// [`StoreError::QueueAtWork`] where what is being handled cannot keep it.
    fn set_queue_order(&mut self, queue: &str, rule: Option<QueueRule>) -> Result<(), StoreError>;

    /// Moves the `ready` events called `name` whose queue came from the registration, and whose sequence is above
    /// `after`, to `to_queue` (§4.8). Returns how many. Looks at all events that wait above `after`, while everybody
    /// waits: the long part is [`EventStore::move_kind`](super::EventStore::move_kind)'s.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn move_kind(&mut self, name: &str, to_queue: &str, after: i64) -> Result<u64, StoreError>;

    /// Brings the physical tables, views and indexes in line with `tables` (all classes of the hierarchies that
    /// are touched): creates tables, adds columns. Never drops anything.
    ///
    /// # Errors
    /// [`StoreError::Statement`] when a column would have to change its type.
    fn ensure_tables(
        &mut self,
        dictionary: &Dictionary,
        tables: &[Arc<TableDef>],
    ) -> Result<(), StoreError>;

    /// Drops what was kept for `gone`, a table as it was, and is needed no more now that `dictionary` lacks the table
    /// or some of its columns: the physical table of a root, the view of a class, columns that no other class of the
    /// hierarchy uses. To be called after [`WriteTx::ensure_tables`]. What they held is lost; what is gone already is
    /// no error.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn drop_unused(&mut self, dictionary: &Dictionary, gone: &TableDef) -> Result<(), StoreError>;

    /// Reads `key` of the small key–value table that holds counters and marks (`sys_number` high-water marks,
    /// versions of installed packs).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn meta_get(&self, key: &str) -> Result<Option<String>, StoreError>;

    /// Writes `key` of the same table.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn meta_set(&mut self, key: &str, value: &str) -> Result<(), StoreError>;

    /// A point to go back to.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn savepoint(&mut self) -> Result<SavepointId, StoreError>;

    /// Undoes everything since `savepoint`, which is gone afterwards.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn rollback_to(&mut self, savepoint: SavepointId) -> Result<(), StoreError>;

    /// Keeps everything since `savepoint`, which is gone afterwards.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn release(&mut self, savepoint: SavepointId) -> Result<(), StoreError>;

    /// Keeps the answer of the call that this transaction serves under its key: both are committed, or neither.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the key is not free (somebody else was quicker): then roll back.
    fn keep_answer(&mut self, answer: &KeptAnswer) -> Result<(), StoreError>;

    /// Makes everything visible to others, and the appended events claimable. Not yet on disk: wait for the mark.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Unavailable`]; then nothing was kept.
    fn commit(self: Box<Self>) -> Result<CommitMark, StoreError>;

    /// The engine's own object behind this one.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}
