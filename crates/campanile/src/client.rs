//! A small client of the public HTTP API.

use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;
use ureq::http::StatusCode;

use crate::args::ServerArgs;
use crate::output::Failure;
use crate::server_url::server_url;

/// Talks to one server as one user.
#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    url: String,
    authorization: String,
}

/// An answer that is no failure.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Body; `null` when there is none.
    pub(crate) body: Value,
}

impl Answer {
    /// The `result` member.
    pub(crate) fn result(self) -> Value {
        match self.body {
            Value::Object(mut body) => body.remove("result").unwrap_or(Value::Null),
            other => other,
        }
    }
}

impl Client {
    /// A client for `server`; asks for the password when `CAMPANILE_PASSWORD` is not set.
    pub(crate) fn new(server: &ServerArgs) -> Result<Self, Failure> {
        // Told before anybody is asked for a password.
        let url = server_url(&server.url)?;
        let password = password(&format!("Password of {}: ", server.user))?;
        let token =
            base64::engine::general_purpose::STANDARD.encode(format!("{}:{password}", server.user));
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(600)))
            .build()
            .into();
        Ok(Self { agent, url, authorization: format!("Basic {token}") })
    }

    /// `http://HOST:PORT` of the server.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// `GET path`.
    pub(crate) fn get(&self, path: &str) -> Result<Answer, Failure> {
        let request = self
            .agent
            .get(format!("{}{path}", self.url))
            .header("authorization", &self.authorization);
        self.answer(request.call())
    }

    /// `POST path` with a JSON body.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.post_text(path, "application/json", &body.to_string())
    }

    /// `POST path` with a body of another type.
    pub(crate) fn post_text(&self, path: &str, kind: &str, body: &str) -> Result<Answer, Failure> {
        let request = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("authorization", &self.authorization)
            .header("content-type", kind);
        self.answer(request.send(body))
    }

    fn answer(
        &self,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, Failure> {
        let mut response = response.map_err(|error| {
            Failure::unreachable(format!(
                "the server at {} cannot be reached: {error}; is it running? (campanile serve)",
                self.url
            ))
        })?;
        let status = response.status();
        let text =
            response.body_mut().with_config().limit(1 << 30).read_to_string().map_err(|error| {
                Failure::unreachable(format!("the answer of {} broke off: {error}", self.url))
            })?;
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).map_err(|_error| {
                Failure::failed(format!(
                    "{} answered {status} and no JSON: is it a campanile?",
                    self.url
                ))
            })?
        };
        if status.is_success() {
            return Ok(Answer { body });
        }
        let message = refusal(&body);
        if status == StatusCode::UNAUTHORIZED {
            return Err(Failure::unauthenticated(format!(
                "{message}; give the login with --user and the password in CAMPANILE_PASSWORD"
            )));
        }
        Err(Failure::failed(format!("{message} ({})", status.as_u16())))
    }
}

/// The error of an answer in one line: message, detail, messages, items.
fn refusal(body: &Value) -> String {
    let error = &body["error"];
    let mut parts: Vec<String> = Vec::new();
    for member in ["message", "detail"] {
        if let Some(text) = error[member].as_str() {
            parts.push(text.to_owned());
        }
    }
    for text in error["messages"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        parts.push(text.to_owned());
    }
    for item in error["items"].as_array().into_iter().flatten() {
        parts.push(format!("[{}] {}", item["index"], item["detail"].as_str().unwrap_or_default()));
    }
    parts.join(": ")
}

/// The password from `CAMPANILE_PASSWORD`, else from a prompt.
pub(crate) fn password(prompt: &str) -> Result<String, Failure> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a password is no setting and is read where it is used"
    )]
    if let Ok(password) = std::env::var("CAMPANILE_PASSWORD") {
        return Ok(password);
    }
    rpassword::prompt_password(prompt).map_err(|error| {
        Failure::usage(format!(
            "no password: set CAMPANILE_PASSWORD, or run this where it can ask for one ({error})"
        ))
    })
}

/// `text` percent-encoded for a query string.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
