//! Who is calling (rest-api §3): Basic credentials to a session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use campanile_engine::records::users;
use campanile_engine::{Channel, Session, User};
use campanile_model::EventSource;
use campanile_model::limits::PASSWORD_CHECKS_WAITING_MAX;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::base::base_address;
use crate::extract::params::{Params, decode};

/// An authenticated caller and what its request says about itself.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Who acts.
    pub(crate) session: Session,
    /// Decoded parameters.
    pub(crate) params: Params,
    /// Path as sent.
    pub(crate) path: String,
    /// `scheme://host` of generated links (rest-api §1).
    pub(crate) base: String,
    /// API version segment with its slash, as sent: `/v1`, `/v2` or nothing.
    pub(crate) version: String,
}

impl Caller {
    /// Whether version 1 of the Table API was asked for.
    pub(crate) fn is_v1(&self) -> bool {
        self.version == "/v1"
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let (name, password) =
            basic_credentials(&parts.headers).ok_or_else(ApiError::unauthenticated)?;
        let user = authenticate(app, name, password).await?;
        let uri = parts
            .extensions
            .get::<OriginalUri>()
            .map_or_else(|| parts.uri.clone(), |original| original.0.clone());
        let path = uri.path().to_owned();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        Ok(Self {
            session: Session {
                user,
                channel: Channel::Http,
                source: EventSource::Api,
                uri: Arc::from(masked(uri.path(), uri.query())),
                cause: None,
            },
            params: Params::parse(uri.query())?,
            base: base_address(&app.engine, &parts.headers, peer),
            version: version_segment(&path),
            path,
        })
    }
}

/// How long a caller waits for one of the places of those whose passwords are checked.
const PASSWORD_CHECK_PATIENCE: Duration = Duration::from_secs(5);

/// Checks a user's password. A credential that was verified lately costs no hashing; one that was right before needs no
/// place among those who may be guessing.
async fn authenticate(app: &App, name: String, password: String) -> Result<Arc<User>, ApiError> {
    if let Some(user) = users::remembered(&app.engine, &name, &password) {
        return Ok(user);
    }
    let engine = Arc::clone(&app.engine);
    let place = if users::was_right(&engine, &name, &password) {
        None
    } else {
        // In the order of arrival: a right password comes to its turn among wrong ones.
        let place = Arc::clone(&app.password_checks).acquire_owned();
        let place = tokio::time::timeout(PASSWORD_CHECK_PATIENCE, place).await;
        Some(place.ok().and_then(Result::ok).ok_or_else(|| {
            ApiError::unavailable(
                "overloaded",
                format!("{PASSWORD_CHECKS_WAITING_MAX} passwords are being checked already"),
            )
        })?)
    };
    let check = move || {
        let user = users::authenticate(&engine, &name, &password);
        // Not before, also when the caller has gone away meanwhile.
        drop(place);
        user
    };
    tokio::task::spawn_blocking(check)
        .await
        .map_err(|_panicked| {
            ApiError::unavailable("overloaded", "the password could not be checked")
        })?
        .map_err(ApiError::from)
}

fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// Path and query as they are kept with events: values of parameters that look like secrets are masked.
fn masked(path: &str, query: Option<&str>) -> String {
    const SECRET_WORDS: [&str; 6] =
        ["password", "secret", "token", "apikey", "api_key", "signature"];
    let Some(query) = query else { return path.to_owned() };
    let parts: Vec<String> = query
        .split('&')
        .map(|part| {
            let name = part.split('=').next().unwrap_or_default();
            let lower = String::from_utf8_lossy(&decode(name)).to_ascii_lowercase();
            if SECRET_WORDS.iter().any(|word| lower.contains(word)) {
                format!("{name}=***")
            } else {
                part.to_owned()
            }
        })
        .collect();
    format!("{path}?{}", parts.join("&"))
}

/// The version segment of an `/api/now` path, with its slash.
fn version_segment(path: &str) -> String {
    path.strip_prefix("/api/now/")
        .and_then(|rest| rest.split('/').next())
        .filter(|segment| matches!(*segment, "v1" | "v2"))
        .map_or_else(String::new, |segment| format!("/{segment}"))
}

