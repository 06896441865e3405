//! Queues: how each stands, and letting one go on that an error has stopped (events-and-jobs §4.2).

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use campanile_engine::queues::service;
use serde_json::json;

use crate::api::events::body::{self, refused};
use crate::api::events::wait::blocking;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::{Caller, accepts_json, content_type};
use crate::extract::payload::Payload;
use crate::extract::segments::Segments;
use crate::respond;

/// All queues.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    accepts_json(&headers)?;
    let engine = Arc::clone(&app.engine);
    let queues = blocking(move || service::list(&engine, &caller.session)).await?;
    Ok(respond::result(StatusCode::OK, queues))
}

/// Lets a halted queue go on.
pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, ApiError> {
    accepts_json(&headers)?;
    content_type(&headers, &["application/json"])?;
    let body = body::object(&payload.read(&app, &headers).await?)?;
    body::only_known(&body, &["reason"]).map_err(refused)?;
    let reason = body::string(&body, "reason").map_err(refused)?.unwrap_or_default();
    let name = segments.text("name");
    let engine = Arc::clone(&app.engine);
    let (mark, queue) = blocking(move || {
        let mark = service::resume(&engine, &caller.session, &name, &reason)?;
        Ok((mark, name))
    })
    .await?;
    app.durable(mark).await?;
    Ok(respond::result(StatusCode::OK, json!({"queue": queue, "status": "Active"})))
}
