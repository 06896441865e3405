//! The record object and its constructors.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::{Arc, OnceLock};

use campanile_model::{FieldNames, Record, TableDef};
use campanile_script::RecordRef;

use super::paths::Paths;
use super::row::{Place, Row};
use super::searching::Search;
use crate::records::execution::Execution;
use crate::records::operation::{Failure, JournalEntry, Kind, defaults};

/// What kind of object it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Nature {
    /// `new GlideRecord(table)`.
    Plain,
    /// `current` of an operation.
    Operation(Kind),
    /// Writes have no effect and are logged; `valid` is what `isValidRecord` says.
    ReadOnly { what: Arc<str>, valid: bool },
    /// The null-like `current` of a script action without a record.
    NullLike,
    /// The table does not exist.
    UnknownTable,
}

/// Switches that scripts set for the following operations of the object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Switches {
    pub(super) workflow: bool,
    pub(super) auto_sys_fields: bool,
    pub(super) force_update: bool,
}

/// Which rule refused the operation.
#[derive(Debug, Clone)]
pub(crate) struct Abort {
    pub(super) rule: String,
    pub(super) rule_id: String,
    pub(super) stack: Vec<String>,
    /// What rules whose action aborts say of it, besides the error messages of the session.
    pub(super) said: Vec<String>,
}

/// A record object.
pub struct ScriptRecord {
    /// Itself, for scripts that get it as `current`.
    me: Weak<Self>,
    pub(super) execution: Rc<Execution>,
    /// As the script spelled it.
    pub(super) name: Arc<str>,
    /// An empty definition when the table does not exist.
    pub(super) table: Arc<TableDef>,
    pub(super) nature: Nature,
    row: RefCell<Row>,
    pub(super) paths: RefCell<Paths>,
    pub(super) search: RefCell<Search>,
    pub(super) switches: Cell<Switches>,
    /// The last operation that this object did.
    pub(super) last_operation: Cell<Option<Kind>>,
    pub(super) aborted: RefCell<Option<Abort>>,
    pub(super) last_error: RefCell<Option<String>>,
    pub(super) field_errors: RefCell<Vec<(Arc<str>, String)>>,
    /// Bytes that are counted for it.
    pub(super) held: Cell<usize>,
}

impl Drop for ScriptRecord {
    fn drop(&mut self) {
        self.release_held();
    }
}

