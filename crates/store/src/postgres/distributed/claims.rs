//! Claims: from one partition at a time, in turn.
//!
//! The order of the queue holds within a partition. A claim brings what one partition has, and not more: the next one is
//! another's turn.

use std::collections::BTreeMap;

use campanile_model::{Event, Instant, QueueOrder};
use tokio_postgres::{Error, Row};

use super::Spread;
use super::statements::{
    CLAIM, GIVE_BACK, GIVE_BACK_OTHERS, HOLD_DUE, HOLD_THESE, LOOK_AT_DUE, NEXT_LANE, NEXT_QUEUE,
};
use super::turns::{Ended, Turn};
use crate::contract::{Claim, ClaimRequest, StoreError};
use crate::postgres::claims::{Claimed, Claims, HELD_BY_OTHERS_MS, sort};
use crate::postgres::connection::{Asked, Connection};
use crate::postgres::effects::Effects;
use crate::postgres::events::read_event;
use crate::postgres::text::{read, stored};

/// Refuses a program whose lease has lapsed. Whether nobody is about to set the queue's order: until this claim has ended, nobody
/// does.
const EXPECT_LEASE: &str =
    "SELECT campanile_expect_lease($1), pg_try_advisory_xact_lock_shared(1667329395, hashtext($2))";

/// The order that a queue keeps, whether it is halted, and whether the order is so new that programs may not know of it. Asked
/// behind that lock.
const ORDER: &str = "SELECT kind, halted_at IS NOT NULL, clock_timestamp() < set_at + interval '1 minute' \
     FROM sysevent_queue_order WHERE queue = $1";

/// What a claim finds when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Somebody is about to set it.
    Changing,
    /// The queue keeps this order.
    Is(QueueOrder),
    /// It stands still.
    Halted,
}

/// The rule of the queue, for the rest of the transaction, and whether it is new.
///
/// # Errors
/// The client's error, so that a lapsed lease is told from others.
pub(super) fn expect_lease(
    connection: &Connection,
    queue: &str,
    token: i64,
) -> Result<(Rule, bool), Error> {
    let queue = stored(queue);
    let (expected, order) =
        connection.query_both_within((EXPECT_LEASE, &[&token, &queue]), (ORDER, &[&queue]))?;
    if !expected.first().map_or(Ok(false), |row| row.try_get(1))? {
        return Ok((Rule::Changing, true));
    }
    let is_new = order.first().map_or(Ok(false), |row| row.try_get(2))?;
    Ok((rule(&order)?, is_new))
}

/// The rule as it stands now.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn rule_behind(
    connection: &Connection,
    queue: &str,
    before: Asked<'_>,
) -> Result<(Vec<Row>, Rule), Error> {
    let (rows, order) = connection.query_both_within(before, (ORDER, &[&stored(queue)]))?;
    Ok((rows, rule(&order)?))
}

fn rule(rows: &[Row]) -> Result<Rule, Error> {
    let Some(row) = rows.first() else { return Ok(Rule::Is(QueueOrder::Parallel)) };
    let is_halted: bool = row.try_get(1)?;
    Ok(if is_halted { Rule::Halted } else { Rule::Is(QueueOrder::from_word(row.try_get(0)?)) })
}

/// One claim at one partition.
pub(super) struct Look<'a> {
    pub(super) connection: &'a Connection,
    pub(super) request: &'a ClaimRequest<'a>,
    pub(super) partition: i64,
}

/// A due event that may be claimed.
#[derive(Clone, Copy)]
struct Due {
    sequence: i64,
    lapses: i64,
    process_on: i64,
}

/// The first due events, as one look has seen them.
struct First {
    events: Vec<i64>,
    /// The priority of all of them, and none before it or, where they come by arrival, behind it was looked at.
    only: Option<f64>,
}

/// Looks that have nothing in common, one after the other, before nothing is taken: at each something has come that is first.
const LOOKS_MAX: usize = 10;

/// A priority that has waiting events.
#[derive(Clone, Copy)]
pub(super) struct Lane {
    pub(super) priority: f64,
    /// When the first of them is due.
    pub(super) due: i64,
}

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
    connection.batch(connection.begin_by_index())?;
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
    let (rule, _) = expect_lease(connection, request.queue, token)?;
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

