//! `Warning` headers: what was accepted but will surprise. The form is that of RFC 7234 §5.5, code 299.

use axum::http::{HeaderMap, HeaderValue, header};
use campanile_engine::records::service::ListPage;
use campanile_model::limits::{QUERY_WARNINGS_MAX, WARNING_BYTES_MAX};

/// Longest part of a term that a warning shows, so that the reason behind it is not cut off.
const TERM_SHOWN_CHARS_MAX: usize = 60;

/// One header's value. Safe whatever `text` holds: quotes become single ones, what a header cannot carry is
/// percent-encoded, and what is longer than the limit is cut off.
pub(crate) fn value(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().min(WARNING_BYTES_MAX));
    for c in text.chars() {
        let before = quoted.len();
        match c {
            '"' => quoted.push('\''),
            '\\' => quoted.push_str("\\\\"),
            ' '..='~' => quoted.push(c),
            _ => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    quoted.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        if quoted.len() > WARNING_BYTES_MAX {
            quoted.truncate(before);
            quoted.push_str("...");
            break;
        }
    }
    format!("299 campanile \"{quoted}\"")
}

/// The terms of a query that were left out, by name; of many the first ones, and how many more there are.
pub(crate) fn of_query(page: &ListPage) -> Vec<String> {
    let effect = if page.nothing_by_invalid_terms {
        "was not understood, so no row is given"
    } else {
        "was left out of the query"
    };
    let mut texts: Vec<String> = page
        .dropped
        .iter()
        .take(QUERY_WARNINGS_MAX)
        .map(|term| format!("'{}' {effect}: {}", shown(&term.text), term.reason))
        .collect();
    let more = page.dropped.len().saturating_sub(texts.len());
    if more > 0 {
        texts.push(format!("and {more} more terms"));
    }
    texts
}

fn shown(term: &str) -> String {
    match term.char_indices().nth(TERM_SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}...", &term[..at]),
        None => term.to_owned(),
    }
}

/// Adds one header for each text.
pub(crate) fn add(headers: &mut HeaderMap, texts: &[String]) {
    for text in texts {
        match HeaderValue::from_str(&value(text)) {
            Ok(value) => {
                headers.append(header::WARNING, value);
            }
            Err(error) => tracing::error!(%error, "a warning was left out"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_safe_header_whatever_the_text_holds() {
        assert_eq!(value("plain 'x'"), "299 campanile \"plain 'x'\"");
        assert_eq!(
            value("a\"b\\c\r\nSet-Cookie: x\u{e4}\u{7f}\0"),
            "299 campanile \"a'b\\\\c%0D%0ASet-Cookie: x%C3%A4%7F%00\""
        );
        for text in ["x".repeat(10_000), "\u{20ac}".repeat(10_000), "\\".repeat(10_001)] {
            let cut = value(&text);
            assert!(cut.len() <= WARNING_BYTES_MAX + 20 && cut.ends_with("...\""), "{cut}");
            assert!(HeaderValue::from_str(&cut).is_ok());
        }
        let exact = "x".repeat(WARNING_BYTES_MAX);
        assert_eq!(value(&exact), format!("299 campanile \"{exact}\""));
    }
}
