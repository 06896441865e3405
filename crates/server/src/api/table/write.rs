//! `POST /api/now/table/{table}`, `PUT` and `PATCH …/{sys_id}`.

use std::collections::HashMap;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use campanile_engine::records::service::{self, WriteRequest};

use super::one::{address, if_match, shown, with_version};
use super::shape::Shape;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::{Caller, accepts_json, content_type};
use crate::extract::json_body::record_fields;
use crate::extract::payload::Payload;
use crate::respond;

/// Inserts a row.
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<HashMap<String, String>>,
    headers: HeaderMap,
    body: Payload,
) -> Result<Response, ApiError> {
    write(app, caller, path, headers, body, true).await
}

/// Changes a row; `PUT` and `PATCH` are the same.
pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<HashMap<String, String>>,
    headers: HeaderMap,
    body: Payload,
) -> Result<Response, ApiError> {
    write(app, caller, path, headers, body, false).await
}

async fn write(
    app: App,
    caller: Caller,
    path: HashMap<String, String>,
    headers: HeaderMap,
    body: Payload,
    creates: bool,
) -> Result<Response, ApiError> {
    accepts_json(&headers)?;
    content_type(&headers, &["application/json"])?;
    let shape = Shape::of(&caller)?;
    let fields = caller.params.names("sysparm_fields");
    let (table, sys_id) = address(&path);
    let body = body.read(&app, &headers).await?;
    let request = WriteRequest {
        table: table.clone(),
        sys_id: (!creates).then_some(sys_id),
        values: record_fields(&body)?,
        input_display: caller.params.flag("sysparm_input_display_value"),
        if_match: if_match(&headers)?,
    };
    let session = caller.session.clone();
    let shown_table = table.clone();
    let (mark, warnings, key, class, row, version) = app
        .on_worker(move |worker| {
            let execution = worker.execution(session);
            let written = if creates {
                service::insert(&execution, &request)?
            } else {
                service::update(&execution, &request)?
            };
            let (row, version) =
                shown(&execution, &shown_table, &written.record, fields.as_deref(), &shape)?;
            let key = written.record.text("sys_id").to_owned();
            let class = written.record.class_name().to_owned();
            Ok((written.mark, written.warnings, key, class, row, version))
        })
        .await?;
    app.durable(mark).await?;
    let silent = headers
        .get("x-no-response-body")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let mut response = match (creates, silent) {
        (true, true) => respond::empty(StatusCode::CREATED),
        (true, false) => respond::result(StatusCode::CREATED, row),
        (false, true) => respond::empty(StatusCode::NO_CONTENT),
        (false, false) => respond::result(StatusCode::OK, row),
    };
    if creates {
        let location = format!("{}/api/now{}/table/{class}/{key}", caller.base, caller.version);
        if let Ok(value) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(header::LOCATION, value);
        }
    }
    for warning in warnings {
        if let Ok(value) =
            HeaderValue::from_str(&format!("299 campanile \"{}\"", warning.replace('"', "'")))
        {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    Ok(with_version(response, &version))
}
