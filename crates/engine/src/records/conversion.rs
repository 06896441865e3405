//! Values as they are written to stored text, by field type (scripting §4).

use campanile_model::{FieldDef, FieldType, Instant, Value};
use campanile_script::ExternalValue;

/// The text that empties a field (scripting §3.8).
const NULL_TEXT: &str = "NULL";

/// The stored value of what a script assigned. Lengths are not judged here: see [`fit`].
///
/// # Errors
/// In words, why the field has to stay as it was.
pub(crate) fn from_script(field: &FieldDef, value: &ExternalValue) -> Result<Value, String> {
    match (field.field_type, value) {
        (_, ExternalValue::Undefined | ExternalValue::Null | ExternalValue::DateTime(None)) => {
            Ok(Value::Nil)
        }
        (FieldType::Boolean, ExternalValue::Bool(on)) => Ok(Value::bool(*on)),
        (FieldType::DateTime, ExternalValue::Number(millis)) => {
            instant_of(*millis).map(|at| Value::from(at.to_glide_text()))
        }
        (FieldType::Date, ExternalValue::Number(millis)) => {
            instant_of(*millis).map(|at| Value::text(&at.to_glide_text()[..10]))
        }
        (FieldType::Time | FieldType::Duration, ExternalValue::Number(millis)) => span(*millis),
        (FieldType::GlideList, ExternalValue::List(items)) => {
            let texts: Vec<String> = items.iter().map(text_of).collect();
            from_text(field, &texts.join(","))
        }
        _ => from_text(field, &text_of(value)),
    }
}

/// The stored value of a text.
///
/// # Errors
/// In words, why the text is no value of the field.
pub(crate) fn from_text(field: &FieldDef, text: &str) -> Result<Value, String> {
    if text.is_empty() || text == NULL_TEXT {
        return Ok(Value::Nil);
    }
    match field.field_type {
        FieldType::Integer => whole_number(text),
        FieldType::Decimal | FieldType::Float => decimal(text, field.scale),
        FieldType::Boolean => Ok(Value::bool(matches!(text, "true" | "1"))),
        FieldType::GlideList => {
            let members: Vec<&str> =
                text.split(',').map(str::trim).filter(|m| !m.is_empty()).collect();
            Ok(Value::from(members.join(",")))
        }
        FieldType::DateTime => match Instant::parse_glide_text(text) {
            Some(at) => Ok(Value::from(at.to_glide_text())),
            None => Err(format!("'{text}' is no date-time: expected yyyy-MM-dd HH:mm:ss")),
        },
        FieldType::Date => match Instant::parse_glide_text(text) {
            Some(at) => Ok(Value::text(&at.to_glide_text()[..10])),
            None => Err(format!("'{text}' is no date: expected yyyy-MM-dd")),
        },
        FieldType::Time => time_of_day(text),
        FieldType::Duration => duration(text),
        _ => Ok(Value::text(text)),
    }
}

/// `value` cut to the length of the field, and whether it had to be.
pub(crate) fn fit(field: &FieldDef, value: Value) -> (Value, bool) {
    match value.as_option() {
        Some(text) if is_too_long(field, text) => {
            let cut: String = text.chars().take(field.max_length).collect();
            (Value::from(cut), true)
        }
        _ => (value, false),
    }
}

/// Whether the text is longer than the field. Only texts have a length.
pub(crate) fn is_too_long(field: &FieldDef, text: &str) -> bool {
    let limited = !field.field_type.is_numeric()
        && !field.field_type.is_temporal()
        && !matches!(field.field_type, FieldType::Boolean | FieldType::Password)
        && field.max_length > 0;
    limited && text.len() > field.max_length && text.chars().count() > field.max_length
}

/// Text of a value that crosses from a script: elements give their script text, record objects their key.
pub(crate) fn text_of(value: &ExternalValue) -> String {
    match value {
        ExternalValue::Undefined | ExternalValue::Null | ExternalValue::DateTime(None) => {
            String::new()
        }
        ExternalValue::Bool(on) => on.to_string(),
        ExternalValue::Number(number) => number_text(*number),
        ExternalValue::Text(text) => text.to_string(),
        ExternalValue::Element(record, path) => record.script_text(*path).to_string(),
        ExternalValue::Record(record) => record.unique_value().unwrap_or_default(),
        ExternalValue::DateTime(Some(at)) => at.to_glide_text(),
        ExternalValue::List(items) => items.iter().map(text_of).collect::<Vec<_>>().join(","),
        ExternalValue::Object { text, .. } => text.to_string(),
    }
}

/// Text of a parameter of an event (events-and-jobs §3.4): elements give their stored value, objects and arrays
/// their JSON.
pub(crate) fn event_text_of(value: &ExternalValue) -> String {
    match value {
        ExternalValue::Element(record, path) => {
            record.stored_text(*path).map_or_else(String::new, |text| text.to_string())
        }
        ExternalValue::Object { json, .. } => json.to_string(),
        ExternalValue::List(items) => json_of(items).to_string(),
        other => text_of(other),
    }
}

