//! Appending events: the hot path of every fire.
//!
//! Differs because a round trip to the server costs more than a row: all events of a group go in one statement, and so
//! do their keys. Coalescing costs only those who use it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use campanile_model::{NewEvent, QueueOrder, SysId};

use super::answers;
use super::connection::Connection;
use super::distributed;
use super::effects::Effects;
use super::events::sys_id;
use super::failure::taken_for_dead;
use super::held::{Claims, Standing};
use super::insert;
use super::order;
use super::text::{nil, stored};
use crate::contract::{AppendOutcome, Appended, StoreError};

/// Keys of events that handlers fired begin so, followed by the causing event: `h:<cause>:…`.
pub(super) const INTERNAL_KEY: &str = "h:";

/// What this program holds, the token of the lease that it stands on, and what it knows of the order of queues.
#[derive(Clone, Copy)]
pub(super) struct Held<'a>(
    pub(super) &'a Claims,
    pub(super) i64,
    pub(super) &'a HashMap<Arc<str>, QueueOrder>,
);

impl Held<'_> {
    /// Where `event` is to stand, in distributed mode.
    fn partition_of(&self, event: &NewEvent) -> Option<i64> {
        let spread = self.0.spread()?;
        Some(spread.partition_of(event, order::of(self.2, &event.queue)))
    }
}

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
                } else if let Some(absorbed) = coalesce(connection, claims, event)? {
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
    let mut sequences = match claims.0.spread() {
        None => insert::insert(connection, &of_rows)?,
        Some(spread) => distributed::append::insert(connection, &of_rows, (spread, claims.2))?,
    };
    for at in new {
        let event = events[at];
        outcomes[at] = Some(match sequences.remove(&event.sys_id) {
            Some(sequence) => {
                effects.wake(
                    &event.queue,
                    claims.partition_of(event),
                    event.process_on.as_millis(),
                );
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
        return taken_for_dead();
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

fn key_taken(event: &NewEvent) -> StoreError {
    StoreError::Duplicate {
        table: "sysevent".to_owned(),
        field: "sys_id".to_owned(),
        value: event.sys_id.to_string(),
    }
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
    Held(claims, token, _): Held<'_>,
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
        let rows = match claims.spread() {
            None => connection.query(
                "SELECT lower(sys_id) FROM sysevent_live WHERE lower(sys_id) = ANY ($1) AND claim_token IS NOT DISTINCT FROM $2 \
                 FOR KEY SHARE",
                &[&claimed, &token],
            )?,
            Some(_) => distributed::append::hold(connection, claims, &claimed, token)?,
        };
        for row in rows {
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

/// Forgets the keys between each low one and its high one.
pub(super) const FORGET_INTERNAL_KEYS: &str = "DELETE FROM sysevent_fired USING unnest($1::text[], $2::text[]) AS gone (low, high) \
     WHERE key >= low AND key < high";

/// The parameters of [`FORGET_INTERNAL_KEYS`] for these causing events.
pub(super) fn internal_keys_of(causes: &[SysId]) -> (Vec<String>, Vec<String>) {
    // ';' is the character behind ':'.
    let ends = |end| causes.iter().map(|cause| format!("{INTERNAL_KEY}{cause}{end}")).collect();
    (ends(':'), ends(';'))
}

/// Forgets the internal keys of events whose epoch has ended.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn forget_internal_keys(
    connection: &Connection,
    causes: &[SysId],
) -> Result<(), StoreError> {
    if !causes.is_empty() {
        let (low, high) = internal_keys_of(causes);
        connection.execute(FORGET_INTERNAL_KEYS, &[&low, &high])?;
    }
    Ok(())
}

/// Counts `event` on an equal one that waits and was fired recently enough, if there is one that nobody is about to
/// take: its handler may have looked already, and the new one would be lost on it.
fn coalesce(
    connection: &Connection,
    claims: Held<'_>,
    event: &NewEvent,
) -> Result<Option<Appended>, StoreError> {
    let since = event.created.plus_millis(event.coalesce_seconds.saturating_mul(-1000));
    if let Some(partition) = claims.partition_of(event) {
        return distributed::append::coalesce(connection, event, since, partition);
    }
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
    found.map(|row| Ok(absorbed(sys_id(&row, 0)?))).transpose()
}

/// It was counted on the event with this key.
pub(super) fn absorbed(sys_id: SysId) -> Appended {
    Appended { sys_id, sequence: 0, duplicate: false, coalesced: true }
}
