//! `sysevent` as rows (rest-api §8, §1.1): an insert fires, a few changes are actions, everything else is refused.

use std::sync::Arc;

use campanile_model::{EventState, Instant, SysId};
use campanile_store::{CommitMark, ReprocessOptions};

use super::actions::{self, Act};
use super::fire::{FireAnswer, FireCall, FireTime, fire_blocking};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::session::Session;

/// Why an action was done, when a row was written instead of a button pressed.
const BY_ROW: &str = "by a change of the row";

/// One field of a row that somebody wants to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowChange<'a> {
    /// Column.
    pub field: &'a str,
    /// Stored value.
    pub value: &'a str,
}

/// Fires what an inserted row describes: name, table, instance, parms, queue and process_on count, everything else is
/// ignored. Blocks until it is on disk.
///
/// # Errors
/// As [`super::fire_blocking`]; [`EngineError::BadParameter`] for a time that is none.
pub fn fire_row(
    engine: &Arc<Engine>,
    session: &Session,
    values: &[RowChange<'_>],
) -> Result<FireAnswer, EngineError> {
    let value = |field: &str| {
        let found = values.iter().rev().find(|change| change.field == field);
        found.map_or("", |change| change.value)
    };
    let text = |field: &str| value(field).to_owned();
    let process_on = match value("process_on") {
        "" => None,
        at => Some(FireTime::At(time(at)?)),
    };
    let call = FireCall {
        name: text("name"),
        table: text("table"),
        instance: text("instance"),
        parm1: text("parm1"),
        parm2: text("parm2"),
        queue: Some(text("queue")).filter(|queue| !queue.is_empty()),
        priority: None,
        process_on,
        dedupe_key: None,
    };
    fire_blocking(engine, session, call)
}

/// Does what a changed row asks for: `state` to `ready` (reprocess) or `cancelled`, `queue` (move), `process_on`
/// (reschedule). One change at a time: two could end half done.
///
/// # Errors
/// [`EngineError::OperationDenied`] for any other change; those of the action.
pub fn change_row(
    engine: &Engine,
    session: &Session,
    sys_id: &SysId,
    changes: &[RowChange<'_>],
) -> Result<CommitMark, EngineError> {
    let [change] = changes else { return Err(denied()) };
    let act = Act { sys_id: *sys_id, reason: BY_ROW.to_owned() };
    match (change.field, change.value) {
        ("state", state) if state == EventState::Ready.as_str() => {
            actions::reprocess(engine, session, act, ReprocessOptions::default())
        }
        ("state", state) if state == EventState::Cancelled.as_str() => {
            actions::cancel(engine, session, act)
        }
        ("queue", queue) => actions::move_event(engine, session, act, queue),
        ("process_on", at) if at.is_empty() => actions::run_now(engine, session, act),
        ("process_on", at) => actions::reschedule(engine, session, act, time(at)?),
        _ => Err(denied()),
    }
}

fn time(text: &str) -> Result<Instant, EngineError> {
    Instant::parse_glide_text(text).or_else(|| Instant::parse_rfc3339(text)).ok_or_else(|| {
        EngineError::BadParameter {
            parameter: "process_on".to_owned(),
            detail: format!("expected yyyy-MM-dd HH:mm:ss in UTC, got '{text}'"),
        }
    })
}

fn denied() -> EngineError {
    EngineError::OperationDenied { operation: "Update", table: crate::events::row::EVENT_TABLE.to_owned() }
}
