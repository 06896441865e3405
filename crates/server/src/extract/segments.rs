//! The parts of an address that its route names: the table, the key of a row or an event.

use std::collections::HashMap;

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::app::App;
use crate::errors::ApiError;

/// The named parts, percent-decoded.
#[derive(Debug)]
pub(crate) struct Segments(HashMap<String, String>);

impl Segments {
    /// The part called `name`; empty when the route has none of that name.
    pub(crate) fn text(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

impl FromRequestParts<App> for Segments {
    type Rejection = ApiError;

    /// Fails with E3 when a part is no UTF-8.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, app).await {
            Ok(Path(named)) => Ok(Self(named)),
            Err(rejection) => Err(ApiError::no_resource().with_detail(reason(&rejection))),
        }
    }
}

fn reason(rejection: &PathRejection) -> String {
    if let PathRejection::FailedToDeserializePathParams(failed) = rejection
        && let ErrorKind::InvalidUtf8InPathParam { key } = failed.kind()
    {
        return format!(
            "`{key}` in the address is not UTF-8: percent-encode the bytes of its UTF-8"
        );
    }
    rejection.body_text()
}

/// `text` as one part of an address: what is no unreserved character of RFC 3986 is percent-encoded.
pub(crate) fn path_segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                segment.push(char::from(byte));
            }
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}
