//! What people do to events (§6): reprocess, run now, move, cancel, reschedule, and the move of a whole kind. Each is
//! one row of the action log, written with it.

use std::sync::Arc;

use campanile_model::queue_def::normalise_queue_name;
use campanile_model::{Instant, SysId};
use campanile_store::{ActionRecord, CommitMark, EventAction, ReprocessOptions, StoreError};

use super::EVENTS_ADMIN;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::queue_registry::{QueueRegistry, shown};
use crate::events::registry::{EventRegistry, REGISTER_TABLE};
use crate::events::row::EventLayout;
use crate::records::{gate, lookup};
use crate::session::Session;

/// The adaptive event queue (§4.8).
pub const ADAPTIVE_QUEUE: &str = "adaptive";

/// What an action is done to, and why.
#[derive(Debug, Clone)]
pub struct Act {
    /// The event.
    pub sys_id: SysId,
    /// Why, in the person's words.
    pub reason: String,
    /// The version (`sys_mod_count`) that the event must have; `None` is any.
    pub version: Option<i64>,
}

/// Which of the two buttons of a registration (§4.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueTarget {
    /// *Move to Adaptive Event Queue*.
    Adaptive,
    /// *Move to Default Queue*.
    Default,
}

/// What a button came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedKind {
    /// Waiting events that moved along.
    pub moved: u64,
    /// The registration's queue now; empty is the default queue.
    pub queue: Arc<str>,
    /// The last custom queue that it had, to be offered back; empty when it never had one.
    pub custom_queue: Arc<str>,
    /// What the button reads now.
    pub next: QueueTarget,
    /// Wait for this before telling anybody.
    pub mark: CommitMark,
}

/// Puts a processed, failed or cancelled event back into its queue, in a new epoch (§6.1). When its queue no longer
/// exists it goes to the default queue, and the action log says so.
///
/// # Errors
/// [`EngineError::NotAllowed`]; [`StoreError::EventUnknown`], [`StoreError::StateConflict`];
/// [`EngineError::VersionConflict`].
pub fn reprocess(
    engine: &Engine,
    session: &Session,
    act: Act,
    options: ReprocessOptions,
) -> Result<CommitMark, EngineError> {
    allow(session, "reprocess events")?;
    let event = engine
        .store()
        .event(&act.sys_id)?
        .ok_or_else(|| StoreError::EventUnknown(act.sys_id.to_string()))?;
    let queues = engine.definitions::<QueueRegistry>()?;
    let gone = queues.find(&event.fired.queue).is_none();
    let mut record = record(engine, session, "reprocess", &act);
    if gone {
        let note = format!("its queue '{}' no longer exists: default queue", event.fired.queue);
        append_note(&mut record.reason, &note);
    }
    if options.only_failed {
        append_note(&mut record.reason, "only failed handlers");
    }
    let queue = gone.then(|| Arc::from(""));
    let now = record.at;
    act_on(engine, &act, EventAction::Reprocess { sys_id: act.sys_id, options, now, queue, record })
}

/// Makes a waiting event for later due now.
///
/// # Errors
/// As [`reprocess`].
pub fn run_now(engine: &Engine, session: &Session, act: Act) -> Result<CommitMark, EngineError> {
    allow(session, "run events now")?;
    let record = record(engine, session, "run_now", &act);
    act_on(engine, &act, EventAction::RunNow { sys_id: act.sys_id, now: record.at, record })
}

/// Moves a waiting event to another queue, which must exist (§6.3).
///
/// # Errors
/// As [`reprocess`]; [`EngineError::FireRefused`] `queue_invalid` when there is no such queue.
pub fn move_event(
    engine: &Engine,
    session: &Session,
    act: Act,
    queue: &str,
) -> Result<CommitMark, EngineError> {
    allow(session, "move events")?;
    let queue = existing_queue(engine, queue)?;
    let mut record = record(engine, session, "move", &act);
    append_note(&mut record.reason, &format!("to queue '{}'", shown(&queue)));
    act_on(engine, &act, EventAction::Move { sys_id: act.sys_id, queue, record })
}

/// Withdraws a waiting event (§6.4).
///
/// # Errors
/// As [`reprocess`]; [`EngineError::BadParameter`] without a reason.
pub fn cancel(engine: &Engine, session: &Session, act: Act) -> Result<CommitMark, EngineError> {
    allow(session, "cancel events")?;
    if act.reason.trim().is_empty() {
        return Err(EngineError::BadParameter {
            parameter: "reason".to_owned(),
            detail: "a cancelled event needs a reason: say why it is withdrawn".to_owned(),
        });
    }
    let record = record(engine, session, "cancel", &act);
    let now = record.at;
    let mark = act_on(engine, &act, EventAction::Cancel { sys_id: act.sys_id, now, record })?;
    engine.waiters.ended(engine, &act.sys_id);
    Ok(mark)
}

/// Gives a waiting event another time; the past means now (§6.4).
///
/// # Errors
/// As [`reprocess`].
pub fn reschedule(
    engine: &Engine,
    session: &Session,
    act: Act,
    process_on: Instant,
) -> Result<CommitMark, EngineError> {
    allow(session, "reschedule events")?;
    let mut record = record(engine, session, "reschedule", &act);
    let process_on = process_on.max(record.at);
    append_note(&mut record.reason, &format!("to {}", process_on.to_rfc3339()));
    act_on(engine, &act, EventAction::Reschedule { sys_id: act.sys_id, process_on, record })
}