/// Whether nothing was given.
pub(crate) fn is_nothing(value: &ExternalValue) -> bool {
    match value {
        ExternalValue::Undefined | ExternalValue::Null | ExternalValue::DateTime(None) => true,
        ExternalValue::Text(text) => text.is_empty(),
        ExternalValue::Element(record, path) => record.is_nil(*path),
        ExternalValue::Record(record) => record.unique_value().is_none(),
        _ => false,
    }
}

/// A number as scripts write it: whole numbers without a point.
pub(crate) fn number_text(number: f64) -> String {
    if number == 0.0 { "0".to_owned() } else { number.to_string() }
}

fn json_of(items: &[ExternalValue]) -> serde_json::Value {
    let member = |item: &ExternalValue| match item {
        ExternalValue::Undefined | ExternalValue::Null => serde_json::Value::Null,
        ExternalValue::Bool(on) => serde_json::Value::Bool(*on),
        ExternalValue::Number(number) => {
            serde_json::from_str(&number_text(*number)).unwrap_or(serde_json::Value::Null)
        }
        ExternalValue::List(inner) => json_of(inner),
        ExternalValue::Object { json, text } => serde_json::from_str(json)
            .unwrap_or_else(|_not_json| serde_json::Value::String(text.to_string())),
        other => serde_json::Value::String(event_text_of(other)),
    };
    serde_json::Value::Array(items.iter().map(member).collect())
}

fn whole_number(text: &str) -> Result<Value, String> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Value::int(number));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => match format!("{number:.0}").parse::<i64>() {
            Ok(rounded) => Ok(Value::int(rounded)),
            Err(_too_large) => Err(format!("'{text}' does not fit a 64-bit number")),
        },
        _ => Err(format!("'{text}' is no number")),
    }
}

fn decimal(text: &str, scale: u8) -> Result<Value, String> {
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => {
            let rounded = format!("{number:.places$}", places = usize::from(scale));
            let negative_zero =
                rounded.starts_with('-') && rounded.bytes().all(|b| !matches!(b, b'1'..=b'9'));
            Ok(Value::text(if negative_zero { &rounded[1..] } else { &rounded }))
        }
        _ => Err(format!("'{text}' is no number")),
    }
}

fn instant_of(millis: f64) -> Result<Instant, String> {
    match format!("{:.0}", millis.trunc()).parse::<i64>() {
        Ok(millis) => Ok(Instant::from_millis(millis)),
        Err(_no_number) => Err(format!("{millis} is no time in milliseconds")),
    }
}

fn span(millis: f64) -> Result<Value, String> {
    let at = instant_of(millis)?;
    if at.as_millis() < 0 {
        return Err(format!("{millis} ms is negative: expected a span of at least 0"));
    }
    Ok(Value::from(at.to_glide_text()))
}

fn time_of_day(text: &str) -> Result<Value, String> {
    let clock = match text.len() {
        19 => text.get(11..).unwrap_or_default(),
        _ => text,
    };
    match Instant::parse_glide_text(&format!("1970-01-01 {clock}")) {
        Some(at) => Ok(Value::from(at.to_glide_text())),
        None => Err(format!("'{text}' is no time of day: expected HH:mm:ss")),
    }
}

