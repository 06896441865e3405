//! Audit rows (business-rules §10).

use std::sync::Arc;

use campanile_model::{FieldDef, FieldIndex, Record, TableDef, Value};

use super::change::{Failure, JournalEntry};
use super::integrity::new_key;
use crate::records::execution::Execution;
use crate::records::lookup;
use crate::records::properties::secrets;

const TABLE: &str = "sys_audit";
const DELETE_TABLE: &str = "sys_audit_delete";

/// Writes one row for each changed field of an audited table. `base` is `None` on insert.
pub(super) fn changes(
    execution: &Execution,
    record: &Record,
    base: Option<&Record>,
    changed: &[FieldIndex],
    journals: &[JournalEntry],
    reason: &str,
) -> Result<(), Failure> {
    let class = record.table();
    if !class.audit
        || (base.is_none() && !execution.engine().bool_property("campanile.audit.inserts", true))
    {
        return Ok(());
    }
    let dictionary = execution.dictionary()?;
    let Some(table) = dictionary.table(TABLE) else { return Ok(()) };
    let is_secret = |index: FieldIndex| {
        secrets::is_secret(record, index)
            || base.is_some_and(|base| secrets::is_secret(base, index))
    };
    let audited = changed.iter().filter(|index| is_audited(&class.fields[**index]));
    let fields = audited.filter(|index| !is_secret(**index)).map(|index| {
        let old = base.map_or(Value::Nil, |base| base.at(*index).clone());
        (Arc::clone(&class.fields[*index].name), old, record.at(*index).clone())
    });
    let entries = journals
        .iter()
        .filter(|entry| class.field(&entry.field).is_none_or(is_audited))
        .map(|entry| (Arc::clone(&entry.field), Value::Nil, Value::text(&entry.text)));
    let now = Value::from(execution.now().to_glide_text());
    for (field, old, new) in fields.chain(entries) {
        let mut row = Record::empty(Arc::clone(table));
        row.set("sys_id", new_key(execution));
        row.set("tablename", &*class.name);
        row.set("fieldname", &*field);
        row.set("documentkey", record.text("sys_id"));
        row.set("user", &*execution.session().user.user_name);
        row.set("oldvalue", old);
        row.set("newvalue", new);
        row.set("reason", reason);
        row.set("record_checkpoint", record.get("sys_mod_count").clone());
        row.set("sys_created_on", now.clone());
        row.set("sys_created_by", &*execution.session().user.user_name);
        execution.with_writer(|writer| Ok(writer.insert(&row)?))?;
    }
    execution.transaction(|tx| tx.touch(table));
    Ok(())
}

/// Keeps a copy of a deleted row.
pub(super) fn deletion(execution: &Execution, record: &Record) -> Result<(), Failure> {
    let class = record.table();
    if !is_deletion_audited(execution, class) {
        return Ok(());
    }
    let dictionary = execution.dictionary()?;
    let table = lookup::table(&dictionary, DELETE_TABLE)?;
    let now = Value::from(execution.now().to_glide_text());
    let copy: serde_json::Map<String, serde_json::Value> = class
        .fields
        .iter()
        .zip(record.values())
        .enumerate()
        .filter(|(index, (field, _))| {
            !field.field_type.is_secret() && !secrets::is_secret(record, *index)
        })
        .filter_map(|(_, (field, value))| Some((field.name.to_string(), value.as_option()?.into())))
        .collect();
    let mut row = Record::empty(Arc::clone(table));
    row.set("sys_id", new_key(execution));
    row.set("tablename", &*class.name);
    row.set("documentkey", record.text("sys_id"));
    row.set("display_value", record.at(class.display_field).clone());
    row.set("user", &*execution.session().user.user_name);
    row.set("payload", serde_json::Value::Object(copy).to_string());
    row.set("sys_created_on", now);
    row.set("sys_created_by", &*execution.session().user.user_name);
    execution.with_writer(|writer| Ok(writer.insert(&row)?))?;
    execution.transaction(|tx| tx.touch(table));
    Ok(())
}

fn is_audited(field: &FieldDef) -> bool {
    let system = field.name.starts_with("sys_")
        && !matches!(&*field.name, "sys_class_name" | "sys_domain_id");
    let secret = field.field_type.is_secret();
    // The mere presence of the attribute counts, whatever its value.
    !system && !secret && field.attribute("no_audit").is_none()
}

fn is_deletion_audited(execution: &Execution, class: &TableDef) -> bool {
    let lists = |property: &str| {
        let names = execution.engine().property(property).unwrap_or_default();
        names.split(',').any(|name| name.trim() == &*class.name)
    };
    let switched_off = class
        .attributes
        .split(',')
        .any(|item| item.trim().split('=').next() == Some("no_audit_delete"));
    if switched_off || lists("glide.db.audit.ignore.delete") {
        return false;
    }
    !class.name.starts_with("sys") || lists("glide.ui.audit_deleted_tables")
}
