//! `campanile events …`: the event log.

use campanile_model::counted;
use serde_json::{Value, json};

use super::{explain_text, tail};
use crate::args::{EventsCommand, EventsListArgs, MoveArgs};
use crate::client::{Client, encode};
use crate::output::{self, Failure};

/// Runs one of the commands.
pub(crate) fn run(command: EventsCommand, json: bool) -> Result<(), Failure> {
    match command {
        EventsCommand::List(args) => list(&args, json),
        EventsCommand::Show(args) => {
            let path = format!("/api/events/{}?include=runs,snapshot", encode(&args.event));
            let answer = Client::new(&args.server)?.get(&path)?.result();
            output::print(json, &answer, show);
            Ok(())
        }
        EventsCommand::Explain(args) => {
            let path = format!("/api/events/{}/explain", encode(&args.event));
            let answer = Client::new(&args.server)?.get(&path)?.result();
            output::print(json, &answer, explain_text::explain);
            Ok(())
        }
        EventsCommand::Reprocess(args) => {
            let path = format!("/api/events/{}/reprocess", encode(&args.event));
            let body = json!({"only_failed": args.only_failed, "reason": args.reason});
            let answer = Client::new(&args.server)?.post(&path, &body)?.result();
            output::print(json, &answer, line);
            Ok(())
        }
        EventsCommand::Move(args) => move_events(&args, json),
        EventsCommand::Tail(args) => tail::run(&args, json),
    }
}

fn list(args: &EventsListArgs, json: bool) -> Result<(), Failure> {
    let mut path = format!(
        "/api/events?limit={}&query={}&count={}",
        args.limit,
        encode(&args.query),
        args.count
    );
    for (name, value) in [("from", &args.from), ("to", &args.to)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encode(value)));
        }
    }
    let answer = Client::new(&args.server)?.get(&path)?.body;
    output::print(json, &answer, |answer| {
        let rows: Vec<Vec<String>> =
            answer["result"].as_array().into_iter().flatten().map(row).collect();
        let mut text = output::table(&HEADER, &rows);
        if let Some(total) = answer["page"]["total"].as_u64() {
            text.push_str(&format!("\n{}", counted(total, "event matches", "events match")));
        }
        text
    });
    Ok(())
}

const HEADER: [&str; 7] = ["created", "sys_id", "name", "state", "record", "parm1", "handlers"];

fn row(event: &Value) -> Vec<String> {
    let word = |member: &str| event[member].as_str().unwrap_or_default().to_owned();
    let record = match word("descriptive_name") {
        name if name.is_empty() => word("table"),
        name => name,
    };
    let handlers = &event["handlers"];
    let counts: Vec<String> = ["succeeded", "failed", "skipped"]
        .iter()
        .filter_map(|outcome| {
            handlers[*outcome].as_u64().filter(|n| *n > 0).map(|n| format!("{n} {outcome}"))
        })
        .collect();
    let parm1: String = word("parm1").chars().take(32).collect();
    vec![
        word("created"),
        word("sys_id"),
        word("name"),
        word("state"),
        record,
        parm1,
        counts.join(", "),
    ]
}

/// One event in one line.
pub(crate) fn line(event: &Value) -> String {
    row(event).into_iter().filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join("  ")
}

fn show(event: &Value) -> String {
    let mut lines = Vec::new();
    for (name, value) in event.as_object().into_iter().flatten() {
        if matches!(name.as_str(), "runs" | "links" | "handlers") || value.is_null() || value == ""
        {
            continue;
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        lines.push(format!("{name:18} {text}"));
    }
    lines.extend(event["runs"].as_array().into_iter().flatten().map(describe_run));
    lines.join("\n")
}

/// One handler run in a few lines.
pub(crate) fn describe_run(run: &Value) -> String {
    let word = |member: &str| run[member].as_str().unwrap_or_default();
    let mut text = format!("  {} \"{}\": {}", word("kind"), word("name"), word("outcome"));
    if !word("reason").is_empty() {
        text.push_str(&format!(" ({})", word("reason")));
    }
    if let Some(millis) = run["duration_ms"].as_i64() {
        text.push_str(&format!(", {millis} ms"));
    }
    if let Some(message) = run["error"]["message"].as_str().filter(|m| !m.is_empty()) {
        text.push_str(&format!("\n    error: {message}"));
        if let Some(line) = run["error"]["line"].as_i64().filter(|line| *line > 0) {
            text.push_str(&format!(" (line {line})"));
        }
    }
    for log_line in word("log").lines() {
        text.push_str(&format!("\n    | {log_line}"));
    }
    text
}

fn move_events(args: &MoveArgs, json: bool) -> Result<(), Failure> {
    let client = Client::new(&args.server)?;
    let body = json!({"queue": args.queue, "reason": args.reason});
    let (path, kind) = match (&args.event, &args.kind) {
        (Some(event), _) => (format!("/api/events/{}/move", encode(event)), false),
        (None, Some(kind)) => (format!("/api/registrations/{}/move", encode(kind)), true),
        (None, None) => return Err(Failure::usage("give an event, or --kind with an event name")),
    };
    let answer = client.post(&path, &body)?.result();
    output::print(json, &answer, |answer| {
        if kind {
            format!(
                "the registration's queue is now '{}'; {} moved",
                args.queue,
                counted(answer["moved"].as_u64().unwrap_or(0), "waiting event", "waiting events")
            )
        } else {
            line(answer)
        }
    });
    Ok(())
}
