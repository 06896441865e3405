//! The values of a record object's row, and where its cursor stands.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{FieldIndex, Record, TableDef};
use campanile_script::PathId;

use crate::records::operation::JournalEntry;

/// Where the cursor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On no row: fresh, initialised, or a query that has not moved yet.
    Nowhere,
    /// A row that `newRecord` began.
    New,
    /// On a row that was read.
    OnRow,
    /// On the row that this object inserted.
    Inserted,
    /// Behind the last row; the values are still those of the last one.
    PastEnd,
    /// `get` found nothing.
    NotFound,
    /// The row that the object was made for has gone.
    Gone,
}

/// A row that a reference leads to, as it was when it was first needed.
#[derive(Debug)]
pub(super) struct ReferencedRow {
    /// The reference's value then.
    pub(super) sys_id: Arc<str>,
    /// `None` for a dangling reference.
    pub(super) record: Option<Record>,
}

/// The present row.
#[derive(Debug)]
pub(super) struct Row {
    /// Values as they are now.
    pub(super) record: Record,
    /// Values before: what changes are judged against. `None` when there was nothing before.
    pub(super) original: Option<Rc<Record>>,
    /// The row as this object last wrote it inside a running operation: what the next write is judged against.
    pub(super) synced: Option<Rc<Record>>,
    /// Journal entries of this operation.
    pub(super) journals: Vec<JournalEntry>,
    /// Fields that were assigned, for `updateMultiple`.
    pub(super) assigned: Vec<FieldIndex>,
    /// Bytes of values and journal entries that scripts put here.
    pub(super) assigned_bytes: usize,
    pub(super) place: Place,
    /// Key of a row that is read at first use.
    pub(super) unread: Option<Arc<str>>,
    /// Rows behind references, by the reference's path.
    pub(super) references: HashMap<PathId, ReferencedRow>,
}

impl Row {
    pub(super) fn blank(table: &Arc<TableDef>) -> Self {
        Self::with(Record::empty(Arc::clone(table)))
    }

    /// These values, and nothing known of a row.
    pub(super) fn with(record: Record) -> Self {
        Self {
            record,
            original: None,
            synced: None,
            journals: Vec::new(),
            assigned: Vec::new(),
            assigned_bytes: 0,
            place: Place::Nowhere,
            unread: None,
            references: HashMap::new(),
        }
    }

    /// A row as it was read.
    pub(super) fn read(record: Record) -> Self {
        let original = Some(Rc::new(record.clone()));
        Self { original, place: Place::OnRow, ..Self::with(record) }
    }

    /// What the next write is judged against.
    pub(super) fn base(&self) -> Option<&Record> {
        self.synced.as_deref().or(self.original.as_deref())
    }

    /// On a row that exists.
    pub(super) fn is_on_row(&self) -> bool {
        matches!(self.place, Place::OnRow | Place::Inserted)
    }
}
