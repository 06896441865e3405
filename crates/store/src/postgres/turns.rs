//! Queues that keep an order: how events arrive in them, and how they are claimed.
//!
//! Differs because the database proves whose turn it is: claims of one queue come one after another there
//! (`campanile_claim_in_turn`), and so do the commits of what arrives (`campanile_arrive`). Nothing of it stands in memory.

use std::collections::HashMap;

use campanile_model::{Event, Instant, NewEvent, QueueOrder};

use super::claims::HELD_BY_OTHERS_MS;
use super::connection::Connection;
use super::distributed::arrivals::SpreadArrival;
use super::distributed::{self, Spread};
use super::events::{COLUMNS, read_event};
use super::held::Claims;
use super::order::KnownOrders;
use super::text::stored;
use super::unanswered::give_back_unknown;
use crate::contract::{AppendOutcome, Claim, ClaimRequest, StoreError};

/// Most events in one claim: each waits for the one before it, so more would only wait in one processor's hands.
pub(super) const CLAIM_EVENTS_MAX: usize = 100;

/// What is due and waits for its turn is woken for at the end of what it waits for. If that is lost, it is looked for
/// again so much later.
pub(super) const LOOK_AGAIN_MS: i64 = 1_000;

/// An event that was appended and has yet to arrive in its queue, which keeps an order.
#[derive(Debug, Clone)]
pub(super) struct Arriving {
    pub(super) sequence: i64,
    /// What else its arrival takes in distributed mode.
    spread: Option<SpreadArrival>,
}

/// Those of `events`, appended with these outcomes, that have yet to arrive in a queue that keeps an order; `spread` in
/// distributed mode.
pub(super) fn arriving<'e>(
    (orders, spread): (&KnownOrders, Option<&Spread>),
    events: impl Iterator<Item = (&'e NewEvent, &'e AppendOutcome)>,
) -> Vec<Arriving> {
    if orders.is_empty() {
        return Vec::new();
    }
    events
        .filter_map(|(event, outcome)| Some((event, orders.get(&event.queue)?, outcome)))
        .filter_map(|(event, order, outcome)| Some((event, order, outcome.as_ref().ok()?)))
        .filter(|(.., appended)| !appended.duplicate && !appended.coalesced)
        .map(|(event, order, appended)| Arriving {
            sequence: appended.sequence,
            spread: spread
                .map(|spread| SpreadArrival::of(event, (appended.sequence, *order), spread)),
        })
        .collect()
}

/// Does what is left to do before the end of a transaction in which these events arrive. Returns the statements that end it,
/// in one message.
///
/// # Errors
/// What PostgreSQL said. The end was not asked for.
pub(super) fn commit_of(
    connection: &Connection,
    arriving: &[Arriving],
) -> Result<String, tokio_postgres::Error> {
    if arriving.is_empty() {
        return Ok("COMMIT".to_owned());
    }
    let of_partitions: Vec<&SpreadArrival> =
        arriving.iter().filter_map(|one| one.spread.as_ref()).collect();
    if !of_partitions.is_empty() {
        distributed::arrivals::arrive(connection, &of_partitions)?;
        return Ok("COMMIT".to_owned());
    }
    let list: Vec<String> = arriving.iter().map(|one| one.sequence.to_string()).collect();
    Ok(format!("SELECT campanile_arrive('{{{}}}'); COMMIT", list.join(",")))
}

/// As [`claims::claim`](super::claims::claim), for a queue that keeps this order.
///
/// # Errors
/// The client's error, so that a lapsed lease is told from others.
pub(super) fn claim(
    connection: &Connection,
    claims: &Claims,
    request: &ClaimRequest<'_>,
    (token, order): (i64, QueueOrder),
) -> Result<Result<Claim, StoreError>, tokio_postgres::Error> {
    if let Some(spread) = claims.spread() {
        return distributed::claims_in_turn::claim(
            connection,
            (claims, spread),
            request,
            (token, order),
        );
    }
    if let Some(known) = claims.known_of_unanswered(request.claimed_by) {
        give_back_unknown(connection, request.claimed_by, token, &known)?;
    }
    let limit = i64::try_from(request.limit.clamp(1, CLAIM_EVENTS_MAX)).unwrap_or(1);
    let now = request.now.as_millis();
    let queue = stored(request.queue);
    let claimed_by = stored(request.claimed_by);
    let (rows, next) = connection.query_both(
        (
            &format!(
                "SELECT {COLUMNS}, claimed_by FROM campanile_claim_in_turn($1, $2, $3, $4, $5, $6, $7)"
            ),
            &[&queue, &order.as_str(), &limit, &claimed_by, &token, &now, &request.by_priority],
        ),
        ("SELECT due, retry FROM campanile_next_in_turn($1, $2)", &[&queue, &now]),
    )?;
    let is_held = match rows.first() {
        Some(row) => row.try_get::<_, Option<i64>>("sequence")?.is_none(),
        None => false,
    };
    if is_held {
        let next_due = Some(Instant::from_millis(now + HELD_BY_OTHERS_MS));
        return Ok(Ok(Claim { next_due, ..Claim::default() }));
    }
    let events: Result<Vec<Event>, StoreError> = rows.iter().map(read_event).collect();
    let mut events = match events {
        Ok(events) => events,
        Err(error) => return Ok(Err(error)),
    };
    super::claims::sort(&mut events, request.by_priority);
    if order == QueueOrder::ByRecord {
        put_in_turn(&mut events);
    }
    claims.add(&events, (None, token, now), true);
    let (due, retry): (Option<i64>, Option<i64>) = match next.first() {
        Some(row) => (row.try_get(0)?, row.try_get(1)?),
        None => (None, None),
    };
    let is_due = due.is_some_and(|due| due <= now);
    let later = if is_due { Some(now + LOOK_AGAIN_MS) } else { due };
    Ok(Ok(Claim {
        more: is_due && !events.is_empty(),
        next_due: later.into_iter().chain(retry).min().map(Instant::from_millis),
        events,
        order,
    }))
}

/// Lets the events of each record change places until they stand in the order of their arrival; the places of other
/// records stay.
pub(super) fn put_in_turn(events: &mut [Event]) {
    let mut places: HashMap<(String, String), Vec<usize>> = HashMap::new();
    for (place, event) in events.iter().enumerate().filter(|(_, e)| !e.fired.instance.is_empty()) {
        let record = (event.fired.table.to_string(), event.fired.instance.to_ascii_lowercase());
        places.entry(record).or_default().push(place);
    }
    for places in places.into_values().filter(|places| places.len() > 1) {
        let mut own: Vec<Event> = places.iter().map(|place| events[*place].clone()).collect();
        own.sort_by_key(|event| (event.fired.process_on, event.sequence));
        for (place, event) in places.into_iter().zip(own) {
            events[place] = event;
        }
    }
}
