//! What is wrong with a definition, told when it is saved.

use std::collections::{HashMap, HashSet};

use campanile_model::ColumnStorage;

use super::columns::{storage, system_columns};
use super::rows::{ColumnRow, DictionaryRows, TableRow};

/// Longest name of a table or column.
const NAME_CHARS_MAX: usize = 80;
/// Longest value that a column may allow.
const MAX_LENGTH_MAX: usize = 16 * 1024 * 1024;

/// Names of tables that the database keeps for itself begin so.
const RESERVED_PREFIXES: [&str; 3] = ["campanile_", "sqlite_", "pg_"];

/// All definitions by name, to judge one of them beside the others.
pub(super) struct Known<'a> {
    tables: HashMap<&'a str, &'a TableRow>,
    children: HashMap<&'a str, Vec<&'a TableRow>>,
    /// Columns by name, of whatever table; collection rows under the empty name.
    columns: HashMap<&'a str, Vec<&'a ColumnRow>>,
    doubled_tables: HashSet<&'a str>,
    system: Vec<String>,
}

/// How names of columns are kept that were settled a moment ago, by root and name.
#[derive(Default)]
pub(super) struct Fresh(HashMap<(String, String), ColumnStorage>);

impl<'a> Known<'a> {
    /// Sorts `rows`.
    pub(super) fn new(rows: &'a DictionaryRows) -> Self {
        let mut known = Self {
            tables: HashMap::new(),
            children: HashMap::new(),
            columns: HashMap::new(),
            doubled_tables: HashSet::new(),
            system: system_columns("", true, "").into_iter().map(|c| c.element).collect(),
        };
        for table in &rows.tables {
            if known.tables.insert(&table.name, table).is_some() {
                known.doubled_tables.insert(&table.name);
            }
            known.children.entry(&table.parent).or_default().push(table);
        }
        for column in &rows.columns {
            known.columns.entry(&column.element).or_default().push(column);
        }
        known
    }

    /// Why `table` (one of the rows) cannot be a table.
    ///
    /// # Errors
    /// The reason, with the fix.
    pub(super) fn check_table(&self, table: &TableRow) -> Result<(), String> {
        let (name, parent) = (&table.name, &table.parent);
        check_name("table name", name)?;
        if let Some(prefix) = RESERVED_PREFIXES.iter().find(|prefix| name.starts_with(**prefix)) {
            return Err(format!(
                "'{name}' is no table name: names that begin with '{prefix}' are the database's own"
            ));
        }
        if self.doubled_tables.contains(name.as_str()) {
            return Err(format!("table '{name}' exists already"));
        }
        if parent.is_empty() {
            return Ok(());
        }
        let because = |reason: String| format!("table '{name}' cannot extend '{parent}': {reason}");
        if !self.tables.contains_key(parent.as_str()) {
            return Err(because("there is no such table".to_owned()));
        }
        let lineage = self.lineage(name).ok_or_else(|| because("it extends itself".to_owned()))?;
        let root = lineage.last().copied().unwrap_or(table);
        if !root.extendable {
            return Err(because(format!(
                "'{}' is not extendable; set its is_extendable before it has rows",
                root.name
            )));
        }
        let own =
            self.columns.values().flatten().filter(|c| c.table == *name && !c.element.is_empty());
        match own.filter_map(|c| self.inherited(parent, &c.element)).next() {
            Some(column) => Err(because(format!("both have a column '{}'", column.element))),
            None => Ok(()),
        }
    }

    /// Why `column` (one of the rows) cannot be a column, or a collection row.
    ///
    /// # Errors
    /// The reason, with the fix.
    pub(super) fn check_column(&self, column: &ColumnRow) -> Result<(), String> {
        let ColumnRow { table, element, .. } = column;
        let Some(owner) = self.tables.get(table.as_str()) else {
            return Err(format!(
                "column '{element}' names table '{table}', which does not exist: make the table first"
            ));
        };
        let others = self.called(element).filter(|c| c.sys_id != column.sys_id);
        if others.clone().any(|c| c.table == *table) {
            return Err(match element.as_str() {
                "" => format!("table '{table}' has a collection row already"),
                _ => format!("table '{table}' has a column '{element}' already"),
            });
        }
        if element.is_empty() {
            return Ok(());
        }
        check_name("column name", element)?;
        if !owner.parent.is_empty() && self.system.contains(element) {
            return Err(format!(
                "every table has a column '{element}' by itself: choose another name"
            ));
        }
        if let Some(other) = self.inherited(&owner.parent, element) {
            return Err(format!(
                "table '{table}' inherits a column '{element}' from '{}': choose another name, or override its \
                 default in sys_dictionary_override",
                other.table
            ));
        }
        if let Some(other) = others.clone().find(|c| self.extends(&c.table, table)) {
            return Err(format!(
                "table '{table}' cannot have a column '{element}': its class '{}' has one",
                other.table
            ));
        }
        self.check_type(column)
    }

