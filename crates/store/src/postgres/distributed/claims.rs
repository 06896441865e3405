//! Claims: from one partition at a time, in turn.
//!
//! The order of the queue holds within a partition. A claim brings what one partition has, and not more: the next one is
//! another's turn.

use std::collections::BTreeMap;

use campanile_model::{Event, Instant, QueueOrder};
use tokio_postgres::{Error, Row};

use super::Spread;
use super::looks::Look;
use super::rule::{self, Rule};
use super::statements::{CLAIM, GIVE_BACK, GIVE_BACK_OTHERS, NEXT_QUEUE};
use super::turns::{Ended, Turn};
use crate::contract::{Claim, ClaimRequest, StoreError};
use crate::postgres::claims::{HELD_BY_OTHERS_MS, sort};
use crate::postgres::connection::Connection;
use crate::postgres::effects::Effects;
use crate::postgres::events::read_event;
use crate::postgres::held::{Claimed, Claims};
use crate::postgres::text::{read, stored};

/// Claims due events for the program with `token`, in one transaction: partitions are looked at in turn until one has some.
///
/// # Errors
/// The client's error, so that a lapsed lease is told from others.
pub(in crate::postgres) fn claim(
    connection: &Connection,
    (claims, spread): (&Claims, &Spread),
    request: &ClaimRequest<'_>,
    token: i64,
) -> Result<Result<Claim, StoreError>, Error> {
    if let Some(known) = claims.known_of_unanswered(request.claimed_by) {
        give_back_unknown(connection, (spread, request), token, &known)?;
    }
    let now = request.now.as_millis();
    let turns = spread.turns();
    let to_look_at = turns.to_look_at(request.queue, now);
    if to_look_at.is_empty() {
        let (_, due) = turns.what_waits(request.queue, now);
        let next_due = due.map(Instant::from_millis);
        return Ok(Ok(Claim { next_due, ..Claim::default() }));
    }
    let worked = claim_in_turn(connection, spread, &to_look_at, request, token);
    let ended = connection.batch(if worked.is_ok() { "COMMIT" } else { "ROLLBACK" });
    let claimed = worked?;
    ended?;
    let claimed = match claimed {
        Ok(claimed) => claimed,
        Err(Rule::Changing) => {
            let next_due = Some(Instant::from_millis(now + HELD_BY_OTHERS_MS));
            return Ok(Ok(Claim { next_due, ..Claim::default() }));
        }
        // It keeps an order that this program does not know of yet: that is told, and nothing is taken.
        Err(Rule::Is(order)) => return Ok(Ok(Claim { order, ..Claim::default() })),
        Err(Rule::Halted) => {
            return Ok(Ok(Claim { order: QueueOrder::Sequential, ..Claim::default() }));
        }
    };
    let Some(Found { turn, rows, due }) = claimed else {
        let (more, due) = turns.what_waits(request.queue, now);
        // Something came during the looks.
        let next_due = if more { Some(now) } else { due };
        return Ok(Ok(Claim { next_due: next_due.map(Instant::from_millis), ..Claim::default() }));
    };
    let events: Result<Vec<Event>, StoreError> = rows.iter().map(read_event).collect();
    let mut events = match events {
        Ok(events) => events,
        Err(error) => return Ok(Err(error)),
    };
    sort(&mut events, request.by_priority);
    claims.add(&events, (Some(turn.partition), token, now), false);
    turns.seen(request.queue, turn, Ended::Served(due));
    let (more, due) = turns.what_waits(request.queue, now);
    let next_due = due.filter(|_| !more).map(Instant::from_millis);
    Ok(Ok(Claim { events, next_due, more, ..Claim::default() }))
}

/// What a partition gave.
struct Found {
    turn: Turn,
    rows: Vec<Row>,
    /// When the first of those that it still has is due.
    due: Option<i64>,
}

