//! Appending events: the hot path of every fire.
//!
//! Differs because a round trip to the server costs more than a row: all events of a group go in one statement, and so
//! do their keys. Coalescing costs only those who use it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use campanile_model::{NewEvent, SysId};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::answers;
use super::claims::{Claims, Standing};
use super::connection::Connection;
use super::effects::Effects;
use super::events::sys_id;
use super::failure::SOMEWHERE;
use super::text::{nil, stored};
use crate::contract::{AppendOutcome, Appended, StoreError};

/// Keys of events that handlers fired begin so, followed by the causing event: `h:<cause>:…`.
pub(super) const INTERNAL_KEY: &str = "h:";

const INSERT: &str = "INSERT INTO sysevent_live (sys_id, queue, derived_priority, process_on, sys_created_on, name, \
     \"table\", instance, parm1, parm2, descriptive_name, user_id, user_name, uri, snapshot, \"partition\", depth, \
     cause_event, cause_handler, dedupe_key, source, queue_from_call, registered, scheduled, max_attempts, \
     coalesce_seconds) \
     SELECT a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z FROM unnest($1::text[], \
     $2::text[], $3::float8[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], \
     $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bigint[], $17::bigint[], \
     $18::text[], $19::text[], $20::text[], $21::text[], $22::boolean[], $23::boolean[], $24::boolean[], \
     $25::bigint[], $26::bigint[]) WITH ORDINALITY \
     AS new (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, place) ORDER BY place \
     ON CONFLICT (lower(sys_id)) DO NOTHING RETURNING sys_id, sequence";

/// What this program holds, and the token of the lease that it stands on.
#[derive(Clone, Copy)]
pub(super) struct Held<'a>(pub(super) &'a Claims, pub(super) i64);

/// Appends `events` in the transaction of `connection`; they become claimable at its commit.
///
/// # Errors
/// [`StoreError::Full`], [`StoreError::Unavailable`]: then the caller rolls back. A refusal that concerns one event
/// is its outcome.
pub(super) fn append_events(
    connection: &Connection,
    claims: Held<'_>,
    events: &[&NewEvent],
) -> Result<(Vec<AppendOutcome>, Effects), StoreError> {
    let mut outcomes = Vec::with_capacity(events.len());
    let mut effects = Effects::default();
    // What may be counted on another event goes by itself, after what was appended before it.
    for run in events.chunk_by(|l, r| l.coalesce_seconds == 0 && r.coalesce_seconds == 0) {
        match run {
            [event] if event.coalesce_seconds > 0 => {
                let known = known_keys(connection, claims, run)?.remove(0);
                if let Some(known) = known {
                    outcomes.push(known);
                } else if let Some(absorbed) = coalesce(connection, event)? {
                    outcomes.push(Ok(absorbed));
                } else {
                    outcomes.extend(append_run(connection, claims, run, &mut effects)?);
                }
            }
            run => outcomes.extend(append_run(connection, claims, run, &mut effects)?),
        }
    }
    Ok((outcomes, effects))
}

