//! A span of time in words.

use campanile_model::Instant;

/// `3 Days 12 Hours` for a stored duration (`1970-01-01 00:00:00` plus the span): zero parts left out, `0 Seconds`
/// for none. A text that is no duration is given back as it is.
#[must_use]
pub fn duration_text(stored: &str) -> String {
    let Some(end) = Instant::parse_glide_text(stored) else { return stored.to_owned() };
    let seconds = end.as_millis().div_euclid(1000);
    if seconds < 0 {
        return stored.to_owned();
    }
    let parts = [
        (seconds / 86_400, "Day"),
        (seconds / 3600 % 24, "Hour"),
        (seconds / 60 % 60, "Minute"),
        (seconds % 60, "Second"),
    ];
    let words: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    if words.is_empty() { "0 Seconds".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_parts_are_left_out_and_one_is_singular() {
        assert_eq!(duration_text("1970-01-01 00:02:17"), "2 Minutes 17 Seconds");
        assert_eq!(duration_text("1970-01-04 12:00:00"), "3 Days 12 Hours");
        assert_eq!(duration_text("1970-01-02 01:01:01"), "1 Day 1 Hour 1 Minute 1 Second");
        assert_eq!(duration_text("1970-01-01 00:00:00"), "0 Seconds");
        assert_eq!(duration_text("1970-02-10 00:00:00"), "40 Days");
        assert_eq!(duration_text("soon"), "soon");
    }
}
