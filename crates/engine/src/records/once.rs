//! An insert that is done once, however often it is asked for (rest-api §23): the answer of the first call is kept
//! under its idempotency key, in the commit of the row, and is the answer of every repetition.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use campanile_store::{CommitMark, KeptAnswer, StoreError};
use parking_lot::Mutex;

use super::execution::Execution;
use super::gate::{self, Operation};
use super::key_life::KeyLife;
use super::operation::{Failure, Outcome};
use super::service::{self, WriteRequest, Written};
use crate::error::EngineError;
use crate::events::fire::key_prefix;

/// What a caller's key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallKey {
    /// The key as the caller gave it.
    pub key: String,
    /// Hash of everything that was sent.
    pub content_hash: u64,
}

/// Makes the answer of a write, as text. Runs before the commit; the mark of what it is given is not yet known.
pub type MakeAnswer = Rc<dyn Fn(&Rc<Execution>, &Written) -> Result<String, EngineError>>;

/// What became of such a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// The answer of the first call.
    pub answer: String,
    /// It was given before: nothing was written now.
    pub replayed: bool,
    /// Wait for this before telling anybody.
    pub mark: CommitMark,
}

/// What is committed together with the operation that runs.
pub(crate) type Seal = Rc<dyn Fn(&Rc<Execution>, &Outcome) -> Result<(), Failure>>;

/// Inserts a row, unless the same caller did so before with the same key: then the first answer comes back. For a row
/// of `sysevent` the key is the event's own. A call that fails leaves its key free.
///
/// # Errors
/// As [`service::insert`]; [`EngineError::KeyInUse`] while the first call is still running;
/// [`EngineError::FireRefused`] with code `key_reused` when the key was used for something else.
pub fn insert(
    execution: &Rc<Execution>,
    request: &WriteRequest,
    key: &CallKey,
    make: &MakeAnswer,
) -> Result<Once, EngineError> {
    let engine = Arc::clone(execution.engine());
    let table = service::table_of(execution, &request.table)?;
    gate::check(execution.session(), &table, Operation::Create)?;
    if engine.special_tables.of(&table.name).is_some() {
        let idempotency_key = Some(key.key.clone());
        let request = WriteRequest { idempotency_key, ..request.clone() };
        let written = service::insert(execution, &request)?;
        let answer = make(execution, &written)?;
        // A repetition may tell of an event that another call has committed just now.
        let mark = if written.repeated { engine.store().flush()? } else { written.mark };
        return Ok(Once { answer, replayed: written.repeated, mark });
    }
    let own = format!("{}{}", key_prefix(&execution.session().user.user_name), key.key);
    let _place = engine.keys_in_use.take(&own, &key.key)?;
    let life = KeyLife::of(&engine);
    let forgotten = life.forgotten_at(engine.clock().now());
    let known = execution
        .with_read(|read| read.kept_answer(&own, key.content_hash, forgotten))
        .map_err(|error| told(error, &key.key, life))?;
    if let Some(answer) = known {
        return Ok(Once { answer, replayed: true, mark: engine.store().flush()? });
    }
    let kept: Rc<Mutex<Option<String>>> = Rc::default();
    let seal = seal(Arc::from(own), key.clone(), life, Rc::clone(make), Rc::clone(&kept));
    let written = execution.sealed(seal, || service::insert(execution, request))?;
    let answer = kept.lock().take().ok_or_else(|| {
        EngineError::Unavailable("the answer of the call was lost; ask for it again".to_owned())
    })?;
    Ok(Once { answer, replayed: false, mark: written.mark })
}

fn seal(
    own: Arc<str>,
    key: CallKey,
    life: KeyLife,
    make: MakeAnswer,
    kept: Rc<Mutex<Option<String>>>,
) -> Seal {
    Rc::new(move |execution, outcome| {
        let Outcome::Done { record, changed, written_again } = outcome else { return Ok(()) };
        let written = Written {
            record: service::settled(execution, record.clone(), *written_again)?,
            changed: *changed,
            mark: CommitMark::default(),
            warnings: execution.transaction(|tx| tx.warnings.clone()).unwrap_or_default(),
            messages: execution.messages(),
            repeated: false,
        };
        let answer = KeptAnswer {
            key: Arc::clone(&own),
            content_hash: key.content_hash,
            sys_id: Arc::from(written.record.text("sys_id")),
            answer: make(execution, &written)?,
            at: execution.now(),
            key_life_ms: life.as_millis(),
        };
        execution.with_writer(|writer| match writer.keep_answer(&answer) {
            // Somebody on another node was quicker: ours is rolled back, and its answer is there in a moment.
            Err(StoreError::Duplicate { .. }) => {
                Err(Failure::Error(EngineError::KeyInUse { key: key.key.clone() }))
            }
            other => Ok(other?),
        })?;
        *kept.lock() = Some(answer.answer);
        Ok(())
    })
}

/// The refusal in the caller's words: keys are kept with his name in front.
pub(crate) fn told(error: EngineError, key: &str, life: KeyLife) -> EngineError {
    match error {
        EngineError::Store(StoreError::KeyReused { .. }) => EngineError::FireRefused {
            code: "key_reused",
            detail: format!(
                "idempotency key '{key}' was used for something else within {life}: \
                 use a new key for new content"
            ),
        },
        other => other,
    }
}

/// Keys whose first call is still running on this node.
#[derive(Debug, Default)]
pub(crate) struct KeysInUse(Arc<Mutex<HashSet<String>>>);

impl KeysInUse {
    /// Takes `own` until the answer is dropped. `key` is what the caller calls it.
    pub(crate) fn take(&self, own: &str, key: &str) -> Result<KeyPlace, EngineError> {
        if !self.0.lock().insert(own.to_owned()) {
            return Err(EngineError::KeyInUse { key: key.to_owned() });
        }
        Ok(KeyPlace { all: Arc::clone(&self.0), own: own.to_owned() })
    }
}

pub(crate) struct KeyPlace {
    all: Arc<Mutex<HashSet<String>>>,
    own: String,
}

impl Drop for KeyPlace {
    fn drop(&mut self) {
        self.all.lock().remove(&self.own);
    }
}

impl Execution {
    /// Runs `work`; its outermost operation commits what `seal` adds to it, or nothing.
    fn sealed<T>(&self, seal: Seal, work: impl FnOnce() -> T) -> T {
        self.seal.replace(Some(seal));
        let result = work();
        self.seal.replace(None);
        result
    }

    /// Adds what belongs to the commit of the outermost operation.
    pub(crate) fn add_seal(self: &Rc<Self>, outcome: &Outcome) -> Result<(), Failure> {
        let seal = self.seal.borrow().clone();
        seal.map_or(Ok(()), |seal| seal(self, outcome))
    }
}
