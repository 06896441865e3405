//! The rows of new events: one statement for many, a list for each column.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use campanile_model::{NewEvent, SysId};
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use super::append::INTERNAL_KEY;
use super::connection::Connection;
use super::events::{key, sys_id};
use super::params::Columns;
use super::text::{nil, stored};
use crate::contract::StoreError;

/// The columns of a new event, in the order in which [`columns`] gives their values.
macro_rules! new_columns {
    () => {
        "sys_id, queue, derived_priority, process_on, sys_created_on, name, \"table\", instance, parm1, parm2, \
         descriptive_name, user_id, user_name, uri, snapshot, \"partition\", depth, cause_event, cause_handler, \
         dedupe_key, source, queue_from_call, registered, scheduled, max_attempts, coalesce_seconds"
    };
}

/// Names of the columns of [`new_rows!`].
macro_rules! letters {
    () => {
        "a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z"
    };
}

/// New events, a list for each column.
macro_rules! lists {
    () => {
        "$1::text[], $2::text[], $3::float8[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], \
         $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bigint[], \
         $17::bigint[], $18::text[], $19::text[], $20::text[], $21::text[], $22::boolean[], $23::boolean[], \
         $24::boolean[], $25::bigint[], $26::bigint[]"
    };
}

/// The rows come in the order of the arrays: a function's rows are read as it gives them. (Sorted by their place they were
/// a tenth dearer.)
const INSERT: &str = concat!(
    "INSERT INTO sysevent_live (",
    new_columns!(),
    ") SELECT ",
    letters!(),
    " FROM unnest(",
    lists!(),
    ") AS new (",
    letters!(),
    ")"
);

/// The same for a program whose lease is `$27`; each event is claimed by who stands in `$31`, if anybody does, the lease goes on,
/// and the queue keeps no order: as far as a claim looks. Asked once for an event, hence the `OFFSET`.
const INSERT_BORN: &str = concat!(
    "INSERT INTO sysevent_live (",
    new_columns!(),
    ", state, claimed_by, claim_token) SELECT ",
    letters!(),
    ", CASE WHEN holder IS NULL THEN 'ready' ELSE 'queued' END, holder, CASE WHEN holder IS NULL THEN NULL ELSE $27 END \
     FROM (SELECT ",
    letters!(),
    ", CASE WHEN holder IS NOT NULL \
     AND EXISTS (SELECT FROM campanile_node WHERE token = $27 AND gone_at IS NULL) \
     AND NOT EXISTS (SELECT FROM sysevent_queue_order AS rule WHERE rule.queue = new.b) THEN holder END AS holder \
     FROM unnest(",
    lists!(),
    ", $31::text[]) AS new (",
    letters!(),
    ", holder) OFFSET 0) AS new"
);

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

/// Where a new event stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stands {
    /// Its order of arrival; 0 when that is not known.
    pub(super) sequence: i64,
    /// It is claimed for who it was promised to.
    pub(super) is_born: bool,
}

/// Appends `events` without keys that are counted on no other, and does `change`, whose parameters stand behind the events',
/// in one statement that is a transaction by itself. Some may be claimed by then `for_whom` they are, under the lease that is the
/// first parameter of `change`. Returns where each stands and what `change` gives as `place`; nothing, and nothing was appended, when
/// `change` changed no row.
///
/// # Errors
/// What the client said; then nothing was kept, unless the connection is gone: then nobody knows. A key of an event that is
/// taken is an error too.
pub(super) fn append_at_once(
    connection: &Connection,
    (change, change_params): (&str, &[&(dyn ToSql + Sync); 4]),
    events: &[&NewEvent],
    for_whom: Option<&[Option<Arc<str>>]>,
) -> Result<(Vec<Stands>, Option<String>), Error> {
    let columns = columns(events);
    let mut params = columns.params();
    params.extend(change_params);
    let holders: Option<Vec<Option<Cow<'_, str>>>> =
        for_whom.map(|all| all.iter().map(|by| by.as_deref().map(stored)).collect());
    let (insert, is_born) = if let Some(holders) = &holders {
        params.push(holders);
        (INSERT_BORN, "claim_token IS NOT NULL")
    } else {
        (INSERT, "false")
    };
    let sql = format!(
        "WITH changed AS ({change}) {insert} WHERE EXISTS (SELECT FROM changed) \
         RETURNING sequence, {is_born}, (SELECT place FROM changed)"
    );
    let rows = connection.query(&sql, &params)?;
    let place = rows.first().map_or(Ok(None), |row| row.try_get(2))?;
    let stands = rows
        .iter()
        .map(|row| Ok(Stands { sequence: row.try_get(0)?, is_born: row.try_get(1)? }))
        .collect::<Result<_, Error>>()?;
    Ok((stands, place))
}

/// Where events stand that are there, whichever place they are in by now; those are born that are claimed under the lease `token`
/// by who they are for: one that was given back meanwhile may be another processor's of this program.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn stand(
    connection: &Connection,
    events: &[&NewEvent],
    (token, for_whom): (i64, Option<&[Option<Arc<str>>]>),
) -> Result<Vec<Stands>, StoreError> {
    let keys: Vec<String> = events.iter().map(|event| key(&event.sys_id)).collect();
    // One view: between two an event could go from one place to the other.
    let rows = connection.query(
        "SELECT sys_id, sequence, CASE WHEN claim_token = $2 THEN claimed_by END FROM sysevent_live \
         WHERE lower(sys_id) = ANY ($1) \
         UNION ALL SELECT sys_id, sequence, NULL FROM sysevent_log WHERE lower(sys_id) = ANY ($1)",
        &[&keys, &token],
    )?;
    let found: HashMap<SysId, (i64, Option<String>)> = rows
        .iter()
        .map(|row| Ok((sys_id(row, 0)?, (row.try_get(1)?, row.try_get(2)?))))
        .collect::<Result<_, StoreError>>()?;
    let stands = events.iter().enumerate().map(|(at, event)| {
        let Some((sequence, claimed_by)) = found.get(&event.sys_id) else {
            return Stands::default();
        };
        let promised_to = for_whom.and_then(|for_whom| for_whom[at].as_deref());
        let is_born = promised_to.is_some_and(|by| claimed_by.as_deref() == Some(&*stored(by)));
        Stands { sequence: *sequence, is_born }
    });
    Ok(stands.collect())
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
