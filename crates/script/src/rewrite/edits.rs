//! Edits of a text by span, and the way back from positions in the edited text.

/// Replaces `start..end` by `text`; an empty span inserts.
struct Edit {
    start: u32,
    end: u32,
    text: String,
}

/// Edits in the order in which they were asked for; at one place, that is the order in which they appear.
pub(crate) struct Edits<'s> {
    source: &'s str,
    edits: Vec<Edit>,
}

/// The edited text.
pub(crate) struct Edited {
    pub(crate) text: String,
    pub(crate) map: PositionMap,
}

impl<'s> Edits<'s> {
    pub(crate) fn new(source: &'s str) -> Self {
        Self { source, edits: Vec::new() }
    }

    pub(crate) fn slice(&self, start: u32, end: u32) -> &'s str {
        &self.source[start as usize..end as usize]
    }

    /// Inserts before what stands at `at`; a space keeps it off a word that ends there.
    pub(crate) fn insert(&mut self, at: u32, text: impl Into<String>) {
        let mut text = text.into();
        let before = self.source[..at as usize].chars().next_back();
        if before.is_some_and(is_word) && text.chars().next().is_some_and(is_word_or_open) {
            text.insert(0, ' ');
        }
        self.edits.push(Edit { start: at, end: at, text });
    }

    /// Replaces a span. Line breaks in it are kept, so that lines stay where they are.
    pub(crate) fn replace(&mut self, start: u32, end: u32, text: impl Into<String>) {
        let mut text = text.into();
        let breaks = self.slice(start, end).matches('\n').count();
        text.extend(std::iter::repeat_n('\n', breaks));
        self.edits.push(Edit { start, end, text });
    }

    /// Replaces the operator that lies between two operands, comments left alone.
    pub(crate) fn replace_operator(&mut self, from: u32, to: u32, operator: &str, text: &str) {
        if let Some(at) = find_outside_comments(self.slice(from, to), operator) {
            let start = from + at;
            self.replace(start, start + offset(operator.len()), text);
        }
    }

    /// Applies all edits between `prefix` and `suffix`.
    pub(crate) fn apply(mut self, prefix: &str, suffix: &str) -> Edited {
        self.edits.sort_by_key(|edit| edit.start);
        let mut text = String::with_capacity(self.source.len() * 2 + prefix.len());
        text.push_str(prefix);
        let mut pieces = Vec::with_capacity(self.edits.len() + 1);
        let mut taken = 0u32;
        for edit in &self.edits {
            if edit.start > taken {
                pieces.push(Piece { edited: offset(text.len()), stored: taken });
                text.push_str(self.slice(taken, edit.start));
            }
            pieces.push(Piece { edited: offset(text.len()), stored: edit.start });
            text.push_str(&edit.text);
            // Inside inserted text every position means the place of the edit.
            taken = taken.max(edit.end);
        }
        pieces.push(Piece { edited: offset(text.len()), stored: taken });
        text.push_str(&self.source[taken as usize..]);
        text.push_str(suffix);
        let map = PositionMap::new(&text, self.source, pieces);
        Edited { text, map }
    }
}

/// From `edited` on, the text comes from the stored text at `stored`.
#[derive(Debug, Clone, Copy)]
struct Piece {
    edited: u32,
    stored: u32,
}

/// The way back to positions in the stored text.
#[derive(Debug)]
pub(crate) struct PositionMap {
    pieces: Vec<Piece>,
    edited_lines: Vec<u32>,
    stored_lines: Vec<u32>,
    stored: Box<str>,
}

impl PositionMap {
    fn new(edited: &str, stored: &str, pieces: Vec<Piece>) -> Self {
        Self {
            pieces,
            edited_lines: line_starts(edited),
            stored_lines: line_starts(stored),
            stored: Box::from(stored),
        }
    }

