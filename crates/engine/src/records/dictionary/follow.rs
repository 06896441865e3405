//! The physical tables follow the dictionary: in the transaction that changes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use campanile_model::{Dictionary, Record};
use campanile_store::WriteTx;

use super::check::{Fresh, Known, is_settled};
use super::dropping;
use super::flatten::flatten;
use super::load::display_default;
use super::rows::{ColumnRow, DictionaryRows, OverrideRow};
use super::width;
use crate::error::EngineError;
use crate::records::seed;

/// What was done to a row.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// It was inserted.
    Inserted,
    /// It was changed; this is how it was.
    Updated(&'a Record),
    /// It was deleted.
    Deleted,
}

impl Change<'_> {
    const fn word(self) -> &'static str {
        match self {
            Self::Inserted => "insert",
            Self::Updated(_) => "update",
            Self::Deleted => "delete",
        }
    }
}

/// Whether rows of `table` define tables: then [`after_write`] has work to do.
#[must_use]
pub fn defines_tables(table: &str) -> bool {
    matches!(table, "sys_db_object" | "sys_dictionary" | "sys_dictionary_override")
}

/// To be called inside the operation's transaction after a row of any table was written: checks a definition and
/// brings the physical tables in line with it; a table or column that is deleted takes with it what it held and the
/// definitions that spoke of it. Returns the tables whose rows went with it. Does nothing for rows of other tables.
///
/// # Errors
/// [`EngineError::Integrity`] with code `definition_invalid` or `too_many_columns`: the operation is to be rolled back. What
/// the store answers.
pub fn after_write(
    tx: &mut dyn WriteTx,
    change: Change<'_>,
    record: &Record,
) -> Result<BTreeSet<&'static str>, EngineError> {
    if !defines_tables(&record.table().name) {
        return Ok(BTreeSet::new());
    }
    let rows = DictionaryRows::read(tx.as_read(), seed::system_dictionary()?)?;
    let touched = check_change(tx, &rows, change, record)
        .map_err(|refusal| refusal.into_error(change, record))?;
    match (change, &*record.table().name) {
        (Change::Deleted, "sys_db_object") => return dropping::table(tx, rows, record),
        (Change::Deleted, "sys_dictionary") => return dropping::column(tx, rows, record),
        _ => {}
    }
    if let Some(Touched { table, has_new_column }) = touched {
        let widened = has_new_column.then_some(table.as_str());
        ensure(tx, [table.as_str()], widened)
            .map_err(|refusal| refusal.into_error(change, record))?;
    }
    Ok(BTreeSet::new())
}

/// To be called inside the transaction after many definitions were written without [`after_write`]: checks all
/// definitions of `tables` and brings their hierarchies in line.
///
/// # Errors
/// As [`after_write`].
pub fn after_many<'a>(
    tx: &mut dyn WriteTx,
    tables: impl IntoIterator<Item = &'a str>,
) -> Result<(), EngineError> {
    let names: BTreeSet<&str> = tables.into_iter().collect();
    let rows = DictionaryRows::read(tx.as_read(), seed::system_dictionary()?)?;
    let refuse = |table: &str, display: &str, detail: String| {
        Refusal::Definition(detail).into_integrity("insert", table, display)
    };
    let known = Known::new(&rows);
    for table in rows.tables.iter().filter(|t| names.contains(t.name.as_str())) {
        known.check_table(table).map_err(|detail| refuse("sys_db_object", &table.name, detail))?;
    }
    let mut fresh = Fresh::default();
    let mut widened = BTreeSet::new();
    for column in rows.columns.iter().filter(|c| names.contains(c.table.as_str())) {
        let display = format!("{}.{}", column.table, column.element);
        known.check_column(column).map_err(|detail| refuse("sys_dictionary", &display, detail))?;
        if settle_column_name(tx, &known, column, &mut fresh)? {
            widened.insert(column.table.as_str());
        }
    }
    ensure(tx, names, widened).map_err(|refusal| match refusal {
        Refusal::TooWide { ref table, .. } => {
            let table = table.clone();
            refusal.into_integrity("insert", "sys_db_object", &table)
        }
        other => other.into_integrity("insert", "sys_db_object", ""),
    })
}

/// The table whose physical form may have to follow.
struct Touched {
    table: String,
    has_new_column: bool,
}

enum Refusal {
    Definition(String),
    /// `table` got more columns than there can be.
    TooWide {
        table: String,
        detail: String,
    },
    Engine(EngineError),
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<String> for Refusal {
    fn from(detail: String) -> Self {
        Self::Definition(detail)
    }
}

impl Refusal {
    fn into_error(self, change: Change<'_>, record: &Record) -> EngineError {
        let table = record.table();
        self.into_integrity(change.word(), &table.name, record.at(table.display_field).as_str())
    }

