//! The statement that reads a row by its key, kept for each table.
//!
//! Every handler reads its record and every fire the record that it is about. For a table of sixty columns, writing
//! the statement anew took a fifth of the read.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{FieldIndex, TableDef};

use crate::sql::{self, Dialect, Statement};

/// Tables whose statements are kept by a thread; it starts afresh when there are more, which happens when the
/// dictionary has changed often.
const TABLES_MAX: usize = 128;

thread_local! {
    static KEPT: RefCell<HashMap<usize, Kept>> = RefCell::default();
}

/// A statement whose first parameter is the key.
struct Kept {
    /// Keeps the address that it is found by.
    _table: Arc<TableDef>,
    form: Rc<(Statement, Vec<FieldIndex>)>,
}

/// The statement for `table` with an empty key as its first parameter, and the fields that its columns are.
pub(super) fn form(table: &Arc<TableDef>) -> Rc<(Statement, Vec<FieldIndex>)> {
    let address = Arc::as_ptr(table) as usize;
    KEPT.with_borrow_mut(|kept| {
        if let Some(known) = kept.get(&address) {
            return Rc::clone(&known.form);
        }
        if kept.len() >= TABLES_MAX {
            kept.clear();
        }
        let form = Rc::new(sql::by_key(Dialect::Sqlite, table, ""));
        kept.insert(address, Kept { _table: Arc::clone(table), form: Rc::clone(&form) });
        form
    })
}
