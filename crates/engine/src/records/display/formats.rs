//! Zone and formats in which a person reads dates and times.

use campanile_model::Instant;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::engine::Engine;
use crate::session::User;

const DATE_FORMAT: &str = "yyyy-MM-dd";
const TIME_FORMAT: &str = "HH:mm:ss";

/// How one person reads dates and times. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Formats {
    zone: TimeZone,
    date: String,
    time: String,
}

impl Formats {
    /// UTC, `yyyy-MM-dd HH:mm:ss`.
    #[must_use]
    pub fn utc() -> Self {
        Self { zone: TimeZone::UTC, date: DATE_FORMAT.to_owned(), time: TIME_FORMAT.to_owned() }
    }

    /// The user's zone, else `glide.sys.default.tz`, else UTC, with the system's formats. An unknown zone is passed
    /// over.
    #[must_use]
    pub fn of(engine: &Engine, user: &User) -> Self {
        let format = |name: &str, fallback: &str| {
            engine
                .property(name)
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| fallback.to_owned())
        };
        let zone = zone(&user.time_zone).or_else(|| {
            zone(engine.property("glide.sys.default.tz").as_deref().unwrap_or_default())
        });
        Self {
            zone: zone.unwrap_or(TimeZone::UTC),
            date: format("glide.sys.date_format", DATE_FORMAT),
            time: format("glide.sys.time_format", TIME_FORMAT),
        }
    }

    /// The zone.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// A stored date-time (UTC) in the person's zone and formats; a text that is none is given back as it is.
    #[must_use]
    pub fn date_time(&self, stored: &str) -> String {
        let Some(civil) = Instant::parse_glide_text(stored).and_then(|at| self.civil(at)) else {
            return stored.to_owned();
        };
        format!("{} {}", print(&self.date, &civil), print(&self.time, &civil))
    }

    /// A stored date in the person's format; no zone shifts it.
    #[must_use]
    pub fn date(&self, stored: &str) -> String {
        match utc_civil(stored) {
            Some(civil) => print(&self.date, &civil),
            None => stored.to_owned(),
        }
    }

    /// A stored time of day (`1970-01-01 HH:mm:ss`) in the person's format; no zone shifts it.
    #[must_use]
    pub fn time(&self, stored: &str) -> String {
        match utc_civil(stored) {
            Some(civil) => print(&self.time, &civil),
            None => stored.to_owned(),
        }
    }

    /// The stored form of a date-time that is written in the person's zone and formats (`yyyy-MM-dd HH:mm:ss` is
    /// understood too); a date alone is its midnight. `None` when it is none. A time that a change of clocks leaves
    /// out is taken as if the clocks had not changed.
    #[must_use]
    pub fn stored_date_time(&self, written: &str) -> Option<String> {
        let civil = self.read(written.trim())?;
        let at = self.zone.to_ambiguous_timestamp(civil).compatible().ok()?;
        Some(Instant::from_millis(at.as_millisecond()).to_glide_text())
    }

    /// The stored form of a date in the person's format.
    #[must_use]
    pub fn stored_date(&self, written: &str) -> Option<String> {
        let civil = self.read(written.trim())?;
        Some(print(DATE_FORMAT, &civil))
    }

    fn civil(&self, at: Instant) -> Option<DateTime> {
        let at = Timestamp::from_millisecond(at.as_millis()).ok()?;
        Some(self.zone.to_datetime(at))
    }

    fn read(&self, written: &str) -> Option<DateTime> {
        let both = format!("{} {}", self.date, self.time);
        read(&both, written)
            .or_else(|| read(&self.date, written))
            .or_else(|| read("yyyy-MM-dd HH:mm:ss", written))
            .or_else(|| read(DATE_FORMAT, written))
    }
}

fn zone(name: &str) -> Option<TimeZone> {
    if name.is_empty() {
        return None;
    }
    TimeZone::get(name)
        .inspect_err(|error| tracing::warn!(zone = name, %error, "unknown time zone"))
        .ok()
}

/// Whether `name` is a time zone.
pub(crate) fn is_zone(name: &str) -> bool {
    TimeZone::get(name).is_ok()
}

/// Whether dates that are shown by `pattern` can be read again: year, month and day, once each and nothing of a time.
pub(crate) fn is_date_pattern(pattern: &str) -> bool {
    has_once(pattern, &[&["yyyy", "yy"], &["MM", "M"], &["dd", "d"]])
}

/// Whether times of day that are shown by `pattern` can be read again.
pub(crate) fn is_time_pattern(pattern: &str) -> bool {
    has_once(pattern, &[&["HH", "H"], &["mm"], &["ss"]])
        || has_once(pattern, &[&["hh", "h"], &["mm"], &["ss"], &["a"]])
}

/// Whether the letters of the pattern are these parts, each once in one of its spellings.
fn has_once(pattern: &str, parts: &[&[&str]]) -> bool {
    let is_letters = |token: &&str| token.starts_with(|c: char| c.is_ascii_alphabetic());
    let letters: Vec<&str> = tokens(pattern).filter(is_letters).collect();
    letters.len() == parts.len()
        && parts.iter().all(|part| letters.iter().any(|token| part.contains(token)))
}

