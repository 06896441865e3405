//! Strict JSON bodies: every member is known, or the body is refused with the nearest name (rest-api §17.1).

use campanile_engine::events::service::{FireCall, FireTime};
use campanile_model::Instant;
use campanile_model::limits::DEDUPE_KEY_CHARS_MAX;
use campanile_model::nearest::suggestion;
use serde_json::{Map, Value};

use crate::errors::ApiError;
use crate::extract::json_body::{reason_without_place, text_of, without_mark};
use crate::extract::strict_json;

const FIRE_MEMBERS: [&str; 8] =
    ["name", "table", "instance", "parm1", "parm2", "queue", "priority", "process_on"];

/// A member that is wrong: code and detail, for one event or for an item of a batch.
pub(crate) type Refusal = (&'static str, String);

/// The object in a body; empty means an empty object.
///
/// # Errors
/// `bad_json` with line and column, also for a member that stands twice in one object.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match strict_json::from_slice(without_mark(bytes)) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ApiError::bad_body("The payload is not valid JSON: expected an object")),
        Err(error) => Err(bad_json(&error)),
    }
}

/// E4 with the place.
pub(crate) fn bad_json(error: &serde_json::Error) -> ApiError {
    ApiError::bad_body(format!(
        "The payload is not valid JSON: {} (line {}, column {})",
        reason_without_place(error),
        error.line(),
        error.column()
    ))
}

/// Refuses members that are not `known`.
///
/// # Errors
/// `unknown_member`, naming the member and the nearest known one.
pub(crate) fn only_known(object: &Map<String, Value>, known: &[&str]) -> Result<(), Refusal> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let near = suggestion(name, known.iter().copied());
            let detail = format!("there is no member '{name}'{near} (known: {})", known.join(", "));
            Err(("unknown_member", detail))
        }
    }
}

/// The call that an object stands for.
///
/// # Errors
/// The code of rest-api §17.1 and what is wrong.
pub(crate) fn fire_call(object: &Map<String, Value>) -> Result<FireCall, Refusal> {
    let mut known = FIRE_MEMBERS.to_vec();
    known.push("dedupe_key");
    only_known(object, &known)?;
    let name = match object.get("name") {
        Some(Value::String(name)) => name.clone(),
        Some(other) => return Err(wrong_type("name", "a string", other)),
        None => {
            return Err(("name_invalid", "`name` is missing: an event needs a name".to_owned()));
        }
    };
    Ok(FireCall {
        name,
        table: string(object, "table")?.unwrap_or_default(),
        instance: string(object, "instance")?.unwrap_or_default(),
        parm1: object.get("parm1").map(text_of).unwrap_or_default(),
        parm2: object.get("parm2").map(text_of).unwrap_or_default(),
        queue: string(object, "queue")?,
        priority: priority(object)?,
        process_on: string(object, "process_on")?.map(|text| fire_time(&text)).transpose()?,
        dedupe_key: string(object, "dedupe_key")?
            .map(|key| dedupe_key("dedupe_key", key))
            .transpose()?,
    })
}

/// A string member; `null` means not given.
pub(crate) fn string(object: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(wrong_type(name, "a string", other)),
    }
}

/// A boolean member; missing means `false`.
pub(crate) fn boolean(object: &Map<String, Value>, name: &str) -> Result<bool, Refusal> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(wrong_type(name, "true or false", other)),
    }
}

fn priority(object: &Map<String, Value>) -> Result<Option<i64>, Refusal> {
    match object.get("priority") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_i64()
            .map(Some)
            .ok_or_else(|| wrong_type("priority", "a whole number from 0 to 1000000", value)),
    }
}

/// A printable key of 1 to 100 ASCII characters (rest-api §23).
pub(crate) fn dedupe_key(member: &str, key: String) -> Result<String, Refusal> {
    let printable = key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let code = match key.chars().count() {
        0 => "bad_parameter",
        chars if chars > DEDUPE_KEY_CHARS_MAX => "value_too_long",
        _ if !printable => "bad_parameter",
        _ => return Ok(key),
    };
    let got = match key.chars().count() {
        chars if printable => format!("{chars} characters"),
        _ => "others too".to_owned(),
    };
    let detail = format!(
        "`{member}`: expected 1 to {DEDUPE_KEY_CHARS_MAX} printable ASCII characters, got {got}"
    );
    Err((code, detail))
}

/// An RFC 3339 time, a UTC text as the Table API writes it, or an ISO 8601 duration from now.
pub(crate) fn fire_time(text: &str) -> Result<FireTime, Refusal> {
    if let Some(at) = Instant::parse_rfc3339(text).or_else(|| Instant::parse_glide_text(text)) {
        return Ok(FireTime::At(at));
    }
    match duration(text) {
        Some(Some(millis)) if millis <= Instant::LAST.as_millis() => Ok(FireTime::After(millis)),
        Some(_) => Err(("bad_parameter", format!("`process_on`: '{text}' from now {TOO_FAR}"))),
        None => {
            let detail = format!(
                "`process_on`: expected a time such as 2026-03-01T08:00:00Z or a duration such as PT15M, got '{text}'"
            );
            Err(("bad_parameter", detail))
        }
    }
}

