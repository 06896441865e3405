//! The query string: decoded once, order kept (rest-api §6).

use std::num::IntErrorKind;

use crate::errors::ApiError;

/// Longest part of a parameter's name that a message shows, in characters.
const NAME_SHOWN_CHARS_MAX: usize = 100;

/// Which form field values take in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum DisplayMode {
    /// Stored values.
    #[default]
    Values,
    /// Display values.
    Display,
    /// Both.
    All,
}

/// The parameters of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    raw: Vec<String>,
}

impl Params {
    /// Decodes a query string. A percent sign that begins no byte stands for itself.
    ///
    /// # Errors
    /// E13 when a name or a value is no UTF-8: read in any other way it would mean something else.
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, ApiError> {
        let raw: Vec<String> = query
            .unwrap_or_default()
            .split('&')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        let pairs = raw
            .iter()
            .map(|part| {
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                let told = String::from_utf8_lossy(&decode(name)).into_owned();
                let read = |text| String::from_utf8(decode(text));
                read(name).and_then(|name| Ok((name, read(value)?))).map_err(|_no_utf8| {
                    let chars = told.chars().take(NAME_SHOWN_CHARS_MAX);
                    let fix = "expected percent-encoded UTF-8, got bytes that are none";
                    ApiError::bad_parameter(&chars.collect::<String>(), fix)
                })
            })
            .collect::<Result<_, ApiError>>()?;
        Ok(Self { pairs, raw })
    }

    /// The value of `name`; an empty one means "not given".
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The value of the first of `names` that is given.
    pub(crate) fn first_of(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// True for `true` in any letter case, false for everything else.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The whole number in `name`; one that is too large to be kept is the largest that can be (or the smallest).
    ///
    /// # Errors
    /// E13 when it is no number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.trim().parse::<i64>() {
            Ok(number) => Ok(Some(number)),
            Err(error) => match error.kind() {
                IntErrorKind::PosOverflow => Ok(Some(i64::MAX)),
                IntErrorKind::NegOverflow => Ok(Some(i64::MIN)),
                _ => {
                    let detail = format!("expected a number, got '{text}'");
                    Err(ApiError::bad_parameter(name, detail))
                }
            },
        }
    }

    /// The number of rows in `name`: what is more than `most` is taken as `most`.
    ///
    /// # Errors
    /// E13 when it is no number, or below 0.
    pub(crate) fn row_count(&self, name: &str, most: u64) -> Result<Option<u64>, ApiError> {
        let Some(number) = self.number(name)? else { return Ok(None) };
        match u64::try_from(number) {
            Ok(rows) => Ok(Some(rows.min(most))),
            Err(_negative) => {
                let got = self.get(name).unwrap_or_default();
                let detail = format!("expected a number from 0 to {most}, got '{got}'");
                Err(ApiError::bad_parameter(name, detail))
            }
        }
    }

    /// `sysparm_display_value`.
    ///
    /// # Errors
    /// E13 for another word than true, false, all.
    pub(crate) fn display_mode(&self) -> Result<DisplayMode, ApiError> {
        match self.get("sysparm_display_value").map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => Ok(DisplayMode::Values),
            Some("true") => Ok(DisplayMode::Display),
            Some("all") => Ok(DisplayMode::All),
            Some(other) => Err(ApiError::bad_parameter(
                "sysparm_display_value",
                format!("expected true, false or all, got '{other}'"),
            )),
        }
    }

    /// Comma-separated names, trimmed, each once, in order.
    pub(crate) fn names(&self, name: &str) -> Option<Vec<String>> {
        self.get(name).map(|text| {
            let mut names: Vec<String> = Vec::new();
            for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
                if !names.iter().any(|seen| seen == item) {
                    names.push(item.to_owned());
                }
            }
            names
        })
    }

    /// `name=value` filters: everything that does not begin with `sysparm_` and has a value.
    pub(crate) fn name_values(&self) -> Vec<(String, String)> {
        self.pairs
            .iter()
            .filter(|(name, value)| {
                !name.is_empty() && !value.is_empty() && !name.starts_with("sysparm_")
            })
            .cloned()
            .collect()
    }

    /// The query string as it was sent, without `omitted`, for links to other pages.
    pub(crate) fn raw_without(&self, omitted: &[&str]) -> Vec<&str> {
        self.raw
            .iter()
            .map(String::as_str)
            .filter(|part| !omitted.contains(&part.split('=').next().unwrap_or_default()))
            .collect()
    }
}

/// Percent-decoding with `+` for a blank.
pub(super) fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push(hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0));
                rest = after;
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = tail;
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> Params {
        Params::parse(Some(query)).unwrap()
    }

    #[test]
    fn what_is_no_utf_8_is_refused_by_name_and_nothing_else_is() {
        for query in ["a=%ff", "a=1&%ff=1", "a=caf%E9", "a=%C3"] {
            assert_eq!(Params::parse(Some(query)).unwrap_err().status(), 400, "{query}");
        }
        assert_eq!(parsed("a=caf%C3%A9&b=%&c=%f").get("a"), Some("caf\u{e9}"));
    }

    #[test]
    fn a_number_beyond_what_can_be_kept_is_the_last_that_can() {
        let huge = "99999999999999999999999";
        let params = parsed(&format!("a={huge}&b=-{huge}&c=-1&d=100001"));
        assert_eq!(params.number("a").unwrap(), Some(i64::MAX));
        assert_eq!(params.number("b").unwrap(), Some(i64::MIN));
        assert_eq!(params.row_count("a", 100_000).unwrap(), Some(100_000));
        assert_eq!(params.row_count("d", 100_000).unwrap(), Some(100_000));
        assert_eq!(params.row_count("e", 100_000).unwrap(), None);
        for name in ["b", "c"] {
            assert_eq!(params.row_count(name, 100_000).unwrap_err().status(), 400, "{name}");
        }
    }

    #[test]
    fn values_are_decoded_once_and_empty_ones_are_not_given() {
        let params = parsed("a=b%2520c&x=&y=1+2&sysparm_query=active%3Dtrue%5Enumber=1&%zz=q");
        assert_eq!(params.get("a"), Some("b%20c"));
        assert_eq!(params.get("x"), None);
        assert_eq!(params.get("y"), Some("1 2"));
        assert_eq!(params.get("sysparm_query"), Some("active=true^number=1"));
        assert_eq!(params.get("%zz"), Some("q"));
    }

    #[test]
    fn flags_are_true_for_true_in_any_case_only() {
        let params = parsed("a=True&b=False&c=1");
        assert!(params.flag("a"));
        assert!(!params.flag("b") && !params.flag("c") && !params.flag("d"));
    }

    #[test]
    fn a_number_that_is_none_is_named() {
        let error = parsed("sysparm_limit=ten").number("sysparm_limit").unwrap_err();
        assert_eq!(error.status(), 400);
    }

    #[test]
    fn field_lists_keep_their_order_and_name_each_once() {
        let params = parsed("sysparm_fields=state,+number,,state,caller_id.email");
        assert_eq!(params.names("sysparm_fields").unwrap(), ["state", "number", "caller_id.email"]);
    }
}
