//! `campanile apply` and `campanile diff`: packs on a running server.

use campanile_engine::packs;
use campanile_model::counted;
use serde_json::Value;

use crate::args::{ApplyArgs, DiffArgs};
use crate::client::{Client, encode};
use crate::output::{self, Failure};

/// Applies a pack.
pub(crate) fn apply(args: &ApplyArgs, json: bool) -> Result<(), Failure> {
    let source = packs::source::find(&args.pack)?;
    let path =
        format!("/api/packs?demo={}&force={}&source={}", args.demo, args.force, encode(&args.pack));
    let answer =
        Client::new(&args.server)?.post_text(&path, "application/yaml", &source.text)?.result();
    output::print(json, &answer, |answer| report(answer, false));
    Ok(())
}

/// Shows what applying would change.
pub(crate) fn diff(args: &DiffArgs, json: bool) -> Result<(), Failure> {
    let source = packs::source::find(&args.pack)?;
    let path = format!("/api/packs?dry_run=true&demo={}&source={}", args.demo, encode(&args.pack));
    let answer =
        Client::new(&args.server)?.post_text(&path, "application/yaml", &source.text)?.result();
    output::print(json, &answer, |answer| report(answer, true));
    Ok(())
}

fn report(answer: &Value, dry_run: bool) -> String {
    let mut lines: Vec<String> = answer["changes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|change| {
            let text = |member: &str| change[member].as_str().unwrap_or_default().to_owned();
            let fields: Vec<String> = change["fields"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            format!("{} {} {} {}", text("action"), text("table"), text("key"), fields.join(", "))
                .trim_end()
                .to_owned()
        })
        .collect();
    for warning in answer["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        lines.push(format!("warning: {warning}"));
    }
    let count = answer["changes"].as_array().map_or(0, Vec::len);
    let pack = format!(
        "{} {}",
        answer["name"].as_str().unwrap_or_default(),
        answer["version"].as_str().unwrap_or_default()
    );
    let changes = counted(count, "change", "changes");
    let would_be = if dry_run { " would be made" } else { "" };
    lines.push(format!("{pack}: {changes}{would_be}"));
    lines.join("\n")
}
