//! An answer that can be kept and given once more, byte for byte (rest-api §23).

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use campanile_engine::EngineError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::respond;

/// Status, headers and body of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptResponse {
    status: u16,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl KeptResponse {
    /// An answer with this body, or with none.
    pub(super) fn new(status: StatusCode, body: Option<Value>) -> Self {
        let body = body.map(|body| body.to_string());
        Self { status: status.as_u16(), headers: Vec::new(), body }
    }

    /// Adds a header.
    pub(super) fn header(&mut self, name: &HeaderName, value: String) {
        self.headers.push((name.to_string(), value));
    }

    /// The text under which it is kept.
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`KeptResponse::to_text`] wrote.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] for another text.
    pub(super) fn from_text(text: &str) -> Result<Self, EngineError> {
        serde_json::from_str(text).map_err(|error| {
            EngineError::Unavailable(format!("the kept answer of the call is damaged: {error}"))
        })
    }

    /// The answer. Headers that cannot be sent (their text came from a record) are left out.
    pub(super) fn response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = match self.body {
            Some(body) => respond::json_text(status, body),
            None => respond::empty(status),
        };
        for (name, value) in self.headers {
            let name = name.parse().unwrap_or(header::WARNING);
            match HeaderValue::from_str(&value) {
                Ok(value) => {
                    response.headers_mut().append(name, value);
                }
                Err(error) => tracing::debug!(%name, %error, "a header was left out"),
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_kept_answer_reads_back_as_it_was_and_another_text_is_refused() {
        let mut answer =
            KeptResponse::new(StatusCode::CREATED, Some(json!({"result": {"a": "ä"}})));
        answer.header(&header::ETAG, "\"0\"".to_owned());
        assert_eq!(KeptResponse::from_text(&answer.to_text()).unwrap(), answer);
        let response = answer.response();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()[header::ETAG], "\"0\"");
        assert!(KeptResponse::from_text("{}").is_err());
    }
}
