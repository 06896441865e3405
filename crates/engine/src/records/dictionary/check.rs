//! What is wrong with a definition, told when it is saved.

use super::columns::{storage, system_columns};
use super::rows::{ColumnRow, DictionaryRows, TableRow};

/// Longest name of a table or column.
const NAME_CHARS_MAX: usize = 80;
/// Longest value that a column may allow.
const MAX_LENGTH_MAX: usize = 16 * 1024 * 1024;

/// Names of tables that the database keeps for itself.
const RESERVED_PREFIXES: [&str; 3] = ["campanile_", "sqlite_", "pg_"];

/// Why `table` cannot be a table beside the others in `rows` (which may hold it already).
///
/// # Errors
/// The reason, with the fix.
pub(super) fn table(rows: &DictionaryRows, table: &TableRow) -> Result<(), String> {
    let name = &table.name;
    check_name("table name", name)?;
    if let Some(prefix) = RESERVED_PREFIXES.iter().find(|prefix| name.starts_with(**prefix)) {
        return Err(format!(
            "'{name}' is no table name: names that begin with '{prefix}' are the database's own"
        ));
    }
    if rows.tables.iter().any(|t| t.name == *name && t.sys_id != table.sys_id) {
        return Err(format!("table '{name}' exists already"));
    }
    if table.parent.is_empty() {
        return Ok(());
    }
    let Some(parent) = rows.tables.iter().find(|t| t.name == table.parent) else {
        return Err(format!(
            "table '{name}' cannot extend '{}': there is no such table",
            table.parent
        ));
    };
    let root = root_of(rows, parent).ok_or_else(|| {
        format!("table '{name}' cannot extend '{}': it extends itself", table.parent)
    })?;
    if root.name == *name || lineage_has(rows, parent, name) {
        return Err(format!("table '{name}' cannot extend '{}': it extends itself", table.parent));
    }
    if !root.extendable {
        return Err(format!(
            "table '{name}' cannot extend '{}': '{}' is not extendable; set its is_extendable before it has rows",
            table.parent, root.name
        ));
    }
    let clash = rows
        .columns
        .iter()
        .filter(|c| c.table == *name && !c.element.is_empty())
        .find(|c| inherited(rows, &table.parent, &c.element).is_some());
    match clash {
        Some(column) => Err(format!(
            "table '{name}' cannot extend '{}': both have a column '{}'",
            table.parent, column.element
        )),
        None => Ok(()),
    }
}

/// Why `column` cannot be a column (or collection row) beside the others in `rows`.
///
/// # Errors
/// The reason, with the fix.
pub(super) fn column(rows: &DictionaryRows, column: &ColumnRow) -> Result<(), String> {
    let ColumnRow { table, element, .. } = column;
    let Some(owner) = rows.tables.iter().find(|t| t.name == *table) else {
        return Err(format!(
            "column '{element}' names table '{table}', which does not exist: make the table first"
        ));
    };
    if rows
        .columns
        .iter()
        .any(|c| c.table == *table && c.element == *element && c.sys_id != column.sys_id)
    {
        return Err(match element.as_str() {
            "" => format!("table '{table}' has a collection row already"),
            _ => format!("table '{table}' has a column '{element}' already"),
        });
    }
    if element.is_empty() {
        return Ok(());
    }
    check_name("column name", element)?;
    if !owner.parent.is_empty()
        && system_columns("", true, "").iter().any(|c| c.element == *element)
    {
        return Err(format!("every table has a column '{element}' by itself: choose another name"));
    }
    if column.internal_type.is_empty() {
        return Err(format!(
            "column '{table}.{element}' has no type: expected internal_type, for example 'string'"
        ));
    }
    if let Some(other) = inherited(rows, &owner.parent, element) {
        return Err(format!(
            "table '{table}' inherits a column '{element}' from '{}': choose another name, or override its \
             default in sys_dictionary_override",
            other.table
        ));
    }
    if let Some(below) = descendants(rows, table)
        .into_iter()
        .find(|t| rows.columns.iter().any(|c| c.table == *t && c.element == *element))
    {
        return Err(format!(
            "table '{table}' cannot have a column '{element}': its class '{below}' has one"
        ));
    }
    let needs_target = matches!(column.internal_type.as_str(), "reference");
    if needs_target && column.reference.is_empty() {
        return Err(format!(
            "column '{table}.{element}' is a reference without a target: set reference to a table"
        ));
    }
    if !column.reference.is_empty() && !rows.tables.iter().any(|t| t.name == column.reference) {
        return Err(format!(
            "column '{table}.{element}' refers to table '{}', which does not exist",
            column.reference
        ));
    }
    if column.max_length.is_some_and(|length| length > MAX_LENGTH_MAX) {
        return Err(format!(
            "column '{table}.{element}' allows more than {MAX_LENGTH_MAX} characters"
        ));
    }
    Ok(())
}

