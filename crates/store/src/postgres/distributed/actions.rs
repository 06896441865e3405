//! What people do to events by hand.
//!
//! Where an event stands is asked of all partitions, without holding it; what follows names that one. An event that gets another
//! queue, or is reprocessed, is put where a new one would stand: a sequential queue has one partition, and elsewhere the events
//! of a record have. Its runs go with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use campanile_model::{Event, EventState, NewEvent, QueueOrder, SysId};

use super::Spread;
use super::rows::{Taken, put, put_elsewhere};
use super::spread::{Key, turn_of};
use super::statements::{
    BY_KEY, BY_KEY_IN_LOG, CHANGE_QUEUE, CHANGE_TIME, HOLD_KIND, TAKE, TAKE_FROM_LOG,
};
use super::strays::relocate;
use crate::contract::{ActionRecord, EventAction, StoreError};
use crate::postgres::actions::{Again, claimed, conflict, log_action};
use crate::postgres::append::forget_internal_keys;
use crate::postgres::connection::Connection;
use crate::postgres::effects::Effects;
use crate::postgres::events::{Place, key, read_event, text};
use crate::postgres::move_kind::{STEP_EVENTS_MAX, Step};
use crate::postgres::order;
use crate::postgres::text::stored;

/// Does `action` in the transaction of `connection`.
///
/// # Errors
/// [`StoreError::EventUnknown`], [`StoreError::StateConflict`]; then nothing was changed.
pub(in crate::postgres) fn act(
    connection: &Connection,
    action: &EventAction,
    spread: &Spread,
) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    let record = match action {
        EventAction::Reprocess { sys_id, options, now, queue, record } => {
            let how = Again { options: *options, now: *now, queue: queue.as_ref() };
            reprocess(connection, sys_id, (&how, record), spread, &mut effects)?;
            record
        }
        EventAction::RunNow { sys_id, now, record } => {
            let found = waiting(connection, sys_id)?;
            if found.event.fired.process_on > *now {
                reschedule(connection, &found, now.as_millis(), record, &mut effects)?;
            }
            record
        }
        EventAction::Move { sys_id, queue, record } => {
            let Found { partition, event } = waiting(connection, sys_id)?;
            let order = order::present(connection, queue)?;
            let moved = NewEvent { queue: Arc::clone(queue), ..event.fired };
            let to = spread.partition_of(&moved, order);
            let turn = turn_of(order, &moved);
            relocate(connection, (partition, to), &[event.sequence], |taken| {
                taken.event.fired.queue = Arc::clone(queue);
                taken.turn = turn;
                taken.touch(Some(record.at.as_millis()), &record.user);
            })?;
            effects.wake(queue, Some(to), moved.process_on.as_millis());
            record
        }
        EventAction::Reschedule { sys_id, process_on, record } => {
            let found = waiting(connection, sys_id)?;
            // A time in the past means now (§6.4).
            let process_on = (*process_on).max(record.at).as_millis();
            reschedule(connection, &found, process_on, record, &mut effects)?;
            record
        }
        EventAction::Cancel { sys_id, now, record } => {
            // Nothing is left to be withdrawn of an event that has stopped its queue, but the queue goes on.
            if !order::let_go_on(connection, sys_id, &mut effects)? {
                let found = waiting(connection, sys_id)?;
                cancel(connection, &found, now.as_millis(), record)?;
                // Others may have waited for its end.
                let Found { partition, event } = found;
                let due = event.fired.process_on.as_millis();
                effects.wake(&event.fired.queue, Some(partition), due);
            }
            record
        }
    };
    log_action(connection, record)?;
    Ok(effects)
}

/// An event, and where it stands.
struct Found {
    partition: i64,
    event: Event,
}

/// The event in `place`, held. One that was brought to another partition between the two questions is asked for once more.
fn find(
    connection: &Connection,
    place: Place,
    sys_id: &SysId,
) -> Result<Option<Found>, StoreError> {
    let (asks_all, holds) = match place {
        Place::Live => ("SELECT \"partition\" FROM sysevent_live WHERE lower(sys_id) = $1", BY_KEY),
        Place::Log => {
            ("SELECT \"partition\" FROM sysevent_log WHERE lower(sys_id) = $1", BY_KEY_IN_LOG)
        }
    };
    for _ in 0..2 {
        let stands = connection.query(asks_all, &[&key(sys_id)])?;
        for row in &stands {
            let partition: i64 = row.try_get(0)?;
            if let Some(row) = connection.query_first(holds, &[&partition, &key(sys_id)])? {
                return Ok(Some(Found { partition, event: read_event(&row)? }));
            }
        }
        if stands.is_empty() {
            break;
        }
    }
    Ok(None)
}

/// The event, held, if it waits and nobody has claimed it.
fn waiting(connection: &Connection, sys_id: &SysId) -> Result<Found, StoreError> {
    match find(connection, Place::Live, sys_id)? {
        Some(found) if found.event.state == EventState::Queued => {
            return Err(claimed(&found.event));
        }
        Some(found) => return Ok(found),
        None => {}
    }
    match find(connection, Place::Log, sys_id)? {
        Some(Found { event, .. }) => {
            Err(conflict(&event, "only an event that is still waiting can be changed"))
        }
        None => Err(StoreError::EventUnknown(sys_id.to_string())),
    }
}