/// `1970-01-04 12:00:00` (span from the epoch) or `3 12:00:00`, `12:00:00`.
fn duration(text: &str) -> Result<Value, String> {
    let refuse = || Err(format!("'{text}' is no duration: expected d HH:mm:ss, not negative"));
    if let Some(at) = Instant::parse_glide_text(text) {
        return if at.as_millis() < 0 { refuse() } else { Ok(Value::from(at.to_glide_text())) };
    }
    let (days, clock) = text.trim().rsplit_once(' ').unwrap_or(("0", text.trim()));
    let parts: Vec<Option<i64>> =
        clock.split(':').map(|p| p.parse::<u32>().ok().map(i64::from)).collect();
    let (Ok(days), [Some(hours), Some(minutes), Some(seconds)]) =
        (days.trim().parse::<u32>(), &parts[..])
    else {
        return refuse();
    };
    let seconds = ((i64::from(days) * 24 + hours) * 60 + minutes) * 60 + seconds;
    Ok(Value::from(Instant::from_millis(seconds * 1000).to_glide_text()))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;

    use campanile_model::ColumnStorage;

    use super::*;

    fn field(field_type: FieldType) -> FieldDef {
        FieldDef {
            name: Arc::from("f"),
            label: Arc::from("F"),
            field_type,
            internal_type: Arc::from("x"),
            storage: ColumnStorage::Text,
            column: Arc::from("f"),
            max_length: 10,
            reference: Arc::from(""),
            default_value: Arc::from(""),
            mandatory: false,
            read_only: false,
            read_only_option: campanile_model::table_def::ReadOnlyOption::Unset,
            unique: false,
            display: false,
            has_choices: false,
            attributes: Arc::from(""),
            scale: 2,
            active: true,
            defined_on: Arc::from("t"),
        }
    }

    fn stored(field_type: FieldType, text: &str) -> Result<String, String> {
        from_text(&field(field_type), text).map(|value| value.as_str().to_owned())
    }

    #[test]
    fn booleans_know_four_ways_of_yes_and_everything_else_is_no() {
        for yes in ["true", "1"] {
            assert_eq!(stored(FieldType::Boolean, yes).unwrap(), "1");
        }
        for no in ["false", "0", "TRUE", "yes", "2"] {
            assert_eq!(stored(FieldType::Boolean, no).unwrap(), "0", "{no}");
        }
        assert_eq!(stored(FieldType::Boolean, "").unwrap(), "");
        let boolean = field(FieldType::Boolean);
        assert_eq!(from_script(&boolean, &ExternalValue::Bool(true)).unwrap().as_str(), "1");
        assert_eq!(from_script(&boolean, &ExternalValue::Number(1.0)).unwrap().as_str(), "1");
    }

    #[test]
    fn only_the_upper_case_word_empties_a_field() {
        assert_eq!(stored(FieldType::String, "NULL").unwrap(), "");
        assert_eq!(stored(FieldType::String, "null").unwrap(), "null");
    }

    #[test]
    fn numbers_are_kept_as_digits_and_words_are_refused() {
        assert_eq!(stored(FieldType::Integer, " 12 ").unwrap(), "12");
        assert_eq!(stored(FieldType::Integer, "2.5").unwrap(), "2", "half goes to the even number");
        assert_eq!(stored(FieldType::Decimal, "12.5").unwrap(), "12.50");
        assert_eq!(stored(FieldType::Decimal, "-0.001").unwrap(), "0.00");
        for word in ["ten", "1e999", "NaN", "99999999999999999999"] {
            assert!(stored(FieldType::Integer, word).is_err(), "{word}");
        }
    }

    #[test]
    fn dates_times_and_durations_have_one_stored_form() {
        assert_eq!(stored(FieldType::DateTime, "2024-03-13").unwrap(), "2024-03-13 00:00:00");
        assert_eq!(stored(FieldType::Date, "2024-03-13 18:30:00").unwrap(), "2024-03-13");
        assert_eq!(stored(FieldType::Time, "08:15:00").unwrap(), "1970-01-01 08:15:00");
        assert_eq!(stored(FieldType::Duration, "3 12:00:00").unwrap(), "1970-01-04 12:00:00");
        assert_eq!(stored(FieldType::Duration, "00:02:17").unwrap(), "1970-01-01 00:02:17");
        for bad in ["now", "2024-aa-01 00:00:00", "2024-03-13T18:30:00Z"] {
            assert!(stored(FieldType::DateTime, bad).is_err(), "{bad}");
        }
        for bad in ["-1 00:00:00", "1969-12-31 23:59:59", "1:2", "x"] {
            assert!(stored(FieldType::Duration, bad).is_err(), "{bad}");
        }
        let date_time = field(FieldType::DateTime);
        let at = from_script(&date_time, &ExternalValue::Number(1_710_354_600_000.0)).unwrap();
        assert_eq!(at.as_str(), "2024-03-13 18:30:00");
    }

    #[test]
    fn lists_lose_blanks_and_keep_duplicates() {
        assert_eq!(stored(FieldType::GlideList, " a, b ,,a").unwrap(), "a,b,a");
        let items = vec![ExternalValue::Text(Rc::from("a")), ExternalValue::Text(Rc::from("b"))];
        let list = from_script(&field(FieldType::GlideList), &ExternalValue::List(items)).unwrap();
        assert_eq!(list.as_str(), "a,b");
    }

    #[test]
    fn texts_are_cut_by_characters_not_bytes() {
        let string = field(FieldType::String);
        let (value, cut) = fit(&string, Value::text("ääääääääää"));
        assert!(!cut && value.as_str().chars().count() == 10);
        let (value, cut) = fit(&string, Value::text("123456789012345"));
        assert!(cut && value.as_str() == "1234567890");
    }

    #[test]
    fn parameters_of_events_follow_their_own_table() {
        let object = ExternalValue::Object {
            text: Rc::from("[object Object]"),
            json: Rc::from("{\"a\":1}"),
        };
        assert_eq!(event_text_of(&object), "{\"a\":1}");
        assert_eq!(event_text_of(&ExternalValue::Number(3.0)), "3");
        assert_eq!(event_text_of(&ExternalValue::Bool(true)), "true");
        assert_eq!(event_text_of(&ExternalValue::Undefined), "");
        let list = ExternalValue::List(vec![
            ExternalValue::Number(1.0),
            ExternalValue::Text(Rc::from("x")),
        ]);
        assert_eq!(event_text_of(&list), "[1,\"x\"]");
    }
}
