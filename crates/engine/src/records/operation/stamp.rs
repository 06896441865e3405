//! System columns that the operation keeps (business-rules §13.1).

use std::sync::Arc;

use campanile_model::{FieldIndex, Record, Value};

use super::change::{Change, Kind};
use crate::records::execution::Execution;

/// Sets the system fields of `record` and adds those that moved to `changed`. `base` is the row as stored, `None`
/// on insert.
pub(super) fn stamp(
    execution: &Execution,
    record: &mut Record,
    base: Option<&Record>,
    change: &Change,
    changed: &mut Vec<FieldIndex>,
) {
    let now = Value::from(execution.now().to_glide_text());
    let user = Value::Text(Arc::clone(&execution.session().user.user_name));
    match change.kind {
        Kind::Insert => {
            for (field, value) in [
                ("sys_created_on", &now),
                ("sys_updated_on", &now),
                ("sys_created_by", &user),
                ("sys_updated_by", &user),
                ("sys_mod_count", &Value::int(0)),
                ("sys_domain", &Value::text("global")),
                ("sys_domain_path", &Value::text("/")),
            ] {
                let given = change.options.auto_sys_fields && !field.starts_with("sys_domain");
                if given || record.get(field).is_nil() {
                    record.set(field, value.clone());
                }
            }
        }
        _ if !change.options.auto_sys_fields => {}
        _ => {
            let count = base.and_then(|base| base.get("sys_mod_count").as_i64()).unwrap_or(0);
            for (field, value) in [
                ("sys_updated_on", now),
                ("sys_updated_by", user),
                ("sys_mod_count", Value::int(count + 1)),
            ] {
                let Some(index) = record.table().index(field) else { continue };
                record.set_at(index, value);
                if !changed.contains(&index) {
                    changed.push(index);
                }
            }
            // What a script put there has no effect.
            for field in ["sys_created_on", "sys_created_by"] {
                if let (Some(index), Some(base)) = (record.table().index(field), base) {
                    record.set_at(index, base.at(index).clone());
                    changed.retain(|at| *at != index);
                }
            }
        }
    }
}
