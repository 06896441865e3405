//! Reading the lenient JSON bodies of the Table API (rest-api §2.2).

use campanile_engine::records::service::InputValue;
use serde_json::{Map, Value};

use crate::errors::ApiError;

/// The fields of a record body: the first object of an array, single quotes taken like double quotes, empty
/// meaning an empty record.
///
/// # Errors
/// E4 with line and column when it is not JSON, or not an object.
pub(crate) fn record_fields(body: &[u8]) -> Result<Vec<(String, InputValue)>, ApiError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        ApiError::bad_body(format!(
            "The payload is not valid UTF-8 (byte {})",
            error.valid_up_to() + 1
        ))
    })?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let object = match parse_lenient(text)? {
        Value::Object(object) => object,
        Value::Array(items) => match items.into_iter().next() {
            Some(Value::Object(object)) => object,
            None => Map::new(),
            Some(_) => return Err(not_an_object()),
        },
        _ => return Err(not_an_object()),
    };
    Ok(object.into_iter().map(|(name, value)| (name, input_value(value))).collect())
}

fn not_an_object() -> ApiError {
    ApiError::bad_body("The payload is not valid JSON: expected an object (line 1, column 1)")
}

fn parse_lenient(text: &str) -> Result<Value, ApiError> {
    let strict = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if text.contains('\'')
        && let Ok(value) = serde_json::from_str(&double_quoted(text))
    {
        return Ok(value);
    }
    Err(ApiError::bad_body(format!(
        "The payload is not valid JSON: {} (line {}, column {})",
        reason_without_place(&strict),
        strict.line(),
        strict.column()
    )))
}

fn reason_without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
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
        let fields = record_fields(body.as_bytes()).unwrap();
        fields.into_iter().find(|(name, _)| name == field).and_then(|(_, input)| input.value)
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
        assert!(record_fields(b"[]").unwrap().is_empty());
        assert!(record_fields(b"  ").unwrap().is_empty());
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
    fn broken_bodies_are_refused_with_their_place() {
        for body in [r#"{"a":"#, "'x", "17", "[1]", "{'a': 'b'", "{\"a\": \"b\"} x"] {
            assert!(record_fields(body.as_bytes()).is_err(), "{body}");
        }
        assert!(record_fields(&[0xff, b'{', b'}']).is_err());
    }
}
