//! How answers look: content type, caching headers, JSON bodies.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

/// The content type of every JSON answer; one client refuses to parse anything else (rest-api §2.2).
pub(crate) const JSON_TYPE: &str = "application/json;charset=UTF-8";

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => bytes_of_type(status, JSON_TYPE, bytes),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// An answer whose JSON is written already.
pub(crate) fn json_text(status: StatusCode, text: String) -> Response {
    bytes_of_type(status, JSON_TYPE, text.into_bytes())
}

/// `{"result": …}`.
pub(crate) fn result(status: StatusCode, result: impl Serialize) -> Response {
    #[derive(Serialize)]
    struct Wrapped<T> {
        result: T,
    }
    json(status, &Wrapped { result })
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response {
    bytes_of_type(status, "text/plain;charset=UTF-8", text.into().into_bytes())
}

/// A small web page (rest-api §2.3: clients expect one for an address that is too long).
pub(crate) fn html(status: StatusCode, page: &'static str) -> Response {
    bytes_of_type(status, "text/html;charset=UTF-8", page.as_bytes().to_vec())
}

fn bytes_of_type(status: StatusCode, content_type: &'static str, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The headers of every `/api` answer (rest-api §2.4).
pub(crate) fn add_api_headers(headers: &mut HeaderMap, logged_in: bool, transaction: &str) {
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache,no-store,must-revalidate,max-age=-1"),
    );
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-store,no-cache"));
    headers.insert(header::EXPIRES, HeaderValue::from_static("0"));
    headers.insert(
        "x-is-logged-in",
        HeaderValue::from_static(if logged_in { "true" } else { "false" }),
    );
    if let Ok(value) = HeaderValue::from_str(transaction) {
        headers.insert("x-transaction-id", value);
    }
}