    fn into_integrity(self, operation: &'static str, table: &str, display: &str) -> EngineError {
        let (table, display) = (table.to_owned(), display.to_owned());
        match self {
            Self::Engine(error) => error,
            Self::Definition(detail) => EngineError::Integrity {
                code: "definition_invalid",
                operation,
                table,
                display,
                detail,
            },
            Self::TooWide { detail, .. } => EngineError::Integrity {
                code: "too_many_columns",
                operation,
                table,
                display,
                detail,
            },
        }
    }
}

/// Checks one changed row.
fn check_change(
    tx: &mut dyn WriteTx,
    rows: &DictionaryRows,
    change: Change<'_>,
    record: &Record,
) -> Result<Option<Touched>, Refusal> {
    match &*record.table().name {
        "sys_db_object" => check_table(rows, change, record),
        "sys_dictionary" => check_column(tx, rows, change, record),
        _ => check_override(rows, change, record),
    }
}

fn check_table(
    rows: &DictionaryRows,
    change: Change<'_>,
    record: &Record,
) -> Result<Option<Touched>, Refusal> {
    let name = record.text("name").to_owned();
    if let Change::Deleted = change {
        // The row is deleted already, so a child's parent is its key.
        return match Known::new(rows).child(&name, record.text("sys_id")) {
            Some(child) => {
                Err(format!("table '{name}' cannot be deleted while '{}' extends it", child.name)
                    .into())
            }
            None => Ok(None),
        };
    }
    let Some(row) = rows.tables.iter().find(|t| t.sys_id == record.text("sys_id")) else {
        return Ok(None);
    };
    if let Change::Updated(before) = change {
        if before.text("name") != name {
            return Err(format!("table '{}' cannot be renamed", before.text("name")).into());
        }
        if before.text("super_class") != record.text("super_class") {
            return Err(format!(
                "table '{name}' cannot get another parent: its rows stay where they are"
            )
            .into());
        }
    }
    Known::new(rows).check_table(row)?;
    Ok(Some(Touched { table: name, has_new_column: false }))
}

fn check_column(
    tx: &mut dyn WriteTx,
    rows: &DictionaryRows,
    change: Change<'_>,
    record: &Record,
) -> Result<Option<Touched>, Refusal> {
    if let Change::Deleted = change {
        return Ok(None);
    }
    let row = ColumnRow::from_record(record);
    let known = Known::new(rows);
    known.check_column(&row)?;
    if let Change::Updated(before) = change {
        known.check_change(&ColumnRow::from_record(before), &row)?;
    }
    let has_new_column = settle_column_name(tx, &known, &row, &mut Fresh::default())?;
    Ok(Some(Touched { table: row.table, has_new_column }))
}

fn check_override(
    rows: &DictionaryRows,
    change: Change<'_>,
    record: &Record,
) -> Result<Option<Touched>, Refusal> {
    if let Change::Deleted = change {
        return Ok(None);
    }
    let row = OverrideRow::from_record(record);
    let (table, element) = (&row.table, &row.element);
    let known = Known::new(rows);
    if !known.has_column(&row.base_table, element) {
        let base = &row.base_table;
        return Err(format!(
            "override of '{table}.{element}': table '{base}' has no column '{element}'"
        )
        .into());
    }
    if !known.extends(table, &row.base_table) {
        return Err(format!(
            "override of '{table}.{element}': '{table}' does not extend '{}'",
            row.base_table
        )
        .into());
    }
    Ok(None)
}

/// Notes the physical column of a column that is new. It is kept for ever, so that a class that comes later and
/// uses the name in another form cannot move it. Whether it was new.
fn settle_column_name(
    tx: &mut dyn WriteTx,
    known: &Known<'_>,
    column: &ColumnRow,
    fresh: &mut Fresh,
) -> Result<bool, EngineError> {
    if column.element.is_empty() || is_settled(column) {
        return Ok(false);
    }
    let table = seed::system_table("sys_dictionary")?;
    let (Some(mut row), Some(field)) =
        (tx.get(&table, &column.sys_id)?, table.index("column_name"))
    else {
        return Ok(false);
    };
    row.set_at(field, known.settle(column, fresh).into());
    tx.update(&row, &[field])?;
    Ok(true)
}

/// Brings the hierarchies of `tables` in line with the dictionary as the transaction sees it, unless one of `widened`, which
/// have new columns, has too many of them. Tables that were too wide before stay as they are.
fn ensure<'a>(
    tx: &mut dyn WriteTx,
    tables: impl IntoIterator<Item = &'a str>,
    widened: impl IntoIterator<Item = &'a str>,
) -> Result<(), Refusal> {
    let rows = DictionaryRows::read(tx.as_read(), seed::system_dictionary()?)?;
    let flat = flatten(&rows, &display_default(tx.as_read())?);
    let dictionary = Dictionary::new(flat, std::collections::HashMap::new());
    for table in widened {
        width::check(&dictionary, table)
            .map_err(|detail| Refusal::TooWide { table: table.to_owned(), detail })?;
    }
    Ok(ensure_in(tx, &dictionary, tables)?)
}

/// Brings the hierarchies of `tables` in line with `dictionary`.
pub(super) fn ensure_in<'a>(
    tx: &mut dyn WriteTx,
    dictionary: &Dictionary,
    tables: impl IntoIterator<Item = &'a str>,
) -> Result<(), EngineError> {
    let known = tables.into_iter().filter_map(|name| dictionary.table(name));
    let roots: BTreeSet<Arc<str>> = known.map(|table| Arc::clone(&table.root)).collect();
    let families: Vec<_> =
        dictionary.tables().filter(|t| roots.contains(&t.root)).cloned().collect();
    tx.ensure_tables(dictionary, &families)?;
    Ok(())
}
