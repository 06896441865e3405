//! Texts as PostgreSQL can hold them.
//!
//! Differs because SQLite holds any text, while PostgreSQL refuses U+0000. It is written as U+0001 U+0001, and U+0001
//! itself as U+0001 U+0002: reading gives back exactly what was written, and the order of texts stays as it was.

use std::borrow::Cow;

const ESCAPE: char = '\u{1}';
const ESCAPED_ESCAPE: char = '\u{2}';

/// `text` as it is stored.
pub(super) fn stored(text: &str) -> Cow<'_, str> {
    // Without an early end many bytes are looked at at once: nearly all texts are looked at to their end anyway.
    if text.bytes().fold(u8::MAX, u8::min) > 1 {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => written.extend([ESCAPE, ESCAPE]),
            ESCAPE => written.extend([ESCAPE, ESCAPED_ESCAPE]),
            other => written.push(other),
        }
    }
    Cow::Owned(written)
}

/// What was stored as `text`.
pub(super) fn read(text: &str) -> Cow<'_, str> {
    if !text.as_bytes().contains(&1) {
        return Cow::Borrowed(text);
    }
    let mut found = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        found.push(match c {
            // Anything else behind it was written by another program.
            ESCAPE => match chars.next() {
                Some(ESCAPED_ESCAPE) | None => ESCAPE,
                Some(_) => '\0',
            },
            other => other,
        });
    }
    Cow::Owned(found)
}

/// An empty text is no value.
pub(super) fn nil(text: &str) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then(|| stored(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_back_and_keeps_its_place(
            left in "[\0\u{1}\u{2}\u{3}ab]{0,6}", right in "[\0\u{1}\u{2}\u{3}ab]{0,6}"
        ) {
            prop_assert!(!stored(&left).contains('\0'));
            let written = stored(&left);
            prop_assert_eq!(&*read(&written), &*left);
            prop_assert_eq!(stored(&left).cmp(&stored(&right)), left.cmp(&right));
        }
    }
}
