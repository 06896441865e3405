//! Taking over from programs whose lease has lapsed (§2.2, T7 and T8).
//!
//! Differs because the dead one was another program: its row says what it was handling. If it died before it could write
//! that down, the first event of each of its processors is taken for the one.

use std::collections::HashSet;
use std::time::Duration;

use campanile_model::limits::EVENT_LAPSES_MAX;
use campanile_model::{Event, SysId};

use super::append::forget_internal_keys;
use super::connection::Connection;
use super::distributed::{self, Spread};
use super::effects::Effects;
use super::events::{COLUMNS, read_event};
use super::nodes::COMPLETING;
use super::order;
use super::plans::BEGIN_BY_INDEX;
use crate::contract::StoreError;

/// Code of §5.5 for an event whose handling ended with its process three times.
pub(super) const PROCESSOR_LOST: &str = "processor_lost";

/// How long the row of a program that is gone is kept, for whoever comes back and asks.
const GONE_KEPT: &str = "1 day";

/// What taking over came to.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Wakes; to be carried out.
    pub(super) effects: Effects,
    /// Events whose handling had ended with their program.
    pub(super) lapses: u64,
}

/// Declares programs dead whose lease has lapsed, and takes their events over, in one transaction; `spread` in distributed
/// mode. Waits no longer than `patience` for a table that somebody else has locked: whoever looks has a lease of its own to
/// keep.
///
/// # Errors
/// What PostgreSQL said; then nothing was done.
pub(super) fn take_over(
    connection: &Connection,
    spread: Option<&Spread>,
    patience: Duration,
) -> Result<Taken, StoreError> {
    let patience = patience.as_millis().max(1);
    connection.batch(&format!("{BEGIN_BY_INDEX}; SET LOCAL lock_timeout = {patience}"))?;
    let taken = take_over_in_transaction(connection, spread);
    connection.batch(if taken.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    taken
}

fn take_over_in_transaction(
    connection: &Connection,
    spread: Option<&Spread>,
) -> Result<Taken, StoreError> {
    let lapsed = connection.query(
        "UPDATE campanile_node SET gone_at = clock_timestamp() WHERE token = ANY (ARRAY ( \
         SELECT token FROM campanile_node WHERE gone_at IS NULL \
         AND beat_at + lease_ms * interval '1 millisecond' < clock_timestamp() FOR UPDATE SKIP LOCKED)) \
         RETURNING token, name",
        &[],
    )?;
    for row in &lapsed {
        let (token, name): (i64, &str) = (row.try_get(0)?, row.try_get(1)?);
        tracing::warn!(token, name, "the lease of a program has lapsed; its events are taken over");
    }
    if let Some(spread) = spread {
        return distributed::lapses::take_over_events(connection, spread);
    }
    // Of all who are gone, not only of these: a claim may have been on its way while its lease lapsed.
    let rows = connection.query(
        &format!(
            "SELECT {COLUMNS}, claimed_by, claim_token FROM sysevent_live WHERE claim_token = ANY (ARRAY ( \
             SELECT token FROM campanile_node WHERE gone_at IS NOT NULL)) \
             ORDER BY derived_priority, process_on, sequence FOR UPDATE SKIP LOCKED"
        ),
        &[],
    )?;
    let mut held: Vec<(i64, Event)> = Vec::with_capacity(rows.len());
    for row in &rows {
        held.push((row.try_get(39)?, read_event(row)?));
    }
    if held.is_empty() {
        forget_the_gone(connection)?;
        return Ok(Taken::default());
    }
    let mut effects = Effects::default();
    let begun = begun(connection, &held)?;
    let sorted = Sorted::of(&held, &begun);
    // Also for one that is lost: others may have waited for its end.
    for (_, event) in &held {
        effects.wake(&event.fired.queue, None, event.fired.process_on.as_millis());
    }
    release(connection, &sorted.others, 0)?;
    release(connection, &sorted.counted, 1)?;
    give_up(connection, &sorted.lost)?;
    Ok(sorted.taken(effects))
}

/// Events of programs that are gone, by what becomes of them.
pub(super) struct Sorted {
    /// Nobody had begun to handle them.
    pub(super) others: Vec<i64>,
    /// A lapse is counted.
    pub(super) counted: Vec<i64>,
    /// The last lapse that they may have.
    pub(super) lost: Vec<(i64, SysId)>,
}

impl Sorted {
    /// `begun` are the sequences of those that were being handled.
    pub(super) fn of(held: &[(i64, Event)], begun: &HashSet<i64>) -> Self {
        let mut sorted = Self { others: Vec::new(), counted: Vec::new(), lost: Vec::new() };
        for (_, event) in held {
            if !begun.contains(&event.sequence) {
                sorted.others.push(event.sequence);
            } else if event.lapses + 1 < EVENT_LAPSES_MAX {
                sorted.counted.push(event.sequence);
            } else {
                sorted.lost.push((event.sequence, event.fired.sys_id));
            }
        }
        sorted
    }

    /// What it came to, told in the log.
    pub(super) fn taken(&self, effects: Effects) -> Taken {
        let lapses = self.counted.len() + self.lost.len();
        tracing::warn!(
            events = self.others.len(),
            lapses,
            given_up = self.lost.len(),
            "took over the events of programs that are gone"
        );
        Taken { effects, lapses: lapses as u64 }
    }
}

/// The events that were being handled.
fn begun(connection: &Connection, held: &[(i64, Event)]) -> Result<HashSet<i64>, StoreError> {
    let (mut begun, told) = told(connection, held)?;
    // Recorded runs prove it too.
    let sequences: Vec<i64> = held.iter().map(|(_, event)| event.sequence).collect();
    for row in connection.query(
        "SELECT live.sequence FROM sysevent_live AS live WHERE live.sequence = ANY ($1) AND EXISTS ( \
         SELECT FROM sysevent_run AS run WHERE lower(run.event) = lower(live.sys_id) \
         AND run.epoch = live.epoch AND run.attempt = live.attempts + 1)",
        &[&sequences],
    )? {
        begun.insert(row.try_get(0)?);
    }
    begun.extend(first_of_each(held, &told));
    Ok(begun)
}

/// The events that programs told that they handled, and the tokens of those programs.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn told(
    connection: &Connection,
    held: &[(i64, Event)],
) -> Result<(HashSet<i64>, HashSet<i64>), StoreError> {
    let tokens: HashSet<i64> = held.iter().map(|(token, _)| *token).collect();
    let tokens: Vec<i64> = tokens.into_iter().collect();
    let mut begun = HashSet::new();
    let mut told = HashSet::new();
    let is_held: HashSet<(i64, i64)> =
        held.iter().map(|(token, event)| (*token, event.sequence)).collect();
    for row in connection.query(
        "SELECT token, handling FROM campanile_node_writer WHERE token = ANY ($1) AND writer = $2",
        &[&tokens, &COMPLETING],
    )? {
        let token: i64 = row.try_get(0)?;
        for sequence in row.try_get::<_, Vec<i64>>(1)? {
            if is_held.contains(&(token, sequence)) {
                begun.insert(sequence);
                told.insert(token);
            }
        }
    }
    Ok((begun, told))
}

