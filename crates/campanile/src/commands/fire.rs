//! `campanile fire`: one event.

use serde_json::{Map, Value, json};

use super::events::describe_run;
use crate::args::FireArgs;
use crate::client::Client;
use crate::output::{self, Failure};

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
    Ok(())
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