impl ScriptRecord {
    fn make(execution: &Rc<Execution>, name: Arc<str>, row: Row, nature: Nature) -> Rc<Self> {
        let made = Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            execution: Rc::clone(execution),
            name,
            table: Arc::clone(row.record.table()),
            nature,
            row: RefCell::new(row),
            paths: RefCell::default(),
            search: RefCell::default(),
            switches: Cell::new(Switches {
                workflow: true,
                auto_sys_fields: true,
                force_update: false,
            }),
            last_operation: Cell::new(None),
            aborted: RefCell::default(),
            last_error: RefCell::default(),
            field_errors: RefCell::default(),
            held: Cell::new(0),
        });
        made.count_held();
        made
    }

    /// `new GlideRecord(table)`. An unknown table gives an object that is not valid, finds nothing and writes
    /// nothing; that is logged.
    #[must_use]
    pub fn fresh(execution: &Rc<Execution>, table: &str) -> RecordRef {
        Self::fresh_object(execution, table)
    }

    pub(crate) fn fresh_object(execution: &Rc<Execution>, table: &str) -> Rc<Self> {
        let known = execution.dictionary().ok().and_then(|d| d.table(table).cloned());
        match known {
            Some(def) => {
                Self::make(execution, Arc::clone(&def.name), Row::blank(&def), Nature::Plain)
            }
            None => {
                execution.warn(&format!(
                    "table '{table}' does not exist: the record object finds and writes nothing"
                ));
                Self::make(
                    execution,
                    Arc::from(table),
                    Row::blank(&no_table()),
                    Nature::UnknownTable,
                )
            }
        }
    }

    /// An object that stands on `record`, as if it had been read by a query.
    #[must_use]
    pub fn on_row(execution: &Rc<Execution>, record: Record) -> RecordRef {
        Self::on_row_object(execution, record)
    }

    pub(crate) fn on_row_object(execution: &Rc<Execution>, record: Record) -> Rc<Self> {
        let name = Arc::clone(&record.table().name);
        Self::make(execution, name, Row::read(record), Nature::Plain)
    }

    /// An object on the row `sys_id` of `table` that reads it at first use. When the row has gone by then, it is
    /// an empty object that stands on no row.
    #[must_use]
    pub fn lazy_row(execution: &Rc<Execution>, table: &Arc<TableDef>, sys_id: &str) -> RecordRef {
        let mut row = Row::blank(table);
        row.unread = Some(Arc::from(sys_id));
        Self::make(execution, Arc::clone(&table.name), row, Nature::Plain)
    }

    /// `current` of an operation that is only tried: `changes()`, `operation()` and `setAbortAction()` work as in a
    /// rule. `original` is the row as it is stored.
    #[must_use]
    pub fn trial(
        execution: &Rc<Execution>,
        record: Record,
        original: Option<Record>,
        operation: &str,
    ) -> RecordRef {
        let kind = match operation {
            "insert" => Kind::Insert,
            "delete" => Kind::Delete,
            _ => Kind::Update,
        };
        let name = Arc::clone(&record.table().name);
        let mut row = Row::read(record);
        row.original = original.map(Rc::new);
        Self::make(execution, name, row, Nature::Operation(kind))
    }

    /// An object whose values cannot be changed: writes have no effect and are logged under the name `what`.
    #[must_use]
    pub fn read_only(execution: &Rc<Execution>, record: Record, what: &str) -> RecordRef {
        let name = Arc::clone(&record.table().name);
        let nature = Nature::ReadOnly { what: Arc::from(what), valid: true };
        Self::make(execution, name, Row::read(record), nature)
    }

    /// `previous` of an update or delete.
    pub(crate) fn previous(execution: &Rc<Execution>, record: Record) -> RecordRef {
        Self::read_only(execution, record, "previous")
    }

    /// The null-like object of scripting §1.2: `== null` is true.
    #[must_use]
    pub fn null_like(execution: &Rc<Execution>) -> RecordRef {
        Self::make(execution, Arc::from(""), Row::blank(&no_table()), Nature::NullLike)
    }

    /// An object for a row that is not there: `isValidRecord()` is false and nothing can be written. With a
    /// snapshot it shows those values, else every element is nil.
    #[must_use]
    pub fn missing(
        execution: &Rc<Execution>,
        table: &Arc<TableDef>,
        snapshot: Option<Record>,
    ) -> RecordRef {
        let row = snapshot.map_or_else(|| Row::blank(table), Row::read);
        let nature = Nature::ReadOnly { what: Arc::from("a missing record"), valid: false };
        Self::make(execution, Arc::clone(&table.name), row, nature)
    }

    /// `current` of an operation.
    pub(crate) fn of_operation(
        execution: &Rc<Execution>,
        record: Record,
        original: Option<Record>,
        journals: &[JournalEntry],
        kind: Kind,
    ) -> Rc<Self> {
        let name = Arc::clone(&record.table().name);
        let row = Row {
            original: original.map(Rc::new),
            journals: journals.to_vec(),
            place: Place::OnRow,
            ..Row::with(record)
        };
        Self::make(execution, name, row, Nature::Operation(kind))
    }

    /// Fills fields that are nil and have a default.
    pub(super) fn fill_defaults(&self) -> Result<(), Failure> {
        match self.me.upgrade() {
            Some(me) => defaults::fill(&self.execution, &me),
            None => Ok(()),
        }
    }

    /// The table's definition; one without fields when the table does not exist.
    pub(crate) fn table(&self) -> &Arc<TableDef> {
        &self.table
    }

    /// The row, read first if that was put off.
    pub(super) fn row(&self) -> RefMut<'_, Row> {
        let mut row = self.row.borrow_mut();
        if let Some(sys_id) = row.unread.take() {
            match self.execution.read_row(&self.table, &sys_id) {
                Ok(Some(record)) => *row = Row::read(record),
                Ok(None) => row.place = Place::Gone,
                Err(error) => {
                    row.place = Place::Gone;
                    tracing::error!(%error, table = &*self.table.name, "a record could not be read");
                }
            }
        }
        row
    }

    /// The row as it is, read or not; `None` while somebody changes it.
    pub(super) fn bare_row(&self) -> Option<Ref<'_, Row>> {
        self.row.try_borrow().ok()
    }

    /// Whether values may be assigned; logs why not.
    pub(super) fn may_assign(&self) -> bool {
        match &self.nature {
            Nature::Plain | Nature::Operation(_) => true,
            Nature::ReadOnly { what, .. } => {
                self.execution.warn(&format!("{what} is read-only: the assignment has no effect"));
                false
            }
            Nature::NullLike | Nature::UnknownTable => false,
        }
    }
}

impl fmt::Debug for ScriptRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptRecord")
            .field("table", &self.name)
            .field("nature", &self.nature)
            .finish_non_exhaustive()
    }
}

/// The definition of no table: no fields.
fn no_table() -> Arc<TableDef> {
    static NONE: OnceLock<Arc<TableDef>> = OnceLock::new();
    Arc::clone(NONE.get_or_init(|| {
        let empty: Arc<str> = Arc::from("");
        Arc::new(TableDef {
            name: Arc::clone(&empty),
            label: Arc::clone(&empty),
            plural: Arc::clone(&empty),
            parent: Arc::clone(&empty),
            root: Arc::clone(&empty),
            lineage: Vec::new(),
            subtree: Vec::new(),
            has_class: false,
            fields: Vec::new(),
            by_name: FieldNames::default(),
            display_field: 0,
            audit: false,
            attributes: empty,
        })
    }))
}
