//! `GET` and `DELETE /api/now/table/{table}/{sys_id}`.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use campanile_engine::EngineError;
use campanile_engine::records::execution::Execution;
use campanile_engine::records::projection;
use campanile_engine::records::service::{self, Deletion};
use campanile_model::Record;
use serde_json::Value;
use std::rc::Rc;

use super::if_match::if_match;
use super::shape::Shape;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::{Caller, accepts_json};
use crate::extract::segments::Segments;
use crate::respond;

/// Shows one row.
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    accepts_json(&headers)?;
    let shape = Shape::of(&caller)?;
    let fields = caller.params.names("sysparm_fields");
    let (table, sys_id) = address(&segments);
    let session = caller.session.clone();
    let (row, version) = app
        .on_reader(move |worker| {
            let execution = worker.execution(session);
            let record = service::get(&execution, &table, &sys_id)?;
            shown(&execution, &table, &record, fields.as_deref(), &shape)
        })
        .await?;
    Ok(with_version(respond::result(StatusCode::OK, row), &version))
}

/// Deletes one row.
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (table, sys_id) = address(&segments);
    let deletion =
        Deletion { if_match: if_match(&headers)?, insists: caller.params.flag("sysparm_force") };
    let session = caller.session.clone();
    let mark = app
        .on_worker(move |worker| {
            service::delete_as(&worker.execution(session), &table, &sys_id, deletion)
        })
        .await?;
    app.durable(mark).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// Table and key of a path.
pub(super) fn address(segments: &Segments) -> (String, String) {
    (segments.text("table"), segments.text("sys_id"))
}

/// A row in the caller's shape, with its version for `ETag`. The fields are those of the table in the address.
pub(super) fn shown(
    execution: &Rc<Execution>,
    table: &str,
    record: &Record,
    fields: Option<&[String]>,
    shape: &Shape,
) -> Result<(Value, String), EngineError> {
    let dictionary = execution.engine().dictionary()?;
    let table =
        dictionary.table(table).ok_or_else(|| EngineError::TableUnknown(table.to_owned()))?;
    let record =
        if record.table().name == table.name { record.clone() } else { record.as_table(table) };
    let columns = projection::columns(&dictionary, table, fields);
    let version = record.text("sys_mod_count").to_owned();
    let cells = projection::project(execution, &[record], &columns, shape.needs_display())?;
    let row = cells.into_iter().next().map_or_else(Value::default, |cells| shape.row(cells));
    Ok((row, version))
}

/// Adds `ETag: "<sys_mod_count>"`.
pub(super) fn with_version(mut response: Response, version: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}
