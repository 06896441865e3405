//! Events of a sequential queue that stand outside its partition: a program that did not know yet that it is sequential has
//! appended them there, or they waited when it became so.
//!
//! Whoever claims brings them home, with the runs of what was tried before, and takes nothing as long as some that are due are
//! left. They keep their numbers: they come when they would have come.
//!
//! One whose `sys_id` another event has there cannot come: it would stop the queue for good. It stays where it is, unhandled, and
//! the queue goes on without it; the log tells that once, and administrators are told (`left_behind`) until they
//! have decided what is to become of it.

use std::collections::HashSet;

use parking_lot::Mutex;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::claims_in_turn::InTurn;
use super::looks::{Lane, Look, read_lane};
use super::rows::{Taken, put_elsewhere};
use super::statements::{FIRST_BUT, HOLD_STRAYS, NEXT_LANE, STAND, STAND_IN_LOG, TAKE};
use super::turns::{Ended, Turn};
use crate::contract::StoreError;
use crate::postgres::claims::HELD_BY_OTHERS_MS;
use crate::postgres::connection::Connection;
use crate::postgres::events::{key, sys_id};
use crate::postgres::text::stored;

/// Most of them in one transaction: everybody else waits for the claim meanwhile. As many are asked for at once.
const STRAYS_MAX: usize = 500;

/// Most that cannot come from one partition before the queue waits for an administrator after all: each look steps over them.
const LEFT_MAX: usize = 1_000;

/// Most of which this program remembers that it has told.
const TOLD_MAX: usize = 10_000;

/// What was brought home of what is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    /// There was nothing.
    Nothing,
    /// All.
    All,
    /// As many as one transaction may.
    Some,
    /// Not what belongs to another transaction for a moment.
    Held,
}

/// Those of which this program has told that they cannot come.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashSet<i64>>);

impl Told {
    fn is_news(&self, sequence: i64) -> bool {
        let mut told = self.0.lock();
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        told.insert(sequence)
    }
}

/// Brings what is due in these partitions, and can come, to `home`.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn bring_home(
    claim: &InTurn<'_>,
    home: i64,
    elsewhere: &[Turn],
) -> Result<Brought, StoreError> {
    let mut brought = Brought::Nothing;
    let mut room = STRAYS_MAX;
    for (turn, lane) in elsewhere.iter().zip(first_lanes(claim, elsewhere)?) {
        let look = claim.look(turn.partition);
        let mut due = look.first_due_from(lane)?;
        if due.is_some_and(|due| due <= claim.now()) {
            let Strays { to_bring, left } = hold(claim, (turn.partition, home), room)?;
            room -= to_bring.len();
            relocate(claim.connection, (turn.partition, home), &to_bring, |taken| {
                taken.turn = Some(0);
            })?;
            due = first_due_but(&look, &left)?;
            if !to_bring.is_empty() {
                brought = Brought::All;
            }
        }
        if due.is_some_and(|due| due <= claim.now()) {
            if room == 0 {
                return Ok(Brought::Some);
            }
            claim.seen(*turn, Ended::Held(claim.now() + HELD_BY_OTHERS_MS));
            return Ok(Brought::Held);
        }
        claim.seen(*turn, Ended::Unserved(due));
    }
    Ok(brought)
}

/// The first priority that has waiting events in each of these partitions, in one round trip.
fn first_lanes(claim: &InTurn<'_>, turns: &[Turn]) -> Result<Vec<Option<Lane>>, Error> {
    if turns.is_empty() {
        return Ok(Vec::new());
    }
    let queue = stored(claim.request.queue);
    let values: Vec<Vec<&(dyn ToSql + Sync)>> = turns
        .iter()
        .map(|turn| -> Vec<&(dyn ToSql + Sync)> {
            vec![&turn.partition, &queue, &f64::NEG_INFINITY]
        })
        .collect();
    let lanes = claim.connection.query_each(NEXT_LANE, &values)?;
    lanes.iter().map(|rows| read_lane(rows)).collect()
}

/// What is due of the queue in one partition, held; without what somebody else holds.
#[derive(Default)]
struct Strays {
    /// In the order of the queue.
    to_bring: Vec<i64>,
    /// What cannot come.
    left: Vec<i64>,
}

