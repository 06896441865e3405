//! From a call that fires an event to the event that is stored: registry, queue, priority, depth, keys.
//!
//! Resolving writes nothing. What must be written beside the event (a queue that nobody registered, a
//! registration that `global_events` makes) comes back as [`Provision`]s, for the caller's own transaction.

use std::sync::{Arc, OnceLock};

use campanile_model::content_hash::ContentHash;
use campanile_model::limits::{
    DEDUPE_KEY_CHARS_MAX, EVENT_DEPTH_MAX, EVENT_NAME_CHARS_MAX, EVENT_PARM_CHARS_MAX,
    IDEMPOTENCY_KEY_MS,
};
use campanile_model::queue_def::normalise_queue_name;
use campanile_model::{EventSource, Instant, NewEvent, Registration, SysId};

use super::content;
use super::log;
use super::ordinals::FireOrdinals;
use super::provision::Provision;
use super::request::{FireRequest, Resolved};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::global_events;
use crate::events::queue_registry::QueueRegistry;
use crate::events::registry::{EventRegistry, PRIORITY_DEFAULT};
use crate::records::key_life::KeyLife;
use crate::session::Session;

/// Property: an unregistered name is refused (§3.2).
pub const REQUIRE_REGISTRATION: &str = "campanile.events.require_registration";
/// Property: longest chain of events (§3.8).
pub const MAX_DEPTH: &str = "campanile.events.max_depth";
/// Property: what a queue that nobody registered means: `provision`, `default` or `hold` (§3.3).
pub const UNKNOWN_QUEUES: &str = "campanile.queues.unknown";
/// Reason of an event that was not stored.
pub const REGISTRATION_INACTIVE: &str = "registration_inactive";

const INSTANCE_CHARS_MAX: usize = 32;
const DESCRIPTIVE_NAME_CHARS_MAX: usize = 255;
/// An address without a query up to this length needs no masking and no cut.
const URI_BYTES_PLAIN: usize = 1_024;

/// Resolves a call against the registry (§3.2–3.5, 3.7, 3.8). Reads caches only (and the log, to name the chain
/// when it is too long); writes nothing but log lines.
///
/// # Errors
/// [`EngineError::FireRefused`] with the code of rest-api §17.1, or `loop_suspected`, or what the store answers
/// while a cache is filled.
pub fn resolve(
    engine: &Engine,
    session: &Session,
    ordinals: &mut FireOrdinals,
    request: FireRequest,
) -> Result<Resolved, EngineError> {
    check_values(&request)?;
    let now = engine.clock().now();
    let registry = engine.definitions::<EventRegistry>()?;
    let registration = registry.find(&request.name);
    if registration.is_some_and(|r| !r.active) {
        log::registration_inactive(engine, session, &request);
        return Ok(Resolved::NotStored { reason: REGISTRATION_INACTIVE });
    }
    let mut provisions = Vec::new();
    if registration.is_none() {
        match request.register_as {
            Some(fired_by) => {
                provisions.extend(missing_registrations(engine, &registry, &request, fired_by)?);
            }
            None => check_unregistered(engine, session, &registry, &request, now)?,
        }
    }
    let table = table_of(engine, registration, &request)?;
    let depth = depth_of(engine, session, &request.name)?;
    let (queue, queue_from_call) =
        queue_of(engine, session, registration, &request, &mut provisions)?;
    let content = content_hash(&request);
    let dedupe_key = key_of(session, ordinals, &request, content);
    let key_life_ms = match request.dedupe_key {
        Some(_) => KeyLife::of(engine).as_millis(),
        None => IDEMPOTENCY_KEY_MS,
    };
    let process_on = process_on(&request, now);
    let snapshot = match &request.record {
        Some(record) if request.deleting || registration.is_some_and(|r| r.capture_snapshot) => {
            Arc::from(content::snapshot(record))
        }
        _ => empty(),
    };
    let user = &session.user;
    let event = NewEvent {
        sys_id: SysId::generate(now),
        registered: registration.is_some() || request.register_as.is_some(),
        priority: request
            .priority
            .unwrap_or_else(|| priority(registration.map_or(PRIORITY_DEFAULT, |r| r.priority))),
        max_attempts: registration.map_or(0, |r| r.max_attempts),
        coalesce_seconds: registration.map_or(0, |r| r.coalesce_seconds),
        name: registration
            .map_or_else(|| Arc::from(request.name.as_str()), |r| Arc::clone(&r.event_name)),
        parm1: text(request.parm1),
        parm2: text(request.parm2),
        table,
        instance: text(request.instance),
        descriptive_name: text(cut(request.record_display.unwrap_or_default())),
        queue,
        queue_from_call,
        process_on: process_on.unwrap_or(now),
        created: now,
        scheduled: process_on.is_some(),
        user_id: Arc::clone(&user.sys_id),
        user_name: Arc::clone(&user.user_name),
        uri: uri_of(session),
        snapshot,
        depth,
        cause_event: session.cause.as_ref().map(|cause| cause.event),
        cause_handler: session.cause.as_ref().map_or_else(empty, |cause| {
            Arc::from(format!("{}:{}", cause.handler_kind.as_str(), cause.handler))
        }),
        key_life_ms,
        dedupe_key,
        content_hash: content,
        source: request.source.unwrap_or(session.source),
    };
    Ok(Resolved::Event(Box::new(event), provisions))
}

