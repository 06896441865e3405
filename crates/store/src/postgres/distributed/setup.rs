//! Switching the mode on, and finding out that it is on.
//!
//! The database decides: it has kept how many partitions it was made with, and whoever opens it works by that. A wish is for a
//! database that has no events yet.

use crate::contract::StoreError;
use crate::postgres::connection::Connection;
use crate::postgres::failure::SOMEWHERE;
use crate::postgres::nodes::working;

/// Fewest and most partitions: more would make each round of the processors long.
pub const PARTITIONS: std::ops::RangeInclusive<u16> = 2..=256;

/// The advisory lock of whoever migrates.
const BEGIN: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(1667329392, 1)";

/// How many partitions the database has, after it was given `wanted` if it has no events yet; `None` when the mode is off.
///
/// # Errors
/// [`StoreError::Unavailable`] when what is wanted is not what it has, or it has events, or another program works on it.
pub(in crate::postgres) fn settle(
    connection: &Connection,
    wanted: Option<u16>,
) -> Result<Option<i64>, StoreError> {
    let Some(wanted) = wanted else { return found(connection) };
    connection.batch(BEGIN)?;
    let settled = settle_in_transaction(connection, wanted);
    connection.batch(if settled.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    settled
}

/// How many partitions the database has.
pub(in crate::postgres) fn found(connection: &Connection) -> Result<Option<i64>, StoreError> {
    let row = connection.query_first("SELECT partitions FROM campanile_distribution", &[])?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

fn settle_in_transaction(connection: &Connection, wanted: u16) -> Result<Option<i64>, StoreError> {
    if !PARTITIONS.contains(&wanted) || !wanted.is_power_of_two() {
        let (least, most) = (PARTITIONS.start(), PARTITIONS.end());
        return Err(refused(format!(
            "{wanted} partitions are wanted: expected a power of two from {least} to {most}"
        )));
    }
    if let Some(found) = found(connection)? {
        if found == i64::from(wanted) {
            return Ok(Some(found));
        }
        return Err(refused(format!(
            "it was made with {found} partitions, and {wanted} are wanted: that cannot be changed. Set {found}, or copy it with \
             'campanile copy' to a new database that has {wanted}"
        )));
    }
    if let Some(other) = working(connection, 0)?.first() {
        return Err(refused(format!(
            "'{other}' works on it without partitions: stop every server on it before they are made"
        )));
    }
    let occupied = connection.query_first(
        "SELECT 1 FROM sysevent_live UNION ALL SELECT 1 FROM sysevent_log UNION ALL SELECT 1 FROM sysevent_run LIMIT 1",
        &[],
    )?;
    if occupied.is_some() {
        return Err(refused(
            "it has events already, and partitions are made before the first one: copy it with 'campanile copy' to a new \
             database that has them"
                .to_owned(),
        ));
    }
    let wanted = i64::from(wanted);
    connection.query("SELECT campanile_distribute($1)", &[&wanted])?;
    tracing::info!(partitions = wanted, "distributed mode is on");
    Ok(Some(wanted))
}

fn refused(reason: String) -> StoreError {
    StoreError::Unavailable { place: SOMEWHERE.to_owned(), reason }
}
