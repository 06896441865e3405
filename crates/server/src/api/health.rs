//! Health, metrics and version (rest-api §22).

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::Caller;
use crate::respond;

/// 200 while the process can answer at all.
pub(crate) async fn healthz() -> Response {
    respond::text(StatusCode::OK, "ok\n")
}

/// 200 when work can be done, else 503. Details are shown with a login or from loopback.
pub(crate) async fn readyz(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    caller: Result<Caller, ApiError>,
) -> Response {
    let engine = std::sync::Arc::clone(&app.engine);
    let checks = tokio::task::spawn_blocking(move || engine.readiness()).await.unwrap_or_default();
    let ready = !checks.is_empty() && checks.iter().all(|check| check.ok);
    let word = match (app.is_draining.load(Ordering::Acquire), ready) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "not ready",
    };
    let status = if word == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if caller.is_err() && !peer.ip().is_loopback() {
        return respond::json(status, &json!({"status": word}));
    }
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| {
            json!({"name": check.name, "ok": check.ok, "ms": check.millis, "detail": check.detail})
        })
        .collect();
    respond::json(status, &json!({"status": word, "checks": checks}))
}

/// Prometheus text, from loopback or with the role `metrics_reader`.
pub(crate) async fn metrics(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    caller: Result<Caller, ApiError>,
) -> Result<Response, ApiError> {
    if !peer.ip().is_loopback() {
        let user = caller?.session.user;
        if !user.is_admin() && !user.has_role("metrics_reader") {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "not_allowed",
                "User Not Authorized",
                "/metrics needs the role metrics_reader, or a call from the machine itself",
            ));
        }
    }
    let Some(handle) = &app.metrics else {
        return Err(ApiError::unavailable(
            "no_metrics",
            "no metrics are collected in this process",
        ));
    };
    app.engine.publish_gauges();
    Ok(respond::text(StatusCode::OK, handle.render()))
}

/// What runs here.
pub(crate) async fn version(State(app): State<App>, _caller: Caller) -> Response {
    let now = app.engine.clock().now();
    let uptime = (now.as_millis() - app.started.as_millis()).max(0) / 1000;
    respond::result(
        StatusCode::OK,
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "commit": option_env!("CAMPANILE_COMMIT").unwrap_or("unknown"),
            "schema": app.engine.schema_version(),
            "node": app.engine.node(),
            "uptime_s": uptime,
        }),
    )
}