    fn check_type(&self, column: &ColumnRow) -> Result<(), String> {
        let ColumnRow { table, element, internal_type, reference, .. } = column;
        let place = format!("column '{table}.{element}'");
        if internal_type.is_empty() {
            return Err(format!(
                "{place} has no type: expected internal_type, for example 'string'"
            ));
        }
        if internal_type == "reference" && reference.is_empty() {
            return Err(format!(
                "{place} is a reference without a target: set reference to a table"
            ));
        }
        if !reference.is_empty() && !self.tables.contains_key(reference.as_str()) {
            return Err(format!("{place} refers to table '{reference}', which does not exist"));
        }
        if column.max_length.is_some_and(|length| length > MAX_LENGTH_MAX) {
            return Err(format!("{place} allows more than {MAX_LENGTH_MAX} characters"));
        }
        Ok(())
    }

    /// Why the definition of a column may not become `after`: its rows hold values of the old form.
    ///
    /// # Errors
    /// The reason.
    pub(super) fn check_change(&self, before: &ColumnRow, after: &ColumnRow) -> Result<(), String> {
        let (table, element) = (&before.table, &before.element);
        if before.table != after.table || before.element != after.element {
            return Err(format!("column '{table}.{element}' cannot be renamed: make a new one"));
        }
        let attributes = self.table_attributes(table);
        if !element.is_empty() && storage(before, attributes) != storage(after, attributes) {
            return Err(format!(
                "column '{table}.{element}' cannot change its type from '{}' to '{}': values are kept differently; \
                 make a new column",
                before.internal_type, after.internal_type
            ));
        }
        Ok(())
    }

    /// Whether `table` is below `ancestor`.
    pub(super) fn extends(&self, table: &str, ancestor: &str) -> bool {
        let lineage = self.lineage(table).unwrap_or_default();
        lineage.iter().skip(1).any(|t| t.name == ancestor)
    }

    /// A table that extends the one of this name, or the one whose row (now deleted) had this key.
    pub(super) fn child(&self, name: &str, key: &str) -> Option<&'a TableRow> {
        let below = |parent: &str| self.children.get(parent).and_then(|c| c.first()).copied();
        below(name).or_else(|| below(key))
    }

    /// Whether `table` itself has the column.
    pub(super) fn has_column(&self, table: &str, element: &str) -> bool {
        self.called(element).any(|c| c.table == table)
    }

    /// The physical column for a new column: of its name, unless another class of the hierarchy keeps that name in
    /// another form. `fresh` holds what was settled since the rows were read, and gets this one.
    pub(super) fn settle(&self, column: &ColumnRow, fresh: &mut Fresh) -> String {
        let family = self.root(&column.table).unwrap_or(&column.table);
        let attributes = self.table_attributes(family);
        let kept = storage(column, attributes);
        let settled = self.called(&column.element).find(|other| {
            other.column_name == other.element && self.root(&other.table) == Some(family)
        });
        let form = settled.map(|other| storage(other, attributes));
        let key = (family.to_owned(), column.element.clone());
        if form.unwrap_or_else(|| *fresh.0.entry(key).or_insert(kept)) == kept {
            return column.element.clone();
        }
        suffixed(column)
    }

    fn called(&self, element: &str) -> impl Iterator<Item = &'a ColumnRow> + Clone {
        self.columns.get(element).into_iter().flatten().copied()
    }

    fn table_attributes(&self, table: &str) -> &'a str {
        let collection = self.called("").find(|c| c.table == table);
        collection.map_or("", |c| c.attributes.as_str())
    }

    fn root(&self, table: &str) -> Option<&'a str> {
        self.lineage(table)?.last().map(|t| t.name.as_str())
    }

    /// The column called `element` of `table` or of one above it.
    fn inherited(&self, table: &str, element: &str) -> Option<&'a ColumnRow> {
        if table.is_empty() {
            return None;
        }
        let lineage = self.lineage(table)?;
        self.called(element).find(|c| lineage.iter().any(|t| t.name == c.table))
    }

    /// The table, its parent, … its root; `None` for a circle.
    fn lineage(&self, table: &str) -> Option<Vec<&'a TableRow>> {
        let mut lineage = Vec::new();
        let mut next = self.tables.get(table);
        while let Some(table) = next {
            if lineage.len() > self.tables.len() {
                return None;
            }
            lineage.push(*table);
            next = self.tables.get(table.parent.as_str());
        }
        Some(lineage)
    }
}

/// Whether the physical column was settled before. Whatever else stands there was not written by [`Known::settle`].
pub(super) fn is_settled(column: &ColumnRow) -> bool {
    column.column_name == column.element || column.column_name == suffixed(column)
}

fn suffixed(column: &ColumnRow) -> String {
    format!("{}__{}", column.element, column.table)
}

/// Lower-case ASCII letters, digits and single underscores, beginning with a letter.
fn check_name(what: &str, name: &str) -> Result<(), String> {
    let sane = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !name.contains("__")
        && !name.ends_with('_')
        && name.len() <= NAME_CHARS_MAX;
    if sane {
        return Ok(());
    }
    Err(format!(
        "'{name}' is no {what}: expected lower-case letters, digits and single underscores, beginning with a \
         letter, at most {NAME_CHARS_MAX} characters"
    ))
}
