//! Reading YAML (or JSON) that people write: every mistake is told with its file, its path and the fix.

use serde::de::DeserializeOwned;

use crate::error::EngineError;
use campanile_model::nearest::nearest;

/// Reads `text` as a `T`.
///
/// # Errors
/// [`EngineError::BadInput`]: broken syntax with line and column; an unknown key, a missing one or a value of the
/// wrong form with its path. `file` stands before the path.
pub fn read<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, EngineError> {
    serde_yaml_ng::from_str(text).map_err(|error| explain(file, &error.to_string()))
}

/// A refusal of something in `file`.
pub(super) fn bad_input(
    file: &str,
    path: impl AsRef<str>,
    detail: impl Into<String>,
) -> EngineError {
    let path = match path.as_ref() {
        "" => file.to_owned(),
        path => format!("{file}: {path}"),
    };
    EngineError::BadInput { path, detail: detail.into() }
}

/// The reader's message, in the house's words when it is about a key. The reader writes
/// `path: unknown field ``x``, expected one of ``a``, ``b`` at line 1 column 2`.
fn explain(file: &str, message: &str) -> EngineError {
    let Some((before, after)) = message.split_once("unknown field `") else {
        return syntax(file, message);
    };
    let path = before.trim_end().trim_end_matches(':');
    let Some((key, rest)) = after.split_once('`') else { return syntax(file, message) };
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let place = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    bad_input(file, place, unknown_key(key, &known))
}

/// What is said of a key that nobody knows.
pub(super) fn unknown_key(key: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(meant) => format!("unknown key; did you mean '{meant}'?"),
        None if known.is_empty() => "unknown key".to_owned(),
        None => format!("unknown key; expected one of {}", known.join(", ")),
    }
}

/// `tables[0].length: invalid type …` has its path in front; anything else is about the whole file.
fn syntax(file: &str, message: &str) -> EngineError {
    match message.split_once(": ") {
        Some((path, detail)) if is_path(path) => bad_input(file, path, detail),
        _ => bad_input(file, "", message),
    }
}

fn is_path(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '[' | ']'))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Outer {
        rules: Vec<Inner>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        #[serde(rename = "table")]
        _table: String,
        #[serde(rename = "order")]
        _order: i64,
    }

    fn refusal(text: &str) -> String {
        match read::<Outer>("mine.yaml", text) {
            Err(error) => error.to_string(),
            Ok(read) => panic!("read {} rules", read.rules.len()),
        }
    }

    #[test]
    fn an_unknown_key_is_told_with_its_path_and_the_key_that_was_meant() {
        assert_eq!(
            refusal("rules: [{table: a}, {tabel: b}]"),
            "mine.yaml: rules[1].tabel: unknown key; did you mean 'table'?"
        );
        assert_eq!(
            refusal("rules: [{colour: b}]"),
            "mine.yaml: rules[0].colour: unknown key; expected one of table, order"
        );
        assert_eq!(refusal("rule: []"), "mine.yaml: rule: unknown key; did you mean 'rules'?");
    }

    #[test]
    fn a_value_of_the_wrong_form_is_told_with_its_path_and_place() {
        let told = refusal("rules:\n  - {order: ten}");
        assert!(
            told.starts_with("mine.yaml: rules[0].order: invalid type: string \"ten\""),
            "{told}"
        );
        assert!(told.contains("line 2"), "{told}");
    }

    #[test]
    fn broken_syntax_is_told_with_line_and_column() {
        let told = refusal("rules:\n - {table: a}\n  - b");
        assert!(told.starts_with("mine.yaml: ") && told.contains("line 3 column 3"), "{told}");
    }

    #[test]
    fn json_is_read_too() {
        let read: Outer = read("mine.json", "{\n\t\"rules\": [{\"table\": \"a\"}]\n}").unwrap();
        assert_eq!(read.rules.len(), 1);
    }
}