/// Appends events that are counted on no other.
fn append_run(
    connection: &Connection,
    claims: Held<'_>,
    events: &[&NewEvent],
    effects: &mut Effects,
) -> Result<Vec<AppendOutcome>, StoreError> {
    let mut outcomes: Vec<Option<AppendOutcome>> = vec![None; events.len()];
    let mut first_of_key: HashMap<&str, usize> = HashMap::new();
    let mut repeated = Vec::new();
    let mut keyed = Vec::new();
    for (at, event) in events.iter().enumerate().filter(|(_, e)| !e.dedupe_key.is_empty()) {
        match first_of_key.get(&*event.dedupe_key) {
            Some(first) => repeated.push((at, *first)),
            None => {
                first_of_key.insert(&event.dedupe_key, at);
                keyed.push(at);
            }
        }
    }
    if !keyed.is_empty() {
        let of_keys: Vec<&NewEvent> = keyed.iter().map(|at| events[*at]).collect();
        let taken = take_keys(connection, claims, &of_keys)?;
        let lost: Vec<usize> =
            keyed.iter().copied().filter(|at| !taken.contains(&*events[*at].dedupe_key)).collect();
        let of_keys: Vec<&NewEvent> = lost.iter().map(|at| events[*at]).collect();
        for (at, known) in lost.iter().zip(known_keys(connection, claims, &of_keys)?) {
            outcomes[*at] = Some(known.unwrap_or_else(|| Err(nobody_has(events[*at]))));
        }
    }
    let is_repeated: HashSet<usize> = repeated.iter().map(|(at, _)| *at).collect();
    let new: Vec<usize> = (0..events.len())
        .filter(|at| outcomes[*at].is_none() && !is_repeated.contains(at))
        .collect();
    let of_rows: Vec<&NewEvent> = new.iter().map(|at| events[*at]).collect();
    let mut sequences = insert(connection, &of_rows)?;
    for at in new {
        let event = events[at];
        outcomes[at] = Some(match sequences.remove(&event.sys_id) {
            Some(sequence) => {
                effects.wake(&event.queue, event.process_on.as_millis());
                Ok(Appended { sys_id: event.sys_id, sequence, duplicate: false, coalesced: false })
            }
            None => {
                leave_key(connection, event)?;
                Err(key_taken(event))
            }
        });
    }
    for (at, first) in repeated {
        outcomes[at] = Some(repetition(events[at], events[first], outcomes[first].as_ref()));
    }
    Ok(outcomes.into_iter().flatten().collect())
}

/// Why a key could not be taken that nobody has.
fn nobody_has(event: &NewEvent) -> StoreError {
    if event.dedupe_key.starts_with(INTERNAL_KEY) {
        return StoreError::Unavailable {
            place: SOMEWHERE.to_owned(),
            reason: "this node was taken for dead, and what it was handling is another's now"
                .to_owned(),
        };
    }
    // Whoever had it has forgotten it in between: as if the call came now.
    StoreError::Busy { waited_ms: 0 }
}

/// The outcome of an event that has the key of another one of the same call.
fn repetition(
    event: &NewEvent,
    first: &NewEvent,
    outcome: Option<&AppendOutcome>,
) -> AppendOutcome {
    let is_same =
        event.content_hash == first.content_hash || event.dedupe_key.starts_with(INTERNAL_KEY);
    match outcome {
        Some(Ok(first)) if is_same => Ok(duplicate(first.sys_id)),
        Some(Ok(_)) | None => Err(StoreError::KeyReused { key: event.dedupe_key.to_string() }),
        Some(Err(error)) => Err(error.clone()),
    }
}

fn duplicate(sys_id: SysId) -> Appended {
    Appended { sys_id, sequence: 0, duplicate: true, coalesced: false }
}

/// Values of one column.
type Texts<'a> = Vec<Option<Cow<'a, str>>>;

/// Inserts rows. Returns the order of arrival of those that are new.
fn insert(
    connection: &Connection,
    events: &[&NewEvent],
) -> Result<HashMap<SysId, i64>, StoreError> {
    if events.is_empty() {
        return Ok(HashMap::new());
    }
    insert_by(events, |sql, params| connection.query(sql, params))
}

/// Begins a transaction by `begin` and the statement `change`, and appends `events` in it, all in one round trip. For events
/// without keys that are counted on no other. One whose `sys_id` is taken is told so, and the others are there.
///
/// # Errors
/// What PostgreSQL said; then the caller rolls back.
pub(super) fn begin_with(
    connection: &Connection,
    begin: &str,
    change: (&str, &[&(dyn ToSql + Sync)]),
    events: &[&NewEvent],
) -> Result<(Vec<AppendOutcome>, Effects), StoreError> {
    let mut sequences =
        insert_by(events, |sql, params| connection.begin_and_query(begin, change, (sql, params)))?;
    let mut effects = Effects::default();
    let outcomes = events
        .iter()
        .map(|event| match sequences.remove(&event.sys_id) {
            Some(sequence) => {
                effects.wake(&event.queue, event.process_on.as_millis());
                Ok(Appended { sys_id: event.sys_id, sequence, duplicate: false, coalesced: false })
            }
            None => Err(key_taken(event)),
        })
        .collect();
    Ok((outcomes, effects))
}

