//! How deep the brackets of a YAML text nest, found in one pass before the parser sees it: the parser reads a whole
//! document before it counts levels, and takes a time that grows with the square of them.
//!
//! Only as much of YAML is known here as tells a bracket that opens a list or a map from one that stands in a text: quotes,
//! comments, block texts (scripts) and plain texts. Whether the document is YAML at all, the parser says.

use campanile_model::limits::PACK_DEPTH_MAX;

/// The line on which brackets first nest deeper than [`PACK_DEPTH_MAX`], and nothing when they never do.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    Scan { text: text.as_bytes(), at: 0, line: 1, line_start: 0, indent: -1 }.run()
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    line_start: usize,
    /// Column of the key or dash whose value is being read: block and plain texts go on while lines stand further right.
    indent: isize,
}

impl Scan<'_> {
    fn run(mut self) -> Option<usize> {
        while self.at < self.text.len() {
            if let Some(line) = self.block_line() {
                return Some(line);
            }
        }
        None
    }

    /// Reads from the beginning of a line to the beginning of another one, outside of brackets.
    fn block_line(&mut self) -> Option<usize> {
        if self.rest().starts_with(b"---") || self.rest().starts_with(b"...") {
            self.at += 3;
            self.indent = -1;
        }
        // Where the node begins, with its anchor and its tag.
        let mut begins = None;
        loop {
            self.skip_spaces();
            let column = *begins.get_or_insert(self.column());
            match self.byte() {
                None => return None,
                Some(b'\n' | b'\r') => {
                    self.advance();
                    return None;
                }
                Some(b'#') => self.skip_line(),
                Some(b'-' | b'?' | b':') if self.ends_token(1) => {
                    self.indent = column;
                    begins = None;
                    self.advance();
                }
                Some(b'&' | b'!' | b'*') => self.skip_word(&[]),
                Some(b'|' | b'>') => {
                    self.block_text();
                    return None;
                }
                Some(b'"' | b'\'') => self.quoted(),
                Some(b'[' | b'{') => {
                    if let Some(line) = self.brackets() {
                        return Some(line);
                    }
                }
                Some(_) => {
                    if !self.plain() {
                        return None;
                    }
                }
            }
            // What ends with a colon was a key, and stands where its map stands.
            if self.byte() == Some(b':') && self.ends_token(1) {
                self.indent = column;
                begins = None;
                self.advance();
            }
        }
    }

    /// From the bracket that opens to the one that closes it.
    fn brackets(&mut self) -> Option<usize> {
        let mut depth = 0usize;
        // In a plain text a quote is an apostrophe, and a number sign belongs to the word.
        let mut in_plain = false;
        while let Some(byte) = self.byte() {
            match byte {
                b'[' | b'{' => {
                    depth += 1;
                    in_plain = false;
                    if depth > PACK_DEPTH_MAX {
                        return Some(self.line);
                    }
                }
                b']' | b'}' => {
                    depth = depth.saturating_sub(1);
                    in_plain = false;
                    if depth == 0 {
                        self.advance();
                        return None;
                    }
                }
                b',' => in_plain = false,
                b':' if !in_plain || self.ends_token(1) => in_plain = false,
                b'?' if !in_plain && self.ends_token(1) => {}
                b'&' | b'!' | b'*' if !in_plain => {
                    self.skip_word(b",[]{}");
                    continue;
                }
                b'"' | b'\'' if !in_plain => {
                    self.quoted();
                    continue;
                }
                b'#' if self.begins_word() => {
                    self.skip_line();
                    continue;
                }
                b' ' | b'\t' | b'\n' | b'\r' => {}
                _ => in_plain = true,
            }
            self.advance();
        }
        None
    }

    fn quoted(&mut self) {
        let quote = self.byte();
        self.advance();
        while let Some(byte) = self.byte() {
            self.advance();
            match byte {
                b'\\' if quote == Some(b'"') => self.advance(),
                // Two single quotes are one of the text.
                b'\'' if quote == Some(b'\'') && self.byte() == quote => self.advance(),
                _ if Some(byte) == quote => return,
                _ => {}
            }
        }
    }

    /// Reads a plain text to the colon that makes it a key (`true`), or to its end, which may be lines below.
    fn plain(&mut self) -> bool {
        let mut first_line = true;
        loop {
            while let Some(byte) = self.byte().filter(|byte| !is_break(*byte)) {
                match byte {
                    b':' if first_line && self.ends_token(1) => return true,
                    b'#' if self.begins_word() => {
                        self.skip_line();
                        self.advance();
                        return false;
                    }
                    _ => self.advance(),
                }
            }
            first_line = false;
            self.skip_blank();
            let column = self.column() + self.spaces();
            if self.byte().is_none() || column <= self.indent {
                return false;
            }
        }
    }

    /// A block text: the lines that stand at least as far right as its first one, or as its header says.
    fn block_text(&mut self) {
        let header_end = self.rest().iter().position(|byte| is_break(*byte));
        let header = &self.rest()[..header_end.unwrap_or(self.rest().len())];
        let header = header.split(|byte| *byte == b'#').next().unwrap_or_default();
        let told = header.iter().find(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0');
        self.skip_line();
        self.advance();
        self.skip_blank();
        let least = (self.indent + 1).max(1);
        let from = match told {
            Some(told) => self.indent.max(0) + isize::from(told),
            None => self.spaces().max(least),
        };
        loop {
            self.skip_blank();
            if self.byte().is_none() || self.spaces() < from {
                return;
            }
            self.skip_line();
            self.advance();
        }
    }

    fn rest(&self) -> &[u8] {
        &self.text[self.at..]
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn column(&self) -> isize {
        isize::try_from(self.at - self.line_start).unwrap_or(isize::MAX)
    }

    /// Spaces from here on.
    fn spaces(&self) -> isize {
        let count = self.rest().iter().take_while(|byte| **byte == b' ').count();
        isize::try_from(count).unwrap_or(isize::MAX)
    }

    fn advance(&mut self) {
        let Some(byte) = self.byte() else { return };
        self.at += 1;
        if byte == b'\n' || (byte == b'\r' && self.byte() != Some(b'\n')) {
            self.line += 1;
            self.line_start = self.at;
        }
    }

    fn skip_spaces(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// To the end of the line.
    fn skip_line(&mut self) {
        while self.byte().is_some_and(|byte| !is_break(byte)) {
            self.at += 1;
        }
    }

    /// To the beginning of the next line that has something on it.
    fn skip_blank(&mut self) {
        loop {
            let blank = self.rest().iter().take_while(|byte| **byte == b' ').count();
            match self.rest().get(blank) {
                Some(byte) if is_break(*byte) => {
                    self.at += blank;
                    self.advance();
                }
                _ => return,
            }
        }
    }

    /// To the next white space, or to one of `ends`.
    fn skip_word(&mut self, ends: &[u8]) {
        let inside = |byte: &u8| !byte.is_ascii_whitespace() && !ends.contains(byte);
        self.at += self.rest().iter().take_while(|byte| inside(byte)).count();
    }

    /// Whether white space or the end comes `after` bytes from here.
    fn ends_token(&self, after: usize) -> bool {
        match self.text.get(self.at + after) {
            None => true,
            Some(byte) => byte.is_ascii_whitespace(),
        }
    }

    /// Whether white space, or nothing, stands before this byte.
    fn begins_word(&self) -> bool {
        self.at == 0 || self.text[self.at - 1].is_ascii_whitespace()
    }
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(text: &str) -> String {
        text.replace('@', &"[".repeat(PACK_DEPTH_MAX + 1))
    }

    #[test]
    fn brackets_are_counted_where_they_open_something_and_the_line_is_told() {
        for (text, line) in [
            ("@", 1),
            ("a: 1\nb: @", 2),
            ("a: 1\r\nb: @", 2),
            ("a: 1\rb: @", 2),
            ("- key: |\n    x\n  other: @", 3),
            ("- key: >2-\n     x\n  other: @", 3),
            ("a:\n  - |\n    x\n  - @", 4),
            ("- - |\n    x\n  - @", 3),
            ("a: text\n  more\nb: @", 3),
            ("a: it's\nb: @", 2),
            ("a: 'it''s'\nb: @", 2),
            ("a: \"\\\"\"\nb: @", 2),
            ("\"a\": 'x\n  y'\nb: @", 3),
            ("{it's: @", 1),
            ("{a:[]}: @", 1),
            ("[a, # ' comment\n \"]\", ']', @", 2),
            ("# '\n@", 2),
            ("a: b # '\nb: @", 2),
            ("--- @", 1),
            ("a: |\n  x\n--- @", 3),
            ("? @", 1),
            (": @", 1),
            ("a: &x !y\n  @", 2),
            ("&a b: @", 1),
            ("a: b#\nc: @", 2),
            ("&a b: text\n c: d\ne: @", 3),
            ("[&a ']', ? ']', !t ']', *a, @", 1),
        ] {
            assert_eq!(too_deep(&deep(text)), Some(line), "{text}");
        }
        let alternating = "{a: ".repeat(PACK_DEPTH_MAX + 1);
        assert_eq!(too_deep(&alternating), Some(1));
        let hidden = "[ \"]\", ".repeat(PACK_DEPTH_MAX + 1);
        assert_eq!(too_deep(&hidden), Some(1));
    }

    #[test]
    fn brackets_inside_texts_are_no_lists() {
        for text in [
            "",
            "a: |\n  @\n\n   @\nb: c",
            "a: |-\n\n  @\nb: c",
            "a: >2\n   @\n  @",
            "a: | # why\n  @",
            "- key: |\n    @\n    @",
            "- |\n  @",
            "--- |\n @",
            "a: !t |\n  @",
            "a:\n  |\n  @",
            "a: '@\n  @'",
            "a: \"\\\"@\"",
            "# @",
            "a: b # @",
            "a: x@",
            "a: text\n  @\n\n  @",
            "{a: '@', b: \"@\"} # @",
            "[a, # @\n b]",
        ] {
            assert_eq!(too_deep(&deep(text)), None, "{text}");
        }
        let wide = "[[], {}], ".repeat(PACK_DEPTH_MAX * 4);
        assert_eq!(too_deep(&format!("[{wide}]")), None);
        assert_eq!(too_deep(&"[".repeat(PACK_DEPTH_MAX)), None);
    }

    #[test]
    fn the_shipped_packs_are_not_deep() {
        for name in super::super::source::embedded_names() {
            let pack = super::super::source::find(name).unwrap();
            assert_eq!(too_deep(&pack.text), None, "{name}");
        }
    }
}