/// Presses the button of a registration: sets its queue, and moves its waiting events whose queue came from the
/// registration. The events go first, in steps between which others write; the registration and what has arrived
/// meanwhile follow in one transaction. Broken off in between, it can be pressed again.
///
/// # Errors
/// [`EngineError::NotAllowed`]; [`EngineError::RecordUnknown`] when there is no such registration;
/// [`EngineError::BadParameter`] when it is in that queue already; what the store answers.
pub fn move_kind(
    engine: &Engine,
    session: &Session,
    event_name: &str,
    target: QueueTarget,
) -> Result<MovedKind, EngineError> {
    allow(session, "move kinds of events")?;
    let registry = engine.definitions::<EventRegistry>()?;
    let registration = registry.find(event_name).ok_or_else(|| EngineError::RecordUnknown {
        table: REGISTER_TABLE.to_owned(),
        sys_id: event_name.to_owned(),
    })?;
    let queue: Arc<str> = match target {
        QueueTarget::Adaptive => existing_queue(engine, ADAPTIVE_QUEUE)?,
        QueueTarget::Default => Arc::from(""),
    };
    if registration.queue == queue {
        return Err(EngineError::BadParameter {
            parameter: "queue".to_owned(),
            detail: format!("'{event_name}' is in the {} queue already", shown(&queue)),
        });
    }
    let dictionary = engine.dictionary()?;
    let table = lookup::table(&dictionary, REGISTER_TABLE)?;
    let now = engine.clock().now();
    let first = engine.store().move_kind(event_name, &queue)?;
    let mut tx = Arc::clone(engine.store()).write()?;
    let Some(mut row) = tx.get(table, registration.sys_id.as_str())? else {
        return Err(gate::unknown(table, registration.sys_id.as_str()));
    };
    let count = row.get("sys_mod_count").as_i64().unwrap_or(0).saturating_add(1).to_string();
    let stamps = [
        ("queue", &*queue),
        ("sys_updated_on", &*now.to_glide_text()),
        ("sys_updated_by", &*session.user.user_name),
        ("sys_mod_count", &*count),
    ];
    let mut changed = Vec::new();
    for (field, value) in stamps {
        row.set(field, value);
        changed.extend(table.index(field));
    }
    tx.update(&row, &changed)?;
    let moved = first.moved + tx.move_kind(event_name, &queue, first.upto)?;
    let before = Arc::clone(&registration.queue);
    let remembered = format!("custom_queue:{event_name}");
    let custom_queue = if before.is_empty() || &*before == ADAPTIVE_QUEUE {
        Arc::from(tx.meta_get(&remembered)?.unwrap_or_default())
    } else {
        tx.meta_set(&remembered, &before)?;
        Arc::clone(&before)
    };
    let mark = tx.commit()?;
    engine.tables_changed([REGISTER_TABLE]);
    engine.store().log_action(ActionRecord {
        action: "move_kind".to_owned(),
        user: session.user.user_name.to_string(),
        at: now,
        sys_ids: Vec::new(),
        count: moved,
        reason: format!("'{event_name}' from queue '{}' to '{}'", shown(&before), shown(&queue)),
    })?;
    Ok(MovedKind {
        moved,
        custom_queue,
        next: if queue.is_empty() { QueueTarget::Adaptive } else { QueueTarget::Default },
        queue,
        mark,
    })
}

fn allow(session: &Session, what: &str) -> Result<(), EngineError> {
    gate::require_role(session, &[EVENTS_ADMIN], what)
}

fn existing_queue(engine: &Engine, queue: &str) -> Result<Arc<str>, EngineError> {
    let refused = |detail: String| EngineError::FireRefused { code: "queue_invalid", detail };
    let name = normalise_queue_name(queue).map_err(|invalid| refused(invalid.to_string()))?;
    let queues = engine.definitions::<QueueRegistry>()?;
    queues.find(name).map(|queue| Arc::clone(&queue.name)).ok_or_else(|| {
        refused(format!("there is no queue '{name}': register it in sysevent_queue first"))
    })
}

fn record(engine: &Engine, session: &Session, action: &str, act: &Act) -> ActionRecord {
    ActionRecord {
        action: action.to_owned(),
        user: session.user.user_name.to_string(),
        at: engine.clock().now(),
        sys_ids: vec![act.sys_id],
        count: 1,
        reason: act.reason.clone(),
    }
}

fn append_note(reason: &mut String, note: &str) {
    if !reason.is_empty() {
        reason.push_str("; ");
    }
    reason.push_str(note);
}

fn act_on(engine: &Engine, act: &Act, action: EventAction) -> Result<CommitMark, EngineError> {
    let Some(expected) = act.version else { return Ok(engine.store().act(action)?) };
    let layout = engine.definitions::<EventLayout>()?;
    let sys_id = act.sys_id.as_str();
    let mut tx = Arc::clone(engine.store()).write()?;
    tx.act_on_event(&action)?;
    // Looked at behind the action, which has raised it by one: from here on nobody else can.
    let row =
        tx.get(layout.table(), sys_id)?.ok_or_else(|| gate::unknown(layout.table(), sys_id))?;
    let present = row.get("sys_mod_count").as_i64().unwrap_or_default().saturating_sub(1);
    if present != expected {
        // Dropping the transaction undoes the action.
        let (expected, present) = (expected.to_string(), present.to_string());
        return Err(EngineError::VersionConflict { expected, present });
    }
    Ok(tx.commit()?)
}
