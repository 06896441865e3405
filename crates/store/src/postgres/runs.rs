//! Handler runs: what each handler did with an event (§1.2).

use std::borrow::Cow;

use campanile_model::{HandlerKind, HandlerRun, Instant, Outcome, SysId};
use tokio_postgres::Row;

use super::connection::Connection;
use super::distributed::statements;
use super::events::{key, sys_id, sys_id_or_none, text};
use super::params::Columns;
use super::text::{nil, stored};
use crate::contract::StoreError;

/// Stands between references in a column.
const REFERENCE_SEPARATOR: &str = "\n";

/// Inserts runs, in their order; one that was written before is left alone.
pub(super) const INSERT: &str = "INSERT INTO sysevent_run (sys_id, event, origin_id, epoch, attempt, handler_kind, handler, \
     handler_name, \"order\", outcome, reason, sentence, started_at, duration_ms, error_message, error_line, \
     error_stack, log, fired_events, fired_event_refs, written_records, written_record_refs, definition_version) \
     SELECT a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w FROM unnest($1::text[], \
     $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::bigint[], \
     $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::text[], $16::bigint[], $17::text[], \
     $18::text[], $19::bigint[], $20::text[], $21::bigint[], $22::text[], $23::bigint[]) \
     AS new (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w) \
     ON CONFLICT (lower(sys_id)) DO NOTHING";

const SELECT: &str = "SELECT sys_id, event, origin_id, epoch, attempt, handler_kind, handler, handler_name, \
     \"order\", outcome, reason, sentence, started_at, duration_ms, error_message, error_line, error_stack, log, \
     fired_events, fired_event_refs, written_records, written_record_refs, definition_version \
     FROM sysevent_run WHERE lower(event) = $1";

/// Writes runs, in their order; into `partition`, that of their events, in distributed mode. One that was written before
/// is left alone.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn write(
    connection: &Connection,
    runs: &[&HandlerRun],
    partition: Option<i64>,
) -> Result<(), StoreError> {
    if runs.is_empty() {
        return Ok(());
    }
    let columns = columns(runs);
    let mut values = columns.params();
    let sql = match &partition {
        None => INSERT,
        Some(partition) => {
            values.push(partition);
            statements::RECORD_RUNS
        }
    };
    connection.execute(sql, &values)?;
    Ok(())
}

/// The values of runs for [`INSERT`].
pub(super) fn columns<'a>(runs: &[&'a HandlerRun]) -> Columns<'a> {
    let texts = |of: fn(&HandlerRun) -> &str| -> Box<Vec<Option<Cow<'a, str>>>> {
        Box::new(runs.iter().map(|run| nil(of(run))).collect())
    };
    let whole = |of: fn(&HandlerRun) -> &str| -> Box<Vec<Cow<'a, str>>> {
        Box::new(runs.iter().map(|run| stored(of(run))).collect())
    };
    let numbers = |of: fn(&HandlerRun) -> i64| -> Box<Vec<i64>> {
        Box::new(runs.iter().map(|run| of(run)).collect())
    };
    let references = |of: fn(&HandlerRun) -> &[String]| -> Box<Vec<Option<String>>> {
        Box::new(runs.iter().map(|run| joined(of(run))).collect())
    };
    let origins: Vec<Option<&str>> = runs
        .iter()
        .map(|run| (run.origin_id != run.event).then_some(run.origin_id.as_str()))
        .collect();
    Columns(vec![
        whole(|run| run.sys_id.as_str()),
        whole(|run| run.event.as_str()),
        Box::new(origins),
        numbers(|run| run.epoch),
        numbers(|run| run.attempt),
        whole(|run| run.kind.as_str()),
        whole(|run| run.handler.as_str()),
        texts(|run| &run.handler_name),
        numbers(|run| run.order),
        whole(|run| run.outcome.as_str()),
        texts(|run| &run.reason),
        texts(|run| &run.sentence),
        numbers(|run| run.started_at.as_millis()),
        numbers(|run| run.duration_ms),
        texts(|run| &run.error_message),
        numbers(|run| run.error_line),
        texts(|run| &run.error_stack),
        texts(|run| &run.log),
        numbers(|run| run.fired_events.0),
        references(|run| &run.fired_events.1),
        numbers(|run| run.written_records.0),
        references(|run| &run.written_records.1),
        numbers(|run| run.definition_version),
    ])
}

/// The runs of an event, oldest first; of one epoch when given. `partition` is where the event stands, if that is known: in
/// distributed mode the others are not looked at then.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn runs(
    connection: &Connection,
    event: &SysId,
    epoch: Option<i64>,
    partition: Option<i64>,
) -> Result<Vec<HandlerRun>, StoreError> {
    let rows = match partition {
        None => {
            let sql = format!("{SELECT} AND ($2::bigint IS NULL OR epoch = $2) ORDER BY run");
            connection.query(&sql, &[&key(event), &epoch])?
        }
        Some(partition) => {
            connection.query(statements::RUNS_OF_EVENT, &[&partition, &key(event), &epoch])?
        }
    };
    rows.iter().map(read_run).collect()
}

/// The run in a row of the columns of [`SELECT`].
///
/// # Errors
/// [`StoreError::Statement`] when a column cannot be read.
pub(super) fn read_run(row: &Row) -> Result<HandlerRun, StoreError> {
    let event = sys_id(row, 1)?;
    let owned = |index| text(row, index).map(|text| text.to_string());
    let references = |index| {
        text(row, index).map(|joined| {
            joined
                .split(REFERENCE_SEPARATOR)
                .filter(|one| !one.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
    };
    Ok(HandlerRun {
        sys_id: sys_id(row, 0)?,
        event,
        origin_id: sys_id_or_none(row, 2)?.unwrap_or(event),
        epoch: row.try_get(3)?,
        attempt: row.try_get(4)?,
        kind: HandlerKind::from_word(row.try_get(5)?).unwrap_or(HandlerKind::ScriptAction),
        handler: sys_id(row, 6)?,
        handler_name: owned(7)?,
        order: row.try_get(8)?,
        outcome: Outcome::from_word(row.try_get(9)?),
        reason: owned(10)?,
        sentence: owned(11)?,
        started_at: Instant::from_millis(row.try_get(12)?),
        duration_ms: row.try_get(13)?,
        error_message: owned(14)?,
        error_line: row.try_get(15)?,
        error_stack: owned(16)?,
        log: owned(17)?,
        fired_events: (row.try_get(18)?, references(19)?),
        written_records: (row.try_get(20)?, references(21)?),
        definition_version: row.try_get(22)?,
    })
}

fn joined(references: &[String]) -> Option<String> {
    let joined = references.join(REFERENCE_SEPARATOR);
    nil(&joined).map(Cow::into_owned)
}
