//! Tables, columns and rows of the mock.

use std::collections::BTreeMap;

use campanile_script::ElementKind;

/// A column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: ElementKind,
    /// Referenced table; empty when it is no reference.
    pub(super) reference: &'static str,
    /// Labels of choice values.
    pub(super) choices: &'static [(&'static str, &'static str)],
}

/// A column without reference and choices.
pub(super) const fn column(name: &'static str, kind: ElementKind) -> Column {
    Column { name, kind, reference: "", choices: &[] }
}

/// A reference column.
pub(super) const fn reference(name: &'static str, to: &'static str) -> Column {
    Column { name, kind: ElementKind::Reference, reference: to, choices: &[] }
}

/// A table; `parent` is empty for a root.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) parent: &'static str,
    pub(super) display: &'static str,
    pub(super) columns: Vec<Column>,
}

/// A stored row: its class, and stored texts of what is not nil.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) class: String,
    pub(crate) values: BTreeMap<String, String>,
}

/// All tables with their rows, in order of insertion.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(super) defs: Vec<Table>,
    pub(super) rows: Vec<Row>,
}

impl Tables {
    pub(super) fn def(&self, name: &str) -> Option<&Table> {
        self.defs.iter().find(|table| table.name == name)
    }

    /// `class` is `table` or extends it.
    pub(super) fn extends(&self, class: &str, table: &str) -> bool {
        class == table
            || self
                .def(class)
                .is_some_and(|def| !def.parent.is_empty() && self.extends(def.parent, table))
    }

    /// Columns of a table, inherited ones first.
    pub(super) fn columns(&self, table: &str) -> Vec<Column> {
        let Some(def) = self.def(table) else { return Vec::new() };
        let mut columns = if def.parent.is_empty() { Vec::new() } else { self.columns(def.parent) };
        columns.extend(def.columns.iter().cloned());
        columns
    }

    pub(super) fn column(&self, table: &str, name: &str) -> Option<Column> {
        self.columns(table).into_iter().find(|column| column.name == name)
    }

    /// The table that defines a column.
    pub(super) fn owner(&self, table: &str, name: &str) -> &'static str {
        match self.def(table) {
            Some(def) if def.columns.iter().any(|column| column.name == name) => def.name,
            Some(def) if !def.parent.is_empty() => self.owner(def.parent, name),
            _ => "",
        }
    }

    pub(super) fn root(&self, table: &str) -> &'static str {
        match self.def(table) {
            Some(def) if !def.parent.is_empty() => self.root(def.parent),
            Some(def) => def.name,
            None => "",
        }
    }

    pub(super) fn display_column(&self, table: &str) -> &'static str {
        match self.def(table) {
            Some(def) if !def.display.is_empty() => def.display,
            Some(def) if !def.parent.is_empty() => self.display_column(def.parent),
            _ => "sys_id",
        }
    }

    pub(crate) fn row(&self, sys_id: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.values.get("sys_id").is_some_and(|id| id == sys_id))
    }

    pub(crate) fn row_mut(&mut self, sys_id: &str) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.values.get("sys_id").is_some_and(|id| id == sys_id))
    }
}