/// Counts an event that was stored, for `campanile_events_fired_total`.
pub fn count_fired(source: EventSource, registered: bool) {
    let registered = if registered { "true" } else { "false" };
    let source = source.as_str();
    metrics::counter!("campanile_events_fired_total", "source" => source, "registered" => registered)
        .increment(1);
}

/// The names on the chain of events that led to `event`, oldest first, equal neighbours counted:
/// `t.ping ×51`, `incident.updated → x.sync → incident.updated`. Read from the log.
#[must_use]
pub fn chain(engine: &Engine, event: SysId) -> String {
    let limit = engine.int_property(MAX_DEPTH, EVENT_DEPTH_MAX).saturating_add(1);
    let mut names: Vec<(Arc<str>, usize)> = Vec::new();
    let mut next = Some(event);
    for _ in 0..limit {
        let Some(found) = next.and_then(|id| engine.store().event(&id).ok().flatten()) else {
            break;
        };
        match names.last_mut() {
            Some((name, count)) if *name == found.fired.name => *count += 1,
            _ => names.push((found.fired.name, 1)),
        }
        next = found.fired.cause_event;
    }
    let shown = names.iter().rev().map(|(name, count)| match count {
        1 => name.to_string(),
        many => format!("{name} ×{many}"),
    });
    shown.collect::<Vec<_>>().join(" → ")
}

fn check_values(request: &FireRequest) -> Result<(), EngineError> {
    let name = &request.name;
    let problem = if name.is_empty() {
        Some("it is empty".to_owned())
    } else if name.chars().any(char::is_control) {
        Some("it holds a control character".to_owned())
    } else {
        let chars = name.chars().count();
        (chars > EVENT_NAME_CHARS_MAX)
            .then(|| format!("it has {chars} characters, the limit is {EVENT_NAME_CHARS_MAX}"))
    };
    if let Some(problem) = problem {
        let shown: String = name.chars().take(EVENT_NAME_CHARS_MAX).collect();
        return Err(refused("name_invalid", format!("event name {shown:?} is refused: {problem}")));
    }
    let limits = [
        ("parm1", request.parm1.as_str(), EVENT_PARM_CHARS_MAX),
        ("parm2", request.parm2.as_str(), EVENT_PARM_CHARS_MAX),
        ("instance", request.instance.as_str(), INSTANCE_CHARS_MAX),
        ("dedupe_key", request.dedupe_key.as_deref().unwrap_or_default(), DEDUPE_KEY_CHARS_MAX),
    ];
    for (parameter, value, limit) in limits {
        // Counting characters is for values that could be too long only.
        if value.len() > limit && value.chars().count() > limit {
            let length = value.chars().count();
            return Err(refused(
                "value_too_long",
                format!(
                    "{parameter} of event '{name}' has {length} characters, the limit is {limit}"
                ),
            ));
        }
    }
    Ok(())
}

