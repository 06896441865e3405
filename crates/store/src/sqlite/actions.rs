//! What people do to events by hand (§6), each conditional on the state it starts from, and the log of it (§6.5).

use std::sync::Arc;

use campanile_model::{Event, EventState, Instant, SysId};
use rusqlite::{Connection, params};

use super::append::forget_internal_keys;
use super::effects::{Effect, EventEffects, Standing};
use super::events::{COLUMNS, Place, find, nil};
use super::order;
use super::window::Waiting;
use crate::contract::{ActionRecord, EventAction, ReprocessOptions, StoreError};

/// Does `action` in the transaction of `connection`; the queues follow when `effects` are carried out.
///
/// # Errors
/// [`StoreError::EventUnknown`], [`StoreError::StateConflict`]; then nothing was changed.
pub(in crate::sqlite) fn act(
    connection: &Connection,
    action: &EventAction,
    effects: &mut EventEffects,
) -> Result<(), StoreError> {
    match action {
        EventAction::Reprocess { sys_id, options, now, queue, record } => {
            reprocess(connection, sys_id, *options, (*now, queue.as_ref(), &record.user), effects)?;
            log_action(connection, record)
        }
        EventAction::RunNow { sys_id, now, record } => {
            let event = waiting(connection, sys_id, effects)?;
            if event.fired.process_on > *now {
                reschedule(connection, event, *now, record, effects)?;
            }
            log_action(connection, record)
        }
        EventAction::Move { sys_id, queue, record } => {
            let event = waiting(connection, sys_id, effects)?;
            move_event(connection, event, queue, record, effects)?;
            log_action(connection, record)
        }
        EventAction::Reschedule { sys_id, process_on, record } => {
            let event = waiting(connection, sys_id, effects)?;
            // A time in the past means now (§6.4).
            let process_on = (*process_on).max(record.at);
            reschedule(connection, event, process_on, record, effects)?;
            log_action(connection, record)
        }
        EventAction::Cancel { sys_id, now, record } => {
            // Nothing is left to be withdrawn of an event that has stopped its queue, but the queue goes on.
            if !order::let_go_on(connection, sys_id, effects)? {
                let event = waiting(connection, sys_id, effects)?;
                cancel(connection, &event, *now, record, effects)?;
            }
            log_action(connection, record)
        }
    }
}

/// The event, held, if it waits and nobody has claimed it.
fn waiting(
    connection: &Connection,
    sys_id: &SysId,
    effects: &mut EventEffects,
) -> Result<Event, StoreError> {
    if let Some(event) = find(connection, Place::Live, sys_id)? {
        effects.hold(Standing::of(&event), sys_id)?;
        return Ok(event);
    }
    match find(connection, Place::Log, sys_id)? {
        Some(event) => Err(conflict(&event, "only an event that is still waiting can be changed")),
        None => Err(StoreError::EventUnknown(sys_id.to_string())),
    }
}

fn conflict(event: &Event, detail: &str) -> StoreError {
    StoreError::StateConflict {
        sys_id: event.fired.sys_id.to_string(),
        state: event.state,
        detail: detail.to_owned(),
    }
}

/// T13. The event keeps its order of arrival; being due now, it stands behind those that were due before.
fn reprocess(
    connection: &Connection,
    sys_id: &SysId,
    options: ReprocessOptions,
    (now, queue, user): (Instant, Option<&Arc<str>>, &str),
    effects: &mut EventEffects,
) -> Result<(), StoreError> {
    let Some(mut event) = find(connection, Place::Log, sys_id)? else {
        let Some(event) = find(connection, Place::Live, sys_id)? else {
            return Err(StoreError::EventUnknown(sys_id.to_string()));
        };
        effects.hold(Standing::of(&event), sys_id)?;
        return Err(conflict(&event, "is still waiting"));
    };
    if !event.state.may_become(EventState::Ready) {
        return Err(conflict(&event, "a duplicate of it carries on"));
    }
    let columns = COLUMNS
        .replace(" state,", " 'ready',")
        .replace(" queue,", " ?2,")
        .replace(" process_on,", " ?3,")
        .replace(" epoch, attempts, lapses, only_failed,", " epoch + 1, 0, 0, ?4,")
        .replace(" error_code, error_message", " NULL, NULL");
    let queue = queue.unwrap_or(&event.fired.queue);
    connection
        .prepare_cached(&format!(
            "INSERT INTO sysevent_live ({COLUMNS}, sys_updated_on, sys_updated_by, sys_mod_count) \
             SELECT {columns}, ?3, ?5, sys_mod_count + 1 FROM sysevent_log WHERE sequence = ?1"
        ))?
        .execute(params![event.sequence, &**queue, now.as_millis(), options.only_failed, user])?;
    connection
        .prepare_cached("DELETE FROM sysevent_log WHERE sequence = ?1")?
        .execute([event.sequence])?;
    forget_internal_keys(connection, sys_id)?;
    event.fired.queue = Arc::clone(queue);
    event.fired.process_on = now;
    event.epoch += 1;
    (event.attempts, event.lapses) = (0, 0);
    effects.note(Effect::Added(Standing::of(&event), Waiting::bare(&event)));
    order::let_go_on(connection, sys_id, effects)?;
    Ok(())
}

