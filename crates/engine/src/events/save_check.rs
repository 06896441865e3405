//! What is checked when a registration is saved (§1.3), from every door. Its listeners are the business of `handlers`.

use std::rc::Rc;

use campanile_model::Record;
use campanile_model::limits::{
    EVENT_NAME_CHARS_MAX, EVENT_NAME_CHARS_PORTABLE, EVENT_PRIORITY_MAX,
};
use campanile_model::nearest::suggestion;
use campanile_model::queue_def::normalise_queue_name;

use super::fire::{PROVISIONAL_MAX, UNKNOWN_QUEUES, provisional};
use super::queue_registry::{QUEUE_TABLE, QueueRegistry};
use super::registry::REGISTER_TABLE;
use crate::error::EngineError;
use crate::records::conversion::from_text;
use crate::records::execution::Execution;
use crate::records::lookup;

/// Checks a row of `sysevent_register` before it is written.
///
/// # Errors
/// [`EngineError::Integrity`] naming the field and the fix; what the store answers.
pub fn save(
    execution: &Rc<Execution>,
    record: &mut Record,
    before: Option<&Record>,
) -> Result<Vec<String>, EngineError> {
    let mut warnings = Vec::new();
    let name = record.text("event_name").to_owned();
    if before.is_none_or(|before| before.text("event_name") != name) {
        check_name(&name).map_err(|detail| refusal(record, before, detail))?;
        check_unique(execution, record, before, &name)?;
        if name.chars().count() > EVENT_NAME_CHARS_PORTABLE {
            warnings.push(format!(
                "event name '{name}' has over {EVENT_NAME_CHARS_PORTABLE} characters: kept whole here, but the \
                 platform that it is compatible with cuts it there"
            ));
        }
    }
    check_numbers(record, before)?;
    set_derived_priority(record);
    warnings.extend(check_queue(execution, record, before)?);
    warnings.extend(unknown_table(execution, record, before)?);
    Ok(warnings)
}

/// Spelled as it is stored, so that the answer of a write is what reading it gives.
fn set_derived_priority(record: &mut Record) {
    let priority = record.get("priority").clone();
    let Some(index) = record.table().index("derived_priority") else { return };
    let value = from_text(&record.table().fields[index], priority.as_str());
    record.set_at(index, value.unwrap_or(priority));
}

/// A table that does not exist: it restricts nothing, but stands in events that take it from the registration.
fn unknown_table(
    execution: &Rc<Execution>,
    record: &Record,
    before: Option<&Record>,
) -> Result<Option<String>, EngineError> {
    let table = record.text("table");
    if table.is_empty() || before.is_some_and(|before| before.text("table") == table) {
        return Ok(None);
    }
    let dictionary = execution.dictionary()?;
    Ok(dictionary.table(table).is_none().then(|| {
        let hint = suggestion(table, dictionary.tables().map(|known| &*known.name));
        let name = record.text("event_name");
        format!("registration '{name}' names table '{table}', which does not exist{hint}")
    }))
}

/// The stricter pattern of registrations.
fn check_name(name: &str) -> Result<(), String> {
    let chars = name.chars().count();
    if name.is_empty() {
        return Err("'event_name' is empty: a registration needs a name".to_owned());
    }
    if chars > EVENT_NAME_CHARS_MAX {
        return Err(format!(
            "'event_name' has {chars} characters, the limit is {EVENT_NAME_CHARS_MAX}"
        ));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-:".contains(c);
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(allowed) {
        return Err(format!(
            "'{name}' is no event name: expected letters, digits, '_', '.', '-' and ':', beginning with a letter or \
             digit, without blanks"
        ));
    }
    Ok(())
}

fn check_unique(
    execution: &Rc<Execution>,
    record: &Record,
    before: Option<&Record>,
    name: &str,
) -> Result<(), EngineError> {
    let dictionary = execution.engine().dictionary()?;
    let table = lookup::table(&dictionary, REGISTER_TABLE)?;
    let rows =
        execution.with_read(|read| read.select(&lookup::equal(table, &[("event_name", name)])))?;
    let own = record.text("sys_id");
    match rows.iter().find(|row| !row.text("sys_id").eq_ignore_ascii_case(own)) {
        None => Ok(()),
        Some(other) => {
            let operation = if before.is_some() { "update" } else { "insert" };
            let detail = format!(
                "'{}' is registered already (names are unique ignoring case): change that registration instead",
                other.text("event_name")
            );
            Err(integrity(record, operation, "duplicate", detail))
        }
    }
}

fn check_numbers(record: &Record, before: Option<&Record>) -> Result<(), EngineError> {
    let ranges =
        [("priority", EVENT_PRIORITY_MAX), ("max_attempts", 20), ("coalesce_seconds", 86_400)];
    for (field, max) in ranges {
        let value = record.get(field);
        let fits = value.is_nil() || value.as_i64().is_some_and(|n| (0..=max).contains(&n));
        if !fits {
            let detail = format!("'{field}': expected 0 to {max}, got '{}'", value.as_str());
            return Err(refusal(record, before, detail));
        }
    }
    Ok(())
}

fn check_queue(
    execution: &Rc<Execution>,
    record: &mut Record,
    before: Option<&Record>,
) -> Result<Vec<String>, EngineError> {
    let written = record.text("queue").to_owned();
    if written.is_empty() || before.is_some_and(|before| before.text("queue") == written) {
        return Ok(Vec::new());
    }
    let queue = normalise_queue_name(&written)
        .map_err(|invalid| refusal(record, before, invalid.to_string()))?;
    // The default queue has the empty name, on events and here.
    record.set("queue", queue);
    let engine = execution.engine();
    if engine.definitions::<QueueRegistry>()?.find(queue).is_some()
        || execution.sees_row(QUEUE_TABLE, "queue", queue)?
    {
        return Ok(Vec::new());
    }
    match engine.property(UNKNOWN_QUEUES).as_deref() {
        Some("default" | "hold") => Err(refusal(
            record,
            before,
            format!("there is no queue '{queue}': register it in sysevent_queue first"),
        )),
        _ if provisional::is_full(engine)? => Ok(vec![format!(
            "there is no queue '{queue}', and no further one is made for events ({PROVISIONAL_MAX} is reached): the \
             default queue takes them until '{queue}' is registered in sysevent_queue"
        )]),
        _ => Ok(vec![format!(
            "there is no queue '{queue}' yet: it is made, provisional, when the first event goes to it"
        )]),
    }
}

fn refusal(record: &Record, before: Option<&Record>, detail: String) -> EngineError {
    let operation = if before.is_some() { "update" } else { "insert" };
    integrity(record, operation, "definition_invalid", detail)
}

fn integrity(
    record: &Record,
    operation: &'static str,
    code: &'static str,
    detail: String,
) -> EngineError {
    EngineError::Integrity {
        code,
        operation,
        table: REGISTER_TABLE.to_owned(),
        display: record.text("event_name").to_owned(),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_registrations_follow_the_pattern() {
        for name in ["incident.commented", "a", "9:x-y_z", &"x".repeat(100)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", ".a", "a b", "ä", "a/b", "_a", &"x".repeat(101)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
