//! What people do to events by hand (§6), each conditional on the state it starts from, and the log of it (§6.5).

use std::sync::Arc;

use campanile_model::{Event, EventState, Instant, SysId};

use super::append::forget_internal_keys;
use super::connection::Connection;
use super::distributed::{self, Spread};
use super::effects::Effects;
use super::events::{COLUMNS, Hold, Place, find, key, text};
use super::order;
use super::text::{nil, stored};
use crate::contract::{ActionRecord, EventAction, ReprocessOptions, StoreError};

/// Does `action` in the transaction of `connection`; `spread` in distributed mode.
///
/// # Errors
/// [`StoreError::EventUnknown`], [`StoreError::StateConflict`]; then nothing was changed.
pub(super) fn act(
    connection: &Connection,
    action: &EventAction,
    spread: Option<&Arc<Spread>>,
) -> Result<Effects, StoreError> {
    if let Some(spread) = spread {
        return distributed::actions::act(connection, action, spread);
    }
    let mut effects = Effects::default();
    match action {
        EventAction::Reprocess { sys_id, options, now, queue, record } => {
            let how = Again { options: *options, now: *now, queue: queue.as_ref() };
            reprocess(connection, sys_id, &how, record, &mut effects)?;
            log_action(connection, record)?;
        }
        EventAction::RunNow { sys_id, now, record } => {
            let event = waiting(connection, sys_id)?;
            if event.fired.process_on > *now {
                reschedule(connection, &event, *now, record, &mut effects)?;
            }
            log_action(connection, record)?;
        }
        EventAction::Move { sys_id, queue, record } => {
            let event = waiting(connection, sys_id)?;
            move_event(connection, &event, queue, record, &mut effects)?;
            log_action(connection, record)?;
        }
        EventAction::Reschedule { sys_id, process_on, record } => {
            let event = waiting(connection, sys_id)?;
            // A time in the past means now (§6.4).
            let process_on = (*process_on).max(record.at);
            reschedule(connection, &event, process_on, record, &mut effects)?;
            log_action(connection, record)?;
        }
        EventAction::Cancel { sys_id, now, record } => {
            // Nothing is left to be withdrawn of an event that has stopped its queue, but the queue goes on.
            if !order::let_go_on(connection, sys_id, &mut effects)? {
                let event = waiting(connection, sys_id)?;
                cancel(connection, &event, *now, record)?;
                // Others may have waited for its end.
                effects.wake(&event.fired.queue, None, event.fired.process_on.as_millis());
            }
            log_action(connection, record)?;
        }
    }
    Ok(effects)
}

/// The event, held, if it waits and nobody has claimed it.
fn waiting(connection: &Connection, sys_id: &SysId) -> Result<Event, StoreError> {
    match find(connection, Place::Live, sys_id, Hold::ToTheEnd)? {
        Some(event) if event.state == EventState::Queued => return Err(claimed(&event)),
        Some(event) => return Ok(event),
        None => {}
    }
    match find(connection, Place::Log, sys_id, Hold::No)? {
        Some(event) => Err(conflict(&event, "only an event that is still waiting can be changed")),
        None => Err(StoreError::EventUnknown(sys_id.to_string())),
    }
}

pub(super) fn claimed(event: &Event) -> StoreError {
    conflict(event, &format!("is being handled by {}", event.claimed_by))
}

pub(super) fn conflict(event: &Event, detail: &str) -> StoreError {
    StoreError::StateConflict {
        sys_id: event.fired.sys_id.to_string(),
        state: event.state,
        detail: detail.to_owned(),
    }
}

/// How to reprocess.
pub(super) struct Again<'a> {
    pub(super) options: ReprocessOptions,
    pub(super) now: Instant,
    pub(super) queue: Option<&'a Arc<str>>,
}

/// T13. The event keeps its order of arrival; being due now, it stands behind those that were due before.
fn reprocess(
    connection: &Connection,
    sys_id: &SysId,
    how: &Again<'_>,
    record: &ActionRecord,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    let Some(event) = find(connection, Place::Log, sys_id, Hold::ToTheEnd)? else {
        return match find(connection, Place::Live, sys_id, Hold::No)? {
            None => Err(StoreError::EventUnknown(sys_id.to_string())),
            Some(event) if event.state == EventState::Queued => Err(claimed(&event)),
            Some(event) => Err(conflict(&event, "is still waiting")),
        };
    };
    if !event.state.may_become(EventState::Ready) {
        return Err(conflict(&event, "a duplicate of it carries on"));
    }
    let columns = COLUMNS
        .replace(" state,", " 'ready',")
        .replace(" queue,", " $2,")
        .replace(" process_on,", " $3,")
        .replace(" epoch, attempts, lapses, only_failed,", " epoch + 1, 0, 0, $4,")
        .replace(" error_code, error_message", " NULL, NULL");
    let queue = how.queue.unwrap_or(&event.fired.queue);
    let now = how.now.as_millis();
    connection.execute(
        &format!(
            "WITH gone AS (DELETE FROM sysevent_log WHERE sequence = $1 RETURNING *) \
             INSERT INTO sysevent_live ({COLUMNS}, sys_updated_on, sys_updated_by, sys_mod_count, turn) \
             SELECT {columns}, $3::bigint, $5::text, sys_mod_count + 1, \
             campanile_turn($2::text, \"table\", instance, sys_id) FROM gone"
        )
        .replace(" $2,", " $2::text,")
        .replace(" $3,", " $3::bigint,")
        .replace(" $4,", " $4::boolean,"),
        &[&event.sequence, &stored(queue), &now, &how.options.only_failed, &stored(&record.user)],
    )?;
    forget_internal_keys(connection, &[*sys_id])?;
    order::let_go_on(connection, sys_id, effects)?;
    effects.wake(queue, None, now);
    Ok(())
}

