//! Rows as callers from outside see them: chosen fields, dot-walked ones included, each with its stored and its
//! display value.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{Dictionary, FieldDef, FieldIndex, FieldType, Record, TableDef, limits};
use campanile_store::{ReadTx, StoreError};

use super::display::{Display, Formats};
use super::execution::Execution;
use super::{gate, withheld};
use crate::error::EngineError;
use crate::session::Session;

/// One column of an answer.
#[derive(Debug, Clone)]
pub struct Column {
    name: Arc<str>,
    steps: Vec<Step>,
    table: Arc<TableDef>,
    field: FieldIndex,
}

impl Column {
    fn is_open_to(&self, session: &Session) -> bool {
        let Some((first, later)) = self.steps.split_first() else { return true };
        let mut at = &first.target;
        for step in later {
            if !gate::may_walk_to(session, at, step.field) {
                return false;
            }
            at = &step.target;
        }
        gate::may_walk_to(session, at, self.field)
    }
}

#[derive(Debug, Clone)]
struct Step {
    field: FieldIndex,
    target: Arc<TableDef>,
}

/// One value of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Member name: the field as it was asked for, dots included.
    pub name: Arc<str>,
    /// Value as rest-api §5.1 shows it: booleans `true`/`false`, journals and passwords empty.
    pub value: String,
    /// Display value; empty when it was not asked for.
    pub display: String,
    /// Table that a reference points to; `None` for other fields.
    pub reference: Option<Arc<str>>,
}

/// The columns that `names` stand for on `table`, in that order; names that mean nothing are left out. Without
/// names: all active columns, parent tables first, `sys_` fields last.
#[must_use]
pub fn columns(
    dictionary: &Dictionary,
    table: &Arc<TableDef>,
    names: Option<&[String]>,
) -> Vec<Column> {
    match names {
        Some(names) => names.iter().filter_map(|name| column(dictionary, table, name)).collect(),
        None => {
            let active = table.fields.iter().enumerate().filter(|(_, field)| field.active);
            let (system, own): (Vec<_>, Vec<_>) =
                active.partition(|(_, field)| field.name.starts_with("sys_"));
            own.into_iter()
                .chain(system)
                .map(|(index, field)| Column {
                    name: Arc::clone(&field.name),
                    steps: Vec::new(),
                    table: Arc::clone(table),
                    field: index,
                })
                .collect()
        }
    }
}

fn column(dictionary: &Dictionary, table: &Arc<TableDef>, name: &str) -> Option<Column> {
    let mut steps = Vec::new();
    let mut at = Arc::clone(table);
    let mut parts = name.split('.').peekable();
    while let Some(part) = parts.next() {
        let field = at.index(part)?;
        if parts.peek().is_none() {
            return Some(Column { name: Arc::from(name), steps, table: at, field });
        }
        let definition = &at.fields[field];
        if definition.field_type != FieldType::Reference
            || steps.len() == limits::DOT_WALK_STEPS_MAX
        {
            return None;
        }
        let target = Arc::clone(dictionary.table(&definition.reference)?);
        steps.push(Step { field, target: Arc::clone(&target) });
        at = target;
    }
    None
}

/// The cells of all `records` (rows of one table) for `columns`; fields of rows behind references that the session may
/// not read are left out, and what a row withholds from the session is empty. Those rows, and their display values, are
/// read once.
///
/// # Errors
/// What the store answers.
pub fn project(
    execution: &Execution,
    records: &[Record],
    columns: &[Column],
    with_display: bool,
) -> Result<Vec<Vec<Cell>>, EngineError> {
    let dictionary = execution.engine().dictionary()?;
    let session = execution.session();
    let columns: Vec<&Column> = columns.iter().filter(|c| c.is_open_to(session)).collect();
    let formats = Formats::of(execution.engine(), &session.user);
    execution.with_read(|read| {
        let display = with_display.then(|| Display::new(read, &dictionary, formats));
        if let Some(display) = &display {
            let own = columns.iter().filter(|column| column.steps.is_empty());
            let fields: Vec<FieldIndex> = own.map(|column| column.field).collect();
            display.prefetch(records, &fields)?;
        }
        let (dictionary, rows) = (&*dictionary, RefCell::default());
        let projection = Projection { session, dictionary, read, display, rows };
        records
            .iter()
            .map(|record| columns.iter().map(|column| projection.cell(record, column)).collect())
            .collect()
    })
}

/// The row that a key leads to, if it leads anywhere.
type FoundRow = Option<Rc<Record>>;

struct Projection<'a> {
    session: &'a Session,
    dictionary: &'a Dictionary,
    read: &'a dyn ReadTx,
    display: Option<Display<'a>>,
    /// Rows that dot-walks led to, by table and key.
    rows: RefCell<HashMap<(Arc<str>, String), FoundRow>>,
}

impl Projection<'_> {
    fn cell(&self, record: &Record, column: &Column) -> Result<Cell, StoreError> {
        let definition = &column.table.fields[column.field];
        let reference = (definition.field_type == FieldType::Reference)
            .then(|| Arc::clone(&definition.reference));
        let name = Arc::clone(&column.name);
        let walked = self.walk(record, &column.steps)?;
        let row = match (&walked, column.steps.is_empty()) {
            (Some(row), _) => Some(&**row),
            (None, true) => Some(record),
            (None, false) => None,
        };
        let row = match row {
            Some(row) if !self.is_withheld(row, column)? => row,
            _ => {
                return Ok(Cell { name, value: String::new(), display: String::new(), reference });
            }
        };
        let display = match &self.display {
            Some(display) => display.field(row, column.field)?,
            None => String::new(),
        };
        Ok(Cell { name, value: shown_value(row, column.field, definition), display, reference })
    }

    fn is_withheld(&self, row: &Record, column: &Column) -> Result<bool, StoreError> {
        if !withheld::tells_of_a_record(&column.table, column.field) {
            return Ok(false);
        }
        withheld::hides(self.session, self.dictionary, self.read, row)
    }

    /// The row at the end of the steps; `None` without steps, or when one of them leads nowhere.
    fn walk(&self, record: &Record, steps: &[Step]) -> Result<Option<Rc<Record>>, StoreError> {
        let mut row: Option<Rc<Record>> = None;
        for step in steps {
            let from = row.as_deref().unwrap_or(record);
            let Some(key) = from.at(step.field).as_option() else { return Ok(None) };
            let Some(next) = self.row(&step.target, key)? else { return Ok(None) };
            row = Some(next);
        }
        Ok(row)
    }

    fn row(&self, table: &Arc<TableDef>, key: &str) -> Result<Option<Rc<Record>>, StoreError> {
        let place = (Arc::clone(&table.name), key.to_ascii_lowercase());
        if let Some(known) = self.rows.borrow().get(&place) {
            return Ok(known.clone());
        }
        let found = self.read.get(table, key)?.map(Rc::new);
        self.rows.borrow_mut().insert(place, found.clone());
        Ok(found)
    }
}

fn shown_value(row: &Record, field: FieldIndex, definition: &FieldDef) -> String {
    if gate::field_hidden(definition) {
        return String::new();
    }
    let value = row.at(field);
    match definition.field_type {
        FieldType::Journal
        | FieldType::JournalList
        | FieldType::Password
        | FieldType::Password2 => String::new(),
        FieldType::Boolean if !value.is_nil() => value.is_true().to_string(),
        _ => value.as_str().to_owned(),
    }
}
