//! What is answered while the product starts: alive, not ready, come again (rest-api §§4.2 E16, 22).

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::errors::ApiError;
use crate::respond;

/// The answer to any request. Nobody is asked who he is: there is nothing yet to tell him.
pub(crate) fn answer(request: &Request) -> Response {
    match request.uri().path() {
        "/healthz" => respond::text(StatusCode::OK, "ok\n"),
        "/readyz" => respond::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "starting"})),
        _ => ApiError::unavailable(
            "starting",
            "the server is starting: it opens its data folder and brings the database up to date",
        )
        .into_response(),
    }
}
