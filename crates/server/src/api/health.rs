//! Health, metrics and version (rest-api §22).

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::Response;
use campanile_engine::status::Check;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::Caller;
use crate::respond;

/// How long whoever watches is kept waiting: a database that says nothing is told as that.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// As many may wait for the database at once to see how it is: each keeps a thread.
const WATCHERS_MAX: usize = 8;

static WATCHERS: Semaphore = Semaphore::const_new(WATCHERS_MAX);

/// What `work` comes to, on a thread that may wait; the reason when that takes longer than `max`, or others have waited for long.
async fn within<T: Send + 'static>(
    (max, watchers): (Duration, &'static Semaphore),
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let no_answer = || format!("no answer of the database within {} ms", max.as_millis());
    let waited_for = async {
        let place = watchers.acquire().await.map_err(|_closed| no_answer())?;
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        done.await.map_err(|_panicked| "the look at it broke off; the log says why".to_owned())
    };
    tokio::time::timeout(max, waited_for).await.unwrap_or_else(|_| Err(no_answer()))
}

/// The checks where nothing could be looked at since `began`.
fn nothing_seen(began: Instant, detail: String) -> Vec<Check> {
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    vec![Check { name: "storage", ok: false, millis, detail }]
}

/// 200 while the process can answer at all.
pub(crate) async fn healthz() -> Response {
    respond::text(StatusCode::OK, "ok\n")
}

/// 200 when work can be done, else 503; looked at for [`ANSWER_MAX`] at most. Details are shown with a login or from loopback.
pub(crate) async fn readyz(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    caller: Result<Caller, ApiError>,
) -> Response {
    let engine = std::sync::Arc::clone(&app.engine);
    let began = Instant::now();
    let checks = within((ANSWER_MAX, &WATCHERS), move || engine.readiness())
        .await
        .unwrap_or_else(|reason| nothing_seen(began, reason));
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
    if let Err(reason) = within((ANSWER_MAX, &WATCHERS), move || engine.publish_gauges()).await {
        tracing::debug!(reason, "numbers of the database are those of the last time");
    }
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
        static ONE: Semaphore = Semaphore::const_new(1);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let at_once = (Duration::from_millis(1), &ONE);
        let told = within(at_once, move || ended.recv().is_err()).await;
        assert_eq!(told, Err("no answer of the database within 1 ms".to_owned()));
        // Its place is taken until it ends: no second thread waits.
        assert_eq!(ONE.available_permits(), 0);
        assert!(within(at_once, || 7).await.is_err());
        drop(end);
        assert_eq!(within((ANSWER_MAX, &ONE), || 7).await, Ok(7));
        let broken = within((ANSWER_MAX, &ONE), || -> i32 { panic!("as meant") }).await;
        assert!(broken.unwrap_err().contains("broke off"));
        assert!(nothing_seen(Instant::now(), String::new()).iter().all(|check| !check.ok));
    }
}