/// Whether [`begin_with`] may append it.
pub(super) fn is_plain(event: &NewEvent) -> bool {
    event.dedupe_key.is_empty() && event.coalesce_seconds == 0
}

fn key_taken(event: &NewEvent) -> StoreError {
    StoreError::Duplicate {
        table: "sysevent".to_owned(),
        field: "sys_id".to_owned(),
        value: event.sys_id.to_string(),
    }
}

fn insert_by(
    events: &[&NewEvent],
    query: impl FnOnce(&str, &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error>,
) -> Result<HashMap<SysId, i64>, StoreError> {
    let texts = |of: fn(&NewEvent) -> &str| -> Texts<'_> {
        events.iter().map(|event| nil(of(event))).collect()
    };
    let whole = |of: fn(&NewEvent) -> &str| -> Vec<Cow<'_, str>> {
        events.iter().map(|event| stored(of(event))).collect()
    };
    let numbers =
        |of: fn(&NewEvent) -> i64| -> Vec<i64> { events.iter().map(|event| of(event)).collect() };
    let flags =
        |of: fn(&NewEvent) -> bool| -> Vec<bool> { events.iter().map(|event| of(event)).collect() };
    let priorities: Vec<f64> = events.iter().map(|event| event.priority).collect();
    let rows = query(
        INSERT,
        &[
            &whole(|e| e.sys_id.as_str()),
            &whole(|e| &e.queue),
            &priorities,
            &numbers(|e| e.process_on.as_millis()),
            &numbers(|e| e.created.as_millis()),
            &whole(|e| &e.name),
            &texts(|e| &e.table),
            &texts(|e| &e.instance),
            &texts(|e| &e.parm1),
            &texts(|e| &e.parm2),
            &texts(|e| &e.descriptive_name),
            &texts(|e| &e.user_id),
            &texts(|e| &e.user_name),
            &texts(|e| &e.uri),
            &texts(|e| &e.snapshot),
            &numbers(NewEvent::partition),
            &numbers(|e| e.depth),
            &texts(|e| e.cause_event.as_ref().map_or("", SysId::as_str)),
            &texts(|e| &e.cause_handler),
            &texts(callers_key),
            &whole(|e| e.source.as_str()),
            &flags(|e| e.queue_from_call),
            &flags(|e| e.registered),
            &flags(|e| e.scheduled),
            &numbers(|e| e.max_attempts),
            &numbers(|e| e.coalesce_seconds),
        ],
    )?;
    rows.iter().map(|row| Ok((sys_id(row, 0)?, row.try_get(1)?))).collect()
}

/// Internal keys are no caller's, and are kept in a table of their own.
fn callers_key(event: &NewEvent) -> &str {
    if event.dedupe_key.starts_with(INTERNAL_KEY) { "" } else { &event.dedupe_key }
}