/// T11. Order and age are kept.
fn move_event(
    connection: &Connection,
    mut event: Event,
    queue: &Arc<str>,
    record: &ActionRecord,
    effects: &mut EventEffects,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE sysevent_live SET queue = ?2, sys_updated_on = ?3, sys_updated_by = ?4, \
             sys_mod_count = sys_mod_count + 1 WHERE sequence = ?1",
        )?
        .execute(params![event.sequence, &**queue, record.at.as_millis(), record.user])?;
    effects.note(Effect::Removed(Standing::of(&event)));
    event.fired.queue = Arc::clone(queue);
    effects.note(Effect::Added(Standing::of(&event), Waiting::bare(&event)));
    Ok(())
}

/// T12.
fn reschedule(
    connection: &Connection,
    mut event: Event,
    process_on: Instant,
    record: &ActionRecord,
    effects: &mut EventEffects,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE sysevent_live SET process_on = ?2, sys_updated_on = ?3, sys_updated_by = ?4, \
             sys_mod_count = sys_mod_count + 1 WHERE sequence = ?1",
        )?
        .execute(params![
            event.sequence,
            process_on.as_millis(),
            record.at.as_millis(),
            record.user
        ])?;
    effects.note(Effect::Removed(Standing::of(&event)));
    event.fired.process_on = process_on;
    effects.note(Effect::Added(Standing::of(&event), Waiting::bare(&event)));
    Ok(())
}

/// T10. The reason is kept on the event.
fn cancel(
    connection: &Connection,
    event: &Event,
    now: Instant,
    record: &ActionRecord,
    effects: &mut EventEffects,
) -> Result<(), StoreError> {
    let columns = COLUMNS
        .replace(" state,", " 'cancelled',")
        .replace(" error_code, error_message", " 'cancelled', ?2");
    connection
        .prepare_cached(&format!(
            "INSERT INTO sysevent_log ({COLUMNS}, sys_updated_on, sys_updated_by, sys_mod_count) \
             SELECT {columns}, ?3, ?4, sys_mod_count + 1 FROM sysevent_live WHERE sequence = ?1"
        ))?
        .execute(params![event.sequence, nil(&record.reason), now.as_millis(), record.user])?;
    connection
        .prepare_cached("DELETE FROM sysevent_live WHERE sequence = ?1")?
        .execute([event.sequence])?;
    forget_internal_keys(connection, &event.fired.sys_id)?;
    effects.claims().log_index().note(event.sequence);
    effects.note(Effect::Removed(Standing::of(event)));
    Ok(())
}

/// Writes one row of the action log.
///
/// # Errors
/// What SQLite said.
pub(in crate::sqlite) fn log_action(
    connection: &Connection,
    record: &ActionRecord,
) -> Result<(), StoreError> {
    let keys: Vec<&str> = record.sys_ids.iter().map(SysId::as_str).collect();
    connection
        .prepare_cached(
            "INSERT INTO sysevent_action (sys_id, action, user, at, sys_ids, count, reason) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            SysId::generate(record.at).as_str(),
            record.action,
            record.user,
            record.at.as_millis(),
            nil(&keys.join(",")),
            i64::try_from(record.count).unwrap_or(i64::MAX),
            nil(&record.reason),
        ])?;
    let id = connection.last_insert_rowid();
    let mut about = connection.prepare_cached(
        "INSERT OR IGNORE INTO sysevent_action_event (event, action) VALUES (?1, ?2)",
    )?;
    for key in keys {
        about.execute((key, id))?;
    }
    Ok(())
}

/// What was done to an event by hand, oldest first.
///
/// # Errors
/// What SQLite said.
pub(super) fn actions(
    connection: &Connection,
    event: &SysId,
) -> Result<Vec<ActionRecord>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT a.action, a.user, a.at, a.sys_ids, a.count, a.reason \
         FROM sysevent_action_event e JOIN sysevent_action a ON a.id = e.action \
         WHERE e.event = ?1 ORDER BY e.action",
    )?;
    let actions = statement
        .query_map([event.as_str()], |row| {
            let keys: Option<String> = row.get(3)?;
            Ok(ActionRecord {
                action: row.get(0)?,
                user: row.get(1)?,
                at: Instant::from_millis(row.get(2)?),
                sys_ids: keys
                    .unwrap_or_default()
                    .split(',')
                    .filter_map(|key| key.parse().ok())
                    .collect(),
                count: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
                reason: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(actions)
}
