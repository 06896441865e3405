//! What is done around every request.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use campanile_model::{Clock, SysId, SystemClock};

use crate::respond;

/// Longest request line (rest-api §2.3).
const REQUEST_LINE_BYTES_MAX: usize = 20_480;

/// Answers a request line that is too long with a small web page, as the HTTP layer of the reference does.
pub(crate) async fn request_line_limit(request: Request, next: Next) -> Response {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let line = request.method().as_str().len() + 1 + target + " HTTP/1.1".len();
    if line > REQUEST_LINE_BYTES_MAX {
        return respond::html(
            StatusCode::URI_TOO_LONG,
            "<html><head><title>414 Request-URI Too Long</title></head>\n<body><h1>414 Request-URI Too \
             Long</h1><p>The request line may have 20480 bytes.</p></body></html>\n",
        );
    }
    next.run(request).await
}

/// `X-HTTP-Method-Override` on a POST names the method that is meant (rest-api §2.1); on others it is ignored.
pub(crate) async fn method_override(mut request: Request, next: Next) -> Response {
    const OVERRIDE: &str = "x-http-method-override";
    if request.method() == Method::POST
        && let Some(wanted) = request.headers().get(OVERRIDE)
        && let Ok(method) = Method::from_bytes(wanted.as_bytes().to_ascii_uppercase().trim_ascii())
    {
        *request.method_mut() = method;
    }
    next.run(request).await
}

/// The trace id of a `traceparent` header (W3C Trace Context): the caller's own name for this request.
fn traced(headers: &HeaderMap) -> Option<String> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let (_version, trace) = (parts.next()?, parts.next()?);
    let is_id = trace.len() == 32
        && trace.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        && trace.bytes().any(|b| b != b'0');
    is_id.then(|| trace.to_owned())
}

/// Adds the headers of rest-api §2.4, and counts.
pub(crate) async fn api_headers(request: Request, next: Next) -> Response {
    let transaction =
        traced(request.headers()).unwrap_or_else(|| SysId::generate(SystemClock.now()).to_string());
    let began = Instant::now();
    let is_api = request.uri().path().starts_with("/api");
    let has_credentials = request.headers().contains_key(header::AUTHORIZATION);
    let head = request.method() == Method::HEAD;
    let method = request.method().as_str().to_owned();
    let api = api_name(request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str));
    let mut response = next.run(request).await;
    if is_api {
        let logged_in = has_credentials && response.status() != StatusCode::UNAUTHORIZED;
        let headers = response.headers_mut();
        respond::add_api_headers(headers, logged_in, &transaction);
        let total = began.elapsed().as_secs_f64() * 1000.0;
        if let Ok(value) = HeaderValue::from_str(&format!("total;dur={total:.1}")) {
            headers.insert("server-timing", value);
        }
    }
    let code = response.status().as_u16().to_string();
    metrics::counter!("campanile_http_requests_total", "api" => api, "method" => method, "code" => code)
        .increment(1);
    metrics::histogram!("campanile_http_request_seconds", "api" => api)
        .record(began.elapsed().as_secs_f64());
    if head { response.map(|_body| Body::empty()) } else { response }
}

fn api_name(matched: &str) -> &'static str {
    match matched {
        path if path.contains("/table/") => "table",
        path if path.contains("/events") => "events",
        path if path.contains("/scripts") => "scripts",
        path if path.starts_with("/api") => "other",
        _ => "operations",
    }
}
