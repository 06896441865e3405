//! All addresses, on one screen.

use axum::Router;
use axum::extract::State;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};

use crate::api::{evaluate, events, health, packs, queues, replay, table};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::Caller;
use crate::layers::Around;

/// The whole server.
pub(crate) fn service(app: App) -> Around {
    let table_list = || or_405("GET, HEAD, POST", get(table::list).post(table::create));
    let table_one = || {
        or_405(
            "GET, HEAD, PUT, PATCH, DELETE",
            get(table::get).put(table::update).patch(table::update).delete(table::delete),
        )
    };
    let now = Router::new()
        .route("/api/now/table/{table}", table_list())
        .route("/api/now/v1/table/{table}", table_list())
        .route("/api/now/v2/table/{table}", table_list())
        .route("/api/now/table/{table}/{sys_id}", table_one())
        .route("/api/now/v1/table/{table}/{sys_id}", table_one())
        .route("/api/now/v2/table/{table}/{sys_id}", table_one());

    let router = Router::new()
        .merge(now)
        .nest("/api/events", events_routes())
        .nest("/api/v1/events", events_routes())
        .route("/api/registrations/{name}/move", or_405("POST", post(events::move_kind)))
        .route("/api/queues", or_405("GET, HEAD", get(queues::list)))
        .route("/api/queues/{name}/resume", or_405("POST", post(queues::resume)))
        .route("/api/scripts/evaluate", or_405("POST", post(evaluate::evaluate)))
        .route("/api/packs", or_405("POST", post(packs::apply)))
        .route("/api/replay", or_405("POST", post(replay::replay)))
        .route("/api/replay/summary", or_405("GET, HEAD", get(replay::summary)))
        .route("/api/version", or_405("GET, HEAD", get(health::version)))
        .route("/healthz", or_405("GET, HEAD", get(health::healthz)))
        .route("/readyz", or_405("GET, HEAD", get(health::readyz)))
        .route("/metrics", or_405("GET, HEAD", get(health::metrics)))
        .fallback(no_resource)
        .with_state(app);
    // Outside of the routes: the method decides the route.
    Around::new(router)
}

fn events_routes() -> Router<App> {
    Router::new()
        .route("/", or_405("GET, HEAD, POST", get(events::list).post(events::fire)))
        .route("/batch", or_405("POST", post(events::batch)))
        .route("/{sys_id}", or_405("GET, HEAD", get(events::get)))
        .route("/{sys_id}/explain", or_405("GET, HEAD", get(events::explain)))
        .route("/{sys_id}/reprocess", or_405("POST", post(events::reprocess)))
        .route("/{sys_id}/move", or_405("POST", post(events::move_one)))
        .route("/{sys_id}/run-now", or_405("POST", post(events::run_now)))
        .route("/{sys_id}/cancel", or_405("POST", post(events::cancel)))
        .route("/{sys_id}/reschedule", or_405("POST", post(events::reschedule)))
}

/// E3a for every method that `router` does not know; who calls comes first (rest-api §4.2).
fn or_405(allowed: &'static str, router: MethodRouter<App>) -> MethodRouter<App> {
    router.fallback(move |State(_app): State<App>, caller: Result<Caller, ApiError>| async move {
        match caller {
            Ok(_caller) => ApiError::method_not_supported(allowed).into_response(),
            Err(error) => error.into_response(),
        }
    })
}

/// E3, or E1 for whoever did not say who he is.
async fn no_resource(method: Method, caller: Result<Caller, ApiError>) -> Response {
    tracing::debug!(%method, "no such address");
    match caller {
        Ok(_caller) => ApiError::no_resource().into_response(),
        Err(error) => error.into_response(),
    }
}
