//! Claims: taking due events.
//!
//! Differs because claims are rows of the database, and what waits is read there: other nodes claim from the same
//! queues. What this node has claimed also stands in memory (`held`).

use std::time::Instant as Monotonic;

use campanile_model::{Event, Instant};
use tokio_postgres::Row;

use super::births::First;
use super::connection::Connection;
use super::distributed;
use super::events::{COLUMNS, read_event};
use super::held::Claims;
use super::unanswered::give_back_unknown;
use crate::contract::{Claim, ClaimRequest, StoreError};

/// When the first waiting event of each lane of the queue `$1` is due, from the floors `$3` of the lanes `$2` on.
const DUES: &str = "SELECT lane, due FROM campanile_dues_from($1, $2, $3)";

/// Nobody waits for the disk: a claim that a crash of the server undoes leaves the event waiting, and what is handled under it is
/// refused at its end.
pub(super) const UNSYNCED: &str = "SET LOCAL synchronous_commit = off";

/// What is due and was not there to be claimed belongs to a transaction in progress: look again this much later.
pub(super) const HELD_BY_OTHERS_MS: i64 = 50;

/// Claims due events for the node with `token`, in one transaction of its own.
///
/// # Errors
/// The client's error, so that a lapsed lease is told from others.
pub(super) fn claim(
    connection: &Connection,
    claims: &Claims,
    request: &ClaimRequest<'_>,
    token: i64,
) -> Result<Result<Claim, StoreError>, tokio_postgres::Error> {
    if let Some(spread) = claims.spread() {
        return distributed::claims::claim(connection, (claims, spread), request, token);
    }
    if let Some(known) = claims.known_of_unanswered(request.claimed_by) {
        give_back_unknown(connection, request.claimed_by, token, &known)?;
        claims.floors.told(request.queue, i64::MIN);
    }
    let limit = i64::try_from(request.limit).unwrap_or(i64::MAX);
    let now = request.now.as_millis();
    let queue = super::text::stored(request.queue);
    let look = claims.floors.look(request.queue, Monotonic::now());
    let (rows, left) = connection.query_both_with(
        Some(UNSYNCED),
        (
            &format!(
                "SELECT {COLUMNS}, claimed_by FROM campanile_claim_from($1, $2, $3, $4, $5, $6, $7, $8)"
            ),
            &[
                &queue,
                &limit,
                &super::text::stored(request.claimed_by),
                &token,
                &now,
                &request.by_priority,
                &look.lanes,
                &look.from,
            ],
        ),
        (DUES, &[&queue, &look.lanes, &look.from]),
    )?;
    let events: Result<Vec<Event>, StoreError> = rows.iter().map(read_event).collect();
    let mut events = match events {
        Ok(events) => events,
        Err(error) => return Ok(Err(error)),
    };
    let left = dues(&left)?;
    let claimed = events.iter().map(|event| (event.fired.priority, event.fired.process_on));
    look.found(claimed.map(|(lane, due)| (lane, due.as_millis())), &left, Monotonic::now());
    sort(&mut events, request.by_priority);
    claims.add(&events, (None, token, now), false);
    let (next_due, more) = match left.iter().map(|(_, due)| *due).min() {
        Some(due) if due > now => (Some(due), false),
        Some(_) if events.is_empty() => (Some(now + HELD_BY_OTHERS_MS), false),
        Some(_) => (None, true),
        None => (None, false),
    };
    Ok(Ok(Claim { events, next_due: next_due.map(Instant::from_millis), more, ..Claim::default() }))
}

/// Whether something that is due waits in the database and may go before `first`, as far as the floors tell.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn waits_before(
    connection: &Connection,
    claims: &Claims,
    request: &ClaimRequest<'_>,
    first: First,
) -> Result<bool, StoreError> {
    let (lanes, from) = claims.floors.known(request.queue);
    let rows = connection.query(DUES, &[&super::text::stored(request.queue), &lanes, &from])?;
    let now = request.now.as_millis();
    let mut dues = dues(&rows)?.into_iter();
    Ok(dues.any(|(lane, due)| due <= now && first.may_follow(lane, due)))
}

/// What [`DUES`] gave: each lane, and when its first event is due.
fn dues(rows: &[Row]) -> Result<Vec<(f64, i64)>, tokio_postgres::Error> {
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Brings claimed events into the order of the queue.
pub(super) fn sort(events: &mut [Event], by_priority: bool) {
    events.sort_by(|l, r| {
        let priority = if by_priority {
            l.fired.priority.total_cmp(&r.fired.priority)
        } else {
            std::cmp::Ordering::Equal
        };
        priority.then(l.fired.process_on.cmp(&r.fired.process_on)).then(l.sequence.cmp(&r.sequence))
    });
}
