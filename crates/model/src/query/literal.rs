//! Literals: from the text in a query to the stored text of the field's type (business-rules §11.3).

use std::sync::Arc;

use crate::table_def::{FieldDef, FieldType};
use crate::time::Instant;

/// What a text means to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal {
    /// One stored text.
    Exact(Arc<str>),
    /// A bare date against a date-time: the whole day in UTC, first and last second.
    Day(Instant, Instant),
    /// No value of the field's type.
    Meaningless,
}

const DAY_MILLIS: i64 = 86_400_000;
const SECOND_MILLIS: i64 = 1_000;
/// Days up to the year 9999: later times have longer texts, which no longer order as times do.
const DURATION_DAYS_MAX: i64 = 2_932_896;

impl Literal {
    /// What `text`, which is not empty, means to `field`.
    pub(super) fn of(field: &FieldDef, text: &str) -> Self {
        let exact = match field.field_type {
            kind if kind.is_numeric() => number(text),
            FieldType::Boolean => boolean(text),
            FieldType::DateTime => match Instant::parse_glide_text(text) {
                Some(start) if text.len() == 10 => {
                    return Self::Day(start, start.plus_millis(DAY_MILLIS - SECOND_MILLIS));
                }
                at => at.map(Instant::to_glide_text),
            },
            // A time against a date counts as its date in UTC.
            FieldType::Date => {
                Instant::parse_glide_text(text).and(text.get(..10)).map(str::to_owned)
            }
            FieldType::Time => time(text),
            FieldType::Duration => duration(text),
            _ => Some(text.to_owned()),
        };
        exact.map_or(Self::Meaningless, |text| Self::Exact(Arc::from(text)))
    }

    /// The first value that the literal stands for.
    pub(super) fn first(&self) -> Option<Arc<str>> {
        match self {
            Self::Exact(text) => Some(Arc::clone(text)),
            Self::Day(start, _) => Some(glide(*start)),
            Self::Meaningless => None,
        }
    }

    /// The last value that the literal stands for.
    pub(super) fn last(&self) -> Option<Arc<str>> {
        match self {
            Self::Day(_, end) => Some(glide(*end)),
            other => other.first(),
        }
    }
}

/// The stored text of `at`.
pub(super) fn glide(at: Instant) -> Arc<str> {
    Arc::from(at.to_glide_text())
}

/// `spans` (closed, in whole seconds) in rising order, those that overlap or touch made one.
pub(super) fn merged(mut spans: Vec<(Instant, Instant)>) -> Vec<(Instant, Instant)> {
    spans.sort_unstable();
    let mut merged: Vec<(Instant, Instant)> = Vec::new();
    for (start, end) in spans {
        match merged.last_mut() {
            Some(last) if start <= after(last.1) => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// The next second.
pub(super) fn after(at: Instant) -> Instant {
    at.plus_millis(SECOND_MILLIS)
}

/// The last second.
pub(super) fn before(at: Instant) -> Instant {
    at.plus_millis(-SECOND_MILLIS)
}

/// Plain decimal text of a number: no exponent, no sign on zero, no blank.
fn number(text: &str) -> Option<String> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.to_string());
    }
    let number: f64 = text.parse().ok().filter(|n: &f64| n.is_finite())?;
    Some(if number == 0.0 { "0".to_owned() } else { number.to_string() })
}

fn boolean(text: &str) -> Option<String> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if text == "1" || is("true") {
        Some("1".to_owned())
    } else if text == "0" || is("false") {
        Some("0".to_owned())
    } else {
        None
    }
}

/// `HH:mm:ss` or the stored text itself.
fn time(text: &str) -> Option<String> {
    let whole = if text.len() == 8 { format!("1970-01-01 {text}") } else { text.to_owned() };
    Instant::parse_glide_text(&whole).map(Instant::to_glide_text)
}

/// `d HH:mm:ss`, `HH:mm:ss` or the stored text itself.
fn duration(text: &str) -> Option<String> {
    if text.len() == 19
        && let Some(at) = Instant::parse_glide_text(text)
    {
        return Some(at.to_glide_text());
    }
    let (days, clock) = text.rsplit_once(' ').unwrap_or(("0", text));
    let days: i64 = days.parse().ok().filter(|days| (0..=DURATION_DAYS_MAX).contains(days))?;
    if clock.len() != 8 {
        return None;
    }
    let clock = Instant::parse_glide_text(&format!("1970-01-01 {clock}"))?;
    Some(clock.plus_millis(days * DAY_MILLIS).to_glide_text())
}
