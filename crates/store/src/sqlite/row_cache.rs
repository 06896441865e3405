//! Rows that were read or written lately, as they are committed: a handler, the fire that it answers and the update
//! before them look at the same row, and SQLite drops a reader's pages after each commit of another connection.
//!
//! All rows of records are written through this process's one writer, so the cache knows of every change. A commit
//! takes its rows out before it and puts the new ones in behind it; what a reader saw meanwhile is not kept.

use std::collections::HashMap;
use std::sync::Arc;

use campanile_model::{FieldIndex, Record, TableDef};
use parking_lot::Mutex;

use crate::sql::EVENT_TABLES;
use crate::sql::values::stored;

/// Memory for rows, roughly; half of it for those that were not asked for lately.
const BYTES_MAX: usize = 8 << 20;
/// A row that is larger is not kept.
const ROW_BYTES_MAX: usize = 64 << 10;
/// Classes that one row is kept as: its own, and an ancestor that a reference points to.
const FORMS_MAX: usize = 3;
/// Rows of one transaction whose new values are remembered; a larger one empties the cache.
const WRITES_MAX: usize = 512;

/// A row's key in lower case.
type Key = [u8; 32];

type Rows = HashMap<Key, Vec<Form>, foldhash::fast::RandomState>;

/// A row as one of its classes shows it.
#[derive(Debug)]
struct Form {
    record: Record,
    bytes: usize,
}

impl Form {
    fn is_of(&self, table: &Arc<TableDef>) -> bool {
        Arc::ptr_eq(self.record.table(), table)
    }
}

/// Committed rows by their keys.
#[derive(Debug, Default)]
pub(in crate::sqlite) struct RowCache {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    young: Rows,
    old: Rows,
    /// Of the young.
    bytes: usize,
    /// Moves when a commit begins and when it has ended.
    version: u64,
    committing: u32,
}

/// When a reader began: what it read is kept only if nothing was committed since.
#[derive(Debug, Clone, Copy)]
pub(in crate::sqlite) struct Moment(Option<u64>);

impl RowCache {
    /// The committed row of `table` with this key, if it is at hand; else when the reading begins.
    pub(in crate::sqlite) fn get(
        &self,
        table: &Arc<TableDef>,
        sys_id: &str,
    ) -> Result<Record, Moment> {
        let Some(key) = key_of(table, sys_id) else { return Err(Moment(None)) };
        let mut state = self.state.lock();
        if let Some(known) = find(&state.young, &key, table) {
            return Ok(known.clone());
        }
        let Some(known) = find(&state.old, &key, table).cloned() else {
            return Err(Moment((state.committing == 0).then_some(state.version)));
        };
        state.keep(key, known.clone());
        Ok(known)
    }

    /// Keeps a row that was read since `moment`.
    pub(in crate::sqlite) fn note(&self, moment: Moment, sys_id: &str, record: &Record) {
        let (Some(version), Some(key)) = (moment.0, key_of(record.table(), sys_id)) else { return };
        let mut state = self.state.lock();
        if state.version == version {
            state.keep(key, record.clone());
        }
    }

    /// Forgets all rows.
    pub(in crate::sqlite) fn forget_all(&self) {
        self.state.lock().forget_all();
    }

    /// A transaction that wrote `writes` is about to be committed. Call the result's [`Committing::done`] while the
    /// writer is still held; dropped without it, the rows are just not kept.
    pub(in crate::sqlite) fn begin_commit(self: &Arc<Self>, writes: Writes) -> Committing {
        let mut commit = Committing { cache: Arc::clone(self), fresh: HashMap::default() };
        let mut state = self.state.lock();
        state.version += 1;
        state.committing += 1;
        if writes.too_many {
            state.forget_all();
        }
        for write in writes.rows {
            let known = state.forget(&write.key, write.record.table());
            // A row that was written as another class before is not known as this one.
            let base = match commit.fresh.remove(&write.key) {
                Some(fresh) => {
                    Some(fresh).filter(|it| Arc::ptr_eq(it.table(), write.record.table()))
                }
                None => known,
            };
            if let Some(after) = base.and_then(|base| write.on(base)) {
                commit.fresh.insert(write.key, after);
            }
        }
        drop(state);
        commit
    }
}

impl State {
    fn keep(&mut self, key: Key, record: Record) {
        let bytes = bytes_of(&record);
        if bytes > ROW_BYTES_MAX {
            return;
        }
        let forms = self.young.entry(key).or_default();
        let known = forms.iter().position(|form| form.is_of(record.table()));
        if let Some(at) = known.or((forms.len() == FORMS_MAX).then_some(0)) {
            self.bytes -= forms.swap_remove(at).bytes;
        }
        forms.push(Form { record, bytes });
        self.bytes += bytes;
        if self.bytes > BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
    }

