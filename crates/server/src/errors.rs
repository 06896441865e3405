//! The one place where an engine error becomes an HTTP answer: status, code, message, detail (rest-api §4, §17.1).

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use campanile_engine::EngineError;
use campanile_engine::error::LimitReached;
use campanile_script::LimitKind;
use campanile_store::StoreError;
use serde_json::{Map, Value, json};

use crate::respond;

/// An error answer in the shape of rest-api §4.1.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    detail: Option<String>,
    /// Apart, because few errors have any of it and every result has room for one.
    more: Box<More>,
}

#[derive(Debug, Clone, Default)]
struct More {
    messages: Vec<String>,
    items: Vec<Value>,
    limit: Option<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    /// An error with a stable code, the message that clients match, and a detail for people.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        Self {
            status,
            code,
            message: message.into(),
            detail: (!detail.is_empty()).then_some(detail),
            more: Box::default(),
        }
    }

    /// E1: the words are matched by clients.
    pub(crate) fn unauthenticated() -> Self {
        let mut error = Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "User Not Authenticated",
            "Required to provide Auth information",
        );
        error.more.headers.push((
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("BASIC realm=\"Campanile\""),
        ));
        error
    }

    /// E3: no such address.
    pub(crate) fn no_resource() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "no_resource",
            "Requested URI does not represent any resource",
            "",
        )
    }

    /// The same error with another detail.
    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// E3a: the address knows other methods.
    pub(crate) fn method_not_supported(allowed: &'static str) -> Self {
        let mut error = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            "Method not supported",
            format!("this address knows {allowed}"),
        );
        error.more.headers.push((header::ALLOW, HeaderValue::from_static(allowed)));
        error
    }

    /// E4: the body cannot be read.
    pub(crate) fn bad_body(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad_json",
            "Exception while reading request",
            detail.into(),
        )
    }

    /// E13: a parameter is malformed.
    pub(crate) fn bad_parameter(parameter: &str, detail: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad_parameter",
            "Invalid parameter",
            format!("`{parameter}`: {detail}"),
        )
    }

    /// E8: unknown, or not readable for the caller.
    pub(crate) fn no_record() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "record_unknown",
            "No Record found",
            "Record doesn't exist or ACL restricts the record retrieval",
        )
    }

    /// The content of an event or another strict body is refused.
    pub(crate) fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, "Unprocessable content", detail)
    }

    /// E15: a fault of ours. What happened is in the log under `reference`, and nowhere else.
    pub(crate) fn internal(reference: &str) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Exception while executing request",
            format!("see log entry {reference}"),
        )
    }

    /// E16: try again later.
    pub(crate) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        let mut error =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, code, "Service unavailable", detail);
        error.more.headers.push((header::RETRY_AFTER, HeaderValue::from_static("1")));
        error
    }

    /// E14: which limit, and in which script, beside the words for people.
    fn limit_reached(reached: &LimitReached) -> Self {
        let detail = reached.detail.clone();
        let mut error = match reached.limit {
            LimitKind::Time | LimitKind::Cancelled => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "time_limit",
                "Transaction cancelled: maximum execution time exceeded",
                detail,
            ),
            _ => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "script_limit",
                "Transaction cancelled: script limit exceeded",
                detail,
            ),
        };
        let mut about = limit_object(reached.limit, reached.set_by);
        if let Some(script) = &reached.script {
            about["script"] = json!({
                "table": &*script.table,
                "sys_id": &*script.sys_id,
                "name": &*script.name,
                "line": script.line,
                "column": script.column,
            });
        }
        error.more.limit = Some(about);
        error
    }

    /// The status of the answer.
    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    fn operation_failed(code: &'static str, detail: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, "Operation Failed", detail)
    }
}

