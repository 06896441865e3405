//! The rows of new events: one statement for many, a list for each column.

use std::borrow::Cow;
use std::collections::HashMap;

use campanile_model::{NewEvent, SysId};
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use super::append::INTERNAL_KEY;
use super::connection::Connection;
use super::events::{key, sys_id};
use super::params::Columns;
use super::text::{nil, stored};
use crate::contract::StoreError;

/// The rows come in the order of the arrays: a function's rows are read as it gives them. (Sorted by their place they were
/// a tenth dearer.)
const INSERT: &str = "INSERT INTO sysevent_live (sys_id, queue, derived_priority, process_on, sys_created_on, name, \
     \"table\", instance, parm1, parm2, descriptive_name, user_id, user_name, uri, snapshot, \"partition\", depth, \
     cause_event, cause_handler, dedupe_key, source, queue_from_call, registered, scheduled, max_attempts, \
     coalesce_seconds) \
     SELECT a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z FROM unnest($1::text[], \
     $2::text[], $3::float8[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], \
     $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bigint[], $17::bigint[], \
     $18::text[], $19::text[], $20::text[], $21::text[], $22::boolean[], $23::boolean[], $24::boolean[], \
     $25::bigint[], $26::bigint[]) \
     AS new (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z)";

/// An event whose key is taken is left out.
const UNLESS_TAKEN: &str = "ON CONFLICT (lower(sys_id)) DO NOTHING RETURNING sys_id, sequence";

/// Whether [`append_at_once`] may append it.
pub(super) fn is_plain(event: &NewEvent) -> bool {
    event.dedupe_key.is_empty() && event.coalesce_seconds == 0
}

/// Inserts rows. Returns the order of arrival of those that are new.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn insert(
    connection: &Connection,
    events: &[&NewEvent],
) -> Result<HashMap<SysId, i64>, StoreError> {
    if events.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = connection.query(&format!("{INSERT} {UNLESS_TAKEN}"), &columns(events).params())?;
    rows.iter().map(|row| Ok((sys_id(row, 0)?, row.try_get(1)?))).collect()
}

/// Appends `events` without keys that are counted on no other, and does `change`, whose parameters stand behind the events',
/// in one statement that is a transaction by itself. Returns the order of arrival of each; nothing, and nothing was
/// appended, when `change` changed no row.
///
/// # Errors
/// What the client said; then nothing was kept, unless the connection is gone: then nobody knows. A key of an event that is
/// taken is an error too.
pub(super) fn append_at_once(
    connection: &Connection,
    (change, change_params): (&str, &[&(dyn ToSql + Sync)]),
    events: &[&NewEvent],
) -> Result<Vec<i64>, Error> {
    let columns = columns(events);
    let mut params = columns.params();
    params.extend(change_params);
    let sql = format!(
        "WITH changed AS ({change}) {INSERT} WHERE EXISTS (SELECT FROM changed) RETURNING sequence"
    );
    connection.query(&sql, &params)?.iter().map(|row| row.try_get(0)).collect()
}

/// The order of arrival of events that are there, whichever place they stand in by now; 0 for any other.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn sequences(
    connection: &Connection,
    events: &[&NewEvent],
) -> Result<Vec<i64>, StoreError> {
    let keys: Vec<String> = events.iter().map(|event| key(&event.sys_id)).collect();
    // One view: between two an event could go from one place to the other.
    let rows = connection.query(
        "SELECT sys_id, sequence FROM sysevent_live WHERE lower(sys_id) = ANY ($1) \
         UNION ALL SELECT sys_id, sequence FROM sysevent_log WHERE lower(sys_id) = ANY ($1)",
        &[&keys],
    )?;
    let found: HashMap<SysId, i64> = rows
        .iter()
        .map(|row| Ok((sys_id(row, 0)?, row.try_get(1)?)))
        .collect::<Result<_, StoreError>>()?;
    Ok(events.iter().map(|event| found.get(&event.sys_id).copied().unwrap_or(0)).collect())
}

/// Values of one column.
type Texts<'a> = Vec<Option<Cow<'a, str>>>;

/// The values of events for [`INSERT`].
pub(super) fn columns<'a>(events: &[&'a NewEvent]) -> Columns<'a> {
    let texts = |of: fn(&NewEvent) -> &str| -> Box<Texts<'a>> {
        Box::new(events.iter().map(|event| nil(of(event))).collect())
    };
    let whole = |of: fn(&NewEvent) -> &str| -> Box<Vec<Cow<'a, str>>> {
        Box::new(events.iter().map(|event| stored(of(event))).collect())
    };
    let numbers = |of: fn(&NewEvent) -> i64| -> Box<Vec<i64>> {
        Box::new(events.iter().map(|event| of(event)).collect())
    };
    let flags = |of: fn(&NewEvent) -> bool| -> Box<Vec<bool>> {
        Box::new(events.iter().map(|event| of(event)).collect())
    };
    let priorities: Vec<f64> = events.iter().map(|event| event.priority).collect();
    Columns(vec![
        whole(|e| e.sys_id.as_str()),
        whole(|e| &e.queue),
        Box::new(priorities),
        numbers(|e| e.process_on.as_millis()),
        numbers(|e| e.created.as_millis()),
        whole(|e| &e.name),
        texts(|e| &e.table),
        texts(|e| &e.instance),
        texts(|e| &e.parm1),
        texts(|e| &e.parm2),
        texts(|e| &e.descriptive_name),
        texts(|e| &e.user_id),
        texts(|e| &e.user_name),
        texts(|e| &e.uri),
        texts(|e| &e.snapshot),
        numbers(NewEvent::partition),
        numbers(|e| e.depth),
        texts(|e| e.cause_event.as_ref().map_or("", SysId::as_str)),
        texts(|e| &e.cause_handler),
        texts(callers_key),
        whole(|e| e.source.as_str()),
        flags(|e| e.queue_from_call),
        flags(|e| e.registered),
        flags(|e| e.scheduled),
        numbers(|e| e.max_attempts),
        numbers(|e| e.coalesce_seconds),
    ])
}

/// Internal keys are no caller's, and are kept in a table of their own.
fn callers_key(event: &NewEvent) -> &str {
    if event.dedupe_key.starts_with(INTERNAL_KEY) { "" } else { &event.dedupe_key }
}
