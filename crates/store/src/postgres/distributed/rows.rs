//! Whole rows on their way from one table, or partition, to another.
//!
//! They go through this program: a statement that deletes and inserts at once is none that Citus routes.

use campanile_model::Event;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::statements::{PUT_BACK, PUT_INTO_LOG, TAKE_RUNS};
use crate::contract::StoreError;
use crate::postgres::connection::Connection;
use crate::postgres::events::{Place, key, read_event, sys_id_or_none, text};
use crate::postgres::runs::{self, read_run};
use crate::postgres::text::{nil, stored};

/// Places of what follows the event's columns and `claimed_by`.
const UPDATED_ON: usize = 39;
const UPDATED_BY: usize = 40;
const MOD_COUNT: usize = 41;

/// Place of `origin_id`.
const ORIGIN: usize = 28;

/// A row that was taken out.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) event: Event,
    /// There is a first event that this one carries on.
    carries_on: bool,
    pub(super) updated_on: Option<i64>,
    pub(super) updated_by: String,
    pub(super) mod_count: i64,
    /// Whose turn it waits for where it is put. What it had is not read: it may go to another queue.
    pub(super) turn: Option<i64>,
}

impl Taken {
    /// The row of a statement that takes some out.
    ///
    /// # Errors
    /// [`StoreError::Statement`] when a column cannot be read.
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            event: read_event(row)?,
            carries_on: sys_id_or_none(row, ORIGIN)?.is_some(),
            updated_on: row.try_get(UPDATED_ON)?,
            updated_by: text(row, UPDATED_BY)?.to_string(),
            mod_count: row.try_get(MOD_COUNT)?,
            turn: None,
        })
    }

    /// Notes that it was changed, when and by whom.
    pub(super) fn touch(&mut self, at: Option<i64>, by: &str) {
        self.updated_on = at;
        by.clone_into(&mut self.updated_by);
        self.mod_count += 1;
    }
}

/// Puts rows into `partition` of a table. In the live table they are claimed by nobody.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn put(
    connection: &Connection,
    place: Place,
    partition: i64,
    rows: &[Taken],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    type Column<'a> = Box<dyn ToSql + Sync + 'a>;
    fn numbers<'a>(rows: &'a [Taken], of: impl Fn(&'a Taken) -> i64) -> Column<'a> {
        Box::new(rows.iter().map(of).collect::<Vec<i64>>())
    }
    fn maybe<'a>(rows: &'a [Taken], of: impl Fn(&'a Taken) -> Option<i64>) -> Column<'a> {
        Box::new(rows.iter().map(of).collect::<Vec<Option<i64>>>())
    }
    fn flags<'a>(rows: &'a [Taken], of: impl Fn(&'a Taken) -> bool) -> Column<'a> {
        Box::new(rows.iter().map(of).collect::<Vec<bool>>())
    }
    fn whole<'a>(rows: &'a [Taken], of: impl Fn(&'a Taken) -> &'a str) -> Column<'a> {
        Box::new(rows.iter().map(|row| stored(of(row))).collect::<Vec<_>>())
    }
    fn texts<'a>(rows: &'a [Taken], of: impl Fn(&'a Taken) -> &'a str) -> Column<'a> {
        Box::new(rows.iter().map(|row| nil(of(row))).collect::<Vec<_>>())
    }
    let priorities: Vec<f64> = rows.iter().map(|row| row.event.fired.priority).collect();
    let columns: [Column<'_>; 40] = [
        numbers(rows, |row| row.event.sequence),
        whole(rows, |row| row.event.fired.sys_id.as_str()),
        whole(rows, |row| row.event.state.as_str()),
        whole(rows, |row| &row.event.fired.queue),
        Box::new(priorities),
        numbers(rows, |row| row.event.fired.process_on.as_millis()),
        numbers(rows, |row| row.event.fired.created.as_millis()),
        whole(rows, |row| &row.event.fired.name),
        texts(rows, |row| &row.event.fired.table),
        texts(rows, |row| &row.event.fired.instance),
        texts(rows, |row| &row.event.fired.parm1),
        texts(rows, |row| &row.event.fired.parm2),
        texts(rows, |row| &row.event.fired.descriptive_name),
        texts(rows, |row| &row.event.fired.user_id),
        texts(rows, |row| &row.event.fired.user_name),
        texts(rows, |row| &row.event.fired.uri),
        texts(rows, |row| &row.event.fired.snapshot),
        numbers(rows, |row| row.event.fired.depth),
        texts(rows, |row| row.event.fired.cause_event.as_ref().map_or("", |cause| cause.as_str())),
        texts(rows, |row| &row.event.fired.cause_handler),
        texts(rows, |row| &row.event.fired.dedupe_key),
        whole(rows, |row| row.event.fired.source.as_str()),
        flags(rows, |row| row.event.fired.queue_from_call),
        flags(rows, |row| row.event.fired.registered),
        flags(rows, |row| row.event.fired.scheduled),
        numbers(rows, |row| row.event.fired.max_attempts),
        numbers(rows, |row| row.event.fired.coalesce_seconds),
        texts(rows, |row| if row.carries_on { row.event.origin_id.as_str() } else { "" }),
        numbers(rows, |row| row.event.epoch),
        numbers(rows, |row| row.event.attempts),
        numbers(rows, |row| row.event.lapses),
        flags(rows, |row| row.event.only_failed),
        numbers(rows, |row| row.event.coalesced),
        maybe(rows, |row| row.event.processed.map(campanile_model::Instant::as_millis)),
        maybe(rows, |row| row.event.processing_duration_ms),
        texts(rows, |row| &row.event.error_code),
        texts(rows, |row| &row.event.error_message),
        maybe(rows, |row| row.updated_on),
        texts(rows, |row| &row.updated_by),
        numbers(rows, |row| row.mod_count),
    ];
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&partition];
    values.extend(columns.iter().map(|column| &**column as &(dyn ToSql + Sync)));
    let turns: Vec<Option<i64>> = rows.iter().map(|row| row.turn).collect();
    let statement = match place {
        Place::Live => {
            values.push(&turns);
            PUT_BACK
        }
        Place::Log => PUT_INTO_LOG,
    };
    connection.execute(statement, &values)?;
    Ok(())
}

/// Puts `taken` from partition `from` into partition `to` of the live table, and lets their runs follow: the next attempt
/// looks for them where the event stands.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn put_elsewhere(
    connection: &Connection,
    (from, to): (i64, i64),
    taken: &[Taken],
) -> Result<(), StoreError> {
    put(connection, Place::Live, to, taken)?;
    if from == to || taken.is_empty() {
        return Ok(());
    }
    let events: Vec<String> = taken.iter().map(|row| key(&row.event.fired.sys_id)).collect();
    let mut rows = connection.query(TAKE_RUNS, &[&from, &events])?;
    let number = |row: &Row| row.try_get::<_, i64>("run").unwrap_or(0);
    rows.sort_by_key(number);
    let runs = rows.iter().map(read_run).collect::<Result<Vec<_>, _>>()?;
    runs::write(connection, &runs.iter().collect::<Vec<_>>(), Some(to))
}
