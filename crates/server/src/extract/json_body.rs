//! Reading the lenient JSON bodies of the Table API (rest-api §2.2).

use campanile_engine::records::service::InputValue;
use campanile_model::limits::JSON_DEPTH_MAX;
use serde_json::{Map, Value};

use super::strict_json;
use crate::errors::ApiError;

/// A record as it came.
#[derive(Debug, Default)]
pub(crate) struct RecordBody {
    /// Names and values, in their order.
    pub(crate) fields: Vec<(String, InputValue)>,
    /// What was read otherwise than a caller may think.
    pub(crate) warnings: Vec<String>,
}

/// Reads a record body: the first object of an array, single quotes taken like double quotes, empty meaning an empty
/// record. Of a member that stands twice the last one counts, as for the reference product's clients, and a warning
/// names it.
///
/// # Errors
/// E4 with line and column when it is not JSON, or not an object.
pub(crate) fn record_body(body: &[u8]) -> Result<RecordBody, ApiError> {
    let text = std::str::from_utf8(without_mark(body)).map_err(|error| {
        ApiError::bad_body(format!(
            "The payload is not valid UTF-8 (byte {}): send it in UTF-8",
            error.valid_up_to() + 1
        ))
    })?;
    if text.trim().is_empty() {
        return Ok(RecordBody::default());
    }
    let Lenient { value, doubled } = parse_lenient(text)?;
    let object = match value {
        Value::Object(object) => object,
        Value::Array(items) => match items.into_iter().next() {
            Some(Value::Object(object)) => object,
            None => Map::new(),
            Some(_) => return Err(not_an_object()),
        },
        _ => return Err(not_an_object()),
    };
    let warning = |doubled| format!("{doubled}: the last one counts");
    Ok(RecordBody {
        fields: object.into_iter().map(|(name, value)| (name, input_value(value))).collect(),
        warnings: doubled.map(warning).into_iter().collect(),
    })
}

fn not_an_object() -> ApiError {
    ApiError::bad_body("The payload is not valid JSON: expected an object (line 1, column 1)")
}

/// A value, and which member stood twice in one of its objects, if any did.
struct Lenient {
    value: Value,
    doubled: Option<String>,
}

fn parse_lenient(text: &str) -> Result<Lenient, ApiError> {
    let strict = match last_of_doubled(text) {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    if text.contains('\'')
        && let Ok(read) = last_of_doubled(&double_quoted(text))
    {
        return Ok(read);
    }
    Err(ApiError::bad_body(format!(
        "The payload is not valid JSON: {} (line {}, column {})",
        reason_without_place(&strict),
        strict.line(),
        strict.column()
    )))
}

fn last_of_doubled(text: &str) -> Result<Lenient, serde_json::Error> {
    match strict_json::from_slice(text.as_bytes()) {
        Ok(value) => Ok(Lenient { value, doubled: None }),
        Err(error) if error.is_data() => {
            let doubled = Some(reason_without_place(&error));
            Ok(Lenient { value: serde_json::from_str(text)?, doubled })
        }
        Err(error) => Err(error),
    }
}

/// What the reader says, in words that name its limit, without the place.
pub(crate) fn reason_without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split(" at line ").next().unwrap_or(&text) {
        "recursion limit exceeded" => {
            format!("objects and arrays nest deeper than {JSON_DEPTH_MAX} levels")
        }
        reason => reason.to_owned(),
    }
}

/// `body` without the mark of its encoding that some programs write in front.
pub(crate) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// `text` with every single-quoted string written with double quotes.
fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => match chars.next() {
                Some('\'') => out.push('\''),
                Some(escaped) => out.extend(['\\', escaped]),
                None => out.push('\\'),
            },
            (None, '"' | '\'') => {
                quote = Some(c);
                out.push('"');
            }
            (Some('\''), '"') => out.push_str("\\\""),
            (Some(open), c) if c == open => {
                quote = None;
                out.push('"');
            }
            (_, c) => out.push(c),
        }
    }
    out
}

/// The stored or display form that a member's value stands for.
fn input_value(value: Value) -> InputValue {
    match value {
        Value::Object(object)
            if object.contains_key("value") || object.contains_key("display_value") =>
        {
            InputValue {
                value: object.get("value").map(text_of),
                display_value: object.get("display_value").map(text_of),
            }
        }
        other => InputValue { value: Some(text_of(&other)), display_value: None },
    }
}

/// Text of any JSON value: `null` is empty, objects and arrays are their JSON.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(body: &str, field: &str) -> Option<String> {
        let read = record_body(body.as_bytes()).unwrap();
        read.fields.into_iter().find(|(name, _)| name == field).and_then(|(_, input)| input.value)
    }

    #[test]
    fn single_quotes_are_taken_like_double_quotes() {
        let body = r#"{'a':'it\'s "quoted"', "b": "it's"}"#;
        assert_eq!(value_of(body, "a").unwrap(), "it's \"quoted\"");
        assert_eq!(value_of(body, "b").unwrap(), "it's");
    }

    #[test]
    fn of_an_array_only_the_first_object_counts() {
        assert_eq!(value_of(r#"[{"a":"1"},{"a":"2"}]"#, "a").unwrap(), "1");
        assert!(record_body(b"[]").unwrap().fields.is_empty());
        assert!(record_body(b"  ").unwrap().fields.is_empty());
    }

    #[test]
    fn numbers_booleans_null_and_objects_become_text() {
        let body =
            r#"{"n": 3, "t": true, "e": null, "o": {"x": 1}, "r": {"value": "v", "link": "l"}}"#;
        for (field, expected) in
            [("n", "3"), ("t", "true"), ("e", ""), ("o", r#"{"x":1}"#), ("r", "v")]
        {
            assert_eq!(value_of(body, field).unwrap(), expected, "{field}");
        }
    }

    #[test]
    fn of_a_doubled_member_the_last_one_counts_and_it_is_named() {
        for body in [r#"{"a": 1, "b": 2, "a": 3}"#, "{'a': 1, 'b': 2, 'a': 3}"] {
            let read = record_body(body.as_bytes()).unwrap();
            let values: Vec<_> =
                read.fields.iter().map(|(name, input)| (&**name, input.value.as_deref())).collect();
            assert_eq!(values, [("a", Some("3")), ("b", Some("2"))], "{body}");
            assert_eq!(read.warnings.len(), 1);
            assert!(read.warnings[0].contains("'a' stands twice"), "{:?}", read.warnings);
        }
        assert!(record_body(b"{\"a\": 1}").unwrap().warnings.is_empty());
    }

    #[test]
    fn broken_bodies_are_refused_with_their_place() {
        for body in [r#"{"a":"#, "'x", "17", "[1]", "{'a': 'b'", "{\"a\": \"b\"} x"] {
            assert!(record_body(body.as_bytes()).is_err(), "{body}");
        }
        assert!(record_body(&[0xff, b'{', b'}']).is_err());
    }
}
