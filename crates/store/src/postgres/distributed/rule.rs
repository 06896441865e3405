//! Under which rule a claim goes on: asked when it begins, and behind what it has picked.

use campanile_model::QueueOrder;
use tokio_postgres::{Error, Row};

use crate::postgres::connection::{Asked, Connection};
use crate::postgres::text::stored;

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

/// Begins the transaction of a claim, in one round trip with its first questions. The rule of the queue, for the rest of the
/// transaction, and whether it is new.
///
/// # Errors
/// The client's error, so that a lapsed lease is told from others; the transaction may have begun.
pub(super) fn begin(
    connection: &Connection,
    queue: &str,
    token: i64,
) -> Result<(Rule, bool), Error> {
    let queue = stored(queue);
    let [expected, order] = connection.begin_all(
        Some(connection.begin_by_index()),
        [(EXPECT_LEASE, &[&token, &queue]), (ORDER, &[&queue])],
    )?;
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
