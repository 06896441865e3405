//! Firing from outside (rest-api §§17.3, 17.5): authorise, resolve, append, answer once it is on disk.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use campanile_model::{EventSource, Instant, NewEvent, SysId};
use campanile_store::{AppendMode, AppendOutcome, CommitMark, StoreError};

use super::staged::Staged;
use super::subjects::Subjects;
use super::{EVENTS_ADMIN, PUBLISHER};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::fire::ordinals::FireOrdinals;
use crate::events::fire::provision::Provision;
use crate::events::fire::{FireRequest, Resolved, count_fired, key_prefix, provisional, resolve};
use crate::events::registry::EventRegistry;
use crate::records::gate;
use crate::records::key_life::KeyLife;
use crate::session::Session;
use crate::worker::spawn_named;

/// Code of an event whose registration is inactive.
const INACTIVE: &str = "registration_inactive";

/// A call as a caller writes it. Values are texts; objects arrive as JSON text.
#[derive(Debug, Clone, Default)]
pub struct FireCall {
    /// Event name.
    pub name: String,
    /// Table of the record it is about.
    pub table: String,
    /// sys_id of that record.
    pub instance: String,
    /// First value.
    pub parm1: String,
    /// Second value.
    pub parm2: String,
    /// Queue; overrides the registration's.
    pub queue: Option<String>,
    /// Priority; `events_admin` only.
    pub priority: Option<i64>,
    /// Not before.
    pub process_on: Option<FireTime>,
    /// Idempotency key.
    pub dedupe_key: Option<String>,
}

/// When an event is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FireTime {
    /// At this moment.
    At(Instant),
    /// This many milliseconds from now.
    After(i64),
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FireAnswer {
    /// The event's key; the first one's when `duplicate`.
    pub sys_id: SysId,
    /// Its name.
    pub name: Arc<str>,
    /// Its queue; empty is the default queue.
    pub queue: Arc<str>,
    /// The key was used for the same content before: nothing was stored.
    pub duplicate: bool,
    /// It was counted on an equal event that waits: nothing was stored.
    pub coalesced: bool,
    /// A registration with this name existed.
    pub registered: bool,
}

/// What became of one event of a batch.
pub type FireOutcome = Result<FireAnswer, EngineError>;

/// Stores one event and calls back when it is on disk, from a thread that must not be blocked. A refusal may be
/// told before this returns.
pub fn fire(
    engine: &Arc<Engine>,
    session: &Session,
    call: FireCall,
    done: impl FnOnce(Result<FireAnswer, EngineError>) + Send + 'static,
) {
    fire_batch(engine, session, vec![call], true, move |result| {
        done(match result {
            Ok(mut answers) => answers.pop().unwrap_or_else(|| Err(no_answer())),
            Err(EngineError::BatchRefused { items }) => Err(only_refusal(items)),
            Err(other) => Err(other),
        });
    });
}

/// As [`fire`], but blocks.
///
/// # Errors
/// [`EngineError::NotAllowed`], [`EngineError::FireRefused`], what the store answers.
pub fn fire_blocking(
    engine: &Arc<Engine>,
    session: &Session,
    call: FireCall,
) -> Result<FireAnswer, EngineError> {
    let (sender, receiver) = sync_channel(1);
    fire(engine, session, call, move |answer| deliver(&sender, answer));
    receiver.recv().map_err(|_gone| no_answer())?
}

/// Stores events in the order given and calls back when they are on disk. `atomic`: one refused event refuses all,
/// with [`EngineError::BatchRefused`]; otherwise each has an answer of its own.
pub fn fire_batch(
    engine: &Arc<Engine>,
    session: &Session,
    calls: Vec<FireCall>,
    atomic: bool,
    done: impl FnOnce(Result<Vec<Result<FireAnswer, EngineError>>, EngineError>) + Send + 'static,
) {
    let prepared = match Prepared::new(engine, session, calls, atomic) {
        Ok(prepared) => prepared,
        Err(refused) => return done(Err(refused)),
    };
    if prepared.provisions.is_empty() {
        let (events, places) = prepared.split();
        let after = move |appended: Result<(Vec<AppendOutcome>, CommitMark), StoreError>| {
            done(
                appended
                    .map_err(EngineError::from)
                    .and_then(|(outcomes, _)| places.answers(outcomes)),
            );
        };
        engine.store().append(events, AppendMode { durable: true, atomic }, Box::new(after));
        return;
    }
    // Rare: a queue is made first. That takes the writer, which the calling thread must not wait for.
    let engine = Arc::clone(engine);
    let done: Box<dyn FnOnce(_) + Send> = Box::new(done);
    let slot = Arc::new(parking_lot::Mutex::new(Some(done)));
    let inside = Arc::clone(&slot);
    let spawned = spawn_named("provision", None, move || {
        let result = append_with_provisions(&engine, prepared);
        if let Some(done) = inside.lock().take() {
            done(result);
        }
    });
    if let Err(error) = spawned
        && let Some(done) = slot.lock().take()
    {
        done(Err(EngineError::Unavailable(format!("a thread could not be started: {error}"))));
    }
}

