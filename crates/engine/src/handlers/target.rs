//! What a script action sees as `current` and `event` (§5.4, scripting §1.2).

use std::rc::Rc;

use campanile_model::Event;
use campanile_script::RecordRef;

use super::handler::Attempt;
use crate::error::EngineError;
use crate::events::fire::content::record_of_snapshot;
use crate::records::execution::Execution;
use crate::records::script_record::ScriptRecord;

/// The record that the event is about, as it stands now.
pub struct Target {
    /// `current`.
    pub current: RecordRef,
    /// `target_missing`, `target_from_snapshot` or empty.
    pub note: &'static str,
}

/// Reads the record that `event` is about. Without table or instance it is null-like; when the row is gone it is
/// filled from the snapshot, else empty, and in both cases not valid.
///
/// # Errors
/// What the store answers.
pub fn of_event(execution: &Rc<Execution>, event: &Event) -> Result<Target, EngineError> {
    let fired = &event.fired;
    if fired.table.is_empty() || fired.instance.is_empty() {
        return Ok(Target { current: ScriptRecord::null_like(execution), note: "" });
    }
    let dictionary = execution.engine().dictionary()?;
    // The dispatcher has seen that the table exists; it may have gone since.
    let table = crate::records::lookup::table(&dictionary, &fired.table)?;
    if let Some(row) = execution.read_row(table, &fired.instance)? {
        return Ok(Target { current: ScriptRecord::on_row(execution, row), note: "" });
    }
    let snapshot = record_of_snapshot(&fired.snapshot, table);
    let note = if snapshot.is_some() { "target_from_snapshot" } else { "target_missing" };
    Ok(Target { current: ScriptRecord::missing(execution, table, snapshot), note })
}

/// A note of [`Target`] in words; empty for any other text.
#[must_use]
pub fn sentence(note: &str) -> &'static str {
    match note {
        "target_missing" => "the record was gone: current was empty",
        "target_from_snapshot" => "the record was gone: current held its values at the fire",
        _ => "",
    }
}

/// The event as scripts see it: read-only.
#[must_use]
pub fn event_object(execution: &Rc<Execution>, attempt: &Attempt<'_>) -> RecordRef {
    ScriptRecord::read_only(execution, attempt.event_row().clone(), "event")
}
