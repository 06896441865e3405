//! Claims from queues that keep an order.
//!
//! As in the folder above, whose turn it is is proven in the database: claims that could take each other's turn come one after
//! another, so each sees what the one before it took. With order by record that is a matter of one partition; a sequential
//! queue has one partition.

use std::cell::RefCell;

use campanile_model::{Event, Instant, QueueOrder};
use tokio_postgres::{Error, Row};

use super::Spread;
use super::claims::give_back_unknown;
use super::looks::{Lane, Look, read_lane};
use super::rule::{self, Rule};
use super::statements::{NEXT_LANE, NEXT_RETRY};
use super::turns::{Ended, Turn};
use super::{by_record, sequential};
use crate::contract::{Claim, ClaimRequest, StoreError};
use crate::postgres::claims::{HELD_BY_OTHERS_MS, sort};
use crate::postgres::connection::{Asked, Connection};
use crate::postgres::events::read_event;
use crate::postgres::held::Claims;
use crate::postgres::text::stored;
use crate::postgres::turns::{CLAIM_EVENTS_MAX, LOOK_AGAIN_MS, put_in_turn};

/// Whether this transaction has the claims of a queue, or of a partition of one, to itself now. After a short wait the answer is
/// no: somebody who stands still may have them for long.
const HOLD_CLAIMS: &str = "SELECT campanile_hold_claims($1)";

/// One claim from a queue with an order.
pub(super) struct InTurn<'a> {
    pub(super) connection: &'a Connection,
    pub(super) spread: &'a Spread,
    pub(super) request: &'a ClaimRequest<'a>,
    pub(super) token: i64,
    /// What is to be noted once the transaction is committed.
    noted: RefCell<Noted>,
}

/// What looks have found. Nothing was found by a transaction that is rolled back.
#[derive(Debug, Default)]
struct Noted {
    looks: Vec<(Turn, Ended)>,
    /// A partition to which events were brought.
    came_to: Option<i64>,
}

/// What one transaction came to.
pub(super) enum Step {
    /// It took these.
    Took { turn: Turn, rows: Vec<Row>, ended: Ended },
    /// It took nothing, and what it saw is noted. There may be more to see.
    GoOn,
    /// It took nothing, and there is nothing to be had before this time.
    Stop(Option<i64>),
}

/// As [`claims::claim`](super::claims::claim), for a queue that keeps this order.
///
/// # Errors
/// The client's error, so that a lapsed lease is told from others.
pub(in crate::postgres) fn claim(
    connection: &Connection,
    (claims, spread): (&Claims, &Spread),
    request: &ClaimRequest<'_>,
    (token, order): (i64, QueueOrder),
) -> Result<Result<Claim, StoreError>, Error> {
    if let Some(known) = claims.known_of_unanswered(request.claimed_by) {
        give_back_unknown(connection, (spread, request), token, &known)?;
    }
    let limit = request.limit.clamp(1, CLAIM_EVENTS_MAX);
    let request = &ClaimRequest { limit, ..request.clone() };
    let now = request.now.as_millis();
    let turns = spread.turns();
    let claim = InTurn { connection, spread, request, token, noted: RefCell::default() };
    let mut to_look_at = turns.to_look_at(request.queue, now).into_iter().peekable();
    while to_look_at.peek().is_some() {
        let worked = claim.begin(order).map(|expected| match (expected, order) {
            (Expected::Not(refused), _) => Ok(refused),
            (Expected::Is { is_new }, QueueOrder::Sequential) => {
                sequential::step(&claim, &mut to_look_at, is_new)
            }
            (Expected::Is { .. }, _) => {
                by_record::step(&claim, &mut to_look_at).map_err(StoreError::from)
            }
        });
        let ended =
            connection.batch(if matches!(worked, Ok(Ok(_))) { "COMMIT" } else { "ROLLBACK" });
        let step = match worked? {
            Ok(step) => step,
            Err(error) => return Ok(Err(error)),
        };
        ended?;
        claim.note();
        match step {
            Step::Took { turn, rows, ended } => {
                return Ok(took(&claim, (claims, order), turn, &rows, ended));
            }
            Step::GoOn => {}
            Step::Stop(due) => {
                let next_due = due.map(Instant::from_millis);
                return Ok(Ok(Claim { next_due, order, ..Claim::default() }));
            }
        }
    }
    let (more, due) = turns.what_waits(request.queue, now);
    // Something came during the looks.
    let next_due = if more { Some(now) } else { due }.map(Instant::from_millis);
    Ok(Ok(Claim { next_due, order, ..Claim::default() }))
}