/// The events of the first partition that has due ones; the rule of the queue when it is not one without an order.
fn claim_in_turn(
    connection: &Connection,
    spread: &Spread,
    to_look_at: &[Turn],
    request: &ClaimRequest<'_>,
    token: i64,
) -> Result<Result<Option<Found>, Rule>, Error> {
    let now = request.now.as_millis();
    let (rule, _) = rule::begin(connection, request.queue, token)?;
    if rule != Rule::Is(QueueOrder::Parallel) {
        return Ok(Err(rule));
    }
    for turn in to_look_at {
        let look = Look { connection, request, partition: turn.partition };
        // Most looks end here.
        let due = look.first_due()?;
        if due.is_none_or(|due| due > now) {
            spread.turns().seen(request.queue, *turn, Ended::Unserved(due));
            continue;
        }
        let picked = if request.by_priority { look.by_priority()? } else { look.by_arrival()? };
        if picked.is_empty() {
            let again = Ended::Held(now + HELD_BY_OTHERS_MS);
            spread.turns().seen(request.queue, *turn, again);
            continue;
        }
        let by = stored(request.claimed_by);
        let rows = connection.query(CLAIM, &[&turn.partition, &picked, &by, &token])?;
        return Ok(Ok(Some(Found { turn: *turn, rows, due: look.first_due()? })));
    }
    Ok(Ok(None))
}

/// Gives back what was claimed for a processor that was not told.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn give_back_unknown(
    connection: &Connection,
    (spread, request): (&Spread, &ClaimRequest<'_>),
    token: i64,
    known: &[i64],
) -> Result<(), Error> {
    let claimed_by = request.claimed_by;
    let mut given = 0;
    for partition in spread.all() {
        given += connection
            .execute(GIVE_BACK_OTHERS, &[&partition, &token, &stored(claimed_by), &known])?;
    }
    if given > 0 {
        spread.woken(request.queue, None);
        tracing::warn!(given, claimed_by, "claims whose answer was lost were given back");
    }
    Ok(())
}

/// Gives claims back in the database (T6), as far as they are still this node's.
///
/// # Errors
/// What PostgreSQL said; then nothing was given back.
pub(in crate::postgres) fn give_back(
    connection: &Connection,
    given: &[Claimed],
    token: i64,
) -> Result<Effects, StoreError> {
    let mut by_partition: BTreeMap<i64, Vec<&Claimed>> = BTreeMap::new();
    for claimed in given {
        by_partition.entry(claimed.partition.unwrap_or(0)).or_default().push(claimed);
    }
    let mut effects = Effects::default();
    for (partition, given) in by_partition {
        let sequences: Vec<i64> = given.iter().map(|claimed| claimed.held.sequence).collect();
        for row in connection.query(GIVE_BACK, &[&partition, &sequences, &token])? {
            let sequence: i64 = row.try_get(0)?;
            if let Some(claimed) = given.iter().find(|claimed| claimed.held.sequence == sequence) {
                effects.wake(&claimed.queue, Some(partition), claimed.process_on);
            }
        }
    }
    Ok(effects)
}

/// Queues with waiting events, and where these stand: for programs that hear nothing of others.
///
/// # Errors
/// What PostgreSQL said.
pub(in crate::postgres) fn waiting_queues(
    connection: &Connection,
    spread: &Spread,
) -> Result<Vec<(String, Option<i64>)>, Error> {
    let mut found = Vec::new();
    for partition in spread.all() {
        let mut from = String::new();
        while let Some(row) = connection.query_first(NEXT_QUEUE, &[&partition, &from])? {
            let queue: String = row.try_get(0)?;
            // No stored text stands between the two.
            from = format!("{queue}\u{1}");
            found.push((read(&queue).into_owned(), Some(partition)));
        }
    }
    Ok(found)
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::postgres::DatabaseUrl;
    use crate::postgres::address::Address;
    use crate::postgres::distributed::plan_tests::partitioned;

    #[test]
    fn whoever_hears_nothing_finds_the_queues_that_have_events_and_their_partitions() {
        let database = partitioned();
        database.run(
            "INSERT INTO sysevent_live (sys_id, state, claim_token, queue, derived_priority, process_on, sys_created_on, \
             name, \"partition\", depth, source, queue_from_call, registered, scheduled, max_attempts, coalesce_seconds) \
             SELECT 'e' || n, CASE WHEN n % 4 = 0 THEN 'queued' ELSE 'ready' END, CASE WHEN n % 4 = 0 THEN 7 END, \
             (ARRAY['', 'a', 'a b', 'b'])[n % 4 + 1], 100, 0, 0, 'n', 3 + n % 2, 0, 'api', false, false, false, 1, 0 \
             FROM generate_series(1, 40) AS made (n)",
        );
        let address = Address::parse(&DatabaseUrl::from(database.url())).unwrap();
        let connection = Connection::open(&address).unwrap();
        let found = waiting_queues(&connection, &Spread::new(16, 0)).unwrap();
        let expected =
            [("a b", 3), ("a", 4), ("b", 4)].map(|(queue, at)| (queue.to_owned(), Some(at)));
        assert_eq!(found, expected);
    }
}
