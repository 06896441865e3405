//! What a claim of a sequential queue gets. All its events stand in one partition, the queue's home.
//!
//! As `campanile_pick_sequential`: nothing while an event is being handled or waits for its next attempt, else the first due ones
//! in the queue's order. What stands elsewhere is brought home first ([`strays`]).

use std::iter::Peekable;
use std::vec::IntoIter;

use campanile_model::QueueOrder;
use tokio_postgres::{Error, Row};

use super::claims_in_turn::{InTurn, Step};
use super::looks::{Lane, Look};
use super::rule::{Rule, rule_behind};
use super::statements::{BEGUN, CLAIM_IN_TURN, HOLD_THESE};
use super::strays::{self, Brought};
use super::turns::{Ended, Turn};
use crate::contract::StoreError;
use crate::postgres::claims::HELD_BY_OTHERS_MS;
use crate::postgres::connection::Asked;
use crate::postgres::text::stored;

/// Brings home what is due elsewhere, and takes what can be had once nothing is. While the order is new it is looked for in all
/// partitions, whatever this program knows of them: it may not have heard yet of what one that does not know of it appended.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn step(
    claim: &InTurn<'_>,
    to_look_at: &mut Peekable<IntoIter<Turn>>,
    is_new: bool,
) -> Result<Step, StoreError> {
    if !claim.hold_claims(None)? {
        return Ok(claim.held());
    }
    let home = claim.spread.home_of(claim.request.queue);
    let (at_home, mut elsewhere): (Vec<Turn>, Vec<Turn>) =
        to_look_at.by_ref().partition(|turn| turn.partition == home);
    if is_new {
        let others = claim.spread.all().filter(|partition| *partition != home);
        let turns = claim.spread.turns();
        elsewhere = others.map(|partition| turns.turn(claim.request.queue, partition)).collect();
    }
    match strays::bring_home(claim, home, &elsewhere)? {
        Brought::Nothing if at_home.is_empty() => return Ok(Step::GoOn),
        Brought::Nothing | Brought::All => {}
        Brought::Some => {
            claim.came_to(home);
            return Ok(Step::Stop(Some(claim.now())));
        }
        Brought::Held => {
            claim.came_to(home);
            return Ok(claim.held());
        }
    }
    let turn = claim.spread.turns().turn(claim.request.queue, home);
    let look = claim.look(home);
    let (queue, now) = (stored(claim.request.queue), claim.now());
    let (first, begun) = look.first_lane_and((BEGUN, &[&home, &queue]))?;
    let due = look.first_due_from(first)?;
    if due.is_none_or(|due| due > claim.now()) {
        claim.seen(turn, Ended::Unserved(due));
        return Ok(Step::GoOn);
    }
    let wanted = pick(&look, first, &begun)?;
    if wanted.is_empty() {
        claim.seen(turn, claim.ended(home)?);
        return Ok(Step::GoOn);
    }
    let (held, rule) = rule_behind(
        claim.connection,
        claim.request.queue,
        (HOLD_THESE, &[&home, &wanted, &queue, &now]),
    )?;
    // An event that ended in error after the look above is not among what was picked, and has stopped the queue.
    if rule != Rule::Is(QueueOrder::Sequential) {
        return Ok(Step::Stop(None));
    }
    let held = held.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    // Up to the first that somebody else is about to change: what follows it must wait.
    let picked: Vec<i64> =
        wanted.into_iter().take_while(|sequence| held.contains(sequence)).collect();
    if picked.is_empty() {
        claim.seen(turn, Ended::Held(now + HELD_BY_OTHERS_MS));
        return Ok(Step::GoOn);
    }
    let by = stored(claim.request.claimed_by);
    let take: Asked<'_> = (CLAIM_IN_TURN, &[&home, &picked, &by, &claim.token, &0_i64]);
    let (rows, ended) = claim.take(home, take)?;
    Ok(Step::Took { turn, rows, ended })
}

/// The events that can be had together, in the order of the queue: `first` is its first priority, `begun` what was begun in it.
fn pick(look: &Look<'_>, first: Option<Lane>, begun: &[Row]) -> Result<Vec<i64>, Error> {
    let Some(begun) = begun.first() else { return look.first_due_events(first) };
    let (state, process_on): (&str, i64) = (begun.try_get(1)?, begun.try_get(2)?);
    if state == "queued" || process_on > look.request.now.as_millis() {
        return Ok(Vec::new());
    }
    Ok(vec![begun.try_get(0)?])
}
