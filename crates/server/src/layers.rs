//! What is done around every request.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use campanile_engine::spent::Spent;
use campanile_model::{Clock, SysId, SystemClock};

use tower_service::Service;

use crate::{respond, timing};

/// Longest request line (rest-api §2.3).
const REQUEST_LINE_BYTES_MAX: usize = 20_480;

/// The router and what is done around every request: the method that is meant, the longest request line, the headers
/// of rest-api §2.4, counts. One service, not a layer each: every layer of a router costs each request allocations, which
/// were a tenth of what a fired event costs.
#[derive(Debug, Clone)]
pub(crate) struct Around {
    router: Router,
}

impl Around {
    pub(crate) fn new(router: Router) -> Self {
        Self { router }
    }
}

impl Service<Request> for Around {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        override_method(&mut request);
        if let Some(refusal) = too_long_line(&request) {
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        let seen = Seen::of(&request);
        let answer = self.router.call(request);
        Box::pin(async move {
            let (answered, spent) = timing::of(answer).await;
            answered.map(|response| seen.finish(response, spent))
        })
    }
}

/// A request line that is too long is answered with a small web page, as by the HTTP layer of the reference.
fn too_long_line(request: &Request) -> Option<Response> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let line = request.method().as_str().len() + 1 + target + " HTTP/1.1".len();
    (line > REQUEST_LINE_BYTES_MAX).then(|| {
        respond::html(
            StatusCode::URI_TOO_LONG,
            "<html><head><title>414 Request-URI Too Long</title></head>\n<body><h1>414 Request-URI Too \
             Long</h1><p>The request line may have 20480 bytes.</p></body></html>\n",
        )
    })
}

/// `X-HTTP-Method-Override` on a POST names the method that is meant (rest-api §2.1); on others it is ignored.
fn override_method(request: &mut Request) {
    const OVERRIDE: &str = "x-http-method-override";
    if request.method() == Method::POST
        && let Some(wanted) = request.headers().get(OVERRIDE)
        && let Ok(method) = Method::from_bytes(wanted.as_bytes().to_ascii_uppercase().trim_ascii())
    {
        *request.method_mut() = method;
    }
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

/// What a response needs to know of its request.
struct Seen {
    transaction: String,
    began: Instant,
    is_api: bool,
    has_credentials: bool,
    method: Method,
    api: &'static str,
}

impl Seen {
    fn of(request: &Request) -> Self {
        let headers = request.headers();
        Self {
            transaction: traced(headers)
                .unwrap_or_else(|| SysId::generate(SystemClock.now()).to_string()),
            began: Instant::now(),
            is_api: request.uri().path().starts_with("/api"),
            has_credentials: headers.contains_key(header::AUTHORIZATION),
            method: request.method().clone(),
            api: api_name(request.uri().path()),
        }
    }

    /// Adds the headers, and counts.
    fn finish(self, mut response: Response, spent: Spent) -> Response {
        if self.is_api {
            let logged_in = self.has_credentials && response.status() != StatusCode::UNAUTHORIZED;
            let headers = response.headers_mut();
            respond::add_api_headers(headers, logged_in, &self.transaction);
            let timing = timing::header(spent, self.began.elapsed());
            if let Ok(value) = HeaderValue::from_str(&timing) {
                headers.insert("server-timing", value);
            }
        }
        let (api, method) = (self.api, method_name(&self.method));
        let code = response.status().as_u16().to_string();
        metrics::counter!("campanile_http_requests_total", "api" => api, "method" => method, "code" => code)
            .increment(1);
        metrics::histogram!("campanile_http_request_seconds", "api" => api)
            .record(self.began.elapsed().as_secs_f64());
        if self.method == Method::HEAD { response.map(|_body| Body::empty()) } else { response }
    }
}

/// The method as a label: one that is not ours must not make a series of its own.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The group of addresses that `path` belongs to.
fn api_name(path: &str) -> &'static str {
    let Some(path) = path.strip_prefix("/api") else { return "operations" };
    let path = path.strip_prefix("/v1").unwrap_or(path);
    if path.starts_with("/now/") && path.contains("/table/") {
        "table"
    } else if path.starts_with("/events") {
        "events"
    } else if path.starts_with("/scripts") {
        "scripts"
    } else {
        "other"
    }
}
