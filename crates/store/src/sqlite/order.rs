//! What queues promise of the order of their events, as it is stored: the rules, and the queues that an error has stopped.

use std::sync::Arc;

use campanile_model::{Event, Instant, QueueOrder, SysId};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row};

use super::claims::Claims;
use super::effects::{Effect, EventEffects};
use super::event_store::Events;
use super::events::sys_id;
use super::turns::{Arrival, record_of};
use super::window::{Position, Priority};
use super::writer::Writer;
use crate::contract::{Halt, QueueRule, StoreError};

/// See [`crate::WriteTx::set_queue_order`].
///
/// # Errors
/// What SQLite said.
pub(super) fn set(
    connection: &Connection,
    queue: &str,
    rule: Option<QueueRule>,
    effects: &mut EventEffects,
) -> Result<(), StoreError> {
    let rule = rule.filter(|rule| rule.order != QueueOrder::Parallel);
    match rule {
        Some(rule) => {
            let kind = rule.order.as_str();
            connection
                .prepare_cached(
                    "INSERT INTO sysevent_queue_order (queue, kind, halts) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (queue) DO UPDATE SET kind = excluded.kind, halts = excluded.halts",
                )?
                .execute((queue, kind, rule.halts))?;
            connection.execute(
                "UPDATE campanile_migration SET stops_older = 1 WHERE name = 'queue_order' AND NOT stops_older",
                [],
            )?;
        }
        None => {
            connection
                .prepare_cached("DELETE FROM sysevent_queue_order WHERE queue = ?1")?
                .execute([queue])?;
        }
    }
    effects.note(Effect::OrderSet(Arc::from(queue), rule));
    Ok(())
}

/// Tells `claims` what is stored, at the opening.
///
/// # Errors
/// What SQLite said.
pub(super) fn discover(connection: &Connection, claims: &Claims) -> Result<(), StoreError> {
    let mut rules = connection
        .prepare("SELECT queue, kind, halts, halted_at IS NOT NULL FROM sysevent_queue_order")?;
    let mut rows = rules.query([])?;
    while let Some(row) = rows.next()? {
        let queue: Arc<str> = row.get(0)?;
        let order = QueueOrder::from_word(&row.get::<_, String>(1)?);
        let rule = QueueRule { order, halts: row.get(2)? };
        let begun = arrivals(connection, &queue, "AND (attempts > 0 OR lapses > 0)")?;
        claims.discover_order(queue, (rule, row.get(3)?), &begun);
    }
    Ok(())
}

/// Reads what waits in a queue with order by record. In the writer: there nothing is committed and not carried out.
///
/// # Errors
/// What SQLite said.
pub(super) fn read_records(
    events: &Arc<Events>,
    writer: &Writer,
    queue: &str,
) -> Result<(), StoreError> {
    let (claims, queue) = (Arc::clone(&events.claims), Arc::<str>::from(queue));
    writer.run_and_wait(
        move |connection| {
            let mut effects = EventEffects::new(&claims);
            let arrivals = arrivals(connection, &queue, "")?;
            effects.note(Effect::RecordsRead(Arc::clone(&queue), arrivals));
            Ok(Mutex::new(Some(effects)))
        },
        |effects, _| {
            if let Some(effects) = effects.lock().take() {
                effects.carry_out();
            }
        },
    )?;
    Ok(())
}

/// What stands in the live table for a queue, as far as `condition` says.
fn arrivals(
    connection: &Connection,
    queue: &str,
    condition: &str,
) -> Result<Vec<Arrival>, StoreError> {
    let mut statement = connection.prepare(&format!(
        "SELECT sequence, process_on, derived_priority, attempts > 0 OR lapses > 0, \"table\", instance, sys_id \
         FROM sysevent_live WHERE queue = ?1 {condition}"
    ))?;
    let arrival = |row: &Row<'_>| {
        let (table, instance): (Option<String>, Option<String>) = (row.get(4)?, row.get(5)?);
        let key: String = row.get(6)?;
        Ok(Arrival {
            record: record_of(&table.unwrap_or_default(), &instance.unwrap_or_default(), &key),
            priority: Priority(row.get(2)?),
            at: Position { process_on: row.get(1)?, sequence: row.get(0)? },
            begun: row.get(3)?,
        })
    };
    let found = statement.query_map([queue], arrival)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// Stops a queue because of an event that ended in error, in the transaction of its completion.
///
/// # Errors
/// What SQLite said.
pub(super) fn halt(
    connection: &Connection,
    queue: &Arc<str>,
    (event, at): (&SysId, Instant),
    effects: &mut EventEffects,
) -> Result<(), StoreError> {
    if write_halt(connection, queue, event, at)? {
        effects.note(Effect::Halted(Arc::clone(queue), true));
    }
    Ok(())
}

/// The same for an event that ended with its process, before anybody knows of the queues.
///
/// # Errors
/// What SQLite said.
pub(super) fn halt_at_opening(connection: &Connection, event: &Event) -> Result<(), StoreError> {
    write_halt(connection, &event.fired.queue, &event.fired.sys_id, event.fired.process_on)?;
    Ok(())
}

fn write_halt(
    connection: &Connection,
    queue: &str,
    event: &SysId,
    at: Instant,
) -> Result<bool, StoreError> {
    let changed = connection
        .prepare_cached(
            "UPDATE sysevent_queue_order SET halted_event = ?2, halted_at = ?3 \
             WHERE queue = ?1 AND kind = 'sequential' AND halts AND halted_at IS NULL",
        )?
        .execute((queue, event.as_str(), at.as_millis()))?;
    Ok(changed > 0)
}

/// Lets the queue go on that this event has stopped. Returns whether there was one.
///
/// # Errors
/// What SQLite said.
pub(super) fn let_go_on(
    connection: &Connection,
    event: &SysId,
    effects: &mut EventEffects,
) -> Result<bool, StoreError> {
    let stopped: Option<Arc<str>> = connection
        .prepare_cached("SELECT queue FROM sysevent_queue_order WHERE halted_event = ?1")?
        .query_row([event.as_str()], |row| row.get(0))
        .optional()?;
    stopped.map_or(Ok(false), |queue| resume(connection, &queue, effects))
}

/// Lets a stopped queue go on. Returns whether it was stopped.
///
/// # Errors
/// What SQLite said.
pub(super) fn resume(
    connection: &Connection,
    queue: &Arc<str>,
    effects: &mut EventEffects,
) -> Result<bool, StoreError> {
    let changed = connection
        .prepare_cached(
            "UPDATE sysevent_queue_order SET halted_event = NULL, halted_at = NULL \
             WHERE queue = ?1 AND halted_at IS NOT NULL",
        )?
        .execute([&**queue])?;
    if changed > 0 {
        effects.note(Effect::Halted(Arc::clone(queue), false));
    }
    Ok(changed > 0)
}

/// See [`crate::EventStore::halts`].
///
/// # Errors
/// What SQLite said.
pub(super) fn halts(connection: &Connection) -> Result<Vec<Halt>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT queue, halted_event, halted_at FROM sysevent_queue_order WHERE halted_at IS NOT NULL ORDER BY queue",
    )?;
    let halt = |row: &Row<'_>| {
        let at = Instant::from_millis(row.get(2)?);
        Ok(Halt { queue: row.get(0)?, event: sys_id(row, 1)?, at })
    };
    let found = statement.query_map([], halt)?.collect::<Result<_, _>>()?;
    Ok(found)
}
