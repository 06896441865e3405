//! Appending events: the hot path of every fire.
//!
//! One prepared insert, no index on anything random. Idempotency keys and coalescing cost only those who use them.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use campanile_model::{Event, EventState, Instant, NewEvent, SysId};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::answers;
use super::claims::Claims;
use super::effects::{Effect, EventEffects, Standing};
use super::events::{nil, sys_id};
use super::window::{Position, Priority, Waiting};
use crate::contract::{AppendOutcome, Appended, StoreError};

/// Keys of events that handlers fired begin so, followed by the causing event: `h:<cause>:…`.
pub(super) const INTERNAL_KEY: &str = "h:";

const INSERT: &str = "INSERT INTO sysevent_live (sequence, sys_id, queue, derived_priority, process_on, \
     sys_created_on, name, \"table\", instance, parm1, parm2, descriptive_name, user_id, user_name, uri, snapshot, \
     \"partition\", depth, cause_event, cause_handler, dedupe_key, source, queue_from_call, registered, scheduled, \
     max_attempts, coalesce_seconds) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, \
     ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27)";

/// Gives out the order of arrival. Numbers rise in the order of commits, because only the transaction that holds
/// the writer takes any; one that is rolled back leaves a gap.
#[derive(Debug)]
pub(in crate::sqlite) struct Arrivals {
    last: AtomicI64,
    at_opening: i64,
}

impl Arrivals {
    /// Goes on behind every event that the database has.
    ///
    /// # Errors
    /// What SQLite said.
    pub(in crate::sqlite) fn after_all(connection: &Connection) -> Result<Self, StoreError> {
        let last: i64 = connection.query_row(
            "SELECT max(COALESCE((SELECT max(sequence) FROM sysevent_live), 0), \
             COALESCE((SELECT max(sequence) FROM sysevent_log), 0))",
            [],
            |row| row.get(0),
        )?;
        Ok(Self { last: AtomicI64::new(last), at_opening: last })
    }

    /// What [`Arrivals::after_all`] found.
    pub(in crate::sqlite) fn at_opening(&self) -> i64 {
        self.at_opening
    }

    fn next(&self) -> i64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Appends `events` in the transaction of `connection`; they become claimable when `effects` are carried out.
///
/// # Errors
/// [`StoreError::Full`], [`StoreError::Unavailable`]: then the caller rolls back. A refusal that concerns one event
/// is its outcome.
pub(in crate::sqlite) fn append_events(
    connection: &Connection,
    arrivals: &Arrivals,
    events: &[NewEvent],
    effects: &mut EventEffects,
) -> Result<Vec<AppendOutcome>, StoreError> {
    let mut insert = connection.prepare_cached(INSERT)?;
    let empty: Arc<str> = Arc::from("");
    events
        .iter()
        .map(|event| {
            if !event.dedupe_key.is_empty()
                && let Some(known) = known_key(connection, effects.claims(), event)?
            {
                return Ok(known);
            }
            if event.coalesce_seconds > 0
                && let Some(absorbed) = coalesce(connection, event, effects)?
            {
                return Ok(Ok(absorbed));
            }
            let sequence = arrivals.next();
            let event = &*in_order(effects.claims(), event);
            if let Err(error) = insert_event(&mut insert, sequence, event) {
                return refusal(error, event);
            }
            if !event.dedupe_key.is_empty() {
                remember_key(connection, effects.claims(), event)?;
            }
            let (standing, waiting) = as_waiting(event, sequence, &empty);
            effects.note(Effect::Added(standing, waiting));
            Ok(Ok(Appended { sys_id: event.sys_id, sequence, duplicate: false, coalesced: false }))
        })
        .collect()
}

/// The event as it arrives: one for now is due not before those that arrived before it, where the queue keeps an order.
fn in_order<'e>(claims: &Claims, event: &'e NewEvent) -> Cow<'e, NewEvent> {
    let due = event.process_on.as_millis();
    let on_arrival = if event.scheduled { due } else { claims.due_on_arrival(&event.queue, due) };
    if on_arrival == due {
        return Cow::Borrowed(event);
    }
    Cow::Owned(NewEvent { process_on: Instant::from_millis(on_arrival), ..event.clone() })
}

fn insert_event(
    insert: &mut CachedStatement<'_>,
    sequence: i64,
    event: &NewEvent,
) -> Result<usize, rusqlite::Error> {
    // Internal keys are no caller's, and are kept in a table of their own.
    let dedupe_key = nil(&event.dedupe_key).filter(|key| !key.starts_with(INTERNAL_KEY));
    insert.execute(params![
        sequence,
        event.sys_id.as_str(),
        &*event.queue,
        event.priority,
        event.process_on.as_millis(),
        event.created.as_millis(),
        &*event.name,
        nil(&event.table),
        nil(&event.instance),
        nil(&event.parm1),
        nil(&event.parm2),
        nil(&event.descriptive_name),
        nil(&event.user_id),
        nil(&event.user_name),
        nil(&event.uri),
        nil(&event.snapshot),
        event.partition(),
        event.depth,
        event.cause_event.as_ref().map(SysId::as_str),
        nil(&event.cause_handler),
        dedupe_key,
        event.source.as_str(),
        event.queue_from_call,
        event.registered,
        event.scheduled,
        event.max_attempts,
        event.coalesce_seconds,
    ])
}

/// A taken key concerns this event alone; anything else ends the transaction.
fn refusal(error: rusqlite::Error, event: &NewEvent) -> Result<AppendOutcome, StoreError> {
    let is_taken = matches!(
        &error,
        rusqlite::Error::SqliteFailure(failure, _)
            if failure.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
    );
    if !is_taken {
        return Err(error.into());
    }
    Ok(Err(StoreError::Duplicate {
        table: "sysevent".to_owned(),
        field: "sys_id".to_owned(),
        value: event.sys_id.to_string(),
    }))
}

