//! Fire and wait (rest-api §17.4). Waiting costs no thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::Response;
use campanile_engine::events::service::{self, FireAnswer};
use campanile_model::SysId;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::fire::locate;
use super::object;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::Caller;
use crate::extract::params::Params;
use crate::{respond, timing};

/// Longest wait (rest-api §17.4).
const WAIT_S_MAX: u64 = 60;

/// Requests that wait at this moment.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// How long the caller wants to wait: `wait=10s`, `wait=10`, or `Prefer: wait=10`.
///
/// # Errors
/// `bad_parameter` when it is no number of seconds.
pub(super) fn asked_for(
    params: &Params,
    preferred_s: Option<u64>,
) -> Result<Option<Duration>, ApiError> {
    let seconds = match params.get("wait") {
        Some(text) => Some(text.trim_end_matches('s').parse::<u64>().map_err(|_error| {
            ApiError::bad_parameter("wait", format!("expected seconds such as 10s, got '{text}'"))
        })?),
        None => preferred_s,
    };
    Ok(seconds.map(|seconds| Duration::from_secs(seconds.min(WAIT_S_MAX))))
}

/// Waits until the event has ended, or the patience: 200 with its runs, else 202 with the state so far.
pub(super) async fn answer(
    app: &App,
    caller: &Caller,
    sys_id: SysId,
    patience: Duration,
) -> Result<Response, ApiError> {
    let limit =
        usize::try_from(app.engine.int_property("campanile.http.max_waiters", 10_000)).unwrap_or(0);
    let _place = Place::take(limit.min(app.waiting_max))?;
    let (sender, receiver) = oneshot::channel();
    let engine = Arc::clone(&app.engine);
    let session = caller.session.clone();
    let waiting = blocking(move || {
        service::await_end(&engine, &session, &sys_id, move || {
            if sender.send(()).is_err() {
                tracing::debug!("nobody waits for this event any more");
            }
        })
    })
    .await?;
    let ended = tokio::time::timeout(patience, receiver).await.is_ok();
    drop(waiting);
    shown(app, caller, sys_id, ended).await
}

/// The event as it stands, without waiting: 202, or 200 for the repetition of a key.
pub(super) async fn present(
    app: &App,
    caller: &Caller,
    answer: &FireAnswer,
    waited: bool,
) -> Result<Response, ApiError> {
    let engine = Arc::clone(&app.engine);
    let session = caller.session.clone();
    let sys_id = answer.sys_id;
    let view = blocking(move || service::get(&engine, &session, &sys_id)).await?;
    let mut result = object::event(&view);
    result.insert("duplicate".into(), json!(answer.duplicate));
    if waited {
        result.insert("waited".into(), json!(true));
    }
    let status = if answer.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = respond::result(status, result);
    locate(&mut response, &sys_id);
    Ok(response)
}

async fn shown(
    app: &App,
    caller: &Caller,
    sys_id: SysId,
    ended: bool,
) -> Result<Response, ApiError> {
    let engine = Arc::clone(&app.engine);
    let session = caller.session.clone();
    let (view, runs) = blocking(move || {
        let view = service::get(&engine, &session, &sys_id)?;
        let runs = service::runs_of(&engine, &session, &sys_id)?;
        Ok((view, runs))
    })
    .await?;
    let ended = ended || !view.event.state.is_live();
    let failed = view.event.state == campanile_model::EventState::Error;
    if ended && failed && caller.params.flag("fail_on_error") {
        return Err(ApiError::new(
            StatusCode::FAILED_DEPENDENCY,
            "event_failed",
            "Event failed",
            format!("{}: {}", view.event.error_code, view.event.error_message),
        ));
    }
    let mut result = object::event(&view);
    if ended {
        result.insert("runs".into(), Value::Array(runs.iter().map(object::run).collect()));
    } else {
        result.insert("waited".into(), json!(true));
    }
    let status = if ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = respond::result(status, result);
    locate(&mut response, &sys_id);
    Ok(response)
}

/// Runs a short synchronous call to the engine beside the network threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, campanile_engine::EngineError> + Send + 'static,
) -> Result<T, ApiError> {
    let began = Instant::now();
    let done = tokio::task::spawn_blocking(work).await;
    // Such calls do nothing but ask the store.
    timing::database(began.elapsed());
    match done {
        Ok(outcome) => outcome.map_err(ApiError::from),
        Err(error) => {
            tracing::error!(%error, "a request panicked");
            Err(ApiError::internal("panic"))
        }
    }
}

/// One of the places of those who wait.
struct Place;

impl Place {
    fn take(limit: usize) -> Result<Self, ApiError> {
        let before = WAITING.fetch_add(1, Ordering::AcqRel);
        let place = Self;
        if before >= limit {
            return Err(ApiError::unavailable(
                "overloaded",
                format!(
                    "{before} callers wait for events already (campanile.http.max_waiters, and half of server.connections)"
                ),
            ));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::AcqRel);
    }
}
