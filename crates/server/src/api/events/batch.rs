//! `POST /api/events/batch` (rest-api §17.5).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use campanile_engine::EngineError;
use campanile_engine::events::service::{self, BatchOnce, FireCall, FireOutcome};
use campanile_engine::records::once::CallKey;
use campanile_model::Instant;
use campanile_model::limits::{EVENT_BATCH_BYTES_MAX, EVENT_BATCH_MAX};
use serde_json::Value;
use tokio::sync::oneshot;

use super::batch_result::{BatchResult, RefusedItem};
use super::body::{self, Refusal, refused};
use super::fire::Prefer;
use crate::api::call_key::{content_hash, idempotency_key, mark_replayed};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::{Caller, accepts_json, content_type};
use crate::extract::json_body::{reason_without_place, without_mark};
use crate::extract::payload::{Payload, PayloadError};
use crate::extract::strict_json;
use crate::{respond, timing};

const LINES: &str = "application/x-ndjson";

/// Fires many events at once.
pub(crate) async fn batch(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, ApiError> {
    accepts_json(&headers)?;
    let kind = content_type(&headers, &["application/json", LINES])?;
    let key = idempotency_key(&headers)?;
    let bytes = match payload.read_at_most(&headers, EVENT_BATCH_BYTES_MAX).await {
        Err(PayloadError::TooLarge { bytes, limit }) => {
            return Err(too_large(format!("{bytes} bytes, the limit is {limit}")));
        }
        other => other?,
    };
    let (events, atomic) = if kind == LINES {
        (
            lines(&bytes)?,
            !caller.params.get("atomic").is_some_and(|v| v.eq_ignore_ascii_case("false")),
        )
    } else {
        members(&bytes)?
    };
    if events.len() > EVENT_BATCH_MAX {
        return Err(too_large(format!("{} events, the limit is {EVENT_BATCH_MAX}", events.len())));
    }
    let minimal = Prefer::of(&headers).minimal;
    let read = ReadBatch::new(&events, app.engine.clock().now());
    if atomic && !read.refused.is_empty() {
        return Err(EngineError::BatchRefused { items: read.refused }.into());
    }
    let key = key.map(|key| CallKey { key, content_hash: content_hash(&caller, &bytes) });
    let (result, replayed) = match key {
        Some(key) => fire_once(&app, &caller, read, atomic, key).await?,
        None => (fire(&app, &caller, read, atomic).await?, false),
    };
    let status = if replayed { StatusCode::OK } else { StatusCode::ACCEPTED };
    let result = if minimal { result.counts() } else { result };
    let mut response = respond::result(status, result);
    if replayed {
        mark_replayed(&mut response);
    }
    Ok(response)
}

async fn fire(
    app: &App,
    caller: &Caller,
    read: ReadBatch,
    atomic: bool,
) -> Result<BatchResult, ApiError> {
    let (sender, receiver) = oneshot::channel();
    // From here on: a quick disk may be done before anybody waits for it.
    let began = std::time::Instant::now();
    service::fire_batch(&app.engine, &caller.session, read.calls, atomic, move |answers| {
        if sender.send(answers).is_err() {
            tracing::debug!("the caller went away before its batch was stored");
        }
    });
    let answers = receiver.await;
    timing::committed(began.elapsed());
    let answers = answers
        .unwrap_or_else(|_gone| Err(EngineError::Unavailable("the store is closing".into())))
        .map_err(|error| in_batch(error, &read.places))?;
    Ok(BatchResult::of(&read.places, &answers, read.refused)?)
}

/// With a key: the result, and whether an earlier call made it.
async fn fire_once(
    app: &App,
    caller: &Caller,
    read: ReadBatch,
    atomic: bool,
    key: CallKey,
) -> Result<(BatchResult, bool), ApiError> {
    let session = caller.session.clone();
    let ReadBatch { calls, places, refused } = read;
    let done = app.on_worker(move |worker| {
        let result = |answers: &[FireOutcome]| BatchResult::of(&places, answers, refused.clone());
        let make = |answers: &[FireOutcome]| result(answers).map(|result| result.to_text());
        let done = service::fire_batch_once(worker.engine(), &session, calls, atomic, &key, &make)
            .map_err(|error| in_batch(error, &places))?;
        match done {
            BatchOnce::Kept(once) => Ok((BatchResult::from_text(&once.answer)?, Some(once))),
            BatchOnce::NothingStored(answers) => Ok((result(&answers)?, None)),
        }
    });
    let (result, once) = done.await?;
    let Some(once) = once else { return Ok((result, false)) };
    app.durable(once.mark).await?;
    Ok(if once.replayed { (result.replayed(), true) } else { (result, false) })
}

/// Indexes of what was handed in are indexes of the batch only when nothing was refused before.
fn in_batch(error: EngineError, places: &[usize]) -> EngineError {
    match error {
        EngineError::BatchRefused { items } => {
            let items = items.into_iter().map(|(at, code, detail)| (places[at], code, detail));
            EngineError::BatchRefused { items: items.collect() }
        }
        other => other,
    }
}

/// The members of a batch as calls; what cannot be read is refused with its index.
struct ReadBatch {
    calls: Vec<FireCall>,
    /// Index in the batch of each call.
    places: Vec<usize>,
    refused: Vec<RefusedItem>,
}

impl ReadBatch {
    fn new(events: &[Value], now: Instant) -> Self {
        let mut read = Self {
            calls: Vec::with_capacity(events.len()),
            places: Vec::new(),
            refused: Vec::new(),
        };
        for (index, event) in events.iter().enumerate() {
            let call: Result<FireCall, Refusal> = match event {
                Value::Object(object) => body::fire_call(object).and_then(|call| {
                    call.process_on.map(|time| body::moment(time, now)).transpose()?;
                    Ok(call)
                }),
                other => Err(("bad_json", format!("expected an object, got {other}"))),
            };
            match call {
                Ok(call) => {
                    read.calls.push(call);
                    read.places.push(index);
                }
                Err((code, detail)) => read.refused.push((index, code, detail)),
            }
        }
        read
    }
}

fn members(bytes: &[u8]) -> Result<(Vec<Value>, bool), ApiError> {
    let mut object = body::object(bytes)?;
    body::only_known(&object, &["events", "atomic"]).map_err(refused)?;
    let atomic = match object.get("atomic") {
        None | Some(Value::Null) => true,
        Some(_) => body::boolean(&object, "atomic").map_err(refused)?,
    };
    match object.remove("events") {
        Some(Value::Array(events)) => Ok((events, atomic)),
        _ => Err(refused(("bad_parameter", "`events`: expected an array of events".to_owned()))),
    }
}

fn lines(bytes: &[u8]) -> Result<Vec<Value>, ApiError> {
    let lines = without_mark(bytes).split(|byte| *byte == b'\n').enumerate();
    lines
        .filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))
        .map(|(number, line)| {
            strict_json::from_slice(line).map_err(|error| {
                ApiError::bad_body(format!(
                    "The payload is not valid JSON: {} at line {} column {} (line {} of the batch)",
                    reason_without_place(&error),
                    error.line(),
                    error.column(),
                    number + 1
                ))
            })
        })
        .collect()
}

fn too_large(detail: String) -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "batch_too_large", "Batch too large", detail)
}