/// Of programs that died before they told anything, the first event of each processor: it handles its claims in their order.
pub(super) fn first_of_each<'a>(
    held: &'a [(i64, Event)],
    told: &'a HashSet<i64>,
) -> impl Iterator<Item = i64> + 'a {
    let mut seen = HashSet::new();
    held.iter()
        .filter(move |(token, event)| {
            !told.contains(token) && seen.insert((*token, event.claimed_by.clone()))
        })
        .map(|(_, event)| event.sequence)
}

fn release(connection: &Connection, sequences: &[i64], lapses: i64) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE sysevent_live SET state = 'ready', claimed_by = NULL, claim_token = NULL, lapses = lapses + $2, \
         sys_mod_count = sys_mod_count + $2 WHERE sequence = ANY ($1)",
        &[&sequences, &lapses],
    )?;
    Ok(())
}

/// T8.
fn give_up(connection: &Connection, lost: &[(i64, SysId)]) -> Result<(), StoreError> {
    let columns = COLUMNS
        .replace(" state,", " 'error',")
        .replace(" lapses,", " lapses + 1,")
        .replace(" error_code, error_message", " $2::text, $3::text");
    let message = lost_in_words();
    let sequences: Vec<i64> = lost.iter().map(|(sequence, _)| *sequence).collect();
    connection.execute(
        &format!(
            "WITH gone AS (DELETE FROM sysevent_live WHERE sequence = ANY ($1) RETURNING *) \
             INSERT INTO sysevent_log ({COLUMNS}, sys_updated_on, sys_updated_by, sys_mod_count) \
             SELECT {columns}, sys_updated_on, 'system', sys_mod_count + 1 FROM gone"
        ),
        &[&sequences, &PROCESSOR_LOST, &message],
    )?;
    order::halt(connection, &sequences)?;
    let causes: Vec<SysId> = lost.iter().map(|(_, sys_id)| *sys_id).collect();
    forget_internal_keys(connection, &causes)
}

/// Why an event was given up.
pub(super) fn lost_in_words() -> String {
    format!("the process ended {EVENT_LAPSES_MAX} times while this event was being handled")
}

/// Forgets programs that are gone for long.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn forget_the_gone(connection: &Connection) -> Result<(), StoreError> {
    connection.execute(
        &format!(
            "DELETE FROM campanile_node WHERE gone_at < clock_timestamp() - interval '{GONE_KEPT}'"
        ),
        &[],
    )?;
    Ok(())
}
