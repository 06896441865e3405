//! Reading YAML (or JSON) that people write: every mistake is told with its file, its path and the fix.

use serde::de::DeserializeOwned;

use super::nesting;
use super::values_count;
use crate::error::EngineError;
use campanile_model::limits::{
    PACK_BYTES_MAX, PACK_DEPTH_MAX, PACK_DIRECTIVES_MAX, PACK_VALUES_MAX,
};
use campanile_model::nearest::nearest;

/// Reads `text` as a `T`. A mark of the encoding at its beginning is skipped.
///
/// # Errors
/// [`EngineError::BadInput`]: broken syntax with line and column; an unknown key, a missing one or a value of the
/// wrong form with its path; a text beyond the limits of packs with the limit. `file` stands before the path.
pub fn read<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, EngineError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_limits(file, text)?;
    serde_yaml_ng::from_str(text).map_err(|error| explain(file, &error.to_string()))
}

/// Refuses what the parser would need more time or memory for than a document is worth.
fn check_limits(file: &str, text: &str) -> Result<(), EngineError> {
    if text.len() > PACK_BYTES_MAX {
        let detail = format!(
            "has {} bytes, and {PACK_BYTES_MAX} are the most: make several files of it",
            text.len()
        );
        return Err(bad_input(file, "", detail));
    }
    let mut directives = text.lines().zip(1..).filter(|(line, _)| line.starts_with('%'));
    if let Some((_, line)) = directives.nth(PACK_DIRECTIVES_MAX) {
        let detail = format!("has more than {PACK_DIRECTIVES_MAX} lines that begin with '%'");
        return Err(bad_input(file, format!("line {line}"), detail));
    }
    if let Some(line) = nesting::too_deep(text) {
        return Err(bad_input(file, format!("line {line}"), too_deep()));
    }
    values_count::check(text).map_err(|error| explain(file, &error.to_string()))
}

fn too_deep() -> String {
    format!("lists and maps nest deeper than {PACK_DEPTH_MAX} levels")
}

fn too_many() -> String {
    format!(
        "stands for more than {PACK_VALUES_MAX} keys and values, what aliases ('*name') repeat included: make several \
         files of it"
    )
}

/// What the parser says at its own limits.
const DEPTH_OF_PARSER: &str = "recursion limit exceeded";
const REPETITION_OF_PARSER: &str = "repetition limit exceeded";

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
    let line = || message.split(" line ").last().and_then(|rest| rest.split(' ').next());
    let at_line = || line().map_or_else(String::new, |line| format!("line {line}"));
    if message.contains(DEPTH_OF_PARSER) {
        return bad_input(file, at_line(), too_deep());
    }
    if message.contains(REPETITION_OF_PARSER) || message.contains(values_count::TOO_MANY) {
        return bad_input(file, at_line(), too_many());
    }
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

    /// Its own limit, and the parser's: a hundred thousand levels are refused at once (a squared time would be a minute).
    #[test]
    fn nesting_is_bounded_before_the_parser_sees_it() {
        for text in ["[", "{a: ", "{a: [\n", "[? ", "- ", "? "] {
            let told = refusal(&format!("rules:\n  {}", text.repeat(100_000)));
            assert!(told.starts_with("mine.yaml: line "), "{text}: {told}");
            assert!(
                told.ends_with(": lists and maps nest deeper than 128 levels"),
                "{text}: {told}"
            );
        }
        let told = refusal(&format!("rules:\n  {}", "[".repeat(129)));
        assert_eq!(told, "mine.yaml: line 2: lists and maps nest deeper than 128 levels");
    }

    #[test]
    fn what_aliases_stand_for_is_bounded() {
        let wide = "x, ".repeat(2_000);
        let many = "*a, ".repeat(2_000);
        let told = refusal(&format!("rules: &a [{wide}]\nb:\n  - [{many}]"));
        assert!(told.starts_with("mine.yaml: line "), "{told}");
        assert!(told.contains("more than 500000 keys and values"), "{told}");
        let mut laughs = "a0: &a0 [x]\n".to_owned();
        for level in 1..40 {
            let before = format!("*a{}, ", level - 1);
            laughs.push_str(&format!("a{level}: &a{level} [{}]\n", before.repeat(9)));
        }
        let told = refusal(&laughs);
        assert!(told.contains("more than 500000 keys and values"), "{told}");
    }

    #[test]
    fn size_and_directives_are_bounded() {
        let told = refusal(&format!("{}---\nrules: []", "%TAG !a! tag:x\n".repeat(17)));
        assert_eq!(told, "mine.yaml: line 17: has more than 16 lines that begin with '%'");
        let told = refusal(&" ".repeat(PACK_BYTES_MAX + 1));
        assert!(told.starts_with("mine.yaml: has 26214401 bytes, and 26214400 are"), "{told}");
    }

    #[test]
    fn a_mark_of_the_encoding_is_no_part_of_the_text() {
        for text in ["rules: []", "{\"rules\": []}", "---\nrules: []", "# why\nrules: []"] {
            let read: Outer = read("mine.yaml", &format!("\u{feff}{text}")).unwrap();
            assert!(read.rules.is_empty(), "{text}");
        }
    }
}
