//! Health, metrics and version (rest-api §22).

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::Response;
use campanile_engine::status::Check;
use serde_json::{Value, json};

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::Caller;
use crate::respond;

/// How long whoever watches is kept waiting: a database that says nothing is told as that.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What `work` comes to, on a thread that may wait; `None` when that takes longer than `max`.
async fn within<T: Send + 'static>(
    max: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::time::timeout(max, tokio::task::spawn_blocking(work)).await.ok()?.ok()
}

/// The checks of a database that does not answer.
fn no_answer() -> Vec<Check> {
    let detail = format!("the database did not answer within {} s", ANSWER_MAX.as_secs());
    let millis = u64::try_from(ANSWER_MAX.as_millis()).unwrap_or(u64::MAX);
    vec![Check { name: "storage", ok: false, millis, detail }]
}

/// 200 while the process can answer at all.
pub(crate) async fn healthz() -> Response {
    respond::text(StatusCode::OK, "ok\n")
}

/// 200 when work can be done, else 503, after [`ANSWER_MAX`] at the latest. Details are shown with a login or from loopback.
pub(crate) async fn readyz(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    caller: Result<Caller, ApiError>,
) -> Response {
    let engine = std::sync::Arc::clone(&app.engine);
    let checks = within(ANSWER_MAX, move || engine.readiness()).await.unwrap_or_else(no_answer);
    let ready = checks.iter().all(|check| check.ok);
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
    let engine = std::sync::Arc::clone(&app.engine);
    // What the database does not tell in time keeps its last value.
    let _ = within(ANSWER_MAX, move || engine.publish_gauges()).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_watches_a_database_that_says_nothing_is_answered_all_the_same() {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let waits = move || ended.recv().is_err();
        assert_eq!(within(Duration::from_millis(1), waits).await, None);
        drop(end);
        assert_eq!(within(ANSWER_MAX, || 7).await, Some(7));
        assert!(no_answer().iter().all(|check| !check.ok) && !no_answer().is_empty());
    }
}
