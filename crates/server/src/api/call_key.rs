//! `Idempotency-Key` (rest-api §23): by what a call is known when it is sent once more.

use axum::http::HeaderMap;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use campanile_model::content_hash::ContentHash;

use super::events::body::{dedupe_key, refused};
use crate::errors::ApiError;
use crate::extract::caller::Caller;

/// The key in `Idempotency-Key`, if any.
///
/// # Errors
/// `bad_parameter` for a key that is empty or not printable ASCII, `value_too_long` beyond 100 characters.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = String::from_utf8_lossy(value.as_bytes()).into_owned();
    dedupe_key("Idempotency-Key", key).map(Some).map_err(refused)
}

/// What a repetition must have in common with the first call: the address and the body.
pub(super) fn content_hash(caller: &Caller, body: &[u8]) -> u64 {
    let hash = ContentHash::new().part("POST").part(&caller.path);
    caller
        .params
        .raw_without(&[])
        .iter()
        .fold(hash, |hash, part| hash.part(part))
        .bytes(body)
        .finish()
}

/// Says in the answer that an earlier call did it.
pub(super) fn mark_replayed(response: &mut Response) {
    let name = HeaderName::from_static("idempotency-replayed");
    response.headers_mut().insert(name, HeaderValue::from_static("true"));
}
