//! Journal entries: rows of `sys_journal_field` (scripting §6).

use std::sync::Arc;

use campanile_model::{Record, Value};

use super::change::{Failure, JournalEntry};
use super::integrity::new_key;
use crate::records::execution::Execution;
use crate::records::lookup;

/// Table of the entries.
pub(crate) const TABLE: &str = "sys_journal_field";

/// Writes the entries of `record`.
pub(super) fn store(
    execution: &Execution,
    record: &Record,
    entries: &[JournalEntry],
) -> Result<(), Failure> {
    if entries.is_empty() {
        return Ok(());
    }
    let dictionary = execution.dictionary()?;
    let table = lookup::table(&dictionary, TABLE)?;
    let now = Value::from(execution.now().to_glide_text());
    for entry in entries {
        let author = entry.user.as_ref().unwrap_or(&execution.session().user.user_name);
        let mut row = Record::empty(Arc::clone(table));
        row.set("sys_id", new_key(execution));
        row.set("name", &*record.table().name);
        row.set("element_id", record.text("sys_id"));
        row.set("element", &*entry.field);
        row.set("value", &*entry.text);
        row.set("sys_created_on", now.clone());
        row.set("sys_created_by", &**author);
        execution.with_writer(|writer| Ok(writer.insert(&row)?))?;
    }
    execution.transaction(|tx| tx.touch(table));
    Ok(())
}

/// Deletes all entries of a row.
pub(super) fn delete(execution: &Execution, record: &Record) -> Result<(), Failure> {
    let dictionary = execution.dictionary()?;
    let Some(table) = dictionary.table(TABLE) else { return Ok(()) };
    let select = lookup::equal(table, &[("element_id", record.text("sys_id"))]);
    let entries = execution.with_read(|tx| tx.select(&select))?;
    for entry in entries {
        execution.with_writer(|writer| Ok(writer.delete(table, entry.text("sys_id"))?))?;
    }
    Ok(())
}
