//! `POST /api/scripts/evaluate` (rest-api §21.3).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use campanile_engine::records::evaluate::{self, Evaluate, EvaluateKind, Evaluated, Subject};
use campanile_script::{LogLevel, MessageKind, ScriptError, ScriptErrorKind};
use serde_json::{Map, Value, json};

use super::events::body::{boolean, object, only_known, refused, string};
use crate::app::App;
use crate::errors::{ApiError, limit_object};
use crate::extract::caller::{Caller, accepts_json, content_type};
use crate::extract::json_body::text_of;
use crate::extract::payload::Payload;
use crate::respond;

const MEMBERS: [&str; 9] =
    ["script", "name", "kind", "check_only", "rollback", "scope", "as", "limits", "context"];

/// Runs a script for an administrator. A script that fails is 200 with `ok: false`.
pub(crate) async fn evaluate(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, ApiError> {
    evaluate::allow(&caller.session)?;
    accepts_json(&headers)?;
    content_type(&headers, &["application/json"])?;
    let bytes = payload.read(&app, &headers).await?;
    let body = object(&bytes)?;
    let request = request(&body)?;
    let session = caller.session.clone();
    let commits = !request.rollback;
    let turn = if request.check_only { None } else { Some(app.evaluations.turn().await?) };
    let (evaluated, mark) = app
        .on_tool(move |worker| {
            // Ends with the script, also when nobody waits for it any more.
            let _turn = turn;
            let evaluated = evaluate::evaluate(worker, &session, &request)?;
            let mark = worker.engine().store().flush()?;
            Ok((answer(&evaluated), mark))
        })
        .await?;
    if commits {
        app.durable(mark).await?;
    }
    Ok(respond::result(StatusCode::OK, evaluated))
}

fn request(body: &Map<String, Value>) -> Result<Evaluate, ApiError> {
    only_known(body, &MEMBERS).map_err(refused)?;
    let text = |name: &str| string(body, name).map_err(refused);
    let script = text("script")?.ok_or_else(|| {
        refused(("bad_parameter", "`script` is missing: what is to run?".to_owned()))
    })?;
    let kind = match text("kind")?.as_deref() {
        None | Some("background") => EvaluateKind::Background,
        Some("business_rule") => EvaluateKind::BusinessRule,
        Some("script_action") => EvaluateKind::ScriptAction,
        Some("condition") => EvaluateKind::Condition,
        Some(other) => {
            return Err(refused((
                "bad_parameter",
                format!(
                    "`kind`: expected background, business_rule, script_action or condition, got '{other}'"
                ),
            )));
        }
    };
    let rollback = match body.get("rollback") {
        None | Some(Value::Null) => true,
        Some(_) => boolean(body, "rollback").map_err(refused)?,
    };
    let context = member_object(body, "context")?.unwrap_or_default();
    only_known(&context, &["current", "event"]).map_err(refused)?;
    let limits = member_object(body, "limits")?.unwrap_or_default();
    only_known(&limits, &["max_ms"]).map_err(refused)?;
    Ok(Evaluate {
        script,
        name: text("name")?.unwrap_or_else(|| "script".to_owned()),
        kind,
        check_only: boolean(body, "check_only").map_err(refused)?,
        rollback,
        run_as: text("as")?,
        max_ms: limits.get("max_ms").and_then(Value::as_u64),
        current: member_object(&context, "current")?
            .map(|current| subject(&current))
            .transpose()?,
        event: member_object(&context, "event")?.map(|event| texts(&event)).unwrap_or_default(),
    })
}

fn subject(current: &Map<String, Value>) -> Result<Subject, ApiError> {
    let known = ["table", "sys_id", "query", "operation", "set", "previous", "new"];
    only_known(current, &known).map_err(refused)?;
    let text = |name: &str| string(current, name).map_err(refused);
    Ok(Subject {
        table: text("table")?.ok_or_else(|| {
            refused(("bad_parameter", "`context.current.table` is missing".to_owned()))
        })?,
        sys_id: text("sys_id")?,
        query: text("query")?,
        operation: text("operation")?,
        set: member_object(current, "set")?.map(|set| texts(&set)).unwrap_or_default(),
        new: member_object(current, "new")?.map(|new| texts(&new)).unwrap_or_default(),
    })
}

fn member_object(
    body: &Map<String, Value>,
    name: &str,
) -> Result<Option<Map<String, Value>>, ApiError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object.clone())),
        Some(other) => {
            Err(refused(("bad_parameter", format!("`{name}`: expected an object, got {other}"))))
        }
    }
}

