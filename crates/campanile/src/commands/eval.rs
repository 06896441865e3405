//! `campanile eval`: runs a script on the server.

use std::io::Read;

use serde_json::{Value, json};

use crate::args::{EvalArgs, EvalKind};
use crate::client::Client;
use crate::output::{self, Failure};

/// Runs the script and shows what it printed, logged, wrote and fired. A script that failed is exit code 1.
pub(crate) fn run(args: &EvalArgs, json: bool) -> Result<(), Failure> {
    let (script, name) = script(args)?;
    let kind = match args.kind {
        EvalKind::Background => "background",
        EvalKind::BusinessRule => "business_rule",
        EvalKind::ScriptAction => "script_action",
        EvalKind::Condition => "condition",
    };
    let mut body = json!({
        "script": script, "name": name, "kind": kind, "rollback": !args.commit, "check_only": args.check,
    });
    if let Some(user) = &args.run_as {
        body["as"] = json!(user);
    }
    if let Some(current) = &args.current {
        let (table, sys_id) = current.split_once(':').ok_or_else(|| {
            Failure::usage(format!("--current: expected TABLE:SYS_ID, got '{current}'"))
        })?;
        body["context"] = json!({"current": {"table": table, "sys_id": sys_id}});
    }
    let answer = Client::new(&args.server)?.post("/api/scripts/evaluate", &body)?.result();
    output::print(json, &answer, text);
    if answer["ok"] == true { Ok(()) } else { Err(Failure::failed(error_text(&answer, &name))) }
}

fn script(args: &EvalArgs) -> Result<(String, String), Failure> {
    match (&args.expression, args.file.as_deref()) {
        (Some(text), _) => Ok((text.clone(), "expression".to_owned())),
        (None, Some("-")) => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Failure::failed(format!("standard input: {error}")))?;
            Ok((text, "standard input".to_owned()))
        }
        (None, Some(path)) => std::fs::read_to_string(path)
            // A mark of the encoding would shift the columns of the first line.
            .map(|text| (text.trim_start_matches('\u{feff}').to_owned(), path.to_owned()))
            .map_err(|error| Failure::usage(format!("{path}: could not be read: {error}"))),
        (None, None) => Err(Failure::usage("give a file, or a text with -e")),
    }
}

fn error_text(answer: &Value, name: &str) -> String {
    let error = &answer["error"];
    let place = match (error["line"].as_i64(), error["column"].as_i64()) {
        (Some(line), Some(column)) => format!("{name}:{line}:{column}"),
        (Some(line), None) => format!("{name}:{line}"),
        _ => name.to_owned(),
    };
    format!("{place}: {}", error["message"].as_str().unwrap_or("the script failed"))
}

fn text(answer: &Value) -> String {
    let mut lines: Vec<String> =
        answer["printed"].as_str().unwrap_or_default().lines().map(str::to_owned).collect();
    for log in answer["logs"].as_array().into_iter().flatten() {
        let text = log["text"].as_str().unwrap_or_default();
        lines.push(format!("[{}] {text}", log["level"].as_str().unwrap_or_default()));
    }
    for message in answer["messages"].as_array().into_iter().flatten() {
        lines.push(format!("message: {}", message["text"].as_str().unwrap_or_default()));
    }
    for write in answer["writes"].as_array().into_iter().flatten() {
        let word = |member: &str| write[member].as_str().unwrap_or_default();
        lines.push(format!("{} {} {}", word("operation"), word("table"), word("sys_id")));
    }
    for event in answer["events"].as_array().into_iter().flatten() {
        lines.push(format!("event {}", event["name"].as_str().unwrap_or_default()));
    }
    if let Some(result) = answer.get("result").filter(|result| !result.is_null()) {
        lines.push(format!(
            "= {}",
            result.as_str().map_or_else(|| result.to_string(), str::to_owned)
        ));
    }
    lines.join("\n")
}
