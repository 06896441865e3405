//! Idempotency keys of callers: the answers that are kept under them, and when they are forgotten.

use campanile_model::Instant;

use super::connection::Connection;
use super::text::{read, stored};
use crate::contract::{KeptAnswer, StoreError};

/// Keys that are forgotten along with one call that brings a key: more than one, so that they never pile up.
const FORGET_MAX: i64 = 4;

/// Keys that were used at this moment or before are free again for a call at `now` by which keys live `key_life_ms`.
pub(super) fn forgotten_at(now: Instant, key_life_ms: i64) -> i64 {
    now.as_millis().saturating_sub(key_life_ms)
}

/// The answer that was kept under `key` after `forgotten`; `None` when the key is free.
///
/// # Errors
/// [`StoreError::KeyReused`] when it was used for something else, an event included.
pub(super) fn kept(
    connection: &Connection,
    key: &str,
    content_hash: u64,
    forgotten: Instant,
) -> Result<Option<String>, StoreError> {
    let known = connection.query_first(
        "SELECT content_hash, answer FROM sysevent_dedupe WHERE key = $1 AND created > $2",
        &[&stored(key), &forgotten.as_millis()],
    )?;
    let Some(row) = known else { return Ok(None) };
    match (row.try_get::<_, i64>(0)?, row.try_get::<_, Option<&str>>(1)?) {
        (content, Some(answer)) if content == content_hash.cast_signed() => {
            Ok(Some(read(answer).into_owned()))
        }
        _ => Err(StoreError::KeyReused { key: key.to_owned() }),
    }
}

/// Keeps an answer in the transaction of `connection`. Differs because somebody else may be about to use the key:
/// this waits until he has ended.
///
/// # Errors
/// [`StoreError::Duplicate`] when the key is not free: then the caller rolls back.
pub(super) fn keep(connection: &Connection, answer: &KeptAnswer) -> Result<(), StoreError> {
    let kept = connection.execute(
        "INSERT INTO sysevent_dedupe AS known (key, content_hash, sys_id, created, answer) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (key) DO UPDATE SET \
         content_hash = excluded.content_hash, sys_id = excluded.sys_id, \
         created = excluded.created, answer = excluded.answer WHERE known.created <= $6",
        &[
            &stored(&answer.key),
            &answer.content_hash.cast_signed(),
            &stored(&answer.sys_id),
            &answer.at.as_millis(),
            &stored(&answer.answer),
            &forgotten_at(answer.at, answer.key_life_ms),
        ],
    )?;
    if kept == 0 {
        return Err(StoreError::Duplicate {
            table: "the idempotency keys".to_owned(),
            field: "key".to_owned(),
            value: answer.key.to_string(),
        });
    }
    forget(connection, forgotten_at(answer.at, answer.key_life_ms))
}

/// Forgets some keys that were used at `forgotten` or before; those that somebody else is about to forget, or to use again, are his.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn forget(connection: &Connection, forgotten: i64) -> Result<(), StoreError> {
    connection.execute(
        "DELETE FROM sysevent_dedupe WHERE key = ANY (ARRAY (SELECT key FROM sysevent_dedupe \
         WHERE created <= $1 ORDER BY created LIMIT $2 FOR UPDATE SKIP LOCKED))",
        &[&forgotten, &FORGET_MAX],
    )?;
    Ok(())
}
