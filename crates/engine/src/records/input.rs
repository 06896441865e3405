//! What callers send for the fields of a row, and what it is as stored values.

use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{FieldDef, FieldType, Record, TableDef, Value};

use super::conversion;
use super::execution::Execution;
use super::operation::JournalEntry;
use super::service::WriteRequest;
use crate::error::EngineError;
use crate::session::Channel;

/// A field's new value as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InputValue {
    /// The stored form; `None` when only a display value was sent.
    pub value: Option<String>,
    /// The display form.
    pub display_value: Option<String>,
}

impl From<&str> for InputValue {
    fn from(text: &str) -> Self {
        Self { value: Some(text.to_owned()), display_value: None }
    }
}

impl From<String> for InputValue {
    fn from(text: String) -> Self {
        Self { value: Some(text), display_value: None }
    }
}

/// A `sys_class_name` of a child table makes the row there.
pub(super) fn class_of(
    execution: &Execution,
    table: &Arc<TableDef>,
    values: &[(String, InputValue)],
) -> Result<Arc<TableDef>, EngineError> {
    let given = values.iter().find(|(name, _)| name == "sys_class_name");
    let wanted = given.and_then(|(_, input)| input.value.as_deref()).unwrap_or_default();
    let dictionary = execution.dictionary()?;
    Ok(match dictionary.table(wanted) {
        Some(class) if class.extends(&table.name) => Arc::clone(class),
        _ => Arc::clone(table),
    })
}

pub(super) fn text_of(input: &InputValue, display: bool) -> Option<&str> {
    let (first, second) = match display {
        true => (&input.display_value, &input.value),
        false => (&input.value, &input.display_value),
    };
    first.as_deref().or(second.as_deref())
}

/// Whether `input` is what a reader of `stored` is shown of the field: sent back as it is, it changes nothing
/// (rest-api §2.2). A history is no new entry of its journal, the stars of a password are no password, and of several
/// rows with one name the one that is there stays.
fn is_as_shown(
    execution: &Execution,
    stored: &Record,
    field: &FieldDef,
    input: &InputValue,
    text: &str,
) -> bool {
    let Some(index) = stored.table().index(&field.name) else { return false };
    let shows_value = field.field_type != FieldType::Journal && !field.field_type.is_secret();
    let value = if shows_value { stored.at(index).as_str() } else { "" };
    let may_be = match (&input.value, &input.display_value) {
        (Some(sent), Some(_)) => sent == value,
        // Alone an empty text clears the field.
        _ => !text.is_empty(),
    };
    may_be && execution.display_field(stored, index) == text
}

/// Values of columns, and entries of journals.
type Values = (Vec<(Arc<str>, Value)>, Vec<JournalEntry>);

/// What was sent, as stored values (rest-api §7.4, §7.5). Unknown fields and system fields are left out.
pub(super) fn values_of(
    execution: &Rc<Execution>,
    table: &Arc<TableDef>,
    request: &WriteRequest,
    stored: Option<&Record>,
) -> Result<Values, EngineError> {
    let http = execution.session().channel == Channel::Http;
    let new_choices =
        execution.engine().bool_property("glide.rest.choice.allow_non_existing_value", true);
    let dictionary = execution.dictionary()?;
    let mut values = Vec::new();
    let mut journals = Vec::new();
    for (name, input) in &request.values {
        let Some(field) = table.field(name) else {
            tracing::debug!(table = &*table.name, field = name, "an unknown field was left out");
            continue;
        };
        let Some(text) = text_of(input, request.input_display) else { continue };
        if http && name.starts_with("sys_") || name == "sys_id" || name == "sys_class_name" {
            continue;
        }
        // Where only a display value was sent (mode `true` shows a reference so), it is read as one.
        let is_display = request.input_display || input.value.is_none();
        if is_display && stored.is_some_and(|row| is_as_shown(execution, row, field, input, text)) {
            continue;
        }
        if field.field_type == FieldType::Journal {
            if !text.is_empty() {
                journals.push(JournalEntry {
                    field: Arc::clone(&field.name),
                    text: Arc::from(text),
                    user: None,
                    stored: false,
                });
            }
            continue;
        }
        if http && field.has_choices && text.is_empty() && stored.is_some() {
            continue;
        }
        let read = match is_display {
            true => match execution.value_of_display(table, field, text) {
                Ok(found) if found.is_missing => continue,
                Ok(found) => Ok(found.value),
                Err(reason) => Err(reason),
            },
            false => conversion::from_text(field, text),
        };
        let value = match read {
            Ok(value) => value,
            Err(reason) => {
                let table = &*table.name;
                tracing::debug!(table, field = name, reason, "a value could not be read");
                // As in scripts, what is no number leaves the field alone; what is no date empties it (§7.5).
                if matches!(
                    field.field_type,
                    FieldType::Integer | FieldType::Decimal | FieldType::Float
                ) {
                    continue;
                }
                Value::Nil
            }
        };
        if http && field.has_choices && !new_choices && !value.is_nil() {
            let choices = dictionary.choices(&table.name, name);
            if !choices.iter().any(|choice| &*choice.value == value.as_str()) {
                continue;
            }
        }
        values.push((Arc::clone(&field.name), value));
    }
    Ok((values, journals))
}