/// The registration that is missing; with `global_events` those of its other names too.
fn missing_registrations(
    engine: &Engine,
    registry: &EventRegistry,
    request: &FireRequest,
    fired_by: &'static str,
) -> Result<Vec<Provision>, EngineError> {
    let mut names = Vec::new();
    if fired_by == global_events::FIRED_BY
        && let Some(table) = engine.dictionary()?.table(&request.table)
    {
        names = global_events::names(table);
        names.retain(|name| registry.find(name).is_none());
    }
    if !names.contains(&request.name) {
        names.push(request.name.clone());
    }
    let provision = |name: String| Provision::Registration {
        name: Arc::from(name),
        table: Arc::from(request.table.as_str()),
        fired_by,
    };
    Ok(names.into_iter().map(provision).collect())
}

fn check_unregistered(
    engine: &Engine,
    session: &Session,
    registry: &EventRegistry,
    request: &FireRequest,
    now: Instant,
) -> Result<(), EngineError> {
    let nearest = registry.nearest(&request.name);
    if engine.bool_property(REQUIRE_REGISTRATION, false) {
        let hint = nearest.map_or_else(String::new, |name| format!("; did you mean '{name}'?"));
        return Err(refused(
            "name_unregistered",
            format!(
                "event '{}' is not registered and {REQUIRE_REGISTRATION} is on: register it first{hint}",
                request.name
            ),
        ));
    }
    if engine.unregistered_names.is_news(&request.name, now) {
        log::unregistered(engine, session, &request.name, nearest.map(|name| &**name));
    }
    Ok(())
}

fn table_of(
    engine: &Engine,
    registration: Option<&Arc<Registration>>,
    request: &FireRequest,
) -> Result<Arc<str>, EngineError> {
    if request.table.is_empty() {
        let wanted = registration.filter(|_| request.table_from_registration);
        return Ok(wanted.map_or_else(empty, |r| Arc::clone(&r.table)));
    }
    match engine.dictionary()?.table(&request.table) {
        Some(table) => Ok(Arc::clone(&table.name)),
        None => Err(refused(
            "table_unknown",
            format!(
                "event '{}' names table '{}', which does not exist",
                request.name, request.table
            ),
        )),
    }
}

fn depth_of(engine: &Engine, session: &Session, name: &str) -> Result<i64, EngineError> {
    let Some(cause) = &session.cause else { return Ok(0) };
    let depth = cause.depth.saturating_add(1);
    let limit = engine.int_property(MAX_DEPTH, EVENT_DEPTH_MAX);
    if depth <= limit {
        return Ok(depth);
    }
    Err(refused(
        "loop_suspected",
        format!(
            "event '{name}' would be number {depth} of a chain, {MAX_DEPTH} allows {limit}: {}",
            chain(engine, cause.event)
        ),
    ))
}

