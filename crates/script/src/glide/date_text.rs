//! The texts that `new GlideDateTime(text)` reads as UTC (§11.1), tried in order.

use campanile_model::Instant;

/// Patterns after `yyyy-MM-dd HH:mm:ss`, in the order of the reference. `y M d H h m s a` stand for digits and
/// AM/PM, everything else for itself.
const PATTERNS: &[&str] = &[
    "yyyy-MM-dd HH:mm:ss",
    "MM/dd/yyyy HH:mm:ss",
    "MM-dd-yyyy HH:mm:ss",
    "MM-dd-yyyy HH:mm",
    "MM-dd-yyyy",
    "MM/dd/yyyy",
    "dd-MM-yyyy HH:mm:ss",
    "dd-MM-yyyy HH.mm.ss",
    "dd-MM-yyyy HH.mm",
    "dd-MM-yy HH.mm.ss",
    "dd/MM/yyyy",
    "dd-MM-yyyy",
    "yyyy-MM-dd HH:mm",
    "yyyy-MM-dd",
    "dd.MM.yyyy HH:mm:ss",
    "dd.MM.yyyy HH.mm.ss",
    "dd.MM.yyyy hh:mm:ss a",
    "dd.MM.yyyy hh.mm.ss a",
    "dd.MM.yyyy",
];

/// The instant that `text` means in UTC; `None` when no pattern fits it.
pub(super) fn parse(text: &str) -> Option<Instant> {
    let text = text.trim();
    PATTERNS.iter().find_map(|pattern| parse_as(pattern, text))
}

fn parse_as(pattern: &str, text: &str) -> Option<Instant> {
    let mut parts = Parts::default();
    let mut rest = text.as_bytes();
    let mut letters = pattern.as_bytes();
    while let [letter, ..] = letters {
        let width = letters.iter().take_while(|other| *other == letter).count();
        letters = &letters[width..];
        match letter {
            b'a' => {
                parts.afternoon = match rest {
                    [b'A' | b'a', b'M' | b'm'] => Some(false),
                    [b'P' | b'p', b'M' | b'm'] => Some(true),
                    _ => return None,
                };
                rest = &[];
            }
            b'y' | b'M' | b'd' | b'H' | b'h' | b'm' | b's' => {
                let digits = rest.get(..width)?;
                rest = &rest[width..];
                if !digits.iter().all(u8::is_ascii_digit) {
                    return None;
                }
                let number =
                    digits.iter().fold(0u32, |number, digit| number * 10 + u32::from(digit - b'0'));
                parts.put(*letter, width, number);
            }
            separator => {
                if rest.get(..width)?.iter().any(|byte| byte != separator) {
                    return None;
                }
                rest = &rest[width..];
            }
        }
    }
    if rest.is_empty() { parts.instant() } else { None }
}

/// Parts of a time as they were read.
#[derive(Default)]
struct Parts {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    /// For twelve-hour clocks.
    afternoon: Option<bool>,
}

impl Parts {
    fn put(&mut self, letter: u8, width: usize, number: u32) {
        match letter {
            // Two digits mean the present century.
            b'y' => self.year = if width == 2 { 2000 + number } else { number },
            b'M' => self.month = number,
            b'd' => self.day = number,
            b'm' => self.minute = number,
            b's' => self.second = number,
            _ => self.hour = number,
        }
    }

    fn instant(&self) -> Option<Instant> {
        let hour = match self.afternoon {
            None => self.hour,
            Some(_) if !(1..=12).contains(&self.hour) => return None,
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
        };
        Instant::parse_glide_text(&format!(
            "{:04}-{:02}-{:02} {hour:02}:{:02}:{:02}",
            self.year, self.month, self.day, self.minute, self.second
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        parse(text).map(Instant::to_glide_text)
    }

    #[test]
    fn the_first_pattern_that_fits_decides() {
        for (text, expected) in [
            ("2024-03-13 18:30:05", "2024-03-13 18:30:05"),
            ("03/04/2024 01:02:03", "2024-03-04 01:02:03"),
            ("03-04-2024", "2024-03-04 00:00:00"),
            ("25-04-2024 01.02.03", "2024-04-25 01:02:03"),
            ("25-04-24 01.02.03", "2024-04-25 01:02:03"),
            ("25/04/2024", "2024-04-25 00:00:00"),
            ("2024-03-13 18:30", "2024-03-13 18:30:00"),
            ("13.03.2024 12:00:00 AM", "2024-03-13 00:00:00"),
            ("13.03.2024 01.05.09 pm", "2024-03-13 13:05:09"),
            ("13.03.2024", "2024-03-13 00:00:00"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "now",
            "2024-03-13T18:30:00Z",
            "2024-13-01",
            "2024-02-30 00:00:00",
            "13.03.2024 13:00:00 PM",
            "13.03.2024 01:00:00 XM",
            "2024-03-13 18:30:05.123",
            "2024-03-13 24:00:00",
            "½½½½-½½-½½",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
