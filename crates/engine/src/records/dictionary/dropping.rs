//! What goes with a table or a column that is deleted: the definitions that spoke of it, and what it held.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use campanile_model::{Dictionary, Record, TableDef};
use campanile_store::WriteTx;

use super::flatten::flatten;
use super::load::display_default;
use super::rows::{ColumnRow, DictionaryRows, TableRow};
use crate::error::EngineError;
use crate::records::{lookup, seed};

/// Definitions that speak of a table: table and the column that names it.
const OF_TABLE: [(&str, &str); 6] = [
    ("sys_dictionary", "name"),
    ("sys_dictionary_override", "name"),
    ("sys_dictionary_override", "base_table"),
    ("sys_documentation", "name"),
    ("sys_choice", "name"),
    ("sys_number", "category"),
];

/// Definitions that speak of a column: table and the column that names its table.
const OF_COLUMN: [(&str, &str); 3] = [
    ("sys_dictionary_override", "base_table"),
    ("sys_documentation", "name"),
    ("sys_choice", "name"),
];

/// Tables whose rows were written.
pub(super) type Written = BTreeSet<&'static str>;

/// The row of a table is deleted; its children and rows are gone. Returns where definitions went with it.
pub(super) fn table(
    tx: &mut dyn WriteTx,
    mut rows: DictionaryRows,
    record: &Record,
) -> Result<Written, EngineError> {
    let names: HashMap<String, &str> = HashMap::new();
    let mut row = TableRow::from_record(record, &names);
    if let Some(parent) = rows.tables.iter().find(|t| t.sys_id.eq_ignore_ascii_case(&row.parent)) {
        row.parent = parent.name.clone();
    }
    let name = row.name.clone();
    rows.tables.push(row);
    let Some(gone) = defined(tx, &rows, &name)? else { return Ok(Written::new()) };
    let mut written = Written::new();
    for (definitions, column) in OF_TABLE {
        delete(tx, definitions, &[(column, &name)], &mut written)?;
    }
    let after = dictionary(tx)?;
    if let Some(parent) = gone.lineage.get(1) {
        super::follow::ensure_in(tx, &after, [&**parent])?;
    }
    tx.drop_unused(&after, &gone)?;
    Ok(written)
}

/// The row of a column is deleted. Returns where definitions went with it.
pub(super) fn column(
    tx: &mut dyn WriteTx,
    mut rows: DictionaryRows,
    record: &Record,
) -> Result<Written, EngineError> {
    let row = ColumnRow::from_record(record);
    let (name, element) = (row.table.clone(), row.element.clone());
    if element.is_empty() {
        return Ok(Written::new());
    }
    rows.columns.push(row);
    let Some(gone) = defined(tx, &rows, &name)? else { return Ok(Written::new()) };
    let after = dictionary(tx)?;
    let is_there = after.table(&name).is_some_and(|table| table.index(&element).is_some());
    let mut written = Written::new();
    if is_there {
        // A system column: its row is only there so that people find it.
        return Ok(written);
    }
    for table in &gone.subtree {
        for (definitions, column) in OF_COLUMN {
            delete(tx, definitions, &[(column, table), ("element", &element)], &mut written)?;
        }
    }
    super::follow::ensure_in(tx, &after, [&*name])?;
    tx.drop_unused(&after, &gone)?;
    Ok(written)
}

/// The table called `name` as `rows` describe it.
fn defined(
    tx: &dyn WriteTx,
    rows: &DictionaryRows,
    name: &str,
) -> Result<Option<Arc<TableDef>>, EngineError> {
    let tables = flatten(rows, &display_default(tx.as_read())?);
    Ok(tables.into_iter().find(|table| *table.name == *name))
}

/// All tables as the transaction sees them, without choices.
fn dictionary(tx: &dyn WriteTx) -> Result<Dictionary, EngineError> {
    let rows = DictionaryRows::read(tx.as_read(), seed::system_dictionary()?)?;
    let tables = flatten(&rows, &display_default(tx.as_read())?);
    Ok(Dictionary::new(tables, HashMap::new()))
}

fn delete(
    tx: &mut dyn WriteTx,
    definitions: &'static str,
    values: &[(&str, &str)],
    written: &mut Written,
) -> Result<(), EngineError> {
    let Some(table) = seed::system_dictionary()?.table(definitions) else { return Ok(()) };
    // Queries ignore case; names do not, but two that differ by case alone cannot both be names.
    for row in tx.select(&lookup::equal(table, values))? {
        tx.delete(table, row.text("sys_id"))?;
        written.insert(definitions);
    }
    Ok(())
}
