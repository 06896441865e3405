//! Ignoring case, the one way it is done everywhere: Unicode *simple* case folding (status C and S of
//! `CaseFolding.txt`), character by character, so lengths in characters are kept.

/// `text` with every character replaced by its simple case folding.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().map(fold_char).collect()
}

/// The simple case folding of one character.
#[must_use]
pub fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    unicode_case_mapping::case_folded(c).and_then(|n| char::from_u32(n.get())).unwrap_or(c)
}

/// Whether two texts are equal when case is ignored.
#[must_use]
pub fn equal_ignoring_case(left: &str, right: &str) -> bool {
    left.chars().map(fold_char).eq(right.chars().map(fold_char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_is_simple_and_unicode() {
        assert_eq!(fold("ÄÖÜ"), "äöü");
        assert_eq!(fold("\u{212A}ELVIN"), "kelvin", "the Kelvin sign folds to k");
        assert_eq!(
            fold("Straße"),
            "straße",
            "simple folding never changes the number of characters"
        );
        assert!(equal_ignoring_case("ΣΊΣΥΦΟΣ", "σίσυφος"));
    }
}
