//! Which values fit a property.

use crate::records::display::formats;

/// The type of a property, with its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyKind {
    /// Any text.
    Text,
    /// `true`, `1`, `yes`, `on`, or their opposites, in any case.
    Boolean,
    /// A whole number, both ends included.
    Whole {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// IANA name of a time zone.
    TimeZone,
    /// Pattern of a date.
    DateFormat,
    /// Pattern of a time of day.
    TimeFormat,
    /// Address that begins with `http://` or `https://`.
    Address,
}

impl PropertyKind {
    /// The type as `sys_properties.type` names it.
    #[must_use]
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Text | Self::Address => "string",
            Self::Boolean => "boolean",
            Self::Whole { .. } => "integer",
            Self::Choice(_) => "choicelist",
            Self::TimeZone => "timezone",
            Self::DateFormat => "date_format",
            Self::TimeFormat => "time_format",
        }
    }

    /// The type that a row of `sys_properties` names: bounds are those of the type alone. Types that nothing is known
    /// of are text.
    #[must_use]
    pub fn of_type(name: &str) -> Self {
        match name {
            "boolean" => Self::Boolean,
            "integer" => Self::Whole { min: i64::MIN, max: i64::MAX },
            "timezone" => Self::TimeZone,
            "date_format" => Self::DateFormat,
            "time_format" => Self::TimeFormat,
            _ => Self::Text,
        }
    }

    /// Whether `value` fits; the empty text always does, it stands for no value.
    ///
    /// # Errors
    /// What was expected and what came.
    pub fn judge(self, value: &str) -> Result<(), String> {
        let text = value.trim();
        if text.is_empty() {
            return Ok(());
        }
        let expected = match self {
            Self::Text => return Ok(()),
            Self::Boolean => fits(boolean(text).is_some(), || "true or false".to_owned()),
            Self::Whole { min, max } => {
                let number = text.parse::<i64>().ok();
                fits(number.is_some_and(|n| (min..=max).contains(&n)), || match (min, max) {
                    (i64::MIN, i64::MAX) => "a whole number".to_owned(),
                    _ => format!("a whole number from {min} to {max}"),
                })
            }
            Self::Choice(words) => fits(words.contains(&value), || words.join(", ")),
            Self::TimeZone => fits(formats::is_zone(text), || {
                "the IANA name of a time zone, for example Europe/Berlin".to_owned()
            }),
            Self::DateFormat => fits(formats::is_date_pattern(value), || {
                "a pattern with yyyy (or yy), MM and dd, for example yyyy-MM-dd".to_owned()
            }),
            Self::TimeFormat => fits(formats::is_time_pattern(value), || {
                "a pattern with HH (or hh and a), mm and ss, for example HH:mm:ss".to_owned()
            }),
            Self::Address => {
                let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
                let is_address = rest.is_some_and(|rest| !rest.is_empty())
                    && !text.contains(char::is_whitespace);
                fits(is_address, || "an address that begins with http:// or https://".to_owned())
            }
        };
        expected.map_or(Ok(()), |expected| Err(format!("expected {expected}, got '{value}'")))
    }
}

/// What was expected, unless it `fits`.
fn fits(fits: bool, expected: impl FnOnce() -> String) -> Option<String> {
    (!fits).then(expected)
}

/// The value as a boolean.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told_with_what_was_expected() {
        let depth = PropertyKind::Whole { min: 1, max: 50 };
        let words = PropertyKind::Choice(&["all", "none"]);
        for (kind, fits, not) in [
            (PropertyKind::Boolean, vec!["true", " YES ", "0", ""], vec!["perhaps", "2"]),
            (depth, vec!["1", "50", " 7 ", ""], vec!["0", "51", "-1", "1.5", "many", "1e3"]),
            (words, vec!["all", ""], vec!["All", "some", "all "]),
            (PropertyKind::TimeZone, vec!["Europe/Berlin", "UTC"], vec!["Mars/Olympus", "x"]),
            (
                PropertyKind::DateFormat,
                vec!["dd.MM.yyyy", "M/d/yy"],
                vec!["hello", "yyyy-MM", "HH:mm"],
            ),
            (
                PropertyKind::TimeFormat,
                vec!["HH:mm:ss", "hh:mm:ss a"],
                vec!["hh:mm:ss", "x", "yyyy"],
            ),
            (
                PropertyKind::Address,
                vec!["https://a.example/"],
                vec!["a.example", "http://", "ftp://a"],
            ),
            (PropertyKind::Text, vec!["anything"], vec![]),
        ] {
            for value in fits {
                assert_eq!(kind.judge(value), Ok(()), "{kind:?} {value}");
            }
            for value in not {
                let told = kind.judge(value).unwrap_err();
                assert!(told.starts_with("expected ") && told.contains(value), "{told}");
            }
        }
        assert_eq!(depth.judge("x").unwrap_err(), "expected a whole number from 1 to 50, got 'x'");
    }
}
