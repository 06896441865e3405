//! `campanile fire`: one event.

use serde_json::{Map, Value, json};

use super::events::describe_run;
use crate::args::FireArgs;
use crate::client::Client;
use crate::output::{self, Failure};

/// The server waits no longer (rest-api §17.4).
const WAIT_S_MAX: u64 = 60;

/// Fires the event and, with `--wait`, shows what its handlers did.
pub(crate) fn run(args: &FireArgs, json: bool) -> Result<(), Failure> {
    let mut event = Map::new();
    event.insert("name".into(), json!(args.name));
    let given = [
        ("table", &args.table),
        ("instance", &args.instance),
        ("parm1", &args.parm1),
        ("parm2", &args.parm2),
        ("queue", &args.queue),
        ("process_on", &args.process_on),
        ("dedupe_key", &args.key),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            event.insert(name.into(), json!(value));
        }
    }
    let path =
        args.wait.map_or_else(|| "/api/events".to_owned(), |s| format!("/api/events?wait={s}s"));
    let answer = Client::new(&args.server)?.post(&path, &Value::Object(event))?.result();
    output::print(json, &answer, text);
    match args.wait {
        Some(seconds) => handled(&answer, seconds.min(WAIT_S_MAX)),
        None => Ok(()),
    }
}

/// Whether an event that was waited for was handled.
fn handled(event: &Value, seconds: u64) -> Result<(), Failure> {
    let word = |member: &str| event[member].as_str().unwrap_or_default();
    let (id, state) = (word("sys_id"), word("state"));
    let explain = format!("campanile events explain {id}");
    match state {
        "processed" => Ok(()),
        "error" => {
            let error = &event["error"];
            let part = |member: &str| error[member].as_str().unwrap_or_default();
            let why = format!("{}: {}", part("code"), part("message"));
            Err(Failure::failed(format!("the event ended in error: {why} ({explain})")))
        }
        "cancelled" => Err(Failure::failed(format!("the event was cancelled ({explain})"))),
        _ if event["scheduled"] == true => Err(Failure::failed(format!(
            "the event was not handled within {seconds} s: it is due at {} ({explain})",
            word("process_on")
        ))),
        _ => Err(Failure::failed(format!(
            "the event was not handled within {seconds} s, it is {state}: is its queue running? ({explain})"
        ))),
    }
}

fn text(answer: &Value) -> String {
    let word = |member: &str| answer[member].as_str().unwrap_or_default();
    let mut lines = vec![format!(
        "{} {} {}{}{}",
        word("sys_id"),
        word("name"),
        word("state"),
        if answer["duplicate"] == true { " (duplicate: nothing was stored)" } else { "" },
        if answer["registered"] == false { " (not registered)" } else { "" },
    )];
    lines.extend(answer["runs"].as_array().into_iter().flatten().map(describe_run));
    lines.join("\n")
}
