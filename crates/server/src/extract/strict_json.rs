//! JSON in which no object has a member twice.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// Longest part of a member's name that a message shows, in characters.
const NAME_SHOWN_CHARS_MAX: usize = 100;

/// Reads one value.
///
/// # Errors
/// As `serde_json`; an error of the category `Data` for a member that stands twice in one object, at whatever depth,
/// which names it.
pub(crate) fn from_slice(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(bytes).map(|Unique(value)| value)
}

struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            match object.entry(name) {
                Entry::Vacant(place) => {
                    let Unique(value) = members.next_value()?;
                    place.insert(value);
                }
                Entry::Occupied(taken) => {
                    let name: String = taken.key().chars().take(NAME_SHOWN_CHARS_MAX).collect();
                    return Err(A::Error::custom(format!(
                        "the member '{name}' stands twice in one object"
                    )));
                }
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_as_it_does_without_the_check() {
        let text = r#"{"a": [1, -2, 1.5, 18446744073709551615, 1e400, true, null, "\u00e4"],
                       "b": {"a": {}, "c": []}, "": "x"}"#;
        let usual: Result<Value, _> = serde_json::from_str(text);
        assert_eq!(from_slice(text.as_bytes()).is_ok(), usual.is_ok());
        let text = text.replace("1e400, ", "");
        let usual: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(from_slice(text.as_bytes()).unwrap().to_string(), usual.to_string());
        for broken in ["", "{", "{} {}", "[1,]", "nul"] {
            assert!(from_slice(broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(from_slice("[".repeat(1000).as_bytes()).is_err());
    }

    #[test]
    fn a_member_that_stands_twice_is_named_at_whatever_depth() {
        for (text, place) in [
            ("{\"a\": 1, \"a\": 2}", (1, 12)),
            ("{\"b\": [\n {\"a\": 1, \"\\u0061\": 2}]}", (2, 18)),
        ] {
            let error = from_slice(text.as_bytes()).unwrap_err();
            assert!(error.is_data(), "{error}");
            assert!(error.to_string().starts_with("the member 'a' stands twice"), "{error}");
            assert_eq!((error.line(), error.column()), place, "{error}");
        }
        let long = "x".repeat(1000);
        let error = from_slice(format!("{{\"{long}\":1,\"{long}\":2}}").as_bytes()).unwrap_err();
        assert!(error.to_string().len() < 200, "{error}");
    }
}