fn as_waiting(event: &NewEvent, sequence: i64, empty: &Arc<str>) -> (Standing, Waiting) {
    let at = Position { process_on: event.process_on.as_millis(), sequence };
    let standing =
        Standing { queue: Arc::clone(&event.queue), priority: Priority(event.priority), at };
    let stored = Event {
        fired: event.clone(),
        sequence,
        origin_id: event.sys_id,
        state: EventState::Ready,
        processed: None,
        processing_duration_ms: None,
        claimed_by: Arc::clone(empty),
        epoch: 0,
        attempts: 0,
        lapses: 0,
        only_failed: false,
        coalesced: 0,
        error_code: Arc::clone(empty),
        error_message: Arc::clone(empty),
    };
    (standing, Waiting::whole(stored))
}

/// The outcome of an event whose key was used before.
fn known_key(
    connection: &Connection,
    claims: &Claims,
    event: &NewEvent,
) -> Result<Option<AppendOutcome>, StoreError> {
    let key = &*event.dedupe_key;
    let duplicate =
        |sys_id| Ok(Appended { sys_id, sequence: 0, duplicate: true, coalesced: false });
    if let Some(rest) = key.strip_prefix(INTERNAL_KEY) {
        if let Some(cause) = rest.split(':').next().and_then(|cause| cause.parse().ok()) {
            claims.mark_fired(&cause);
        }
        let first = connection
            .prepare_cached("SELECT sys_id FROM sysevent_fired WHERE key = ?1")?
            .query_row([key], |row| sys_id(row, 0))
            .optional()?;
        return Ok(first.map(duplicate));
    }
    let known = connection
        .prepare_cached(
            "SELECT content_hash, answer IS NULL, sys_id FROM sysevent_dedupe \
             WHERE key = ?1 AND created > ?2",
        )?
        .query_row((key, answers::forgotten_at(event.created, event.key_life_ms)), |row| {
            let is_event: bool = row.get(1)?;
            // The key of a row's answer stands beside the row's key, which may have any spelling.
            let first = if is_event { Some(sys_id(row, 2)?) } else { None };
            Ok((row.get::<_, i64>(0)?, first))
        })
        .optional()?;
    Ok(known.map(|(content, first)| {
        if let Some(first) = first.filter(|_| content == event.content_hash.cast_signed()) {
            duplicate(first)
        } else {
            Err(StoreError::KeyReused { key: key.to_owned() })
        }
    }))
}

fn remember_key(
    connection: &Connection,
    claims: &Claims,
    event: &NewEvent,
) -> Result<(), StoreError> {
    let key = &*event.dedupe_key;
    if key.starts_with(INTERNAL_KEY) {
        connection
            .prepare_cached("INSERT INTO sysevent_fired (key, sys_id) VALUES (?1, ?2)")?
            .execute((key, event.sys_id.as_str()))?;
        if let Some(cause) = &event.cause_event {
            claims.mark_fired(cause);
        }
        return Ok(());
    }
    let created = event.created.as_millis();
    connection
        .prepare_cached(
            "INSERT INTO sysevent_dedupe (key, content_hash, sys_id, created) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (key) DO UPDATE SET content_hash = excluded.content_hash, \
             sys_id = excluded.sys_id, created = excluded.created, answer = NULL",
        )?
        .execute(params![key, event.content_hash.cast_signed(), event.sys_id.as_str(), created])?;
    answers::forget(connection, answers::forgotten_at(event.created, event.key_life_ms))
}

/// Forgets the internal keys of an event whose epoch has ended.
///
/// # Errors
/// What SQLite said.
pub(super) fn forget_internal_keys(
    connection: &Connection,
    cause: &SysId,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM sysevent_fired WHERE key >= ?1 AND key < ?2")?
        // ';' is the character behind ':'.
        .execute((format!("{INTERNAL_KEY}{cause}:"), format!("{INTERNAL_KEY}{cause};")))?;
    Ok(())
}

/// Counts `event` on an equal one that waits and was fired recently enough, if there is one.
fn coalesce(
    connection: &Connection,
    event: &NewEvent,
    effects: &mut EventEffects,
) -> Result<Option<Appended>, StoreError> {
    let since = event.created.plus_millis(event.coalesce_seconds.saturating_mul(-1000));
    let mut statement = connection.prepare_cached(
        "SELECT sequence, sys_id, queue, derived_priority, process_on FROM sysevent_live \
         WHERE coalesce_seconds > 0 AND name = ?1 AND instance IS ?2 AND parm1 IS ?3 AND parm2 IS ?4 \
         AND \"table\" IS ?5 AND sys_created_on >= ?6 ORDER BY sequence",
    )?;
    let mut rows = statement.query(params![
        &*event.name,
        nil(&event.instance),
        nil(&event.parm1),
        nil(&event.parm2),
        nil(&event.table),
        since.as_millis(),
    ])?;
    while let Some(row) = rows.next()? {
        let key = sys_id(row, 1)?;
        let standing = Standing {
            queue: row.get(2)?,
            priority: Priority(row.get(3)?),
            at: Position { process_on: row.get(4)?, sequence: row.get(0)? },
        };
        // Its handler may have looked already: the new one would be lost on it.
        if effects.hold(standing.clone(), &key).is_err() {
            continue;
        }
        connection
            .prepare_cached(
                "UPDATE sysevent_live SET coalesced = coalesced + 1 WHERE sequence = ?1",
            )?
            .execute([standing.at.sequence])?;
        effects.note(Effect::Touched(standing));
        return Ok(Some(Appended { sys_id: key, sequence: 0, duplicate: false, coalesced: true }));
    }
    Ok(None)
}
