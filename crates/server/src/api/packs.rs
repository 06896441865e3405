//! `POST /api/packs`: applies the pack in the body (scenarios §0.1), YAML or JSON.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use campanile_engine::packs::apply::{self, ApplyOptions};
use campanile_engine::packs::report::PackReport;
use campanile_engine::packs::source::PackSource;
use serde_json::{Value, json};

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::{Caller, accepts_json, content_type};
use crate::extract::payload::Payload;
use crate::respond;

/// Types of the body. The text decides what it is: JSON is YAML.
const TYPES: [&str; 5] =
    ["application/yaml", "application/x-yaml", "text/yaml", "text/plain", "application/json"];

/// Applies a pack, or with `dry_run=true` tells what it would change. `source` names the document in messages.
pub(crate) async fn apply(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, ApiError> {
    apply::allow(&caller.session)?;
    accepts_json(&headers)?;
    content_type(&headers, &TYPES)?;
    let body = payload.read(&app, &headers).await?;
    let text = String::from_utf8(body.to_vec()).map_err(|error| {
        let place = error.utf8_error().valid_up_to() + 1;
        ApiError::bad_body(format!("The payload is not valid UTF-8 (byte {place})"))
    })?;
    let options = ApplyOptions {
        demo: caller.params.flag("demo"),
        force: caller.params.flag("force"),
        dry_run: caller.params.flag("dry_run"),
    };
    let name = caller.params.get("source").unwrap_or("pack").to_owned();
    let source = PackSource { name_or_path: name, text };
    let session = caller.session.clone();
    let report =
        app.on_tool(move |worker| apply::apply(worker, &session, &source, options)).await?;
    app.durable(report.mark).await?;
    Ok(respond::result(StatusCode::OK, answer(&report)))
}

fn answer(report: &PackReport) -> Value {
    let changes: Vec<Value> = report
        .changes
        .iter()
        .map(|change| {
            json!({
                "action": change.action, "table": change.table, "key": change.key, "fields": change.fields,
            })
        })
        .collect();
    json!({
        "name": report.name, "version": report.version, "changes": changes, "warnings": report.warnings,
    })
}