/// Up to `room` that can come from a partition to `home`, and those that cannot among them.
fn hold(
    claim: &InTurn<'_>,
    (partition, home): (i64, i64),
    room: usize,
) -> Result<Strays, StoreError> {
    let look = claim.look(partition);
    let mut strays = Strays::default();
    let mut behind = f64::NEG_INFINITY;
    while strays.to_bring.len() < room && strays.left.len() < LEFT_MAX {
        let Some(lane) = look.lane_behind(behind)? else { break };
        behind = lane.priority;
        hold_lane(claim, (partition, home), lane, room, &mut strays)?;
    }
    Ok(strays)
}

/// The same of one priority.
fn hold_lane(
    claim: &InTurn<'_>,
    (partition, home): (i64, i64),
    lane: Lane,
    room: usize,
    strays: &mut Strays,
) -> Result<(), StoreError> {
    let (queue, now) = (stored(claim.request.queue), claim.now());
    let wanted = i64::try_from(STRAYS_MAX).unwrap_or(i64::MAX);
    let mut behind = (i64::MIN, i64::MIN);
    loop {
        let rows = claim.connection.query(
            HOLD_STRAYS,
            &[&partition, &queue, &lane.priority, &now, &behind.0, &behind.1, &wanted],
        )?;
        let there = that_stand(claim.connection, home, &rows)?;
        for row in &rows {
            let (sequence, process_on): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            behind = (process_on, sequence);
            let event = sys_id(row, 2)?;
            if !there.contains(&key(&event)) {
                strays.to_bring.push(sequence);
            } else {
                strays.left.push(sequence);
                if claim.spread.told_strays().is_news(sequence) {
                    tracing::warn!(
                        event.id = %event, queue.name = claim.request.queue, partition, home,
                        "an event of a sequential queue is not handled: where the queue stands another event has the same sys_id"
                    );
                }
            }
            if strays.to_bring.len() >= room || strays.left.len() >= LEFT_MAX {
                return Ok(());
            }
        }
        if rows.len() < STRAYS_MAX {
            return Ok(());
        }
    }
}

/// The keys of those of [`HOLD_STRAYS`] that other events have in partition `home`, waiting or done.
fn that_stand(
    connection: &Connection,
    home: i64,
    rows: &[Row],
) -> Result<HashSet<String>, StoreError> {
    let keys = rows
        .iter()
        .map(|row| Ok(key(&sys_id(row, 2)?)))
        .collect::<Result<Vec<String>, StoreError>>()?;
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let (live, log) =
        connection.query_both_within((STAND, &[&home, &keys]), (STAND_IN_LOG, &[&home, &keys]))?;
    live.iter().chain(&log).map(|row| Ok(row.try_get(0)?)).collect()
}

/// When the first waiting event but these is due; of those that are due, not necessarily the first.
fn first_due_but(look: &Look<'_>, left: &Vec<i64>) -> Result<Option<i64>, Error> {
    if left.is_empty() {
        return look.first_due();
    }
    let (queue, now) = (stored(look.request.queue), look.request.now.as_millis());
    let mut earliest: Option<i64> = None;
    let mut behind = f64::NEG_INFINITY;
    while earliest.is_none_or(|earliest| earliest > now)
        && let Some(lane) = look.lane_behind(behind)?
    {
        behind = lane.priority;
        let first = look
            .connection
            .query_first(FIRST_BUT, &[&look.partition, &queue, &lane.priority, left])?;
        let first: Option<i64> = first.map(|row| row.try_get(0)).transpose()?;
        earliest = earliest.into_iter().chain(first).min();
    }
    Ok(earliest)
}

/// Puts waiting events of partition `from` into partition `to`, changed by `change`.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn relocate(
    connection: &Connection,
    (from, to): (i64, i64),
    sequences: &[i64],
    change: impl Fn(&mut Taken),
) -> Result<(), StoreError> {
    if sequences.is_empty() {
        return Ok(());
    }
    let mut taken = Vec::with_capacity(sequences.len());
    for row in connection.query(TAKE, &[&from, &sequences])? {
        let mut one = Taken::read(&row)?;
        change(&mut one);
        taken.push(one);
    }
    put_elsewhere(connection, (from, to), &taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_that_cannot_come_is_told_once() {
        let told = Told::default();
        assert_eq!(
            [1, 2, 1, 2, 3].map(|sequence| told.is_news(sequence)),
            [true, true, false, false, true]
        );
    }
}