/// Why the definition of a column may not become `after`: its rows hold values of the old form.
///
/// # Errors
/// The reason.
pub(super) fn column_change(
    before: &ColumnRow,
    after: &ColumnRow,
    table_attributes: &str,
) -> Result<(), String> {
    let (table, element) = (&before.table, &before.element);
    if before.table != after.table || before.element != after.element {
        return Err(format!("column '{table}.{element}' cannot be renamed: make a new one"));
    }
    if !element.is_empty() && storage(before, table_attributes) != storage(after, table_attributes)
    {
        return Err(format!(
            "column '{table}.{element}' cannot change its type from '{}' to '{}': values are kept differently; make a \
             new column",
            before.internal_type, after.internal_type
        ));
    }
    Ok(())
}

/// Tables that extend `name`, directly or not.
#[must_use]
pub(super) fn descendants(rows: &DictionaryRows, name: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = vec![name];
    while let Some(parent) = open.pop() {
        for table in rows.tables.iter().filter(|t| t.parent == parent) {
            if !found.contains(&table.name) {
                found.push(table.name.clone());
                open.push(&table.name);
            }
        }
    }
    found
}

/// The name of the physical column for `column`: its own, unless another class of the hierarchy keeps that name
/// in another form.
#[must_use]
pub(super) fn physical_column(rows: &DictionaryRows, column: &ColumnRow) -> String {
    let Some(owner) = rows.tables.iter().find(|t| t.name == column.table) else {
        return String::new();
    };
    let root = root_of(rows, owner).unwrap_or(owner);
    let attributes = collection_attributes(rows, &root.name);
    let mut family = descendants(rows, &root.name);
    family.push(root.name.clone());
    let taken = rows.columns.iter().any(|other| {
        other.sys_id != column.sys_id
            && other.element == column.element
            && other.column_name.is_empty()
            && family.contains(&other.table)
            && storage(other, attributes) != storage(column, attributes)
    });
    if taken { format!("{}__{}", column.element, column.table) } else { String::new() }
}

fn collection_attributes<'a>(rows: &'a DictionaryRows, table: &str) -> &'a str {
    let collection = rows.columns.iter().find(|c| c.table == table && c.element.is_empty());
    collection.map_or("", |c| c.attributes.as_str())
}

fn inherited<'a>(rows: &'a DictionaryRows, parent: &str, element: &str) -> Option<&'a ColumnRow> {
    let mut next = parent.to_owned();
    for _ in 0..rows.tables.len() {
        if next.is_empty() {
            return None;
        }
        if let Some(column) = rows.columns.iter().find(|c| c.table == next && c.element == element)
        {
            return Some(column);
        }
        next = rows.tables.iter().find(|t| t.name == next)?.parent.clone();
    }
    None
}

fn root_of<'a>(rows: &'a DictionaryRows, table: &'a TableRow) -> Option<&'a TableRow> {
    let mut at = table;
    for _ in 0..=rows.tables.len() {
        if at.parent.is_empty() {
            return Some(at);
        }
        at = rows.tables.iter().find(|t| t.name == at.parent)?;
    }
    None
}

fn lineage_has(rows: &DictionaryRows, table: &TableRow, name: &str) -> bool {
    descendants(rows, name).contains(&table.name)
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