/// The queue and whether the call named it (§3.3).
fn queue_of(
    engine: &Engine,
    session: &Session,
    registration: Option<&Arc<Registration>>,
    request: &FireRequest,
    provisions: &mut Vec<Provision>,
) -> Result<(Arc<str>, bool), EngineError> {
    let argument = request.queue.as_deref().filter(|queue| !queue.is_empty());
    let wanted: Arc<str> = match (argument, registration) {
        (Some(argument), _) => match normalise_queue_name(argument) {
            Ok("") => return Ok((empty(), true)),
            Ok(name) => Arc::from(name),
            Err(invalid) => return Err(refused("queue_invalid", invalid.to_string())),
        },
        (None, Some(registration)) => Arc::clone(&registration.queue),
        (None, None) => empty(),
    };
    let from_call = argument.is_some();
    let queues = engine.definitions::<QueueRegistry>()?;
    if let Some(queue) = queues.find(&wanted) {
        return Ok((Arc::clone(&queue.name), from_call));
    }
    match engine.property(UNKNOWN_QUEUES).as_deref() {
        Some("hold") => Ok((wanted, from_call)),
        Some("default") => {
            log::queue_replaced(engine, session, &request.name, &wanted);
            Ok((empty(), from_call))
        }
        _ => {
            provisions.push(Provision::Queue { name: Arc::clone(&wanted) });
            Ok((wanted, from_call))
        }
    }
}

/// Only a time in the future counts.
fn process_on(request: &FireRequest, now: Instant) -> Option<Instant> {
    let delayed = request.process_after_ms.map(|millis| now.plus_millis(millis));
    request.process_on.or(delayed).filter(|at| *at > now)
}

/// What makes two calls equal. A handler that is run again after a crash computes its times anew, so times count
/// only where a caller wrote them.
fn content_hash(request: &FireRequest) -> u64 {
    let hash = ContentHash::new()
        .part(&request.name)
        .part(&request.table)
        .part(&request.instance)
        .part(&request.parm1)
        .part(&request.parm2);
    if request.dedupe_key.is_none() {
        return hash.finish();
    }
    let number = |n: Option<i64>| n.map_or_else(String::new, |n| n.to_string());
    hash.part(request.queue.as_deref().unwrap_or_default())
        .part(&number(request.process_on.map(Instant::as_millis)))
        .part(&number(request.process_after_ms))
        .part(&request.priority.map_or_else(String::new, |n| n.to_string()))
        .finish()
}

/// The key under which the store knows a repetition. One of a person is that person's alone; one of a handler
/// is made of the run and the content (§3.7).
fn key_of(
    session: &Session,
    ordinals: &mut FireOrdinals,
    request: &FireRequest,
    content: u64,
) -> Arc<str> {
    if let Some(key) = request.dedupe_key.as_deref().filter(|key| !key.is_empty()) {
        return Arc::from(format!("{}{key}", key_prefix(&session.user.user_name)));
    }
    let Some(cause) = &session.cause else { return empty() };
    let ordinal = ordinals.next(content);
    Arc::from(format!(
        "h:{}:{}:{}:{ordinal}:{content:016x}",
        cause.event, cause.epoch, cause.handler
    ))
}

/// What stands before the keys that `user_name` gives.
#[must_use]
pub fn key_prefix(user_name: &str) -> String {
    format!("u:{user_name}:")
}

fn uri_of(session: &Session) -> Arc<str> {
    let masked_already = session.uri.len() <= URI_BYTES_PLAIN && !session.uri.contains('?');
    if masked_already {
        Arc::clone(&session.uri)
    } else {
        Arc::from(content::mask_uri(&session.uri))
    }
}

fn cut(display: String) -> String {
    if display.len() <= DESCRIPTIVE_NAME_CHARS_MAX {
        return display;
    }
    display.chars().take(DESCRIPTIVE_NAME_CHARS_MAX).collect()
}

fn text(text: String) -> Arc<str> {
    if text.is_empty() { empty() } else { Arc::from(text) }
}

/// The empty text, shared: most events leave most fields empty.
pub(crate) fn empty() -> Arc<str> {
    static EMPTY: OnceLock<Arc<str>> = OnceLock::new();
    Arc::clone(EMPTY.get_or_init(|| Arc::from("")))
}

#[expect(clippy::cast_precision_loss, reason = "registrations hold 0 to 1,000,000")]
fn priority(of_registration: i64) -> f64 {
    of_registration as f64
}

fn refused(code: &'static str, detail: String) -> EngineError {
    EngineError::FireRefused { code, detail }
}
