//! Appending events: one statement for each partition that a group has events of.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use campanile_model::{Instant, NewEvent, QueueOrder, SysId};
use tokio_postgres::Row;

use super::Spread;
use super::statements::{APPEND, COUNT_ON, FIND_EQUAL, HOLD_CAUSES};
use crate::contract::{Appended, StoreError};
use crate::postgres::append::absorbed;
use crate::postgres::connection::Connection;
use crate::postgres::events::sys_id;
use crate::postgres::held::Claims;
use crate::postgres::insert::columns;
use crate::postgres::order;
use crate::postgres::text::{nil, stored};

/// Inserts rows. Returns the order of arrival of those that are new: within a partition, that of `events`.
///
/// # Errors
/// What PostgreSQL said.
pub(in crate::postgres) fn insert(
    connection: &Connection,
    events: &[&NewEvent],
    (spread, orders): (&Spread, &HashMap<Arc<str>, QueueOrder>),
) -> Result<HashMap<SysId, i64>, StoreError> {
    let mut by_partition: BTreeMap<i64, Vec<&NewEvent>> = BTreeMap::new();
    for event in events {
        let partition = spread.partition_of(event, order::of(orders, &event.queue));
        by_partition.entry(partition).or_default().push(event);
    }
    let mut sequences = HashMap::with_capacity(events.len());
    // In one order, so that two who bring the same keys wait for each other instead of for ever.
    for (partition, events) in by_partition {
        let columns = columns(&events);
        let mut values = columns.params();
        values.push(&partition);
        for row in connection.query(APPEND, &values)? {
            sequences.insert(sys_id(&row, 0)?, row.try_get(1)?);
        }
    }
    Ok(sequences)
}

/// Counts `event` on an equal one that waits in `partition`, where it would stand, and was fired at `since` or later, if there
/// is one that nobody is about to take.
///
/// # Errors
/// What PostgreSQL said.
pub(in crate::postgres) fn coalesce(
    connection: &Connection,
    event: &NewEvent,
    since: Instant,
    partition: i64,
) -> Result<Option<Appended>, StoreError> {
    let found = connection.query_first(
        FIND_EQUAL,
        &[
            &partition,
            &stored(&event.name),
            &nil(&event.instance),
            &nil(&event.parm1),
            &nil(&event.parm2),
            &nil(&event.table),
            &since.as_millis(),
        ],
    )?;
    let Some(found) = found else { return Ok(None) };
    let sequence: i64 = found.try_get(0)?;
    let counted = connection.query_first(COUNT_ON, &[&partition, &sequence])?;
    counted.map(|row| Ok(absorbed(sys_id(&row, 0)?))).transpose()
}

/// Which of `causes`, in small letters, this program still holds: nobody takes them over before the commit.
///
/// # Errors
/// What PostgreSQL said.
pub(in crate::postgres) fn hold(
    connection: &Connection,
    claims: &Claims,
    causes: &[String],
    token: i64,
) -> Result<Vec<Row>, StoreError> {
    let mut by_partition: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for cause in causes {
        // One that is not claimed any more is not held either.
        let partition = cause.parse().ok().and_then(|cause: SysId| claims.partition(&cause));
        if let Some(partition) = partition {
            by_partition.entry(partition).or_default().push(cause);
        }
    }
    let mut held = Vec::new();
    for (partition, causes) in by_partition {
        held.extend(connection.query(HOLD_CAUSES, &[&partition, &causes, &token])?);
    }
    Ok(held)
}
