//! Actions on one event, and on a kind of event (rest-api §17.7; events-and-jobs §§4.8, 6).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use campanile_engine::events::service::{self, Act, QueueTarget};
use campanile_engine::{Engine, EngineError, Session};
use campanile_store::CommitMark;
use serde_json::{Map, Value, json};

use super::body::{self, refused};
use super::object;
use super::read::event_id;
use super::wait::blocking;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::{Caller, accepts_json, content_type};
use crate::extract::payload::Payload;
use crate::extract::segments::Segments;
use crate::respond;

/// Has an event handled again.
pub(crate) async fn reprocess(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, ApiError> {
    let bytes = read(&app, &headers, payload).await?;
    let (act, body) = act(&segments, &bytes, &["only_failed", "reason"])?;
    let only_failed = body::boolean(&body, "only_failed").map_err(refused)?;
    done(&app, &caller, act, move |engine, session, act| {
        service::reprocess(engine, session, act, campanile_store::ReprocessOptions { only_failed })
    })
    .await
}

/// Moves a waiting event to another queue.
pub(crate) async fn move_one(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, ApiError> {
    let bytes = read(&app, &headers, payload).await?;
    let (act, body) = act(&segments, &bytes, &["queue", "reason"])?;
    let queue = required(&body, "queue")?;
    done(&app, &caller, act, move |engine, session, act| {
        service::move_event(engine, session, act, &queue)
    })
    .await
}

/// Makes an event for later due now.
pub(crate) async fn run_now(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, ApiError> {
    let bytes = read(&app, &headers, payload).await?;
    let (act, _) = act(&segments, &bytes, &["reason"])?;
    done(&app, &caller, act, service::run_now).await
}

/// Withdraws a waiting event.
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, ApiError> {
    let bytes = read(&app, &headers, payload).await?;
    let (act, _) = act(&segments, &bytes, &["reason"])?;
    done(&app, &caller, act, service::cancel).await
}

/// Gives a waiting event another time.
pub(crate) async fn reschedule(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, ApiError> {
    let bytes = read(&app, &headers, payload).await?;
    let (act, body) = act(&segments, &bytes, &["process_on", "reason"])?;
    let when = body::fire_time(&required(&body, "process_on")?).map_err(refused)?;
    let at = body::moment(when, app.engine.clock().now()).map_err(refused)?;
    done(&app, &caller, act, move |engine, session, act| {
        service::reschedule(engine, session, act, at)
    })
    .await
}

/// Presses one of the two buttons of a registration.
pub(crate) async fn move_kind(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, ApiError> {
    let bytes = read(&app, &headers, payload).await?;
    let body = body::object(&bytes)?;
    body::only_known(&body, &["queue", "reason"]).map_err(refused)?;
    let target = match required(&body, "queue")?.as_str() {
        "adaptive" => QueueTarget::Adaptive,
        "default" => QueueTarget::Default,
        other => {
            return Err(refused((
                "bad_parameter",
                format!(
                    "`queue`: a kind of event moves to 'adaptive' or 'default', got '{other}'; any other queue \
                     is set on the registration itself (sysevent_register.queue)"
                ),
            )));
        }
    };
    let name = segments.text("name");
    let engine = Arc::clone(&app.engine);
    let session = caller.session.clone();
    let moved = blocking(move || service::move_kind(&engine, &session, &name, target)).await?;
    app.durable(moved.mark).await?;
    let next = match moved.next {
        QueueTarget::Adaptive => "Move to Adaptive Event Queue",
        QueueTarget::Default => "Move to Default Queue",
    };
    Ok(respond::result(
        StatusCode::OK,
        json!({
            "moved": moved.moved,
            "queue": &*moved.queue,
            "custom_queue": &*moved.custom_queue,
            "button": next,
        }),
    ))
}

/// The JSON body of an action, once its header lines were found good.
async fn read(app: &App, headers: &HeaderMap, payload: Payload) -> Result<Bytes, ApiError> {
    accepts_json(headers)?;
    content_type(headers, &["application/json"])?;
    payload.read(app, headers).await
}

/// What is acted on, and the rest of the body.
fn act(
    segments: &Segments,
    bytes: &[u8],
    known: &[&str],
) -> Result<(Act, Map<String, Value>), ApiError> {
    let sys_id = event_id(segments)?;
    let body = body::object(bytes)?;
    body::only_known(&body, known).map_err(refused)?;
    let reason = body::string(&body, "reason").map_err(refused)?.unwrap_or_default();
    Ok((Act { sys_id, reason, version: None }, body))
}

fn required(body: &Map<String, Value>, name: &str) -> Result<String, ApiError> {
    body::string(body, name)
        .map_err(refused)?
        .ok_or_else(|| refused(("bad_parameter", format!("`{name}` is missing"))))
}

/// Does the action, waits for the disk, answers with the event.
async fn done(
    app: &App,
    caller: &Caller,
    act: Act,
    action: impl FnOnce(&Engine, &Session, Act) -> Result<CommitMark, EngineError> + Send + 'static,
) -> Result<Response, ApiError> {
    let sys_id = act.sys_id;
    let engine = Arc::clone(&app.engine);
    let session = caller.session.clone();
    let (mark, view) = blocking(move || {
        let mark = action(&engine, &session, act)?;
        Ok((mark, service::get(&engine, &session, &sys_id)?))
    })
    .await?;
    app.durable(mark).await?;
    Ok(respond::result(StatusCode::OK, object::event(&view)))
}
