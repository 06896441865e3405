//! `POST /api/events` and `POST /api/events/batch` (rest-api §§17.3–17.5).

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use campanile_engine::EngineError;
use campanile_engine::events::service::{self, FireAnswer, FireCall};
use campanile_model::limits::{EVENT_BATCH_BYTES_MAX, EVENT_BATCH_MAX};
use campanile_model::{Instant, SysId};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::body::{self, Refusal, refused};
use super::wait;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::{Caller, accepts_json, content_type};
use crate::extract::json_body::{reason_without_place, without_mark};
use crate::extract::params::Params;
use crate::extract::payload::{Payload, PayloadError};
use crate::extract::strict_json;
use crate::{respond, timing};

const FORM: &str = "application/x-www-form-urlencoded";
const LINES: &str = "application/x-ndjson";

/// Fires one event; 202 means that it is on disk.
pub(crate) async fn fire(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, ApiError> {
    accepts_json(&headers)?;
    let prefer = Prefer::of(&headers);
    let wait = wait::asked_for(&caller.params, prefer.wait_s)?;
    let kind = content_type(&headers, &["application/json", FORM])?;
    let bytes = payload.read(&app, &headers).await?;
    let object = if kind == FORM { form(&bytes)? } else { body::object(&bytes)? };
    let mut call = body::fire_call(&object).map_err(refused)?;
    take_key(&mut call, &headers)?;
    let now = app.engine.clock().now();
    let due = call.process_on.map(|time| body::moment(time, now)).transpose().map_err(refused)?;
    let due_in_ms = due.map_or(0, |at| at.as_millis().saturating_sub(now.as_millis()));
    let (sender, receiver) = oneshot::channel();
    service::fire(&app.engine, &caller.session, call, move |answer| {
        if sender.send(answer).is_err() {
            tracing::debug!("the caller went away before its event was stored");
        }
    });
    let began = std::time::Instant::now();
    let answer = receiver.await;
    timing::committed(began.elapsed());
    let answer = answer
        .unwrap_or_else(|_gone| Err(EngineError::Unavailable("the store is closing".into())))?;
    match wait {
        // An event that is due later than the caller waits is answered at once.
        Some(patience) if due_in_ms <= i64::try_from(patience.as_millis()).unwrap_or(i64::MAX) => {
            wait::answer(&app, &caller, answer.sys_id, patience).await
        }
        None if !prefer.representation => Ok(accepted(&answer, prefer.minimal)),
        _ => wait::present(&app, &caller, &answer, wait.is_some()).await,
    }
}

fn accepted(answer: &FireAnswer, minimal: bool) -> Response {
    let status = if answer.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = if minimal {
        respond::empty(status)
    } else {
        let mut result = json!({
            "sys_id": answer.sys_id.as_str(),
            "name": &*answer.name,
            "state": "ready",
            "queue": &*answer.queue,
            "duplicate": answer.duplicate,
            "registered": answer.registered,
        });
        if answer.coalesced {
            result["coalesced"] = json!(true);
        }
        respond::result(status, result)
    };
    locate(&mut response, &answer.sys_id);
    if answer.duplicate {
        response.headers_mut().insert(
            HeaderName::from_static("idempotency-replayed"),
            HeaderValue::from_static("true"),
        );
    }
    response
}

/// Adds `Location`.
pub(super) fn locate(response: &mut Response, sys_id: &SysId) {
    if let Ok(value) = HeaderValue::from_str(&format!("/api/events/{sys_id}")) {
        response.headers_mut().insert(header::LOCATION, value);
    }
}

/// `Idempotency-Key`, which must not contradict `dedupe_key` (rest-api §17.3).
fn take_key(call: &mut FireCall, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(()) };
    let key = value.to_str().map_err(|_error| {
        ApiError::unprocessable(
            "value_too_long",
            "`Idempotency-Key`: expected 1 to 100 printable ASCII characters",
        )
    })?;
    let key = body::dedupe_key("Idempotency-Key", key.to_owned()).map_err(refused)?;
    match &call.dedupe_key {
        Some(other) if *other != key => Err(ApiError::unprocessable(
            "key_reused",
            format!("`dedupe_key` is '{other}' and `Idempotency-Key` is '{key}': give one of them"),
        )),
        _ => {
            call.dedupe_key = Some(key);
            Ok(())
        }
    }
}

