//! Copies from and to a database of the mode.
//!
//! In a copy a row tells the partition of the reference, so that all databases of the same events give the same; how a database
//! of the mode spreads it is that database's own.

use std::collections::{HashMap, HashSet};

use campanile_model::partition::{PARTITIONS, partition};

use super::Spread;
use super::spread::Key;
use crate::contract::{DumpKind, DumpRow, DumpTable, DumpValue, StoreError};
use crate::postgres::connection::Connection;
use crate::postgres::text::read;

const COLUMN: &str = "partition";

/// Gives rows that were read from a database of the mode the partition of the reference.
pub(in crate::postgres) fn as_in_the_reference(table: &DumpTable, rows: &mut [DumpRow]) {
    let Some(at) = position(table, COLUMN) else { return };
    for row in rows {
        let instance = text(table, row, "instance");
        let key = if instance.is_empty() { text(table, row, "sys_id") } else { instance };
        let number = partition(key, PARTITIONS);
        row[at] = DumpValue::Integer(number);
    }
}

/// The table and its rows as they stand in a database of the mode; nothing when this table is not spread.
///
/// # Errors
/// What PostgreSQL said.
pub(in crate::postgres) fn as_spread(
    connection: &Connection,
    spread: &Spread,
    table: &DumpTable,
    rows: &[DumpRow],
) -> Result<Option<(DumpTable, Vec<DumpRow>)>, StoreError> {
    let mut rows = rows.to_vec();
    if let Some(at) = position(table, COLUMN) {
        // Copied before. What is done, and tells its state, stays as any other.
        let homes = match position(table, "state") {
            None => sequential_queues(connection)?,
            Some(_) => HashSet::new(),
        };
        for row in &mut rows {
            let queue = text(table, row, "queue");
            if homes.contains(queue) {
                row[at] = DumpValue::Integer(spread.home_of(queue));
                continue;
            }
            let key = Key {
                instance: text(table, row, "instance"),
                name: text(table, row, "name"),
                sys_id: text(table, row, "sys_id"),
                may_be_counted: number(table, row, "coalesce_seconds") > 0,
            };
            let number = spread.partition_of_key(&key);
            row[at] = DumpValue::Integer(number);
        }
        return Ok(Some((table.clone(), rows)));
    }
    if table.name != "sysevent_run" {
        return Ok(None);
    }
    let event = |row: &DumpRow| text(table, row, "event").to_ascii_lowercase();
    let events: Vec<String> = rows.iter().map(event).collect();
    let known = partitions_of(connection, &events)?;
    for (row, event) in rows.iter_mut().zip(&events) {
        // Its event is not there any more: as one about no record.
        let partition = known
            .get(event)
            .copied()
            .unwrap_or_else(|| spread.partition_of_key(&Key { sys_id: event, ..Key::default() }));
        row.push(DumpValue::Integer(partition));
    }
    let mut table = table.clone();
    table.columns.push((COLUMN.to_owned(), DumpKind::Integer));
    Ok(Some((table, rows)))
}

/// The sequential queues, as they are stored.
fn sequential_queues(connection: &Connection) -> Result<HashSet<String>, StoreError> {
    let rows = connection
        .query("SELECT queue FROM sysevent_queue_order WHERE kind = 'sequential'", &[])?;
    rows.iter().map(|row| Ok(read(row.try_get(0)?).into_owned())).collect()
}

/// Where events with these keys, in small letters, stand.
fn partitions_of(
    connection: &Connection,
    events: &[String],
) -> Result<HashMap<String, i64>, StoreError> {
    let rows = connection.query(
        "SELECT lower(sys_id), \"partition\" FROM sysevent_live WHERE lower(sys_id) = ANY ($1) \
         UNION ALL SELECT lower(sys_id), \"partition\" FROM sysevent_log WHERE lower(sys_id) = ANY ($1)",
        &[&events],
    )?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

fn position(table: &DumpTable, column: &str) -> Option<usize> {
    table.columns.iter().position(|(name, _)| name == column)
}

fn text<'a>(table: &DumpTable, row: &'a DumpRow, column: &str) -> &'a str {
    match position(table, column).and_then(|at| row.get(at)) {
        Some(DumpValue::Text(text)) => text,
        _ => "",
    }
}

fn number(table: &DumpTable, row: &DumpRow, column: &str) -> i64 {
    match position(table, column).and_then(|at| row.get(at)) {
        Some(DumpValue::Integer(number)) => *number,
        _ => 0,
    }
}
