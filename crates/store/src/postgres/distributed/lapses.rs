//! Taking over from programs whose lease has lapsed, partition by partition.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use campanile_model::{Event, EventState, SysId};

use super::Spread;
use super::rows::{self, put};
use super::statements::{ATTEMPTS_RECORDED, HOLD_LAPSED, LAPSE, TAKE};
use crate::contract::StoreError;
use crate::postgres::append::forget_internal_keys;
use crate::postgres::connection::Connection;
use crate::postgres::effects::Effects;
use crate::postgres::events::{Place, key, read_event};
use crate::postgres::lapses::{
    PROCESSOR_LOST, Sorted, Taken, first_of_each, forget_the_gone, lost_in_words, told,
};
use crate::postgres::order::{self, Failed};

/// Place of the token behind the event and `claimed_by`.
const TOKEN: usize = 39;

/// Takes over the events of all programs that are gone, in the transaction of `connection`.
///
/// # Errors
/// What PostgreSQL said; then the caller rolls back.
pub(in crate::postgres) fn take_over_events(
    connection: &Connection,
    spread: &Spread,
) -> Result<Taken, StoreError> {
    let gone = connection
        .query("SELECT token FROM campanile_node WHERE gone_at IS NOT NULL", &[])?
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<Vec<i64>, _>>()?;
    if gone.is_empty() {
        return Ok(Taken::default());
    }
    // Each partition apart: what a processor had begun is told for all of them, so that comes first.
    let mut held_in = Vec::new();
    let mut all: Vec<(i64, Event)> = Vec::new();
    for partition in spread.all() {
        let mut held: Vec<(i64, Event)> = Vec::new();
        for row in connection.query(HOLD_LAPSED, &[&partition, &gone])? {
            held.push((row.try_get(TOKEN)?, read_event(&row)?));
        }
        if !held.is_empty() {
            all.extend(held.iter().cloned());
            held_in.push((partition, held));
        }
    }
    if all.is_empty() {
        forget_the_gone(connection)?;
        return Ok(Taken::default());
    }
    let (mut begun, told) = told(connection, &all)?;
    for (partition, held) in &held_in {
        begun.extend(recorded(connection, *partition, held)?);
    }
    // One for each processor, wherever its events stand: what it had handled before may not have been written yet.
    all.sort_by(|(_, l), (_, r)| in_order(l, r));
    begun.extend(first_of_each(&all, &told));
    let mut effects = Effects::default();
    let mut failed = Vec::new();
    for (partition, held) in &held_in {
        let sorted = Sorted::of(held, &begun);
        // Also for one that is lost: others may have waited for its end.
        for (_, event) in held {
            let due = event.fired.process_on.as_millis();
            effects.wake(&event.fired.queue, Some(*partition), due);
        }
        release(connection, *partition, &sorted.others, 0)?;
        release(connection, *partition, &sorted.counted, 1)?;
        failed.extend(give_up(connection, *partition, &sorted.lost)?);
    }
    order::halt_by(connection, failed)?;
    Ok(Sorted::of(&all, &begun).taken(effects))
}

/// The order of a queue.
fn in_order(l: &Event, r: &Event) -> Ordering {
    let priority = l.fired.priority.total_cmp(&r.fired.priority);
    priority.then(l.fired.process_on.cmp(&r.fired.process_on)).then(l.sequence.cmp(&r.sequence))
}

/// Events of which a run of the present attempt is recorded: they were being handled.
fn recorded(
    connection: &Connection,
    partition: i64,
    held: &[(i64, Event)],
) -> Result<Vec<i64>, StoreError> {
    let keys: Vec<String> = held.iter().map(|(_, event)| key(&event.fired.sys_id)).collect();
    let mut attempts = HashSet::new();
    for row in connection.query(ATTEMPTS_RECORDED, &[&partition, &keys])? {
        let attempt: (String, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        attempts.insert(attempt);
    }
    let is_recorded = |event: &Event| {
        attempts.contains(&(key(&event.fired.sys_id), event.epoch, event.attempts + 1))
    };
    Ok(held.iter().filter(|(_, e)| is_recorded(e)).map(|(_, event)| event.sequence).collect())
}

fn release(
    connection: &Connection,
    partition: i64,
    sequences: &[i64],
    lapses: i64,
) -> Result<(), StoreError> {
    if !sequences.is_empty() {
        connection.execute(LAPSE, &[&partition, &sequences, &lapses])?;
    }
    Ok(())
}

/// T8. Returns what may stop its queue.
fn give_up(
    connection: &Connection,
    partition: i64,
    lost: &[(i64, SysId)],
) -> Result<Vec<Failed>, StoreError> {
    if lost.is_empty() {
        return Ok(Vec::new());
    }
    let sequences: Vec<i64> = lost.iter().map(|(sequence, _)| *sequence).collect();
    let mut gone = Vec::new();
    let mut failed = Vec::new();
    for row in connection.query(TAKE, &[&partition, &sequences])? {
        let mut taken = rows::Taken::read(&row)?;
        taken.event.state = EventState::Error;
        taken.event.lapses += 1;
        taken.event.error_code = Arc::from(PROCESSOR_LOST);
        taken.event.error_message = Arc::from(lost_in_words());
        taken.touch(taken.updated_on, "system");
        let Event { fired, .. } = &taken.event;
        let at = taken.updated_on.unwrap_or(fired.process_on.as_millis());
        failed.push(Failed { queue: Arc::clone(&fired.queue), event: fired.sys_id, at });
        gone.push(taken);
    }
    put(connection, Place::Log, partition, &gone)?;
    let causes: Vec<SysId> = lost.iter().map(|(_, sys_id)| *sys_id).collect();
    forget_internal_keys(connection, &causes)?;
    Ok(failed)
}
