//! The statements that read rows by their keys, kept for each table.
//!
//! Every handler reads its record and every fire the record that it is about. For a table of sixty columns, writing
//! the statement anew took a fifth of the read.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{FieldIndex, TableDef};
use foldhash::fast::RandomState;

use super::dialect::Dialect;
use super::query::{push_columns, stored_fields};
use super::schema::EVENT_TABLES;
use super::statement::Statement;
use super::values::Param;

/// Tables whose statements are kept by a thread; it starts afresh when there are more, which happens when the
/// dictionary has changed often.
const TABLES_MAX: usize = 128;

/// Statements of one table that are kept.
const FORMS_MAX: usize = 8;

/// Rows of a table or of classes below it, as far as they are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) table: &'a Arc<TableDef>,
    /// By position; `None` reads all fields, and the others are nil.
    pub(crate) fields: Option<&'a [FieldIndex]>,
}

/// Which of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// That with one key.
    One,
    /// The same, and nobody else changes it until the transaction ends.
    OneForChange,
    /// Those with several keys, in no order: one statement for any number of them. The keys are read too, so that it can be
    /// told which row is whose. For PostgreSQL, where it is the round trip that costs.
    Several,
}

/// A statement whose first parameter is the key, or the list of keys.
#[derive(Debug)]
pub(crate) struct KeyedRead {
    pub(crate) text: String,
    /// Behind the key: of which class the row has to be.
    pub(crate) classes: Vec<Param>,
    /// The fields that its columns are.
    pub(crate) fields: Vec<FieldIndex>,
}

thread_local! {
    static KEPT: RefCell<HashMap<usize, Kept, RandomState>> = RefCell::default();
}

struct Kept {
    /// Keeps the address that it is found by.
    _table: Arc<TableDef>,
    forms: Vec<Form>,
}

struct Form {
    dialect: Dialect,
    keys: Keys,
    fields: Option<Box<[FieldIndex]>>,
    read: Rc<KeyedRead>,
}

impl<'a> Part<'a> {
    /// All fields.
    pub(crate) fn whole(table: &'a Arc<TableDef>) -> Self {
        Self { table, fields: None }
    }
}

/// The statement that reads this part of the rows with these keys.
pub(crate) fn keyed(dialect: Dialect, keys: Keys, part: Part<'_>) -> Rc<KeyedRead> {
    let address = Arc::as_ptr(part.table) as usize;
    KEPT.with_borrow_mut(|kept| {
        if kept.len() >= TABLES_MAX && !kept.contains_key(&address) {
            kept.clear();
        }
        let of_table = kept
            .entry(address)
            .or_insert_with(|| Kept { _table: Arc::clone(part.table), forms: Vec::new() });
        let is_same = |form: &&Form| {
            form.keys == keys && form.dialect == dialect && form.fields.as_deref() == part.fields
        };
        if let Some(known) = of_table.forms.iter().find(is_same) {
            return Rc::clone(&known.read);
        }
        if of_table.forms.len() >= FORMS_MAX {
            of_table.forms.clear();
        }
        let read = Rc::new(written(dialect, keys, part));
        let fields = part.fields.map(Box::from);
        of_table.forms.push(Form { dialect, keys, fields, read: Rc::clone(&read) });
        read
    })
}

fn written(dialect: Dialect, keys: Keys, Part { table, fields }: Part<'_>) -> KeyedRead {
    let mut fields = stored_fields(table, fields);
    if keys == Keys::Several {
        let key = table.index("sys_id").filter(|key| !fields.contains(key));
        fields.extend(key);
    }
    let mut statement = Statement::new(dialect, "SELECT ");
    push_columns(&mut statement, table, &fields);
    statement.push(" FROM ").name(&table.root).push(" AS t0 WHERE ");
    match keys {
        Keys::One | Keys::OneForChange => statement.is_key("t0.\"sys_id\"", ""),
        Keys::Several => {
            statement.params.push(Param::Null);
            statement.push(&dialect.no_case("t0.\"sys_id\"")).push(" = ANY (?::text[])")
        }
    };
    statement.class_condition_beside_key(" AND ", "t0", table);
    // Rows of a view of several tables cannot be locked; what changes an event locks it by itself.
    if keys == Keys::OneForChange && !EVENT_TABLES.contains(&&*table.root) {
        statement.push(" FOR UPDATE OF t0");
    }
    KeyedRead { classes: statement.params.split_off(1), text: statement.text, fields }
}