impl Look<'_> {
    /// Due events, a priority after the other, held.
    fn by_priority(&self) -> Result<Vec<i64>, Error> {
        let mut picked = Vec::new();
        let mut behind = f64::NEG_INFINITY;
        while picked.len() < self.request.limit {
            let Some(lane) = self.lane_behind(behind)? else { break };
            behind = lane.priority;
            if lane.due > self.request.now.as_millis() {
                continue;
            }
            let found = self.due(HOLD_DUE, lane, self.request.limit - picked.len())?;
            if !until_lapsed(&found, &mut picked) {
                break;
            }
        }
        Ok(picked)
    }

    /// Due events of all priorities in the order of arrival, held: the first of each are looked at.
    fn by_arrival(&self) -> Result<Vec<i64>, Error> {
        let sequences = self.first_by_arrival()?.events;
        let rows = self.connection.query(
            HOLD_THESE,
            &[
                &self.partition,
                &sequences,
                &stored(self.request.queue),
                &self.request.now.as_millis(),
            ],
        )?;
        let held = rows.iter().map(read_due).collect::<Result<Vec<_>, _>>()?;
        let mut picked = Vec::new();
        until_lapsed(&held, &mut picked);
        Ok(picked)
    }

    /// The first due events in the queue's order, only looked at: none of them is behind one that is missing.
    ///
    /// Each priority is a statement of its own. What arrives at one that was looked at is missed, and what arrives behind it
    /// at the next one is seen: so they are what two looks in a row have in common, or of one priority alone.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn first_due_events(&self) -> Result<Vec<i64>, Error> {
        let First { events, only } = self.look_at_first()?;
        if let Some(only) = only
            && let Some(lane) = self.lane_behind(f64::NEG_INFINITY)?
            && lane.priority.total_cmp(&only).is_eq()
        {
            return Ok(events);
        }
        agreed(events, || Ok(self.look_at_first()?.events))
    }

    fn look_at_first(&self) -> Result<First, Error> {
        if !self.request.by_priority {
            return self.first_by_arrival();
        }
        let mut events: Vec<i64> = Vec::new();
        let (mut behind, mut lanes) = (f64::NEG_INFINITY, 0);
        while events.len() < self.request.limit {
            let Some(lane) = self.lane_behind(behind)? else { break };
            (behind, lanes) = (lane.priority, lanes + 1);
            if lane.due <= self.request.now.as_millis() {
                let due = self.due(LOOK_AT_DUE, lane, self.request.limit - events.len())?;
                events.extend(due.iter().map(|due| due.sequence));
            }
        }
        Ok(First { events, only: (lanes == 1).then_some(behind) })
    }

    fn first_by_arrival(&self) -> Result<First, Error> {
        let mut first = Vec::new();
        let (mut behind, mut lanes) = (f64::NEG_INFINITY, 0);
        while let Some(lane) = self.lane_behind(behind)? {
            (behind, lanes) = (lane.priority, lanes + 1);
            if lane.due <= self.request.now.as_millis() {
                first.extend(self.due(LOOK_AT_DUE, lane, self.request.limit)?);
            }
        }
        first.sort_unstable_by_key(|due| (due.process_on, due.sequence));
        first.truncate(self.request.limit);
        let events = first.iter().map(|due| due.sequence).collect();
        Ok(First { events, only: (lanes == 1).then_some(behind) })
    }

    fn due(&self, statement: &str, lane: Lane, limit: usize) -> Result<Vec<Due>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.connection.query(
            statement,
            &[
                &self.partition,
                &stored(self.request.queue),
                &lane.priority,
                &self.request.now.as_millis(),
                &limit,
            ],
        )?;
        rows.iter().map(read_due).collect()
    }

    /// The first priority behind another one that has waiting events.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn lane_behind(&self, priority: f64) -> Result<Option<Lane>, Error> {
        let row = self
            .connection
            .query_first(NEXT_LANE, &[&self.partition, &stored(self.request.queue), &priority])?;
        row.map(|row| Ok(Lane { priority: row.try_get(0)?, due: row.try_get(1)? })).transpose()
    }

    /// When the first waiting event is due, or was; of those that are due, not necessarily the first.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn first_due(&self) -> Result<Option<i64>, Error> {
        let now = self.request.now.as_millis();
        let mut earliest: Option<i64> = None;
        let mut behind = f64::NEG_INFINITY;
        while let Some(lane) = self.lane_behind(behind)? {
            behind = lane.priority;
            earliest = Some(earliest.map_or(lane.due, |earliest| earliest.min(lane.due)));
            if lane.due <= now {
                break;
            }
        }
        Ok(earliest)
    }
}

fn read_due(row: &Row) -> Result<Due, Error> {
    Ok(Due { sequence: row.try_get(0)?, lapses: row.try_get(1)?, process_on: row.try_get(2)? })
}

/// What two looks in a row have in common at the beginning: between the two it was so. `before` was the first of them.
fn agreed<E>(
    mut before: Vec<i64>,
    mut look: impl FnMut() -> Result<Vec<i64>, E>,
) -> Result<Vec<i64>, E> {
    for _ in 0..LOOKS_MAX {
        let mut seen = look()?;
        let common = before.iter().zip(&seen).take_while(|(l, r)| l == r).count();
        if common > 0 || seen.is_empty() {
            seen.truncate(common);
            return Ok(seen);
        }
        before = seen;
    }
    Ok(Vec::new())
}

/// Picks of `found` what may be claimed together: one that lapsed before comes alone. Returns whether more may be picked.
fn until_lapsed(found: &[Due], picked: &mut Vec<i64>) -> bool {
    for due in found {
        if due.lapses > 0 {
            if picked.is_empty() {
                picked.push(due.sequence);
            }
            return false;
        }
        picked.push(due.sequence);
    }
    true
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
    fn looks_go_on_until_two_begin_alike() {
        let after = |looks: &[&[i64]]| {
            let mut looks = looks.iter().map(|look| look.to_vec());
            let first = looks.next().unwrap();
            agreed(first, || looks.next().ok_or("one look too many")).unwrap()
        };
        assert_eq!(after(&[&[1, 2], &[1, 2, 3]]), [1, 2]);
        // The first came to a priority that had been looked at, the second behind it to the next.
        assert_eq!(after(&[&[2], &[1, 2], &[1, 2]]), [1, 2]);
        assert_eq!(after(&[&[2], &[1, 3], &[1]]), [1]);
        assert_eq!(after(&[&[1], &[]]), [0; 0], "it was cancelled");
        let anew: Vec<Vec<i64>> = (0..=20).map(|look| vec![-look]).collect();
        let anew: Vec<&[i64]> = anew.iter().map(Vec::as_slice).collect();
        assert_eq!(after(&anew), [0; 0], "somebody else may have a look");
    }

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