fn utc_civil(stored: &str) -> Option<DateTime> {
    let at = Instant::parse_glide_text(stored)?;
    let at = Timestamp::from_millisecond(at.as_millis()).ok()?;
    Some(TimeZone::UTC.to_datetime(at))
}

/// A pattern cut into runs of one letter and single other characters: `yyyy`, `-`, `MM` …
fn tokens(pattern: &str) -> impl Iterator<Item = &str> {
    let mut rest = pattern;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let same = |c: char| c == first && c.is_ascii_alphabetic();
        let end = rest.find(|c| !same(c)).unwrap_or(rest.len()).max(first.len_utf8());
        let (token, tail) = rest.split_at(end);
        rest = tail;
        Some(token)
    })
}

fn print(pattern: &str, civil: &DateTime) -> String {
    let twelve = match civil.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let token = |token: &str| match token {
        "yyyy" => format!("{:04}", civil.year()),
        "yy" => format!("{:02}", civil.year().rem_euclid(100)),
        "MM" => format!("{:02}", civil.month()),
        "M" => civil.month().to_string(),
        "dd" => format!("{:02}", civil.day()),
        "d" => civil.day().to_string(),
        "HH" => format!("{:02}", civil.hour()),
        "H" => civil.hour().to_string(),
        "hh" => format!("{twelve:02}"),
        "h" => twelve.to_string(),
        "mm" => format!("{:02}", civil.minute()),
        "ss" => format!("{:02}", civil.second()),
        "a" => if civil.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        other => other.to_owned(),
    };
    tokens(pattern).map(token).collect()
}

fn read(pattern: &str, written: &str) -> Option<DateTime> {
    let (mut year, mut month, mut day) = (1970, 1, 1);
    let (mut hour, mut minute, mut second) = (0, 0, 0);
    let mut afternoon = None;
    let mut rest = written;
    for token in tokens(pattern) {
        let mut number = |digits_max: usize| -> Option<i16> {
            let end = rest.bytes().take(digits_max).take_while(u8::is_ascii_digit).count();
            let value = rest.get(..end)?.parse().ok()?;
            rest = &rest[end..];
            Some(value)
        };
        match token {
            "yyyy" => year = number(4)?,
            "yy" => year = 2000 + number(2)?,
            "MM" | "M" => month = number(2)?,
            "dd" | "d" => day = number(2)?,
            "HH" | "H" | "hh" | "h" => hour = number(2)?,
            "mm" => minute = number(2)?,
            "ss" => second = number(2)?,
            "a" => {
                let word = rest.get(..2)?;
                afternoon = Some(word.eq_ignore_ascii_case("PM"));
                if !word.eq_ignore_ascii_case("AM") && afternoon == Some(false) {
                    return None;
                }
                rest = &rest[2..];
            }
            other => rest = rest.strip_prefix(other)?,
        }
    }
    if let Some(afternoon) = afternoon {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    let small = |n: i16| i8::try_from(n).ok();
    let civil = DateTime::new(
        year,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        0,
    );
    civil.ok().filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formats(zone: &str, date: &str, time: &str) -> Formats {
        Formats { zone: TimeZone::get(zone).unwrap(), date: date.to_owned(), time: time.to_owned() }
    }

    #[test]
    fn a_time_is_shown_in_the_zone_over_the_change_of_clocks() {
        let berlin = formats("Europe/Berlin", DATE_FORMAT, TIME_FORMAT);
        assert_eq!(berlin.date_time("2026-03-29 00:59:59"), "2026-03-29 01:59:59");
        assert_eq!(berlin.date_time("2026-03-29 01:00:00"), "2026-03-29 03:00:00");
        assert_eq!(berlin.date("2026-03-29"), "2026-03-29");
        assert_eq!(berlin.time("1970-01-01 23:30:00"), "23:30:00");
    }

    #[test]
    fn what_is_shown_reads_back() {
        let pacific = formats("America/Los_Angeles", "MM/dd/yyyy", "hh:mm:ss a");
        let stored = "2026-07-04 19:05:09";
        assert_eq!(pacific.date_time(stored), "07/04/2026 12:05:09 PM");
        assert_eq!(pacific.stored_date_time("07/04/2026 12:05:09 PM").as_deref(), Some(stored));
        assert_eq!(pacific.stored_date_time("2026-07-04 12:05:09").as_deref(), Some(stored));
        assert_eq!(pacific.stored_date("07/04/2026").as_deref(), Some("2026-07-04"));
    }

    #[test]
    fn what_is_no_time_is_told_or_left_alone() {
        let utc = Formats::utc();
        assert_eq!(utc.date_time("next week"), "next week");
        for written in ["", "2026-02-30", "2026-01-01 25:00:00", "2026-01-01 10:00:00 x", "99"] {
            assert_eq!(utc.stored_date_time(written), None, "{written}");
        }
    }
}
