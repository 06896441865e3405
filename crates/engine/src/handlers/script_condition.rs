//! Why a condition script was false, in words: the value that was judged and the fields that it looked at.

use campanile_script::{Bindings, Completion, RecordRef};

use crate::records::properties::secrets;

/// Fields that a sentence tells of, at most.
const FIELDS_SHOWN_MAX: usize = 5;
/// Characters of one value that a sentence shows.
const VALUE_CHARS_MAX: usize = 60;

/// `condition was false: current.priority is '2'`, with the judged value when it was no boolean.
#[must_use]
pub fn sentence(condition: &str, answer: &Completion, bindings: &Bindings) -> String {
    let mut parts = Vec::new();
    if answer.is_nullish {
        parts.push("it gave no value".to_owned());
    } else if !answer.is_boolean {
        parts.push(format!("it gave '{}'", shown(&answer.text)));
    }
    let objects = [("current", &bindings.current), ("event", &bindings.event)];
    for (object, field) in fields(condition).into_iter().take(FIELDS_SHOWN_MAX) {
        let record = objects.iter().find(|(name, _)| *name == object);
        let Some(value) = record.and_then(|(_, record)| value(record.as_ref()?, field)) else {
            continue;
        };
        parts.push(format!("{object}.{field} is '{}'", shown(&value)));
    }
    if parts.is_empty() {
        "condition was false".to_owned()
    } else {
        format!("condition was false: {}", parts.join(", "))
    }
}

fn value(record: &RecordRef, field: &str) -> Option<String> {
    if record.is_null_like() || is_secret(record, field) {
        return None;
    }
    Some(record.script_text(record.field(field)?).to_string())
}

/// The log is read by more people than a secret property is.
fn is_secret(record: &RecordRef, field: &str) -> bool {
    let is_value = field == "value" && record.table_name() == secrets::TABLE;
    is_value && record.field("type").is_some_and(|kind| &*record.script_text(kind) == secrets::TYPE)
}

fn shown(value: &str) -> String {
    if value.chars().count() <= VALUE_CHARS_MAX {
        return value.to_owned();
    }
    let start: String = value.chars().take(VALUE_CHARS_MAX).collect();
    format!("{start}…")
}

/// The pairs `current.x` and `event.x` in the text, each once, in order. Looks at words only: good enough for a
/// sentence, not a parser.
fn fields(text: &str) -> Vec<(&'static str, &str)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    let mut found: Vec<(&'static str, &str)> = Vec::new();
    for object in ["current", "event"] {
        for (at, _) in text.match_indices(object) {
            if text[..at].ends_with(|c: char| is_word(c) || c == '.') {
                continue;
            }
            let Some(rest) = text[at + object.len()..].strip_prefix('.') else { continue };
            let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            let (field, after) = rest.split_at(end);
            if !field.is_empty()
                && !after.trim_start().starts_with('(')
                && !found.contains(&(object, field))
            {
                found.push((object, field));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_words_behind_current_and_event() {
        let text = "current.priority == 1 && !mycurrent.x && gs.current.y && current.update() && \
                    current.caller_id.name == event.parm1 || current.priority";
        assert_eq!(
            fields(text),
            [("current", "priority"), ("current", "caller_id"), ("event", "parm1")]
        );
    }

    #[test]
    fn a_value_that_is_no_boolean_is_shown() {
        let answer = Completion { text: "0".to_owned(), ..Completion::default() };
        let sentence = sentence("x = 0", &answer, &Bindings::default());
        assert_eq!(sentence, "condition was false: it gave '0'");
    }
}
