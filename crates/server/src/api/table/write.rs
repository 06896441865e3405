//! `POST /api/now/table/{table}`, `PUT` and `PATCH …/{sys_id}`.

use std::rc::Rc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use campanile_engine::EngineError;
use campanile_engine::records::execution::Execution;
use campanile_engine::records::once::{self, CallKey};
use campanile_engine::records::service::{self, WriteRequest, Written};
use campanile_store::CommitMark;
use serde_json::json;

use super::if_match::if_match;
use super::kept::KeptResponse;
use super::one::{address, shown};
use super::shape::Shape;
use crate::api::call_key::{content_hash, idempotency_key, mark_replayed};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::{Caller, accepts_json, content_type};
use crate::extract::json_body::record_body;
use crate::extract::payload::Payload;
use crate::extract::segments::Segments;
use crate::warning;

/// Inserts a row.
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    headers: HeaderMap,
    body: Payload,
) -> Result<Response, ApiError> {
    write(app, caller, segments, headers, body, true).await
}

/// Changes a row; `PUT` and `PATCH` are the same.
pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    headers: HeaderMap,
    body: Payload,
) -> Result<Response, ApiError> {
    write(app, caller, segments, headers, body, false).await
}

/// A write that is read from its request.
struct Asked {
    request: WriteRequest,
    answering: Answering,
    key: Option<CallKey>,
}

async fn write(
    app: App,
    caller: Caller,
    segments: Segments,
    headers: HeaderMap,
    body: Payload,
    creates: bool,
) -> Result<Response, ApiError> {
    accepts_json(&headers)?;
    content_type(&headers, &["application/json"])?;
    let shape = Shape::of(&caller)?;
    let (table, sys_id) = address(&segments);
    let key = if creates { idempotency_key(&headers)? } else { None };
    let body = body.read(&app, &headers).await?;
    let silent = headers
        .get("x-no-response-body")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let read = record_body(&body)?;
    let asked = Asked {
        key: key.map(|key| CallKey { key, content_hash: content_hash(&caller, &body) }),
        request: WriteRequest {
            table: table.clone(),
            sys_id: (!creates).then_some(sys_id),
            values: read.fields,
            input_display: caller.params.flag("sysparm_input_display_value"),
            if_match: if_match(&headers)?,
            ..WriteRequest::default()
        },
        answering: Answering {
            fields: caller.params.names("sysparm_fields"),
            location: creates.then(|| format!("{}/api/now{}/table", caller.base, caller.version)),
            table,
            shape,
            silent,
            warnings: read.warnings,
        },
    };
    let session = caller.session.clone();
    let (answer, replayed, mark) =
        app.on_worker(move |worker| done(&worker.execution(session), asked)).await?;
    app.durable(mark).await?;
    let mut response = answer.response();
    if replayed {
        mark_replayed(&mut response);
    }
    Ok(response)
}

/// Writes, and makes the answer: with a key inside the transaction of the row, else behind it.
fn done(
    execution: &Rc<Execution>,
    asked: Asked,
) -> Result<(KeptResponse, bool, CommitMark), EngineError> {
    let Asked { request, answering, key } = asked;
    if let Some(key) = key {
        let make: once::MakeAnswer = Rc::new(move |execution, written| {
            answering.answer(execution, written).map(|answer| answer.to_text())
        });
        let done = once::insert(execution, &request, &key, &make)?;
        return Ok((KeptResponse::from_text(&done.answer)?, done.replayed, done.mark));
    }
    let written = match request.sys_id {
        None => service::insert(execution, &request)?,
        Some(_) => service::update(execution, &request)?,
    };
    Ok((answering.answer(execution, &written)?, false, written.mark))
}

/// What of a request decides how it is answered.
struct Answering {
    table: String,
    fields: Option<Vec<String>>,
    shape: Shape,
    /// Where the rows of tables are, for an insert.
    location: Option<String>,
    silent: bool,
    /// What of the body was read otherwise than a caller may think.
    warnings: Vec<String>,
}

impl Answering {
    fn answer(
        &self,
        execution: &Rc<Execution>,
        written: &Written,
    ) -> Result<KeptResponse, EngineError> {
        let record = &written.record;
        let (row, version) =
            shown(execution, &self.table, record, self.fields.as_deref(), &self.shape)?;
        // A row of events that an earlier call made: nothing was created now (rest-api §23).
        let status = match (&self.location, self.silent) {
            (Some(_), _) if !written.repeated => StatusCode::CREATED,
            (None, true) => StatusCode::NO_CONTENT,
            _ => StatusCode::OK,
        };
        let mut answer = KeptResponse::new(status, (!self.silent).then(|| json!({"result": row})));
        if let Some(tables) = &self.location {
            let (class, key) = (record.class_name(), record.text("sys_id"));
            answer.header(&header::LOCATION, format!("{tables}/{class}/{key}"));
        }
        for text in self.warnings.iter().chain(&written.warnings) {
            answer.header(&header::WARNING, warning::value(text));
        }
        answer.header(&header::ETAG, format!("\"{version}\""));
        Ok(answer)
    }
}