/// A limit for programs: its kind, the name that logs use, the property (or the field of a definition) that sets it.
pub(crate) fn limit_object(limit: LimitKind, set_by: &str) -> Value {
    json!({"kind": limit.word(), "name": limit.error_name(), "property": set_by})
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::TableUnknown(table) => Self::new(
                StatusCode::BAD_REQUEST,
                "table_invalid",
                format!("Invalid table {table}"),
                "",
            ),
            EngineError::RecordUnknown { .. } => Self::no_record(),
            EngineError::NotAllowed { what, expected, .. } => {
                // E7: clients match the detail, so what is missing stands beside it.
                let mut error = Self::new(
                    StatusCode::FORBIDDEN,
                    "not_allowed",
                    "User Not Authorized",
                    "Failed API level ACL Validation",
                );
                error.more.messages = vec![format!("{what} needs {expected}")];
                error
            }
            EngineError::OperationDenied { operation, .. } => Self::operation_failed(
                "operation_denied",
                format!("ACL Exception {operation} Failed due to security constraints"),
            ),
            EngineError::Aborted { table, rule, rule_id, stack, messages } => {
                let mut error = Self::operation_failed(
                    "aborted",
                    format!(
                        "Operation against file '{table}' was aborted by Business Rule \
                         '{rule}^{rule_id}'. Business Rule Stack:{}",
                        stack.join(",")
                    ),
                );
                error.more.messages = messages;
                error
            }
            EngineError::Mandatory { labels } => Self::operation_failed(
                "mandatory",
                match labels.as_slice() {
                    [one] => format!("Data Policy Exception: {one} is mandatory"),
                    many => format!(
                        "Data Policy Exception: The following fields are mandatory: {}",
                        many.join(", ")
                    ),
                },
            ),
            EngineError::Integrity { code: "bad_sys_id", detail, .. } => {
                Self::bad_parameter("sys_id", detail)
            }
            EngineError::Integrity { code, operation, table, display, detail } => {
                let mut error = Self::operation_failed(
                    code,
                    format!("Error during {operation} of {table} ({display})"),
                );
                error.more.messages = vec![detail];
                error
            }
            EngineError::BadParameter { parameter, detail } => {
                let mut error = Self::bad_parameter(&parameter, detail);
                if matches!(parameter.as_str(), "query" | "sysparm_query") {
                    error.code = "bad_query";
                }
                error
            }
            EngineError::FireRefused { code, detail } => Self::unprocessable(code, detail),
            EngineError::BatchRefused { items } => {
                let mut error = Self::unprocessable(
                    "batch_refused",
                    format!(
                        "{} refused; nothing was stored",
                        campanile_model::counted(
                            items.len(),
                            "of the events was",
                            "of the events were"
                        )
                    ),
                );
                error.more.items = items
                    .into_iter()
                    .map(|(index, code, detail)| json!({"index": index, "code": code, "detail": detail}))
                    .collect();
                error
            }
            EngineError::KeyInUse { .. } => {
                let text = error.to_string();
                let mut error = Self::new(StatusCode::CONFLICT, "key_in_use", "Key in use", text);
                error.more.headers.push((header::RETRY_AFTER, HeaderValue::from_static("1")));
                error
            }
            EngineError::VersionConflict { .. } => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "version_conflict",
                "Precondition failed",
                error.to_string(),
            ),
            EngineError::BadInput { .. } | EngineError::CopyDiffers { .. } => {
                Self::unprocessable("bad_input", error.to_string())
            }
            EngineError::Unauthenticated => Self::unauthenticated(),
            EngineError::LimitReached(reached) => Self::limit_reached(&reached),
            EngineError::Unavailable(detail) => Self::unavailable("overloaded", detail),
            EngineError::Store(error) => Self::from(error),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Duplicate { .. } => Self::operation_failed("duplicate", text),
            StoreError::EventUnknown(_) => {
                Self::new(StatusCode::NOT_FOUND, "event_unknown", "No Record found", text)
            }
            StoreError::StateConflict { .. }
            | StoreError::QueueAtWork { .. }
            | StoreError::QueueHasOneTurn { .. } => {
                Self::new(StatusCode::CONFLICT, "state_conflict", "State conflict", text)
            }
            StoreError::KeyReused { .. } => Self::unprocessable("key_reused", text),
            StoreError::Full { .. } => Self::unavailable("disk_full", text),
            StoreError::Busy { .. } | StoreError::HeldUp { .. } | StoreError::RowMoved { .. } => {
                Self::unavailable("overloaded", text)
            }
            StoreError::OutcomeUnknown { .. } => Self::unavailable("outcome_unknown", text),
            StoreError::Unavailable { .. }
            | StoreError::Locked { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::OlderAtWork { .. }
            | StoreError::UnfinishedCopy { .. } => Self::unavailable("storage", text),
            StoreError::Statement { .. } => {
                let reference = campanile_model::SysId::generate(campanile_model::Clock::now(
                    &campanile_model::SystemClock,
                ));
                tracing::error!(%reference, error = %text, "a request failed by a fault of ours");
                Self::internal(reference.as_str())
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = Map::new();
        error.insert("message".into(), json!(self.message));
        error.insert("detail".into(), json!(self.detail));
        error.insert("code".into(), json!(self.code));
        if !self.more.messages.is_empty() {
            error.insert("messages".into(), json!(self.more.messages));
        }
        if !self.more.items.is_empty() {
            error.insert("items".into(), Value::Array(self.more.items));
        }
        if let Some(limit) = self.more.limit {
            error.insert("limit".into(), limit);
        }
        error.insert("help".into(), json!(format!("docs/errors/{}.md", self.code)));
        let body = json!({"error": error, "status": "failure"});
        let mut response = respond::json(self.status, &body);
        for (name, value) in self.more.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
