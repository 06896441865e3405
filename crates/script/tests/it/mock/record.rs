//! The mock's record object: its state, and how values get in and out of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use campanile_script::{ElementKind, ExternalValue, PathId};

use super::host::MockHost;
use super::query::{Query, texts};
use super::tables::{Column, Tables};

pub(super) type Values = BTreeMap<String, String>;

/// A field, or one reached through references.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) parent: Option<PathId>,
    pub(super) column: Column,
    /// Table whose column it is.
    pub(super) table: String,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) class: String,
    pub(super) values: Values,
    /// The values as they were read, for `changes`.
    pub(super) original: Values,
    /// Values set through references, in memory only.
    pub(super) through: BTreeMap<PathId, String>,
    pub(super) journal: BTreeMap<String, String>,
    pub(super) query: Query,
    pub(super) results: Vec<String>,
    pub(super) total: usize,
    pub(super) at: usize,
    pub(super) on_row: bool,
    pub(super) is_new: bool,
    pub(super) get_failed: bool,
    pub(super) fresh_insert: bool,
    pub(super) operation: Option<String>,
    pub(super) aborted: bool,
    pub(super) force: bool,
    pub(super) auto_sys_fields: bool,
    pub(super) errors: BTreeMap<PathId, String>,
}

/// A record object in memory.
pub(crate) struct MockRecord {
    pub(super) host: Rc<MockHost>,
    pub(super) table: String,
    pub(super) paths: RefCell<Vec<Path>>,
    pub(super) state: RefCell<State>,
    pub(super) null_like: Cell<bool>,
    /// Workflow flag, and what was noted, for tests.
    pub(crate) workflow: Cell<bool>,
    pub(crate) unknown_names: RefCell<Vec<String>>,
    pub(crate) lookups: Cell<usize>,
}

impl MockRecord {
    pub(super) fn new(host: &Rc<MockHost>, table: &str) -> Rc<Self> {
        let state = State { class: table.to_owned(), auto_sys_fields: true, ..State::default() };
        let made = Rc::new(Self {
            host: Rc::clone(host),
            table: table.to_owned(),
            paths: RefCell::default(),
            state: RefCell::new(state),
            null_like: Cell::new(false),
            workflow: Cell::new(true),
            unknown_names: RefCell::default(),
            lookups: Cell::new(0),
        });
        let weak: Weak<Self> = Rc::downgrade(&made);
        host.made.borrow_mut().push(weak);
        made
    }

    pub(super) fn on_row(host: &Rc<MockHost>, table: &str, sys_id: &str) -> Rc<Self> {
        let made = Self::new(host, table);
        made.load(sys_id);
        made
    }

    /// The null-like `current` of a script action without a record.
    pub(crate) fn make_null_like(&self) {
        self.null_like.set(true);
    }

    pub(super) fn load(&self, sys_id: &str) -> bool {
        let row = self.host.tables.borrow().row(sys_id).cloned();
        let mut state = self.state.borrow_mut();
        let Some(row) = row else { return false };
        state.class = row.class;
        state.original = row.values.clone();
        state.values = row.values;
        state.through.clear();
        state.on_row = true;
        state.fresh_insert = false;
        true
    }

    pub(super) fn intern(&self, parent: Option<PathId>, table: &str, name: &str) -> Option<PathId> {
        let mut paths = self.paths.borrow_mut();
        if let Some(at) =
            paths.iter().position(|path| path.parent == parent && path.column.name == name)
        {
            return PathId::try_from(at).ok();
        }
        self.lookups.set(self.lookups.get() + 1);
        let column = self.host.tables.borrow().column(table, name)?;
        paths.push(Path { parent, column, table: table.to_owned() });
        PathId::try_from(paths.len() - 1).ok()
    }

    pub(super) fn path(&self, path: PathId) -> Path {
        self.paths.borrow()[path as usize].clone()
    }

    pub(super) fn stored(&self, path: PathId) -> Option<String> {
        let Path { parent, column, .. } = self.path(path);
        let state = self.state.borrow();
        if let Some(text) = state.through.get(&path) {
            return Some(text.clone());
        }
        let text = match parent {
            None if column.kind == ElementKind::Journal => state.journal.get(column.name).cloned(),
            None => state.values.get(column.name).cloned(),
            Some(parent) => {
                drop(state);
                let target = self.stored(parent)?;
                self.host.tables.borrow().row(&target)?.values.get(column.name).cloned()
            }
        };
        text.filter(|text| !text.is_empty())
    }

    pub(super) fn put(&self, path: PathId, text: String) {
        let Path { parent, column, .. } = self.path(path);
        let mut state = self.state.borrow_mut();
        let text = if text == "NULL" { String::new() } else { text };
        if parent.is_some() {
            state.through.insert(path, text);
        } else if column.kind == ElementKind::Journal {
            state.journal.insert(column.name.to_owned(), text);
        } else {
            state.values.insert(column.name.to_owned(), text);
        }
    }

    /// Stored text of a value for a column; `None` when the value is refused.
    pub(super) fn accept(&self, column: &Column, value: &ExternalValue) -> Option<String> {
        let text = texts(value).join(",");
        match column.kind {
            ElementKind::Boolean => Some(match text.as_str() {
                "" => String::new(),
                "true" | "1" => "1".to_owned(),
                _ => "0".to_owned(),
            }),
            ElementKind::Number if !text.is_empty() && text.parse::<f64>().is_err() => {
                self.host.warn(&format!("'{text}' is no number for {}", column.name));
                None
            }
            _ => Some(text),
        }
    }

    pub(super) fn write(&self) -> String {
        let mut state = self.state.borrow_mut();
        let sys_id = state.values["sys_id"].clone();
        if state.auto_sys_fields {
            let count = state.values.get("sys_mod_count").and_then(|n| n.parse::<u64>().ok());
            let next = (count.unwrap_or_default() + 1).to_string();
            state.values.insert("sys_mod_count".to_owned(), next);
        }
        let values: Values =
            state.values.clone().into_iter().filter(|(_, text)| !text.is_empty()).collect();
        self.host.tables.borrow_mut().row_mut(&sys_id).unwrap().values = values;
        state.original = state.values.clone();
        state.operation = Some("update".to_owned());
        sys_id
    }

    pub(super) fn is_known(&self) -> bool {
        self.host.tables.borrow().def(&self.table).is_some()
    }

    pub(super) fn script_of(column: &Column, stored: &str) -> Rc<str> {
        match (column.kind, stored) {
            (ElementKind::Boolean, "1") => "true".into(),
            (ElementKind::Boolean, "0") => "false".into(),
            (_, text) => text.into(),
        }
    }

    pub(super) fn with_tables<T>(&self, body: impl FnOnce(&Tables) -> T) -> T {
        body(&self.host.tables.borrow())
    }
}

impl MockRecord {
    pub(super) fn instance_of_root(&self, root: &str) -> bool {
        self.with_tables(|tables| tables.root(&self.table) == root)
    }
}
