//! `POST /api/replay` and `GET /api/replay/summary`: rows of a change log, and what their events came to.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use campanile_engine::packs::replay::apply::{self, ReplayBatch};
use campanile_engine::packs::replay::summary;

use crate::api::events::body::bad_json;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::{Caller, accepts_json, content_type};
use crate::extract::payload::Payload;
use crate::respond;

/// Replays a batch of rows, which come in the order in which they happened.
pub(crate) async fn replay(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, ApiError> {
    apply::allow(&caller.session)?;
    accepts_json(&headers)?;
    content_type(&headers, &["application/json"])?;
    let body = payload.read(&app, &headers).await?;
    let batch: ReplayBatch = serde_json::from_slice(&body).map_err(|error| bad_json(&error))?;
    let session = caller.session.clone();
    let counts = app.on_tool(move |worker| apply::replay(worker, &session, &batch)).await?;
    app.durable(counts.mark).await?;
    Ok(respond::result(StatusCode::OK, counts))
}

/// Counts the events whose sequence is above `after`, and the runs of their handlers.
pub(crate) async fn summary(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    apply::allow(&caller.session)?;
    accepts_json(&headers)?;
    let after = caller.params.number("after")?.unwrap_or(0);
    let session = caller.session.clone();
    let summary =
        app.on_tool(move |worker| summary::summary(worker.engine(), &session, after)).await?;
    Ok(respond::result(StatusCode::OK, summary))
}