/// T11. Order and age are kept.
fn move_event(
    connection: &Connection,
    event: &Event,
    queue: &Arc<str>,
    record: &ActionRecord,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE sysevent_live SET queue = $2, turn = campanile_turn($2, \"table\", instance, sys_id), \
         sys_updated_on = $3, sys_updated_by = $4, sys_mod_count = sys_mod_count + 1 WHERE sequence = $1",
        &[&event.sequence, &stored(queue), &record.at.as_millis(), &stored(&record.user)],
    )?;
    effects.wake(queue, None, event.fired.process_on.as_millis());
    Ok(())
}

/// T12.
fn reschedule(
    connection: &Connection,
    event: &Event,
    process_on: Instant,
    record: &ActionRecord,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE sysevent_live SET process_on = $2, sys_updated_on = $3, sys_updated_by = $4, \
         sys_mod_count = sys_mod_count + 1 WHERE sequence = $1",
        &[&event.sequence, &process_on.as_millis(), &record.at.as_millis(), &stored(&record.user)],
    )?;
    effects.wake(&event.fired.queue, None, process_on.as_millis());
    Ok(())
}

/// T10. The reason is kept on the event.
fn cancel(
    connection: &Connection,
    event: &Event,
    now: Instant,
    record: &ActionRecord,
) -> Result<(), StoreError> {
    let columns = COLUMNS
        .replace(" state,", " 'cancelled',")
        .replace(" error_code, error_message", " 'cancelled', $2::text");
    connection.execute(
        &format!(
            "WITH gone AS (DELETE FROM sysevent_live WHERE sequence = $1 RETURNING *) \
             INSERT INTO sysevent_log ({COLUMNS}, sys_updated_on, sys_updated_by, sys_mod_count) \
             SELECT {columns}, $3::bigint, $4::text, sys_mod_count + 1 FROM gone"
        ),
        &[&event.sequence, &nil(&record.reason), &now.as_millis(), &stored(&record.user)],
    )?;
    forget_internal_keys(connection, &[event.fired.sys_id])
}

/// Writes one row of the action log.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn log_action(connection: &Connection, record: &ActionRecord) -> Result<(), StoreError> {
    let keys: Vec<&str> = record.sys_ids.iter().map(SysId::as_str).collect();
    let small: Vec<String> = record.sys_ids.iter().map(key).collect();
    connection.execute(
        "WITH logged AS (INSERT INTO sysevent_action (sys_id, action, \"user\", at, sys_ids, count, reason) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id) \
         INSERT INTO sysevent_action_event (event, action) \
         SELECT DISTINCT event, id FROM logged CROSS JOIN unnest($8::text[]) AS about (event)",
        &[
            &SysId::generate(record.at).as_str(),
            &stored(&record.action),
            &stored(&record.user),
            &record.at.as_millis(),
            &nil(&keys.join(",")),
            &i64::try_from(record.count).unwrap_or(i64::MAX),
            &nil(&record.reason),
            &small,
        ],
    )?;
    Ok(())
}

/// What was done to an event by hand, oldest first.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn actions(
    connection: &Connection,
    event: &SysId,
) -> Result<Vec<ActionRecord>, StoreError> {
    let rows = connection.query(
        "SELECT a.action, a.\"user\", a.at, a.sys_ids, a.count, a.reason \
         FROM sysevent_action_event e JOIN sysevent_action a ON a.id = e.action \
         WHERE e.event = $1 ORDER BY e.action",
        &[&key(event)],
    )?;
    rows.iter()
        .map(|row| {
            Ok(ActionRecord {
                action: text(row, 0)?.to_string(),
                user: text(row, 1)?.to_string(),
                at: Instant::from_millis(row.try_get(2)?),
                sys_ids: text(row, 3)?.split(',').filter_map(|key| key.parse().ok()).collect(),
                count: u64::try_from(row.try_get::<_, i64>(4)?).unwrap_or(0),
                reason: text(row, 5)?.to_string(),
            })
        })
        .collect()
}