/// Takes the keys of `events`, all different, as far as they are free. Returns those that were taken.
///
/// In the order of the keys, so that two who take the same ones wait for each other instead of for ever.
fn take_keys(
    connection: &Connection,
    claims: Held<'_>,
    events: &[&NewEvent],
) -> Result<HashSet<String>, StoreError> {
    let (internal, callers): (Vec<&NewEvent>, Vec<&NewEvent>) =
        events.iter().partition(|event| event.dedupe_key.starts_with(INTERNAL_KEY));
    let keys = |events: &[&NewEvent]| -> Vec<String> {
        events.iter().map(|event| stored(&event.dedupe_key).into_owned()).collect()
    };
    let ids = |events: &[&NewEvent]| -> Vec<String> {
        events.iter().map(|event| event.sys_id.to_string()).collect()
    };
    let mut rows = Vec::new();
    if !internal.is_empty() {
        internal.iter().for_each(|event| mark_fired(claims.0, event));
        let own = still_own(connection, claims, internal)?;
        rows.extend(connection.query(
            "INSERT INTO sysevent_fired (key, sys_id) SELECT k, s FROM unnest($1::text[], $2::text[]) AS new (k, s) \
             ORDER BY k COLLATE \"C\" ON CONFLICT (key) DO NOTHING RETURNING key",
            &[&keys(&own), &ids(&own)],
        )?);
    }
    // Calls of one append differ only while the property changes: then a key counts as taken for the longest life, and the
    // call that would have had it is told to come again.
    let key_life_ms = callers.iter().map(|event| event.key_life_ms).max().unwrap_or(0);
    if let Some(latest) = callers.iter().map(|event| event.created).max() {
        let hashes: Vec<i64> = callers.iter().map(|e| e.content_hash.cast_signed()).collect();
        let created: Vec<i64> = callers.iter().map(|e| e.created.as_millis()).collect();
        let taken = connection.query(
            "INSERT INTO sysevent_dedupe AS known (key, content_hash, sys_id, created) \
             SELECT k, h, s, c FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) AS new (k, h, s, c) \
             ORDER BY k COLLATE \"C\" ON CONFLICT (key) DO UPDATE SET content_hash = excluded.content_hash, \
             sys_id = excluded.sys_id, created = excluded.created, answer = NULL \
             WHERE known.created <= excluded.created - $5::bigint RETURNING key",
            &[&keys(&callers), &hashes, &ids(&callers), &created, &key_life_ms],
        )?;
        if !taken.is_empty() {
            answers::forget(connection, answers::forgotten_at(latest, key_life_ms))?;
        }
        rows.extend(taken);
    }
    rows.iter().map(|row| Ok(super::text::read(row.try_get(0)?).into_owned())).collect()
}

/// Those of `events` whose cause this program still handles. Whoever was taken for dead fires nothing any more: the keys
/// of an event go at its end, so they alone would not tell.
fn still_own<'a>(
    connection: &Connection,
    Held(claims, token): Held<'_>,
    events: Vec<&'a NewEvent>,
) -> Result<Vec<&'a NewEvent>, StoreError> {
    let standing: Vec<Standing> =
        events.iter().map(|event| claims.standing(cause_of(event))).collect();
    let claimed: Vec<String> = events
        .iter()
        .zip(&standing)
        .filter(|(_, standing)| **standing == Standing::Claimed)
        .map(|(event, _)| cause_of(event).to_ascii_lowercase())
        .collect();
    let mut held = HashSet::new();
    if !claimed.is_empty() {
        // Nobody takes them over before the commit.
        for row in connection.query(
            "SELECT lower(sys_id) FROM sysevent_live WHERE lower(sys_id) = ANY ($1) AND claim_token = $2 \
             FOR KEY SHARE",
            &[&claimed, &token],
        )? {
            held.insert(row.try_get::<_, String>(0)?);
        }
    }
    let is_own = |event: &NewEvent, standing: Standing| match standing {
        Standing::Claimed => held.contains(&cause_of(event).to_ascii_lowercase()),
        Standing::Lost => false,
        Standing::Unknown => true,
    };
    let all = events.into_iter().zip(standing);
    Ok(all.filter(|(event, standing)| is_own(event, *standing)).map(|(event, _)| event).collect())
}

/// The outcomes of events whose keys were used before; `None` for a free key, or none.
fn known_keys(
    connection: &Connection,
    claims: Held<'_>,
    events: &[&NewEvent],
) -> Result<Vec<Option<AppendOutcome>>, StoreError> {
    events.iter().map(|event| known_key(connection, claims, event)).collect()
}