    /// Line and column in the stored text for 1-based line and column (in bytes) of the edited text; `None` for a
    /// place that is not there.
    pub(crate) fn stored_position(&self, line: u32, column: u32) -> Option<(u32, u32)> {
        let line_start = *self.edited_lines.get(line.checked_sub(1)? as usize)?;
        Some(self.position_of(self.stored_offset(line_start + column.saturating_sub(1))?))
    }

    /// The stored text behind a span of the edited text.
    pub(crate) fn stored_text(&self, start: usize, end: usize) -> Option<&str> {
        let (start, end) = (self.stored_offset(offset(start))?, self.stored_offset(offset(end))?);
        self.stored.get(start as usize..end as usize)
    }

    fn stored_offset(&self, edited: u32) -> Option<u32> {
        let found = self.pieces.partition_point(|piece| piece.edited <= edited);
        let piece = self.pieces.get(found.checked_sub(1)?)?;
        let bound = self.pieces.get(found).map_or(offset(self.stored.len()), |next| next.stored);
        Some(piece.stored.saturating_add(edited - piece.edited).min(bound))
    }

    /// Line and column (in characters) of an offset in the stored text.
    pub(crate) fn position_of(&self, stored: u32) -> (u32, u32) {
        position_in(&self.stored, &self.stored_lines, stored)
    }
}

/// 1-based line and column (in characters) of a byte offset.
pub(crate) fn position_of(text: &str, at: u32) -> (u32, u32) {
    position_in(text, &line_starts(text), at)
}

fn position_in(text: &str, lines: &[u32], at: u32) -> (u32, u32) {
    let line = lines.partition_point(|start| *start <= at).max(1);
    let mut end = (at as usize).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let start = (lines[line - 1] as usize).min(end);
    (offset(line), offset(text[start..end].chars().count() + 1))
}

fn line_starts(text: &str) -> Vec<u32> {
    let breaks = text.match_indices('\n').map(|(at, _)| offset(at + 1));
    std::iter::once(0).chain(breaks).collect()
}

/// Offsets fit: a text is at most [`crate::compile::TEXT_BYTES_MAX`] long.
pub(crate) fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || c == '\u{200c}' || c == '\u{200d}'
}

fn is_word_or_open(c: char) -> bool {
    is_word(c) || c == '('
}

fn find_outside_comments(gap: &str, operator: &str) -> Option<u32> {
    let mut at = 0;
    while at < gap.len() {
        let rest = &gap[at..];
        if rest.starts_with("//") {
            at += rest.find(['\n', '\r', '\u{2028}', '\u{2029}']).unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |end| end + 2);
        } else if rest.starts_with(operator) {
            return Some(offset(at));
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_lead_back_through_insertions_and_replacements() {
        let mut edits = Edits::new("ab cd\nef == gh");
        edits.insert(3, "XX(");
        edits.replace_operator(8, 11, "==", ",");
        let edited = edits.apply("pre:", "");
        assert_eq!(edited.text, "pre:ab XX(cd\nef , gh");
        assert_eq!(edited.map.stored_position(1, 5), Some((1, 1)));
        assert_eq!(edited.map.stored_position(1, 11), Some((1, 4)));
        assert_eq!(edited.map.stored_position(2, 6), Some((2, 7)));
        assert_eq!(edited.map.stored_position(9, 1), None);
    }

    #[test]
    fn an_operator_inside_a_comment_is_not_the_operator() {
        let mut edits = Edits::new("a /* == */ == b");
        edits.replace_operator(1, 14, "==", ",");
        assert_eq!(edits.apply("", "").text, "a /* == */ , b");
    }

    #[test]
    fn a_word_before_an_insertion_stays_a_word() {
        let mut edits = Edits::new("return/x/");
        edits.insert(6, "t(");
        assert_eq!(edits.apply("", "").text, "return t(/x/");
    }

    #[test]
    fn replaced_line_breaks_are_kept() {
        let mut edits = Edits::new("a\n.b");
        edits.replace(1, 4, ",'b')");
        assert_eq!(edits.apply("", "").text, "a,'b')\n");
    }
}
