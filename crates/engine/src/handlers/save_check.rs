//! What is checked when a script action is saved, besides its scripts: that its name is unique and its event registered.

use std::rc::Rc;

use campanile_model::Record;
use campanile_model::nearest::suggestion;

use super::script_action::SCRIPT_ACTION_TABLE;
use crate::error::EngineError;
use crate::events::registry::{EventRegistry, REGISTER_TABLE};
use crate::records::execution::Execution;
use crate::records::lookup;

/// Checks a row of `sysevent_script_action` before it is written.
///
/// # Errors
/// [`EngineError::Integrity`] or [`EngineError::BadParameter`] naming the field and the fix; what the store answers.
pub fn save(
    execution: &Rc<Execution>,
    record: &mut Record,
    before: Option<&Record>,
) -> Result<Vec<String>, EngineError> {
    let mut warnings = Vec::new();
    let changed = |field: &str| before.is_none_or(|before| before.get(field) != record.get(field));
    if changed("name") {
        check_name(execution, record, before)?;
    }
    let event_name = record.text("event_name");
    if changed("event_name") {
        if event_name.is_empty() {
            warnings.push("'event_name' is empty: the script action never runs".to_owned());
        } else {
            warnings.extend(unregistered(execution, event_name)?);
        }
    }
    if let Some(attempts) = record.get("max_attempts").as_i64()
        && !(0..=20).contains(&attempts)
    {
        let detail = format!("expected 0 (the event's) to 20, got {attempts}");
        return Err(EngineError::BadParameter { parameter: "max_attempts".to_owned(), detail });
    }
    if changed("synchronous") && record.get("synchronous").is_true() {
        warnings.push("'synchronous' is kept for exchange and has no effect".to_owned());
    }
    Ok(warnings)
}

fn unregistered(
    execution: &Rc<Execution>,
    event_name: &str,
) -> Result<Option<String>, EngineError> {
    let registry = execution.engine().definitions::<EventRegistry>()?;
    if registry.find(event_name).is_some()
        || execution.sees_row(REGISTER_TABLE, "event_name", event_name)?
    {
        return Ok(None);
    }
    let hint = match registry.nearest(event_name) {
        Some(near) => format!("; did you mean '{near}'?"),
        None => suggestion(event_name, registry.names()),
    };
    Ok(Some(format!("event '{event_name}' is not registered{hint}")))
}

fn check_name(
    execution: &Rc<Execution>,
    record: &Record,
    before: Option<&Record>,
) -> Result<(), EngineError> {
    let operation = if before.is_some() { "update" } else { "insert" };
    let refuse = |code: &'static str, detail: String| EngineError::Integrity {
        code,
        operation,
        table: SCRIPT_ACTION_TABLE.to_owned(),
        display: record.text("name").to_owned(),
        detail,
    };
    let name = record.text("name");
    if name.is_empty() {
        let detail = "'name' is empty: a script action needs a name".to_owned();
        return Err(refuse("definition_invalid", detail));
    }
    let dictionary = execution.engine().dictionary()?;
    let table = lookup::table(&dictionary, SCRIPT_ACTION_TABLE)?;
    let rows = execution.with_read(|read| read.select(&lookup::equal(table, &[("name", name)])))?;
    let own = record.text("sys_id");
    if rows.iter().any(|row| !row.text("sys_id").eq_ignore_ascii_case(own)) {
        let detail = format!("a script action named '{name}' exists already: choose another name");
        return Err(refuse("duplicate", detail));
    }
    Ok(())
}