fn texts(object: &Map<String, Value>) -> Vec<(String, String)> {
    object.iter().map(|(name, value)| (name.clone(), text_of(value))).collect()
}

fn answer(evaluated: &Evaluated) -> Value {
    let report = &evaluated.report;
    let printed: Vec<&str> = report
        .log
        .iter()
        .filter(|line| line.level == LogLevel::Print)
        .map(|line| line.text.as_str())
        .collect();
    let logs: Vec<Value> = report
        .log
        .iter()
        .filter(|line| line.level != LogLevel::Print)
        .map(|line| json!({"level": level_word(line.level), "text": line.text}))
        .collect();
    let messages: Vec<Value> = report
        .messages
        .iter()
        .map(|(kind, text)| {
            json!({"type": if *kind == MessageKind::Error { "error" } else { "info" }, "text": text})
        })
        .collect();
    let events: Vec<Value> = report
        .fired
        .iter()
        .map(|event| {
            json!({
                "name": &*event.name,
                "sys_id": event.sys_id.as_str(),
                "table": &*event.table,
                "instance": &*event.instance,
                "parm1": &*event.parm1,
                "parm2": &*event.parm2,
                "queue": &*event.queue,
                "process_on": event.process_on.to_rfc3339(),
            })
        })
        .collect();
    let writes: Vec<Value> = report
        .written
        .iter()
        .map(|write| {
            let changes: Vec<&str> = write.changes.iter().map(|name| &**name).collect();
            json!({
                "operation": write.operation,
                "table": &*write.table,
                "sys_id": &*write.sys_id,
                "changes": changes,
            })
        })
        .collect();
    let current = evaluated.current.as_ref().map(|values| {
        let members: Map<String, Value> =
            values.iter().map(|(name, text)| (name.to_string(), json!(text))).collect();
        Value::Object(members)
    });
    json!({
        "ok": evaluated.result.is_ok(),
        "error": evaluated.result.as_ref().err().map(error),
        "result": evaluated.result.as_ref().ok().filter(|value| !value.is_nullish).map(|value| {
            if value.is_boolean { json!(value.truthy) } else { json!(value.text) }
        }),
        "truthy": evaluated.result.as_ref().ok().map(|value| value.truthy),
        "printed": printed.join("\n"),
        "logs": logs,
        "logs_dropped": report.log_dropped,
        "messages": messages,
        "aborted": evaluated.aborted,
        "events": events,
        "writes": writes,
        "current": current,
        "scratchpad": evaluated
            .scratchpad
            .as_deref()
            .and_then(|text| serde_json::from_str::<Value>(text).ok()),
        "usage": {
            "ms": u64::try_from(evaluated.wall.as_millis()).unwrap_or(u64::MAX),
            "rows": report.statements,
            "memory": evaluated.memory_bytes,
        },
    })
}

fn error(error: &ScriptError) -> Value {
    json!({
        "message": error.message,
        "line": error.line,
        "column": error.column,
        "stack": error.stack,
        "kind": match error.kind {
            ScriptErrorKind::Syntax => "syntax",
            ScriptErrorKind::Runtime => "runtime",
            ScriptErrorKind::Limit(_) => "limit",
        },
        "limit": match error.kind {
            ScriptErrorKind::Limit(limit) => limit_object(limit, error.limit_set_by),
            _ => Value::Null,
        },
    })
}

fn level_word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Print => "print",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}