/// Whether a queue keeps the order that it is believed to keep.
enum Expected {
    /// It does. While that is new, programs may not know it yet.
    Is { is_new: bool },
    /// Nothing is to be had.
    Not(Step),
}

/// Notes what was taken, and brings it into its order.
fn took(
    claim: &InTurn<'_>,
    (claims, order): (&Claims, QueueOrder),
    turn: Turn,
    rows: &[Row],
    ended: Ended,
) -> Result<Claim, StoreError> {
    let InTurn { spread, request, token, .. } = claim;
    let now = request.now.as_millis();
    let mut events = rows.iter().map(read_event).collect::<Result<Vec<Event>, _>>()?;
    sort(&mut events, request.by_priority);
    if order == QueueOrder::ByRecord {
        put_in_turn(&mut events);
    }
    claims.add(&events, (Some(turn.partition), *token, now), true);
    spread.turns().seen(request.queue, turn, ended);
    let (more, due) = spread.turns().what_waits(request.queue, now);
    let next_due = due.filter(|_| !more).map(Instant::from_millis);
    Ok(Claim { events, next_due, more, order })
}

impl InTurn<'_> {
    /// Begins a transaction.
    fn begin(&self, order: QueueOrder) -> Result<Expected, Error> {
        let (rule, is_new) = rule::begin(self.connection, self.request.queue, self.token)?;
        Ok(match rule {
            Rule::Is(kept) if kept == order => Expected::Is { is_new },
            Rule::Changing => Expected::Not(self.held()),
            // Of another kind than this program believes: it hears of that.
            Rule::Is(_) => Expected::Not(Step::Stop(Some(self.now() + LOOK_AGAIN_MS))),
            Rule::Halted => Expected::Not(Step::Stop(None)),
        })
    }

    /// Behind the commit.
    fn note(&self) {
        let Noted { looks, came_to } = self.noted.take();
        for (turn, ended) in looks {
            self.spread.turns().seen(self.request.queue, turn, ended);
        }
        if came_to.is_some() {
            self.spread.woken(self.request.queue, came_to);
        }
    }

    /// What is to be had belongs to another transaction for a moment.
    pub(super) fn held(&self) -> Step {
        Step::Stop(Some(self.now() + HELD_BY_OTHERS_MS))
    }

    pub(super) fn now(&self) -> i64 {
        self.request.now.as_millis()
    }

    /// A look at `partition`.
    pub(super) fn look(&self, partition: i64) -> Look<'_> {
        Look { connection: self.connection, request: self.request, partition }
    }

    /// Whether the claims of the queue, or of one partition of it, are this transaction's.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn hold_claims(&self, partition: Option<i64>) -> Result<bool, Error> {
        let queue = stored(self.request.queue);
        let name = match partition {
            Some(partition) => format!("{queue} {partition}"),
            None => queue.into_owned(),
        };
        let row = self.connection.query_first(HOLD_CLAIMS, &[&name])?;
        row.map_or(Ok(false), |row| row.try_get(0))
    }

    /// Notes how a look has ended, if this transaction is committed.
    pub(super) fn seen(&self, turn: Turn, ended: Ended) {
        self.noted.borrow_mut().looks.push((turn, ended));
    }

    /// Notes that events were brought to `partition`, if this transaction is committed: nobody is told.
    pub(super) fn came_to(&self, partition: i64) {
        self.noted.borrow_mut().came_to = Some(partition);
    }

    /// How a look at this partition has ended that took nothing.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn ended(&self, partition: i64) -> Result<Ended, Error> {
        let (queue, now) = (stored(self.request.queue), self.now());
        let retry: Asked<'_> = (NEXT_RETRY, &[&partition, &queue, &now]);
        let (first, retry) = self.look(partition).first_lane_and(retry)?;
        Ok(Ended::Unserved(self.look_again(partition, first, &retry)?.1))
    }

    /// Takes what is picked by `take`, and sees how the look at this partition has ended behind that, in one round trip.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn take(&self, partition: i64, take: Asked<'_>) -> Result<(Vec<Row>, Ended), Error> {
        let (queue, now) = (stored(self.request.queue), self.now());
        let [rows, first, retry] = self.connection.query_all([
            take,
            (NEXT_LANE, &[&partition, &queue, &f64::NEG_INFINITY]),
            (NEXT_RETRY, &[&partition, &queue, &now]),
        ])?;
        let (due, later) = self.look_again(partition, read_lane(&first)?, &retry)?;
        let is_due = due.is_some_and(|due| due <= now);
        Ok((rows, Ended::Served(if is_due { due } else { later })))
    }

    /// When the first event of a partition is due, of which the first priority and the next attempt are known; and when it is to
    /// be looked at again by who took nothing. What is due and waits for its turn is woken for at the end of what it waits for;
    /// if that is lost, it is looked for again.
    fn look_again(
        &self,
        partition: i64,
        first: Option<Lane>,
        retry: &[Row],
    ) -> Result<(Option<i64>, Option<i64>), Error> {
        let now = self.now();
        let due = self.look(partition).first_due_from(first)?;
        let retry: Option<i64> = retry.first().map(|row| row.try_get(0)).transpose()?;
        let is_due = due.is_some_and(|due| due <= now);
        let later = if is_due { Some(now + LOOK_AGAIN_MS) } else { due };
        Ok((due, later.into_iter().chain(retry).min()))
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::postgres::DatabaseUrl;
    use crate::postgres::address::Address;
    use crate::postgres::distributed::plan_tests::partitioned;
    use crate::postgres::distributed::strays::{Brought, bring_home};

    #[test]
    fn what_comes_to_a_partition_between_the_look_at_it_and_the_commit_is_noted() {
        let database = partitioned();
        let address = Address::parse(&DatabaseUrl::from(database.url())).unwrap();
        let connection = Connection::open(&address).unwrap();
        let spread = Spread::new(16, 0);
        let request = ClaimRequest {
            queue: "q",
            limit: 9,
            claimed_by: "n/q/0",
            by_priority: true,
            now: Instant::from_millis(10),
        };
        let (spread, request) = (&spread, &request);
        let claim = InTurn {
            connection: &connection,
            spread,
            request,
            token: 1,
            noted: RefCell::default(),
        };
        let home = spread.home_of("q");
        let place = (home + 1) % 16;
        let look = || {
            let all = spread.turns().to_look_at("q", 10).into_iter();
            let elsewhere: Vec<Turn> = all.filter(|turn| turn.partition != home).collect();
            connection.batch("BEGIN").unwrap();
            bring_home(&claim, home, &elsewhere).unwrap()
        };
        let end = || {
            connection.batch("COMMIT").unwrap();
            claim.note();
        };
        assert_eq!(look(), Brought::Nothing);
        end();
        assert_eq!(spread.turns().what_waits("q", 10), (false, None), "it has looked at all");
        spread.woken("q", Some(place));
        assert_eq!(look(), Brought::Nothing);
        // By a program that does not know yet, and tells.
        database.run(&format!(
            "INSERT INTO sysevent_live (sys_id, queue, derived_priority, process_on, sys_created_on, name, \"partition\", depth, \
             source, queue_from_call, registered, scheduled, max_attempts, coalesce_seconds) \
             VALUES ('{:032}', 'q', 100, 5, 0, 'n', {place}, 0, 'api', false, true, false, 0, 0)",
            1
        ));
        spread.woken("q", Some(place));
        end();
        assert_eq!(spread.turns().what_waits("q", 10), (true, None));
        assert_eq!(look(), Brought::All);
    }
}