/// As [`fire_batch`], but blocks.
///
/// # Errors
/// [`EngineError::NotAllowed`], [`EngineError::BatchRefused`], what the store answers.
pub fn fire_batch_blocking(
    engine: &Arc<Engine>,
    session: &Session,
    calls: Vec<FireCall>,
    atomic: bool,
) -> Result<Vec<Result<FireAnswer, EngineError>>, EngineError> {
    let (sender, receiver) = sync_channel(1);
    fire_batch(engine, session, calls, atomic, move |answers| deliver(&sender, answers));
    receiver.recv().map_err(|_gone| no_answer())?
}

fn deliver<T>(sender: &std::sync::mpsc::SyncSender<T>, answer: T) {
    if sender.send(answer).is_err() {
        tracing::debug!("nobody waits for the answer of a fire any more");
    }
}

fn no_answer() -> EngineError {
    EngineError::Unavailable("the store ended before it answered".to_owned())
}

fn only_refusal(mut items: Vec<(usize, &'static str, String)>) -> EngineError {
    match items.pop() {
        Some((_, code, detail)) => EngineError::FireRefused { code, detail },
        None => no_answer(),
    }
}

/// # Errors
/// [`EngineError::NotAllowed`] when the session may not fire one of these.
pub(super) fn authorise(
    engine: &Engine,
    session: &Session,
    calls: &[FireCall],
) -> Result<(), EngineError> {
    if !calls.iter().all(|call| opened_by_registration(engine, session, &call.name))
        || calls.is_empty()
    {
        gate::require_role(session, &[PUBLISHER, EVENTS_ADMIN], "fire events")?;
    }
    if calls.iter().any(|call| call.priority.is_some()) {
        gate::require_role(session, &[EVENTS_ADMIN], "give an event its own priority")?;
    }
    Ok(())
}

/// A batch that is resolved: what to append, and which calls were refused.
pub(super) struct Prepared {
    pub(super) events: Vec<NewEvent>,
    pub(super) provisions: Vec<Provision>,
    pub(super) places: Places,
}

/// Which call became what.
pub(super) struct Places {
    user: Arc<str>,
    source: EventSource,
    pub(super) atomic: bool,
    key_life: KeyLife,
    calls: Vec<Place>,
}

/// What is told of an event once it is stored.
struct Accepted {
    name: Arc<str>,
    queue: Arc<str>,
    registered: bool,
}

enum Place {
    /// The next event of the append.
    Event(Accepted),
    Refused(EngineError),
}

impl Prepared {
    pub(super) fn new(
        engine: &Engine,
        session: &Session,
        calls: Vec<FireCall>,
        atomic: bool,
    ) -> Result<Self, EngineError> {
        authorise(engine, session, &calls)?;
        let mut ordinals = FireOrdinals::default();
        let subjects = Subjects::new(engine, session);
        let user = Arc::clone(&session.user.user_name);
        let calls_max = calls.len();
        let source = session.source;
        let key_life = KeyLife::of(engine);
        let places =
            Places { user, source, atomic, key_life, calls: Vec::with_capacity(calls_max) };
        let events = Vec::with_capacity(calls_max);
        let mut prepared = Self { events, provisions: Vec::new(), places };
        for call in calls {
            let resolved = request(call).and_then(|mut request| {
                subjects.describe(&mut request)?;
                resolve(engine, session, &mut ordinals, request)
            });
            let place = match resolved {
                Ok(Resolved::Event(event, provisions)) => {
                    let place = Place::Event(Accepted {
                        name: Arc::clone(&event.name),
                        queue: Arc::clone(&event.queue),
                        registered: event.registered,
                    });
                    prepared.events.push(*event);
                    prepared.provisions.extend(provisions);
                    place
                }
                Ok(Resolved::NotStored { .. }) => Place::Refused(EngineError::FireRefused {
                    code: INACTIVE,
                    detail: "the registration of the event is inactive: nothing was stored"
                        .to_owned(),
                }),
                Err(refused @ EngineError::FireRefused { .. }) => Place::Refused(refused),
                Err(other) => return Err(other),
            };
            prepared.places.calls.push(place);
        }
        let items = prepared.places.refusals();
        if atomic && !items.is_empty() {
            return Err(EngineError::BatchRefused { items });
        }
        provisional::divert_when_full(engine, &mut prepared.provisions, &mut prepared.events)?;
        prepared.note_queues();
        Ok(prepared)
    }

    /// Some events may have gone to another queue than they named.
    pub(super) fn note_queues(&mut self) {
        let accepted = self.places.calls.iter_mut().filter_map(|place| match place {
            Place::Event(accepted) => Some(accepted),
            Place::Refused(_) => None,
        });
        for (accepted, event) in accepted.zip(&self.events) {
            accepted.queue = Arc::clone(&event.queue);
        }
    }

    fn split(self) -> (Vec<NewEvent>, Places) {
        (self.events, self.places)
    }
}

impl Places {
    fn refusals(&self) -> Vec<(usize, &'static str, String)> {
        let refused = self.calls.iter().enumerate().filter_map(|(index, place)| match place {
            Place::Refused(EngineError::FireRefused { code, detail }) => {
                Some((index, *code, detail.clone()))
            }
            _ => None,
        });
        refused.collect()
    }

    pub(super) fn answers(
        self,
        outcomes: Vec<AppendOutcome>,
    ) -> Result<Vec<Result<FireAnswer, EngineError>>, EngineError> {
        let mut outcomes = outcomes.into_iter();
        let mut answers = Vec::with_capacity(self.calls.len());
        let mut refused = Vec::new();
        for (index, place) in self.calls.into_iter().enumerate() {
            let answer = match place {
                Place::Refused(error) => Err(error),
                Place::Event(Accepted { name, queue, registered }) => match outcomes.next() {
                    None => Err(no_answer()),
                    Some(Ok(appended)) => {
                        if !appended.duplicate && !appended.coalesced {
                            count_fired(self.source, registered);
                        }
                        Ok(FireAnswer {
                            sys_id: appended.sys_id,
                            duplicate: appended.duplicate,
                            coalesced: appended.coalesced,
                            name,
                            queue,
                            registered,
                        })
                    }
                    Some(Err(StoreError::KeyReused { key })) => {
                        let own = key_prefix(&self.user);
                        let key = key.strip_prefix(&own).unwrap_or(&key);
                        let detail = format!(
                            "idempotency key '{key}' was used for another event within {}: \
                             use a new key for '{name}'",
                            self.key_life
                        );
                        refused.push((index, "key_reused", detail.clone()));
                        Err(EngineError::FireRefused { code: "key_reused", detail })
                    }
                    Some(Err(other)) => Err(other.into()),
                },
            };
            answers.push(answer);
        }
        if self.atomic && !refused.is_empty() {
            return Err(EngineError::BatchRefused { items: refused });
        }
        Ok(answers)
    }
}

/// Whether the registration of this name lets the session fire it (`publish_roles`, rest-api §17.1).
pub(super) fn opened_by_registration(engine: &Engine, session: &Session, name: &str) -> bool {
    match engine.definitions::<EventRegistry>() {
        Ok(registry) => registry.find(name).is_some_and(|found| {
            found.publish_roles.iter().any(|role| session.user.has_role(role))
        }),
        Err(error) => {
            tracing::warn!(%error, "the registry could not be read: only roles count");
            false
        }
    }
}

/// The request of a call.
fn request(call: FireCall) -> Result<FireRequest, EngineError> {
    let mut request = FireRequest {
        name: call.name,
        table: call.table,
        instance: call.instance,
        parm1: call.parm1,
        parm2: call.parm2,
        queue: call.queue,
        priority: call.priority.map(priority).transpose()?,
        dedupe_key: call.dedupe_key,
        ..FireRequest::default()
    };
    match call.process_on {
        Some(FireTime::At(at)) => request.process_on = Some(at),
        Some(FireTime::After(millis)) => request.process_after_ms = Some(millis),
        None => {}
    }
    Ok(request)
}

fn priority(given: i64) -> Result<f64, EngineError> {
    let max = campanile_model::limits::EVENT_PRIORITY_MAX;
    if !(0..=max).contains(&given) {
        return Err(EngineError::BadParameter {
            parameter: "priority".to_owned(),
            detail: format!("expected a whole number from 0 to {max}, got {given}"),
        });
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 1,000,000")]
    Ok(given as f64)
}

fn append_with_provisions(
    engine: &Arc<Engine>,
    prepared: Prepared,
) -> Result<Vec<FireOutcome>, EngineError> {
    let mut tx = Arc::clone(engine.store()).write()?;
    let (answers, mark) = Staged::in_tx(engine, &mut *tx, prepared)?.commit(engine, tx)?;
    engine.store().wait_durable(mark)?;
    Ok(answers)
}
