//! What listens to a registration: it goes along when the registration is renamed, and keeps it from being deleted.

use std::rc::Rc;

use campanile_model::Record;
use campanile_script::{ExternalValue, HostError};

use super::script_action::{SCRIPT_ACTION_TABLE, listeners_of};
use crate::error::EngineError;
use crate::events::registry::REGISTER_TABLE;
use crate::records::execution::Execution;
use crate::records::script_record::ScriptRecord;

/// A save check of `sysevent_register`: a renamed registration takes its script actions with it, in the same
/// operation.
///
/// # Errors
/// What the store answers.
pub fn follow_renaming(
    execution: &Rc<Execution>,
    record: &mut Record,
    before: Option<&Record>,
) -> Result<Vec<String>, EngineError> {
    let old = before.map_or("", |before| before.text("event_name"));
    let new = record.text("event_name");
    if old.is_empty() || old == new {
        return Ok(Vec::new());
    }
    let ended = |error: HostError| EngineError::Unavailable(error.to_string());
    Ok(match rename(execution, old, new).map_err(ended)? {
        0 => Vec::new(),
        renamed => {
            vec![format!("{renamed} script actions listen to '{new}' now instead of '{old}'")]
        }
    })
}

/// A delete check of `sysevent_register`: active script actions that name it keep it, unless the caller insists (§1.3). Then
/// they stay, and listen to a name that is not registered.
///
/// # Errors
/// [`EngineError::Integrity`] with the list of them; what the store answers.
pub fn keep_registration(
    execution: &Rc<Execution>,
    record: &Record,
    insists: bool,
) -> Result<(), EngineError> {
    let name = record.text("event_name");
    let listeners = listeners_of(execution.engine(), name)?;
    if listeners.is_empty() {
        return Ok(());
    }
    let listeners = listeners.join(", ");
    if insists {
        let user = &execution.session().user.user_name;
        execution.warn(&format!(
            "registration '{name}' was deleted by {user}, who insisted: active script actions still listen to it: {listeners}"
        ));
        return Ok(());
    }
    Err(EngineError::Integrity {
        code: "definition_invalid",
        operation: "delete",
        table: REGISTER_TABLE.to_owned(),
        display: name.to_owned(),
        detail: format!(
            "active script actions listen to '{name}': {listeners}; switch them off or delete them first, or delete the \
             registration all the same with 'sysparm_force=true'"
        ),
    })
}

/// Listeners are changed as any record is, so that their rules and audit see it. Returns how many.
fn rename(execution: &Rc<Execution>, old: &str, new: &str) -> Result<usize, HostError> {
    let listeners = ScriptRecord::fresh(execution, SCRIPT_ACTION_TABLE);
    let text = |text: &str| ExternalValue::Text(Rc::from(text));
    listeners.add_query("event_name", "=", &text(old));
    let mut renamed = 0;
    listeners.query()?;
    while listeners.next()? {
        let Some(field) = listeners.field("event_name") else { break };
        // The query ignores case, as the database does; names do not.
        if listeners.script_text(field).as_ref() == old {
            listeners.set_value(field, &text(new))?;
            listeners.update("")?;
            renamed += 1;
        }
    }
    Ok(renamed)
}
