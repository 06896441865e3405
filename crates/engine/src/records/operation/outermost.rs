//! The frame round the pipelines: begin, nest, restart, commit or roll back.

use std::rc::Rc;
use std::sync::Arc;

use campanile_store::StoreError;

use super::change::{Change, Failure, Kind, Outcome};
use super::transaction::{Frame, Transaction};
use super::{delete, write};
use crate::error::EngineError;
use crate::events::fire::provision::{self, Waiting};
use crate::records::execution::{Execution, FiredEvent};
use crate::spent;

/// How often an outermost operation begins again because its row moved, before it takes the writer first.
const RESTARTS_MAX: u32 = 3;

/// Does `change`, with everything that its rules do. Inside another operation it is nested in that one; else it
/// is an outermost one with a transaction of its own, committed when this returns `Ok`.
///
/// # Errors
/// [`Failure`]: of an outermost operation nothing is left; of a nested one nothing will be left, because the
/// failure ends all operations round it.
pub(crate) fn run(execution: &Rc<Execution>, change: &Change) -> Result<Outcome, Failure> {
    if execution.in_operation() {
        let result = nested(execution, change);
        if let Err(failure) = &result {
            execution.transaction(|tx| tx.failure = Some(failure.clone()));
        }
        return result;
    }
    let (messages, ordinals) = (execution.message_count(), execution.ordinals_mark());
    let mut restarts = 0;
    loop {
        match attempt(execution, change, restarts) {
            Err(Failure::Restart) if restarts < RESTARTS_MAX => {
                restarts += 1;
                execution.forget_messages_after(messages);
                execution.ordinals_go_back(ordinals);
                tracing::debug!(
                    table = &*change.table.name,
                    restarts,
                    "a row moved while it was being written"
                );
            }
            result => {
                if result.is_err() {
                    execution.ordinals_go_back(ordinals);
                }
                return result;
            }
        }
    }
}

fn attempt(execution: &Rc<Execution>, change: &Change, restarts: u32) -> Result<Outcome, Failure> {
    let body = || {
        if restarts >= RESTARTS_MAX {
            execution.ensure_writer()?;
        }
        let outcome = nested(execution, change)?;
        store_events(execution)?;
        execution.add_seal(&outcome)?;
        Ok(outcome)
    };
    if let Some(savepoint) = execution.begin_in_unit()? {
        return execution.end_in_unit(savepoint, body());
    }
    execution.begin_transaction(Transaction::new(restarts == 0));
    let result = body();
    let Some(mut tx) = execution.end_transaction() else { return result };
    if result.is_err() {
        // Dropping the writer rolls back.
        tx.log_hold();
        return result;
    }
    if let Some(writer) = tx.writer.take() {
        let committed = spent::committing(&**execution.engine().store(), writer);
        tx.log_hold();
        execution.note_commit(committed?);
        execution.engine().tables_changed(tx.tables.iter().map(|name| &**name));
    }
    execution.note_done(tx);
    result
}

/// One operation on the stack of the present transaction.
fn nested(execution: &Rc<Execution>, change: &Change) -> Result<Outcome, Failure> {
    if let Some(refusal) = too_deep(execution, change).or_else(|| read_only_user(execution, change))
    {
        return Ok(Outcome::Refused(refusal));
    }
    execution.transaction(|tx| {
        tx.frames.push(Frame { events: Vec::new(), read: None, deleting: None });
    });
    let result = match change.kind {
        Kind::Insert | Kind::Update => write::perform(execution, change),
        Kind::Delete => delete::perform(execution, change),
    };
    execution.transaction(|tx| {
        let frame = tx.frames.pop();
        if let (Ok(Outcome::Done { .. }), Some(frame)) = (&result, frame) {
            tx.kept.extend(frame.events);
        }
    });
    result
}

fn too_deep(execution: &Execution, change: &Change) -> Option<EngineError> {
    let limit = execution.budget().nested_operations(execution.engine());
    let depth = execution.transaction(|tx| tx.frames.len())?;
    if depth < limit {
        return None;
    }
    let detail = format!(
        "{} of {} was refused: {limit} operations are nested in each other already \
         (campanile.script.max_nested_operations); look for rules that write each other's records",
        change.kind.word(),
        change.table.name
    );
    execution.log_error("record operation", &detail);
    Some(integrity(change, "nested_too_deep", detail))
}

/// §16.6: a user with `snc_read_only` writes nothing but events.
fn read_only_user(execution: &Execution, change: &Change) -> Option<EngineError> {
    let user = &execution.session().user;
    if !user.has_role("snc_read_only") || &*change.table.name == "sysevent" {
        return None;
    }
    let detail = format!("'{}' has role snc_read_only and may not change records", user.user_name);
    Some(integrity(change, "read_only_user", detail))
}

fn integrity(change: &Change, code: &'static str, detail: String) -> EngineError {
    EngineError::Integrity {
        code,
        operation: change.kind.word(),
        table: change.table.name.to_string(),
        display: change.sys_id.as_deref().unwrap_or_default().to_owned(),
        detail,
    }
}

/// Appends what was fired, in the order of firing: it becomes claimable with the commit.
fn store_events(execution: &Rc<Execution>) -> Result<(), Failure> {
    let mut waiting = execution.transaction(|tx| std::mem::take(&mut tx.kept)).unwrap_or_default();
    if waiting.is_empty() {
        return Ok(());
    }
    waiting.sort_by_key(|event| event.ordinal);
    execution.ensure_writer()?;
    let (mut events, provisions): (Vec<_>, Vec<_>) =
        waiting.into_iter().map(|w| (w.event, w.provisions)).unzip();
    let provisions: Vec<_> = provisions.into_iter().flatten().collect();
    let missing = Waiting { provisions: &provisions, events: &mut events };
    let tables = execution
        .with_writer(|writer| Ok(provision::write(execution.engine(), writer, missing)?))?;
    let outcomes = execution.with_writer(|writer| Ok(writer.append_events(&events)?))?;
    let mut fired = Vec::with_capacity(events.len());
    for (event, outcome) in events.into_iter().zip(outcomes) {
        match outcome {
            Ok(appended) => fired.push(FiredEvent::new(&event, appended.sys_id)),
            // Not this event's fault: then what it was fired with must not stay without it either.
            Err(
                error @ (StoreError::Unavailable { .. }
                | StoreError::HeldUp { .. }
                | StoreError::Busy { .. }),
            ) => return Err(error.into()),
            Err(error) => execution
                .log_error("event", &format!("event '{}' was not stored: {error}", event.name)),
        }
    }
    execution.transaction(|tx| {
        tx.fired = fired;
        tx.tables.extend(tables.into_iter().map(Arc::from));
    });
    Ok(())
}