/// T10. The reason is kept on the event.
fn cancel(
    connection: &Connection,
    Found { partition, event }: &Found,
    now: i64,
    record: &ActionRecord,
) -> Result<(), StoreError> {
    for row in connection.query(TAKE, &[partition, &vec![event.sequence]])? {
        let mut taken = Taken::read(&row)?;
        taken.event.state = EventState::Cancelled;
        taken.event.error_code = Arc::from("cancelled");
        taken.event.error_message = Arc::from(&*record.reason);
        taken.touch(Some(now), &record.user);
        put(connection, Place::Log, *partition, &[taken])?;
    }
    forget_internal_keys(connection, &[event.fired.sys_id])
}

/// T13. The event keeps its order of arrival; being due now, it stands behind those that were due before.
fn reprocess(
    connection: &Connection,
    sys_id: &SysId,
    (how, record): (&Again<'_>, &ActionRecord),
    spread: &Spread,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    let Some(Found { partition, event }) = find(connection, Place::Log, sys_id)? else {
        return match find(connection, Place::Live, sys_id)? {
            None => Err(StoreError::EventUnknown(sys_id.to_string())),
            Some(Found { event, .. }) if event.state == EventState::Queued => Err(claimed(&event)),
            Some(Found { event, .. }) => Err(conflict(&event, "is still waiting")),
        };
    };
    if !event.state.may_become(EventState::Ready) {
        return Err(conflict(&event, "a duplicate of it carries on"));
    }
    let now = how.now.as_millis();
    for row in connection.query(TAKE_FROM_LOG, &[&partition, &vec![event.sequence]])? {
        let mut taken = Taken::read(&row)?;
        let event = &mut taken.event;
        event.state = EventState::Ready;
        if let Some(queue) = how.queue {
            event.fired.queue = Arc::clone(queue);
        }
        event.fired.process_on = how.now;
        event.epoch += 1;
        event.attempts = 0;
        event.lapses = 0;
        event.only_failed = how.options.only_failed;
        event.error_code = Arc::from("");
        event.error_message = Arc::from("");
        let order = order::present(connection, &event.fired.queue)?;
        let to = spread.partition_of(&event.fired, order);
        effects.wake(&event.fired.queue, Some(to), now);
        taken.turn = turn_of(order, &taken.event.fired);
        taken.touch(Some(now), &record.user);
        put_elsewhere(connection, (partition, to), &[taken])?;
    }
    forget_internal_keys(connection, &[*sys_id])?;
    order::let_go_on(connection, sys_id, effects)?;
    Ok(())
}

/// T12.
fn reschedule(
    connection: &Connection,
    Found { partition, event }: &Found,
    process_on: i64,
    record: &ActionRecord,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    connection.execute(
        CHANGE_TIME,
        &[partition, &event.sequence, &process_on, &record.at.as_millis(), &stored(&record.user)],
    )?;
    effects.wake(&event.fired.queue, Some(*partition), process_on);
    Ok(())
}

/// Moves some of the waiting events of a kind to another queue: the first ones of all partitions.
///
/// # Errors
/// What PostgreSQL said.
pub(in crate::postgres) fn move_kind_step(
    connection: &Connection,
    (name, to_queue): (&str, &str),
    after: i64,
    spread: &Spread,
) -> Result<(Step, Effects), StoreError> {
    let order = order::present(connection, to_queue)?;
    let mut found: Vec<OfKind> = Vec::new();
    for partition in spread.all() {
        for row in connection.query(
            HOLD_KIND,
            &[&partition, &stored(name), &stored(to_queue), &after, &STEP_EVENTS_MAX],
        )? {
            let to = match order {
                QueueOrder::Sequential => spread.home_of(to_queue),
                _ => spread.partition_of_key(&Key {
                    instance: &text(&row, 2)?,
                    name,
                    sys_id: row.try_get(3)?,
                    may_be_counted: row.try_get::<_, i64>(4)? > 0,
                }),
            };
            let way = (partition, to);
            found.push(OfKind { sequence: row.try_get(0)?, way, process_on: row.try_get(1)? });
        }
    }
    found.sort_unstable_by_key(|event| event.sequence);
    found.truncate(usize::try_from(STEP_EVENTS_MAX).unwrap_or(usize::MAX));
    let queue: Arc<str> = Arc::from(to_queue);
    let mut effects = Effects::default();
    let mut step = Step::default();
    let mut by_way: BTreeMap<(i64, i64), Vec<i64>> = BTreeMap::new();
    for event in found {
        step.moved += 1;
        step.last = step.last.max(event.sequence);
        effects.wake(&queue, Some(event.way.1), event.process_on);
        by_way.entry(event.way).or_default().push(event.sequence);
    }
    for (way, sequences) in by_way {
        if way.0 == way.1 && order == QueueOrder::Parallel {
            connection.execute(CHANGE_QUEUE, &[&way.0, &sequences, &stored(to_queue)])?;
            continue;
        }
        relocate(connection, way, &sequences, |taken| {
            taken.event.fired.queue = Arc::clone(&queue);
            taken.turn = turn_of(order, &taken.event.fired);
            taken.mod_count += 1;
        })?;
    }
    Ok((step, effects))
}

/// A waiting event of a kind.
struct OfKind {
    sequence: i64,
    /// The partition that it stands in, and that where it is to stand.
    way: (i64, i64),
    process_on: i64,
}