    /// Takes a row out in all its forms, and gives the one of `table`.
    fn forget(&mut self, key: &Key, table: &Arc<TableDef>) -> Option<Record> {
        let old = self.old.remove(key).unwrap_or_default();
        let young = self.young.remove(key).unwrap_or_default();
        self.bytes -= young.iter().map(|form| form.bytes).sum::<usize>();
        young.into_iter().chain(old).find(|form| form.is_of(table)).map(|form| form.record)
    }

    fn forget_all(&mut self) {
        self.young = Rows::default();
        self.old = Rows::default();
        self.bytes = 0;
    }
}

fn find<'r>(rows: &'r Rows, key: &Key, table: &Arc<TableDef>) -> Option<&'r Record> {
    rows.get(key)?.iter().find(|form| form.is_of(table)).map(|form| &form.record)
}

/// Rows of events are not written as records, so nothing is known of their changes.
fn key_of(table: &TableDef, sys_id: &str) -> Option<Key> {
    let mut key: Key = sys_id.as_bytes().try_into().ok()?;
    key.make_ascii_lowercase();
    (!EVENT_TABLES.contains(&&*table.root)).then_some(key)
}

fn bytes_of(record: &Record) -> usize {
    const TEXT: usize = 24;
    let texts = record.values().iter().filter_map(|value| value.as_option());
    size_of_val(record.values()) + texts.map(|text| text.len() + TEXT).sum::<usize>()
}

/// What a transaction wrote, in order.
#[derive(Debug, Default)]
pub(in crate::sqlite) struct Writes {
    rows: Vec<Write>,
    too_many: bool,
}

#[derive(Debug)]
struct Write {
    key: Key,
    record: Record,
    /// Fields of `record` that were written; `None` when the row is to be read anew.
    changed: Option<Box<[FieldIndex]>>,
}

impl Writes {
    /// The fields `changed` of the record's row were written.
    pub(in crate::sqlite) fn updated(&mut self, record: &Record, changed: &[FieldIndex]) {
        self.note(record, record.text("sys_id"), Some(Box::from(changed)));
    }

    /// The row was added or deleted.
    pub(in crate::sqlite) fn replaced(&mut self, table: &Arc<TableDef>, sys_id: &str) {
        self.note(&Record::empty(Arc::clone(table)), sys_id, None);
    }

    fn note(&mut self, record: &Record, sys_id: &str, changed: Option<Box<[FieldIndex]>>) {
        let Some(key) = key_of(record.table(), sys_id) else { return };
        if self.rows.len() < WRITES_MAX {
            self.rows.push(Write { key, record: record.clone(), changed });
        } else {
            self.too_many = true;
        }
    }

    /// Whether this transaction may have written the row.
    pub(in crate::sqlite) fn contain(&self, table: &TableDef, sys_id: &str) -> bool {
        self.too_many
            || key_of(table, sys_id).is_none_or(|key| self.rows.iter().any(|row| row.key == key))
    }

    /// Number of writes so far, to go back to with [`Writes::undo_after`].
    pub(in crate::sqlite) fn mark(&self) -> usize {
        self.rows.len()
    }

    /// What was written after `mark` was undone.
    pub(in crate::sqlite) fn undo_after(&mut self, mark: usize) {
        self.rows.truncate(mark);
    }

    /// Nothing was written.
    pub(in crate::sqlite) fn is_empty(&self) -> bool {
        self.rows.is_empty() && !self.too_many
    }
}

impl Write {
    /// The row after the write, as it would be read; `None` when that is not known.
    fn on(&self, base: Record) -> Option<Record> {
        let mut after = base;
        for index in self.changed.as_deref()? {
            let field = &self.record.table().fields[*index];
            // With another class other names lead to the row.
            if &*field.name == "sys_class_name" {
                return None;
            }
            after.set_at(*index, stored(field, self.record.at(*index))?);
        }
        Some(after)
    }
}

/// A commit that goes on.
#[derive(Debug)]
pub(in crate::sqlite) struct Committing {
    cache: Arc<RowCache>,
    fresh: HashMap<Key, Record, foldhash::fast::RandomState>,
}

impl Committing {
    /// It has succeeded.
    pub(in crate::sqlite) fn done(mut self) {
        let mut state = self.cache.state.lock();
        for (key, record) in self.fresh.drain() {
            state.keep(key, record);
        }
    }
}

impl Drop for Committing {
    fn drop(&mut self) {
        let mut state = self.cache.state.lock();
        state.version += 1;
        state.committing -= 1;
    }
}
