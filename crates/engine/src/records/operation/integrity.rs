//! Checks before the write: lengths, mandatory and read-only fields, keys (business-rules §3.1 step 10, §12).

use std::rc::Rc;
use std::sync::Arc;

use campanile_model::table_def::ReadOnlyOption;
use campanile_model::{FieldDef, FieldType, Record, SysId, TableDef, Value};

use super::change::{Change, Door, Failure, Kind};
use crate::error::EngineError;
use crate::records::conversion;
use crate::records::execution::Execution;
use crate::records::script_record::ScriptRecord;
use crate::records::users;

/// Whether two values of a field are the same: numbers by value, everything else by text.
pub(crate) fn same(field: &FieldDef, left: &Value, right: &Value) -> bool {
    left == right
        || (matches!(field.field_type, FieldType::Decimal | FieldType::Float)
            && left.as_f64().is_some()
            && left.as_f64() == right.as_f64())
}

/// Whether a change of the field through this door is left out (§12.7).
pub(super) fn is_read_only(execution: &Execution, door: Door, field: &FieldDef) -> bool {
    if !field.read_only || door == Door::System {
        return false;
    }
    match field.read_only_option {
        ReadOnlyOption::Display => false,
        ReadOnlyOption::Strict => true,
        ReadOnlyOption::Unset => door == Door::Http,
        ReadOnlyOption::ClientScriptModifiable => {
            door == Door::Http || execution.is_in_background_script()
        }
    }
}

/// Why the row may not be written, if it may not.
pub(super) fn check(
    change: &Change,
    class: &TableDef,
    record: &Record,
    before: Option<&Record>,
) -> Option<EngineError> {
    let mut missing = Vec::new();
    for (index, field) in class.fields.iter().enumerate() {
        let value = record.at(index);
        if change.options.door == Door::Http && field.mandatory && field.active && value.is_nil() {
            missing.push(field.label.to_string());
        }
        let changed = before.is_none_or(|before| before.at(index) != value);
        if changed && conversion::is_too_long(field, value.as_str()) {
            let detail = format!(
                "value of '{}' has {} characters, the limit is {}",
                field.name,
                value.as_str().chars().count(),
                field.max_length
            );
            return Some(refusal("too_long", change, record, detail));
        }
    }
    (!missing.is_empty()).then_some(EngineError::Mandatory { labels: missing })
}

/// A key that is none.
pub(super) fn bad_sys_id(change: &Change, class: &Arc<TableDef>, sys_id: &str) -> EngineError {
    let detail = format!("'{sys_id}' is no sys_id: expected 32 letters or digits");
    refusal("bad_sys_id", change, &Record::empty(Arc::clone(class)), detail)
}

/// A value that another row has.
pub(super) fn duplicate(change: &Change, record: &Record, field: &str, value: &str) -> EngineError {
    let detail = format!(
        "Unique key violation on {field}: '{value}' is already taken in {}",
        change.table.name
    );
    refusal("duplicate", change, record, detail)
}

/// The refusal of a write that is undone, because after it nobody would be left who may administer.
pub(super) fn last_administrator(
    execution: &Execution,
    kind: Kind,
    record: &Record,
) -> Result<EngineError, Failure> {
    let detail = users::administrators::refusal(execution)?;
    Ok(refusal_of("last_administrator", kind, record, detail))
}

/// A refusal that names the row.
pub(crate) fn refusal(
    code: &'static str,
    change: &Change,
    record: &Record,
    detail: String,
) -> EngineError {
    refusal_of(code, change.kind, record, detail)
}

/// As [`refusal`], for code that has no change at hand.
pub(crate) fn refusal_of(
    code: &'static str,
    kind: Kind,
    record: &Record,
    detail: String,
) -> EngineError {
    let display = record.values().get(record.table().display_field).map_or("", Value::as_str);
    EngineError::Integrity {
        code,
        operation: kind.word(),
        table: record.table().name.to_string(),
        display: if display.is_empty() { record.text("sys_id") } else { display }.to_owned(),
        detail,
    }
}

/// Replaces new passwords by their hashes, whatever they look like: only [`users::set_password`] stores a hash.
pub(super) fn hash_passwords(
    current: &Rc<ScriptRecord>,
    before: Option<&Record>,
) -> Result<(), Failure> {
    let table = Arc::clone(current.table());
    for (index, field) in table.fields.iter().enumerate() {
        if field.field_type != FieldType::Password {
            continue;
        }
        let value = current.value_at(index);
        let changed = before.is_none_or(|before| *before.at(index) != value);
        if changed && !value.is_nil() && !current.has_stored(index) {
            current.put(index, Value::from(users::hash_password(value.as_str())?));
        }
    }
    Ok(())
}

/// A new key, for rows that the operation writes beside the row.
pub(super) fn new_key(execution: &Execution) -> Value {
    Value::text(SysId::generate(execution.now()).as_str())
}
