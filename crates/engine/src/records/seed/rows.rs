//! Filling a row that is written without the record operation: while the database is made.

use campanile_model::{FieldDef, FieldType, Instant, Record, Value};

/// Gives every nil field its constant default; defaults that are scripts are left out.
pub fn apply_constant_defaults(row: &mut Record) {
    let table = std::sync::Arc::clone(row.table());
    for (i, field) in table.fields.iter().enumerate() {
        if row.at(i).is_nil() && !field.default_value.is_empty() {
            row.set_at(i, constant(field, &field.default_value));
        }
    }
}

/// Sets the system columns of a row that is new, and a key if it has none.
pub fn stamp_new(row: &mut Record, now: Instant, user_name: &str) {
    if row.get("sys_id").is_nil() {
        row.set("sys_id", campanile_model::SysId::generate(now).as_str());
    }
    let at = now.to_glide_text();
    row.set("sys_created_on", at.as_str());
    row.set("sys_created_by", user_name);
    row.set("sys_updated_on", at);
    row.set("sys_updated_by", user_name);
    row.set("sys_mod_count", Value::int(0));
    let class = row.table().name.to_string();
    row.set("sys_class_name", class);
}

/// A constant as it is written in a definition, in its stored form.
pub(super) fn constant(field: &FieldDef, text: &str) -> Value {
    if text.starts_with("javascript:") {
        return Value::Nil;
    }
    match field.field_type {
        FieldType::Boolean => Value::bool(matches!(text, "true" | "1")),
        _ => Value::text(text),
    }
}
