//! The event object (rest-api §17.2) and a run of a handler.

use campanile_engine::events::service::EventView;
use campanile_model::{HandlerRun, Instant};
use serde_json::{Map, Value, json};

use crate::extract::segments::path_segment;

/// The object of one event.
pub(crate) fn event(view: &EventView) -> Map<String, Value> {
    let event = &view.event;
    let fired = &event.fired;
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| {
        object.insert(name.to_owned(), value);
    };
    let id = fired.sys_id.to_string();
    put("sys_id", json!(id));
    put("origin_id", json!(event.origin_id.to_string()));
    put("name", json!(&*fired.name));
    put("registered", json!(fired.registered));
    put("state", json!(event.state.as_str()));
    put("queue", json!(&*fired.queue));
    put("priority", number(fired.priority));
    put("table", json!(&*fired.table));
    put("instance", json!(&*fired.instance));
    put("descriptive_name", json!(&*fired.descriptive_name));
    if view.shows_values {
        put("parm1", json!(&*fired.parm1));
        put("parm2", json!(&*fired.parm2));
    }
    put("created", time(fired.created));
    put("process_on", time(fired.process_on));
    put("scheduled", json!(fired.scheduled));
    put("processed", event.processed.map_or(Value::Null, time));
    put("duration_ms", json!(event.processing_duration_ms));
    put("epoch", json!(event.epoch));
    put("attempts", json!(event.attempts));
    put("lapses", json!(event.lapses));
    put("user", json!({"sys_id": &*fired.user_id, "user_name": &*fired.user_name}));
    put("source", json!(fired.source.as_str()));
    put("uri", json!(&*fired.uri));
    put("depth", json!(fired.depth));
    put(
        "cause",
        fired.cause_event.map_or(
            Value::Null,
            |cause| json!({"event": cause.to_string(), "handler": &*fired.cause_handler}),
        ),
    );
    put("dedupe_key", text_or_null(own_key(&fired.dedupe_key, &fired.user_name)));
    put(
        "error",
        if event.error_code.is_empty() {
            Value::Null
        } else {
            json!({"code": &*event.error_code, "message": &*event.error_message})
        },
    );
    if !event.claimed_by.is_empty() {
        put("claimed_by", json!(&*event.claimed_by));
    }
    if event.coalesced > 0 {
        put("coalesced", json!(event.coalesced));
    }
    put(
        "handlers",
        json!({
            "succeeded": view.handlers.succeeded,
            "failed": view.handlers.failed,
            "skipped": view.handlers.skipped,
        }),
    );
    let mut links = Map::new();
    links.insert("self".into(), json!(format!("/api/events/{id}")));
    links.insert("explain".into(), json!(format!("/api/events/{id}/explain")));
    if !fired.table.is_empty() && !fired.instance.is_empty() {
        let (table, key) = (path_segment(&fired.table), path_segment(&fired.instance));
        let record = format!("/api/now/table/{table}/{key}");
        links.insert("record".into(), json!(record));
    }
    put("links", Value::Object(links));
    object
}

/// One run of a handler.
pub(crate) fn run(run: &HandlerRun) -> Value {
    json!({
        "kind": run.kind.as_str(),
        "name": run.handler_name,
        "handler": run.handler.to_string(),
        "epoch": run.epoch,
        "attempt": run.attempt,
        "order": run.order,
        "outcome": run.outcome.as_str(),
        "reason": run.reason,
        "sentence": run.sentence,
        "started_at": time(run.started_at),
        "duration_ms": run.duration_ms,
        "error": if run.error_message.is_empty() {
            Value::Null
        } else {
            json!({"message": run.error_message, "line": run.error_line, "stack": run.error_stack})
        },
        "log": run.log,
        "fired_events": {"count": run.fired_events.0, "references": run.fired_events.1},
        "written_records": {"count": run.written_records.0, "references": run.written_records.1},
        "definition_version": run.definition_version,
    })
}

fn time(at: Instant) -> Value {
    json!(at.to_rfc3339())
}

/// Whole numbers without a point.
fn number(value: f64) -> Value {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
        return json!(value as i64);
    }
    json!(value)
}

fn text_or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

/// The caller's key: stored keys carry the caller's name in front; keys that handlers make are nobody's business.
fn own_key<'a>(stored: &'a str, user_name: &str) -> &'a str {
    stored.split_once(user_name).map_or("", |(_, rest)| rest.trim_start_matches(':'))
}
