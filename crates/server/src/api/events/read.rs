//! `GET /api/events`, `GET /api/events/{id}`, `GET /api/events/{id}/explain` (rest-api §§17.6, 21.1).

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use campanile_engine::events::service::{self, EventFilter};
use campanile_model::{Instant, SysId};
use serde_json::{Map, Value, json};

use super::object;
use super::wait::blocking;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::{Caller, accepts_json};
use crate::extract::params::Params;
use crate::extract::segments::Segments;
use crate::respond;

/// One event; `include=runs,snapshot` adds those.
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    accepts_json(&headers)?;
    let sys_id = event_id(&segments)?;
    let include = caller.params.names("include").unwrap_or_default();
    let wants = |part: &str| include.iter().any(|name| name == part);
    let with_runs = wants("runs");
    let engine = Arc::clone(&app.engine);
    let session = caller.session.clone();
    let (view, runs) = blocking(move || {
        let view = service::get(&engine, &session, &sys_id)?;
        let runs =
            if with_runs { service::runs_of(&engine, &session, &sys_id)? } else { Vec::new() };
        Ok((view, runs))
    })
    .await?;
    let mut result = object::event(&view);
    if with_runs {
        result.insert("runs".into(), Value::Array(runs.iter().map(object::run).collect()));
    }
    if wants("snapshot") && view.shows_values {
        let snapshot = serde_json::from_str(&view.event.fired.snapshot).unwrap_or(Value::Null);
        result.insert("snapshot".into(), snapshot);
    }
    Ok(respond::result(StatusCode::OK, result))
}

/// A page of events.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    accepts_json(&headers)?;
    let params = &caller.params;
    let given =
        |names: [&'static str; 2]| names.into_iter().find(|name| params.get(name).is_some());
    let limit = match given(["limit", "sysparm_limit"]) {
        Some(name) => params.row_count(name, service::PAGE_MAX)?,
        None => None,
    };
    let offset = match given(["offset", "sysparm_offset"]) {
        Some(name) => params.number(name)?,
        None => None,
    };
    let filter = EventFilter {
        query: params.first_of(&["query", "sysparm_query"]).unwrap_or_default().to_owned(),
        from: instant(params, "from")?,
        to: instant(params, "to")?,
        limit,
        // As in the Table API a negative one is taken as 0.
        offset: offset.map_or(0, |number| u64::try_from(number).unwrap_or(0)),
        cursor: params.get("cursor").map(str::to_owned),
        count: params.flag("count"),
    };
    let fields = params.names("fields").or_else(|| params.names("sysparm_fields"));
    let engine = Arc::clone(&app.engine);
    let session = caller.session.clone();
    let page = blocking(move || service::list(&engine, &session, &filter)).await?;
    let events: Vec<Value> = page
        .events
        .iter()
        .map(|view| Value::Object(only(object::event(view), fields.as_deref())))
        .collect();
    let mut about = json!({"limit": page.limit, "next": page.next, "order": page.order});
    if let Some(total) = page.total {
        about["total"] = json!(total);
    }
    Ok(respond::json(StatusCode::OK, &json!({"result": events, "page": about})))
}

/// Why an event went where it went, and what every handler did, did not do, or nearly did.
pub(crate) async fn explain(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Response, ApiError> {
    let sys_id = event_id(&segments)?;
    let engine = Arc::clone(&app.engine);
    let session = caller.session.clone();
    let explanation =
        blocking(move || campanile_engine::handlers::explain::explain(&engine, &session, &sys_id))
            .await?;
    Ok(respond::result(StatusCode::OK, explanation))
}

/// The key in an address; a text that is none names no event.
pub(super) fn event_id(segments: &Segments) -> Result<SysId, ApiError> {
    let text = segments.text("sys_id");
    text.parse().map_err(|_error: campanile_model::InvalidSysId| {
        ApiError::from(campanile_store::StoreError::EventUnknown(text))
    })
}

fn instant(params: &Params, name: &str) -> Result<Option<Instant>, ApiError> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let read = Instant::parse_rfc3339(text).or_else(|| Instant::parse_glide_text(text));
    read.map(Some).ok_or_else(|| {
        ApiError::bad_parameter(
            name,
            format!("expected a time such as 2026-03-01T00:00:00Z, got '{text}'"),
        )
    })
}

/// The members that were asked for, in that order.
fn only(mut object: Map<String, Value>, fields: Option<&[String]>) -> Map<String, Value> {
    let Some(fields) = fields else { return object };
    fields
        .iter()
        .filter_map(|name| object.remove(name).map(|value| (name.clone(), value)))
        .collect()
}
