//! An explanation as people read it.

use serde_json::Value;

/// The answer of `/api/events/{id}/explain` in lines.
pub(crate) fn explain(answer: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = vec![format!("event {}: {}", word(&answer["event"]), word(&answer["verdict"]))];
    let queue = match word(&answer["resolution"]["queue"]["value"]) {
        name if name.is_empty() => "default".to_owned(),
        name => name,
    };
    lines.push(format!(
        "queue {queue} (from {}), priority {} (from {})",
        word(&answer["resolution"]["queue"]["from"]),
        number(&answer["resolution"]["priority"]["value"]),
        word(&answer["resolution"]["priority"]["from"]),
    ));
    lines.push("timeline".to_owned());
    for entry in answer["timeline"].as_array().into_iter().flatten() {
        let mut text = format!("  {}  {}", word(&entry["at"]), word(&entry["what"]));
        if let Some(by) = entry["by"].as_str().filter(|by| !by.is_empty()) {
            text.push_str(&format!(" by {by}"));
        }
        if let Some(waited) = entry["waited_ms"].as_i64() {
            text.push_str(&format!(" (waited {waited} ms)"));
        }
        lines.push(text);
    }
    section(&mut lines, "handlers", &answer["handlers"]);
    section(&mut lines, "near misses", &answer["near_misses"]);
    lines.join("\n")
}

/// Whole numbers without a fraction.
fn number(value: &Value) -> String {
    value.as_f64().map_or_else(|| value.to_string(), |number| number.to_string())
}

fn section(lines: &mut Vec<String>, title: &str, entries: &Value) {
    let Some(entries) = entries.as_array().filter(|entries| !entries.is_empty()) else { return };
    lines.push(title.to_owned());
    for entry in entries {
        let word = |member: &str| entry[member].as_str().unwrap_or_default();
        let mut text = format!("  {} \"{}\"", word("kind"), word("name"));
        if !word("outcome").is_empty() {
            text.push_str(&format!(": {}", word("outcome")));
        }
        if !word("sentence").is_empty() {
            text.push_str(&format!(" — {}", word("sentence")));
        } else if !word("reason").is_empty() {
            text.push_str(&format!(" — {}", word("reason")));
        }
        if let Some(millis) = entry["duration_ms"].as_i64() {
            text.push_str(&format!(" ({millis} ms)"));
        }
        lines.push(text);
    }
}