/// The moment that is meant.
///
/// # Errors
/// `bad_parameter` when it lies after the last moment that can be kept.
pub(crate) fn moment(time: FireTime, now: Instant) -> Result<Instant, Refusal> {
    let at = match time {
        FireTime::At(at) => at,
        FireTime::After(millis) => now.plus_millis(millis),
    };
    if at > Instant::LAST {
        return Err(("bad_parameter", format!("`process_on`: that long from now {TOO_FAR}")));
    }
    Ok(at)
}

const TOO_FAR: &str =
    "lies after the year 9999, the last one that can be kept: give an earlier time";

/// `PnWnDTnHnMnS` in milliseconds; the inner `None` for one that is too long to count. Years and months have no fixed
/// length and are refused.
fn duration(text: &str) -> Option<Option<i64>> {
    let rest = text.strip_prefix('P')?;
    let (days, time) = rest.split_once('T').unwrap_or((rest, ""));
    let mut millis = Some(0i64);
    let mut any = false;
    for (part, units) in [
        (days, [("D", 86_400_000i64), ("W", 604_800_000), ("", 0)]),
        (time, [("H", 3_600_000), ("M", 60_000), ("S", 1000)]),
    ] {
        let mut number = String::new();
        for c in part.chars() {
            if c.is_ascii_digit() {
                number.push(c);
                continue;
            }
            let unit = units.iter().find(|(name, _)| !name.is_empty() && name.starts_with(c))?.1;
            if number.is_empty() {
                return None;
            }
            let added = number.parse::<i64>().ok().and_then(|n| n.checked_mul(unit));
            millis = millis.zip(added).and_then(|(sum, added)| sum.checked_add(added));
            number.clear();
            any = true;
        }
        if !number.is_empty() {
            return None;
        }
    }
    any.then_some(millis)
}

fn wrong_type(name: &str, expected: &str, got: &Value) -> Refusal {
    ("bad_parameter", format!("`{name}`: expected {expected}, got {got}"))
}

/// What is wrong with one event as an answer of its own.
pub(crate) fn refused((code, detail): Refusal) -> ApiError {
    if code == "bad_parameter" {
        return ApiError::new(
            axum::http::StatusCode::BAD_REQUEST,
            code,
            "Invalid parameter",
            detail,
        );
    }
    ApiError::unprocessable(code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(body: Value) -> Result<FireCall, Refusal> {
        fire_call(body.as_object().unwrap())
    }

    #[test]
    fn values_of_any_type_become_text_and_unknown_members_are_refused() {
        let fired = call(json!({"name": "a", "parm1": 3, "parm2": {"percent": 97}})).unwrap();
        assert_eq!((fired.parm1.as_str(), fired.parm2.as_str()), ("3", r#"{"percent":97}"#));
        let (code, detail) = call(json!({"name": "a", "parm_1": 3})).unwrap_err();
        assert_eq!(code, "unknown_member");
        assert!(detail.contains("'parm1'") || detail.contains("'parm2'"), "{detail}");
    }

    #[test]
    fn a_missing_or_wrong_name_is_told() {
        assert_eq!(call(json!({})).unwrap_err().0, "name_invalid");
        assert_eq!(call(json!({"name": 1})).unwrap_err().0, "bad_parameter");
    }

    #[test]
    fn a_key_that_is_empty_unprintable_or_too_long_is_called_that() {
        let most = "k".repeat(DEDUPE_KEY_CHARS_MAX);
        assert_eq!(dedupe_key("key", most.clone()), Ok(most.clone()));
        for (key, code) in [
            ("", "bad_parameter"),
            ("t\tab", "bad_parameter"),
            ("\u{e9}", "bad_parameter"),
            (&format!("{most}k"), "value_too_long"),
        ] {
            let (refused, detail) = dedupe_key("key", key.to_owned()).unwrap_err();
            assert_eq!(refused, code, "{key:?}: {detail}");
        }
    }

    #[test]
    fn times_and_durations_are_read() {
        assert_eq!(fire_time("PT15M").unwrap(), FireTime::After(900_000));
        assert_eq!(fire_time("P1DT2H").unwrap(), FireTime::After(93_600_000));
        assert_eq!(
            fire_time("2026-03-01T08:00:00Z").unwrap(),
            FireTime::At(Instant::parse_glide_text("2026-03-01 08:00:00").unwrap())
        );
        for text in ["soon", "P", "PT", "PT5", "P1Y", "15M", "PD"] {
            let (_, detail) = fire_time(text).unwrap_err();
            assert!(detail.contains("expected a time"), "{detail}");
        }
    }

    #[test]
    fn what_lies_too_far_ahead_is_told_as_that() {
        let last = FireTime::At(Instant::parse_glide_text("9999-12-31 23:59:59").unwrap());
        assert_eq!(fire_time("9999-12-31T23:59:59Z").unwrap(), last);
        assert_eq!(fire_time("9999-12-31 23:59:59").unwrap(), last);
        for text in ["P99999999999D", "PT99999999999999999999S"] {
            let (code, detail) = fire_time(text).unwrap_err();
            assert_eq!(code, "bad_parameter");
            assert!(detail.contains("9999") && detail.contains(text), "{detail}");
        }
        let now = Instant::parse_glide_text("2026-03-01 08:00:00").unwrap();
        let (_, detail) = moment(fire_time("P2922000D").unwrap(), now).unwrap_err();
        assert!(detail.contains("9999"), "{detail}");
        assert!(moment(fire_time("P2900000D").unwrap(), now).is_ok());
    }
}