/// `Prefer` (RFC 7240), as far as it means something here.
struct Prefer {
    minimal: bool,
    representation: bool,
    wait_s: Option<u64>,
}

impl Prefer {
    fn of(headers: &HeaderMap) -> Self {
        let mut prefer = Self { minimal: false, representation: false, wait_s: None };
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')).map(str::trim) {
            match preference.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
                Some(("return", "minimal")) => prefer.minimal = true,
                Some(("return", "representation")) => prefer.representation = true,
                Some(("wait", seconds)) => prefer.wait_s = seconds.parse().ok(),
                _ => {}
            }
        }
        prefer
    }
}

fn form(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_error| ApiError::bad_body("the form is not valid UTF-8"))?;
    let fields = Params::parse(Some(text))?.name_values();
    Ok(fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect())
}

/// Fires many events at once.
pub(crate) async fn batch(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, ApiError> {
    accepts_json(&headers)?;
    let kind = content_type(&headers, &["application/json", LINES])?;
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
    let (sender, receiver) = oneshot::channel();
    service::fire_batch(&app.engine, &caller.session, read.calls, atomic, move |answers| {
        if sender.send(answers).is_err() {
            tracing::debug!("the caller went away before its batch was stored");
        }
    });
    let began = std::time::Instant::now();
    let answers = receiver.await;
    timing::committed(began.elapsed());
    let answers = answers
        .unwrap_or_else(|_gone| Err(EngineError::Unavailable("the store is closing".into())));
    let answers = match answers {
        // Indexes of what was handed in are indexes of the batch only when nothing was refused before.
        Err(EngineError::BatchRefused { items }) => {
            let items = items.into_iter().map(|(at, code, detail)| (read.places[at], code, detail));
            return Err(EngineError::BatchRefused { items: items.collect() }.into());
        }
        other => other?,
    };
    batch_answer(&read.places, answers, read.refused, minimal)
}

fn batch_answer(
    places: &[usize],
    answers: Vec<Result<FireAnswer, EngineError>>,
    mut refused: Vec<(usize, &'static str, String)>,
    minimal: bool,
) -> Result<Response, ApiError> {
    let mut stored = Vec::with_capacity(answers.len());
    let (mut accepted, mut duplicates) = (0u64, 0u64);
    for (place, answer) in places.iter().zip(answers) {
        match answer {
            Ok(answer) => {
                if answer.duplicate {
                    duplicates += 1;
                } else {
                    accepted += 1;
                }
                stored.push((*place, answer.sys_id, answer.duplicate));
            }
            Err(EngineError::FireRefused { code, detail }) => refused.push((*place, code, detail)),
            Err(other) => return Err(other.into()),
        }
    }
    if stored.is_empty() && !refused.is_empty() {
        refused.sort_by_key(|(place, _, _)| *place);
        return Err(EngineError::BatchRefused { items: refused }.into());
    }
    let mut result =
        json!({"accepted": accepted, "duplicates": duplicates, "rejected": refused.len()});
    if !minimal {
        let events: Vec<Value> = stored
            .iter()
            .map(|(index, id, duplicate)| {
                json!({"index": index, "sys_id": id.as_str(), "duplicate": duplicate})
            })
            .collect();
        result["events"] = Value::Array(events);
        if !refused.is_empty() {
            refused.sort_by_key(|(place, _, _)| *place);
            let items: Vec<Value> = refused
                .into_iter()
                .map(
                    |(index, code, detail)| json!({"index": index, "code": code, "detail": detail}),
                )
                .collect();
            result["errors"] = Value::Array(items);
        }
    }
    Ok(respond::result(StatusCode::ACCEPTED, result))
}

/// The members of a batch as calls; what cannot be read is refused with its index.
struct ReadBatch {
    calls: Vec<FireCall>,
    /// Index in the batch of each call.
    places: Vec<usize>,
    refused: Vec<(usize, &'static str, String)>,
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