/// Refuses what the caller cannot read back (rest-api §2.2).
///
/// # Errors
/// 406 when `Accept` allows no JSON.
pub(crate) fn accepts_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(accept) = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()) else {
        return Ok(());
    };
    let fits = |range: &str| {
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let kind = parts.next().unwrap_or_default();
        // A weight of nothing says "not this".
        if parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0))) {
            return false;
        }
        matches!(kind.as_str(), "*/*" | "application/*" | "application/json" | "")
            || kind.ends_with("+json")
    };
    if accept.split(',').any(fits) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::NOT_ACCEPTABLE,
        "media_type",
        "Not acceptable",
        format!("asked for {accept}, this address offers application/json"),
    ))
}

/// Refuses a body of a type that is not read here (rest-api §2.2).
///
/// # Errors
/// 415 when `Content-Type` is none of `offered` (`+json` types count as JSON), or names a charset whose letters are not
/// made of single bytes; a missing one means JSON.
pub(crate) fn content_type(headers: &HeaderMap, offered: &[&str]) -> Result<String, ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok("application/json".to_owned());
    };
    let text = value.to_str().unwrap_or("not readable");
    let mut parts = text.split(';');
    let kind = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    if let Some(charset) = parts.find_map(wide_charset) {
        return Err(unsupported(format!(
            "the body is in {charset}, this address takes UTF-8: send it so, with `charset=utf-8` or without a charset"
        )));
    }
    if kind.is_empty() || kind.ends_with("+json") {
        return Ok("application/json".to_owned());
    }
    if offered.contains(&kind.as_str()) {
        return Ok(kind);
    }
    Err(unsupported(format!("the body is {text}, this address takes {}", offered.join(", "))))
}

fn unsupported(detail: String) -> ApiError {
    ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "media_type",
        "Unsupported media type",
        detail,
    )
}

/// The charset that a parameter of `Content-Type` names, when its letters take two or four bytes: such a body cannot be
/// what is read here. Other parameters are ignored (rest-api §2.2): a body of ASCII is the same in every other charset,
/// and one that is no UTF-8 is refused where it is read.
fn wide_charset(parameter: &str) -> Option<String> {
    const WIDE: [&str; 7] =
        ["utf-16", "utf16", "utf-32", "utf32", "ucs-2", "ucs-4", "iso-10646-ucs"];
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("charset") {
        return None;
    }
    let charset = value.trim().trim_matches('"').to_ascii_lowercase();
    WIDE.iter().any(|wide| charset.starts_with(wide)).then_some(charset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn secrets_in_the_query_are_masked() {
        assert_eq!(
            masked("/api/x", Some("a=1&x-sn-apikey=abc&Password=p%20q")),
            "/api/x?a=1&x-sn-apikey=***&Password=***"
        );
        assert_eq!(masked("/x", Some("pass%77ord=hunter2&b=%FF")), "/x?pass%77ord=***&b=%FF");
    }

    #[test]
    fn utf_16_is_refused_and_utf_8_is_taken_in_any_spelling() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            content_type(&headers, &["application/json"])
        };
        for parameters in [
            "",
            ";charset=utf-8",
            "; Charset=\"UTF-8\"",
            ";charset=utf8",
            "; charset=us-ascii",
            ";charset=iso-8859-1",
            ";charset=",
            ";charset",
            ";odata=verbose;charset=Utf-8",
        ] {
            let value = format!("application/json{parameters}").leak();
            assert_eq!(read(value).unwrap(), "application/json", "{value}");
        }
        for value in [
            "application/json;charset=utf-16",
            "application/json; odata=verbose; CHARSET = \"UTF-16LE\"",
            "application/vnd.x+json;charset=utf-32",
            "application/json;charset=ISO-10646-UCS-2",
        ] {
            let error = read(value).unwrap_err();
            assert_eq!(error.status(), 415, "{value}");
        }
    }

    #[test]
    fn only_known_versions_are_versions() {
        assert_eq!(version_segment("/api/now/v1/table/incident"), "/v1");
        assert_eq!(version_segment("/api/now/table/v1"), "");
        assert_eq!(version_segment("/api/now/v9/table/incident"), "");
    }
}
