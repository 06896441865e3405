//! `POST /api/events` (rest-api §§17.3–17.4).

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use campanile_engine::EngineError;
use campanile_engine::events::service::{self, FireAnswer, FireCall};
use campanile_model::SysId;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::body::{self, refused};
use super::wait;
use crate::api::call_key::{idempotency_key, mark_replayed};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::{Caller, accepts_json, content_type};
use crate::extract::params::Params;
use crate::extract::payload::Payload;
use crate::{respond, timing};

const FORM: &str = "application/x-www-form-urlencoded";

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
    // From here on: a quick disk may be done before anybody waits for it.
    let began = std::time::Instant::now();
    service::fire(&app.engine, &caller.session, call, move |answer| {
        if sender.send(answer).is_err() {
            tracing::debug!("the caller went away before its event was stored");
        }
    });
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
        mark_replayed(&mut response);
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
    let Some(key) = idempotency_key(headers)? else { return Ok(()) };
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
pub(super) struct Prefer {
    pub(super) minimal: bool,
    representation: bool,
    wait_s: Option<u64>,
}

impl Prefer {
    pub(super) fn of(headers: &HeaderMap) -> Self {
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
