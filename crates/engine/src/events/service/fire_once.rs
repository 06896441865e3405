//! A batch that is stored once, however often it is asked for (rest-api §23): its answer is kept under the caller's
//! key, in the commit of its events, and is the answer of every repetition.

use std::sync::Arc;

use campanile_store::{KeptAnswer, StoreError};

use super::fire::{FireCall, FireOutcome, Prepared, authorise};
use super::staged::Staged;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::fire::key_prefix;
use crate::records::key_life::KeyLife;
use crate::records::once::{CallKey, Once, told};
use crate::session::Session;

/// What became of such a batch.
#[derive(Debug)]
pub enum BatchOnce {
    /// Its answer is kept: it was made now, or by the first call.
    Kept(Once),
    /// Nothing was stored, and the key is free: what became of each event.
    NothingStored(Vec<FireOutcome>),
}

/// As [`fire_batch`](super::fire_batch), unless the same caller did so before with the same key: then the first answer
/// comes back. `make` makes the text that is kept, before the commit. Blocks for the writer; whoever tells somebody waits
/// for the mark first. A call that fails, or stores nothing, leaves its key free.
///
/// # Errors
/// As [`fire_batch`](super::fire_batch); [`EngineError::KeyInUse`] while the first call is still running;
/// [`EngineError::FireRefused`] with code `key_reused` when the key was used for something else, or is an event's in
/// the batch; what `make` answers.
pub fn fire_batch_once(
    engine: &Arc<Engine>,
    session: &Session,
    calls: Vec<FireCall>,
    atomic: bool,
    key: &CallKey,
    make: &dyn Fn(&[FireOutcome]) -> Result<String, EngineError>,
) -> Result<BatchOnce, EngineError> {
    authorise(engine, session, &calls)?;
    refuse_key_of_an_event(&calls, key)?;
    let own: Arc<str> = Arc::from(format!("{}{}", key_prefix(&session.user.user_name), key.key));
    let _place = engine.keys_in_use.take(&own, &key.key)?;
    let life = KeyLife::of(engine);
    let now = engine.clock().now();
    let known = Arc::clone(engine.store())
        .read()?
        .kept_answer(&own, key.content_hash, life.forgotten_at(now))
        .map_err(|error| told(error.into(), &key.key, life))?;
    if let Some(answer) = known {
        let mark = engine.store().flush()?;
        return Ok(BatchOnce::Kept(Once { answer, replayed: true, mark }));
    }
    let prepared = Prepared::new(engine, session, calls, atomic)?;
    let mut tx = Arc::clone(engine.store()).write()?;
    let staged = Staged::in_tx(engine, &mut *tx, prepared)?;
    let Some(first) = staged.answers().iter().flatten().next() else {
        // Dropping the transaction rolls it back, queues that were made for the events included.
        return Ok(BatchOnce::NothingStored(staged.into_answers()));
    };
    let answer = make(staged.answers())?;
    let kept = KeptAnswer {
        key: own,
        content_hash: key.content_hash,
        sys_id: Arc::from(first.sys_id.as_str()),
        answer: answer.clone(),
        at: now,
        key_life_ms: life.as_millis(),
    };
    tx.keep_answer(&kept).map_err(|error| match error {
        // Somebody on another node was quicker: its answer is there in a moment.
        StoreError::Duplicate { .. } => EngineError::KeyInUse { key: key.key.clone() },
        other => other.into(),
    })?;
    let (_, mark) = staged.commit(engine, tx)?;
    Ok(BatchOnce::Kept(Once { answer, replayed: false, mark }))
}

/// One key is one call: it cannot be the batch's and an event's.
fn refuse_key_of_an_event(calls: &[FireCall], key: &CallKey) -> Result<(), EngineError> {
    match calls.iter().find(|call| call.dedupe_key.as_ref() == Some(&key.key)) {
        None => Ok(()),
        Some(call) => Err(EngineError::FireRefused {
            code: "key_reused",
            detail: format!(
                "`Idempotency-Key` of the batch is also the `dedupe_key` of event '{}': give it another one",
                call.name
            ),
        }),
    }
}
