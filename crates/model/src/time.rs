//! Instants and their two texts: the platform's `yyyy-MM-dd HH:mm:ss` (UTC, seconds) and RFC 3339 with
//! milliseconds. Zones are the business of whoever shows a time to a person.

use std::fmt;

/// A point in time: milliseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(i64);

/// The numbers 00 to 99, two digits each.
const PAIRS: &str = "0001020304050607080910111213141516171819\
                     2021222324252627282930313233343536373839\
                     4041424344454647484950515253545556575859\
                     6061626364656667686970717273747576777879\
                     8081828384858687888990919293949596979899";

impl Instant {
    /// The last moment that has a text: 9999-12-31T23:59:59.999Z.
    pub const LAST: Self = Self(253_402_300_799_999);

    /// The instant `millis` after the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant moved by `millis` (saturating).
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// The platform's stored text: `yyyy-MM-dd HH:mm:ss` in UTC; milliseconds are cut.
    #[must_use]
    pub fn to_glide_text(self) -> String {
        let (y, mo, d, h, mi, s, _) = self.civil();
        let (Ok(year), true) = (usize::try_from(y), (0..10_000).contains(&y)) else {
            return format!("{y:04}-{mo:02}-{d:02} {h:02}:{mi:02}:{s:02}");
        };
        // Each event and each update has some of these: three times as fast as formatting.
        let mut text = String::with_capacity(19);
        let mut pair = |n: usize, then: &str| {
            text.push_str(PAIRS.get(2 * n..2 * n + 2).unwrap_or_default());
            text.push_str(then);
        };
        let small = |n: i64| usize::try_from(n).unwrap_or_default();
        pair(year / 100, "");
        pair(year % 100, "-");
        pair(small(mo), "-");
        pair(small(d), " ");
        pair(small(h), ":");
        pair(small(mi), ":");
        pair(small(s), "");
        text
    }

    /// RFC 3339 in UTC with milliseconds: `2026-03-01T08:00:00.123Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let (y, mo, d, h, mi, s, ms) = self.civil();
        format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}.{ms:03}Z")
    }

    /// Reads `yyyy-MM-dd HH:mm:ss` or `yyyy-MM-dd` (midnight) as UTC. `None` when the text is neither.
    #[must_use]
    pub fn parse_glide_text(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<i64> {
            let part = bytes.get(from..to)?;
            part.iter()
                .all(u8::is_ascii_digit)
                .then(|| part.iter().fold(0i64, |n, digit| n * 10 + i64::from(digit - b'0')))
        };
        let separators: &[(usize, u8)] = match bytes.len() {
            10 => &[(4, b'-'), (7, b'-')],
            19 => &[(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':')],
            _ => return None,
        };
        if separators.iter().any(|(at, expected)| bytes[*at] != *expected) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = if bytes.len() == 19 {
            (number(11, 13)?, number(14, 16)?, number(17, 19)?)
        } else {
            (0, 0, 0)
        };
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days_from_civil(year, month, day);
        Some(Self(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000))
    }

    /// Reads an RFC 3339 time with any offset.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        match text.parse::<jiff::Timestamp>() {
            Ok(timestamp) => Some(Self(timestamp.as_millisecond())),
            Err(_) => Self::parse_last_day(text),
        }
    }

    /// The library's timestamps end some hours before the year 9999 does, so that every zone can show them; people
    /// write the last second of that year all the same, for *never*.
    fn parse_last_day(text: &str) -> Option<Self> {
        let (local, offset) = match text.strip_suffix(['Z', 'z']) {
            Some(local) => (local, jiff::SignedDuration::ZERO),
            None => {
                let (local, clock) = text.split_at_checked(text.len().checked_sub(6)?)?;
                let (hours, minutes) = clock.get(1..)?.split_once(':')?;
                let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
                let ahead = jiff::SignedDuration::from_secs(hours * 3_600 + minutes * 60);
                match (clock.get(..1)?, hours, minutes) {
                    ("+", 0..=23, 0..=59) => (local, ahead),
                    ("-", 0..=23, 0..=59) => (local, -ahead),
                    _ => return None,
                }
            }
        };
        let separated = local.as_bytes().get(10).is_some_and(|b| matches!(b, b'T' | b't' | b' '));
        let local: jiff::civil::DateTime = local.parse().ok().filter(|_| separated)?;
        let day = days_from_civil(local.year().into(), local.month().into(), local.day().into());
        let second = (day * 24 + i64::from(local.hour())) * 3_600
            + i64::from(local.minute()) * 60
            + i64::from(local.second());
        let millis = second * 1_000 + i64::from(local.millisecond());
        let offset_ms = offset.as_secs() * 1_000;
        Some(Self(millis - offset_ms)).filter(|at| *at <= Self::LAST && at.0 > 253_370_000_000_000)
    }

    /// Year, month, day, hour, minute, second, millisecond in UTC.
    fn civil(self) -> (i64, i64, i64, i64, i64, i64, i64) {
        let days = self.0.div_euclid(86_400_000);
        let rest = self.0.rem_euclid(86_400_000);
        let (y, m, d) = civil_from_days(days);
        (y, m, d, rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_over_leap_days_and_before_the_epoch() {
        for text in [
            "2024-02-29 23:59:59",
            "1969-12-31 23:59:59",
            "2000-02-29 00:00:00",
            "1900-03-01 12:00:00",
        ] {
            assert_eq!(Instant::parse_glide_text(text).unwrap().to_glide_text(), text);
        }
    }

    #[test]
    fn texts_that_are_no_times_are_refused() {
        for text in
            ["", "now", "2023-02-29", "2024-13-01", "2024-01-01 24:00:00", "2024-01-01T00:00:00"]
        {
            assert_eq!(Instant::parse_glide_text(text), None, "{text}");
        }
    }

    #[test]
    fn the_last_day_of_the_year_9999_is_read_to_its_end() {
        for (text, read) in [
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
            ("9999-12-31T23:30:00+01:00", "9999-12-31T22:30:00.000Z"),
            ("9999-12-31T12:00:00Z", "9999-12-31T12:00:00.000Z"),
        ] {
            assert_eq!(Instant::parse_rfc3339(text).unwrap().to_rfc3339(), read);
        }
        assert_eq!(Instant::LAST.to_rfc3339(), "9999-12-31T23:59:59.999Z");
        for text in [
            "9999-12-31T23:59:59-00:01",
            "10000-01-01T00:00:00Z",
            "9999-12-31T23:59:59",
            "9999-12-32T00:00:00Z",
            "9999-12-31T24:00:00Z",
            "9999-12-31T23:59:59+24:00",
            "9999-12-31T23:59:59+0100",
            "ä9999-12-31",
            "Z",
        ] {
            assert_eq!(Instant::parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn rfc3339_keeps_milliseconds_and_takes_offsets() {
        let at = Instant::parse_rfc3339("2026-03-01T09:00:00.123+01:00").unwrap();
        assert_eq!(at.to_rfc3339(), "2026-03-01T08:00:00.123Z");
    }
}
