//! Events of a sequential queue that stand outside its partition: a program that did not know yet that it is sequential has
//! appended them there, or they waited when it became so.
//!
//! Whoever claims brings them home, with the runs of what was tried before, and takes nothing as long as some that are due are
//! left. They keep their numbers: they come when they would have come.

use tokio_postgres::Error;

use super::claims_in_turn::InTurn;
use super::rows::{Taken, put_elsewhere};
use super::statements::{HOLD_DUE, TAKE};
use super::turns::{Ended, Turn};
use crate::contract::StoreError;
use crate::postgres::claims::HELD_BY_OTHERS_MS;
use crate::postgres::connection::Connection;
use crate::postgres::text::stored;

/// Most of them in one transaction: everybody else waits for the claim meanwhile.
const STRAYS_MAX: usize = 500;

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

/// Brings what is due in these partitions to `home`.
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
    for turn in elsewhere {
        let look = claim.look(turn.partition);
        let mut due = look.first_due()?;
        if due.is_some_and(|due| due <= claim.now()) {
            let sequences = hold(claim, turn.partition, room)?;
            room -= sequences.len();
            relocate(claim.connection, (turn.partition, home), &sequences, |taken| {
                taken.turn = Some(0);
            })?;
            due = look.first_due()?;
            brought = Brought::All;
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

/// Due events of the queue in `partition`, held, in its order and up to `limit`; not those that somebody else holds.
fn hold(claim: &InTurn<'_>, partition: i64, limit: usize) -> Result<Vec<i64>, Error> {
    let look = claim.look(partition);
    let (queue, now) = (stored(claim.request.queue), claim.now());
    let mut held = Vec::new();
    let mut behind = f64::NEG_INFINITY;
    while held.len() < limit {
        let Some(lane) = look.lane_behind(behind)? else { break };
        behind = lane.priority;
        let wanted = i64::try_from(limit - held.len()).unwrap_or(i64::MAX);
        let rows = claim
            .connection
            .query(HOLD_DUE, &[&partition, &queue, &lane.priority, &now, &wanted])?;
        for row in rows {
            held.push(row.try_get(0)?);
        }
    }
    Ok(held)
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