fn known_key(
    connection: &Connection,
    claims: Held<'_>,
    event: &NewEvent,
) -> Result<Option<AppendOutcome>, StoreError> {
    let dedupe_key = &*event.dedupe_key;
    if dedupe_key.is_empty() {
        return Ok(None);
    }
    if dedupe_key.starts_with(INTERNAL_KEY) {
        mark_fired(claims.0, event);
        let first = connection.query_first(
            "SELECT sys_id FROM sysevent_fired WHERE key = $1",
            &[&stored(dedupe_key)],
        )?;
        return first.map(|row| Ok(Ok(duplicate(sys_id(&row, 0)?)))).transpose();
    }
    let known = connection.query_first(
        "SELECT content_hash, answer IS NULL, sys_id FROM sysevent_dedupe WHERE key = $1 AND created > $2",
        &[&stored(dedupe_key), &answers::forgotten_at(event.created, event.key_life_ms)],
    )?;
    let Some(row) = known else { return Ok(None) };
    // The key of a row's answer stands beside the row's key, which may have any spelling.
    let is_event: bool = row.try_get(1)?;
    let is_same = row.try_get::<_, i64>(0)? == event.content_hash.cast_signed();
    Ok(Some(if is_event && is_same {
        Ok(duplicate(sys_id(&row, 2)?))
    } else {
        Err(StoreError::KeyReused { key: dedupe_key.to_owned() })
    }))
}

/// The causing event that an internal key names.
fn cause_of(event: &NewEvent) -> &str {
    let rest = event.dedupe_key.strip_prefix(INTERNAL_KEY).unwrap_or_default();
    rest.split(':').next().unwrap_or_default()
}

fn mark_fired(claims: &Claims, event: &NewEvent) {
    if let Ok(cause) = cause_of(event).parse() {
        claims.mark_fired(&cause);
    }
    if let Some(cause) = &event.cause_event {
        claims.mark_fired(cause);
    }
}

/// The event was refused after all: its key is free again.
fn leave_key(connection: &Connection, event: &NewEvent) -> Result<(), StoreError> {
    if event.dedupe_key.is_empty() {
        return Ok(());
    }
    let table = if event.dedupe_key.starts_with(INTERNAL_KEY) {
        "sysevent_fired"
    } else {
        "sysevent_dedupe"
    };
    connection
        .execute(&format!("DELETE FROM {table} WHERE key = $1"), &[&stored(&event.dedupe_key)])?;
    Ok(())
}

/// Forgets the internal keys of events whose epoch has ended.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn forget_internal_keys(
    connection: &Connection,
    causes: &[SysId],
) -> Result<(), StoreError> {
    for cause in causes {
        connection.execute(
            "DELETE FROM sysevent_fired WHERE key >= $1 AND key < $2",
            // ';' is the character behind ':'.
            &[&format!("{INTERNAL_KEY}{cause}:"), &format!("{INTERNAL_KEY}{cause};")],
        )?;
    }
    Ok(())
}

/// Counts `event` on an equal one that waits and was fired recently enough, if there is one that nobody is about to
/// take: its handler may have looked already, and the new one would be lost on it.
fn coalesce(connection: &Connection, event: &NewEvent) -> Result<Option<Appended>, StoreError> {
    let since = event.created.plus_millis(event.coalesce_seconds.saturating_mul(-1000));
    let found = connection.query_first(
        "UPDATE sysevent_live SET coalesced = coalesced + 1 WHERE sequence = ANY (ARRAY ( \
         SELECT sequence FROM sysevent_live WHERE coalesce_seconds > 0 AND state = 'ready' AND name = $1 \
         AND instance IS NOT DISTINCT FROM $2 AND parm1 IS NOT DISTINCT FROM $3 \
         AND parm2 IS NOT DISTINCT FROM $4 AND \"table\" IS NOT DISTINCT FROM $5 AND sys_created_on >= $6 \
         ORDER BY sequence LIMIT 1 FOR UPDATE SKIP LOCKED)) RETURNING sys_id",
        &[
            &stored(&event.name),
            &nil(&event.instance),
            &nil(&event.parm1),
            &nil(&event.parm2),
            &nil(&event.table),
            &since.as_millis(),
        ],
    )?;
    found
        .map(|row| {
            let sys_id = sys_id(&row, 0)?;
            Ok(Appended { sys_id, sequence: 0, duplicate: false, coalesced: true })
        })
        .transpose()
}
