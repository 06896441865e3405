//! A hash of what somebody sent, kept beside an idempotency key: whether a second call says the same.

/// A hash that is the same on every machine and in every version: FNV-1a, 64 bit. Each part is closed by a
/// byte that no text holds, so that `("a", "bc")` and `("ab", "c")` differ.
#[derive(Debug, Clone, Copy)]
pub struct ContentHash(u64);

impl ContentHash {
    /// Of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// With one more part.
    #[must_use]
    pub fn part(self, part: &str) -> Self {
        self.bytes(part.as_bytes())
    }

    /// With one more part that need not be a text.
    #[must_use]
    pub fn bytes(self, part: &[u8]) -> Self {
        let hash = part.iter().chain(&[0xff]).fold(self.0, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(hash)
    }

    /// The number.
    #[must_use]
    pub fn finish(self) -> u64 {
        self.0
    }
}

impl Default for ContentHash {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_content_do_not_run_into_each_other() {
        let hash =
            |parts: &[&str]| parts.iter().fold(ContentHash::new(), |h, p| h.part(p)).finish();
        assert_ne!(hash(&["a", "bc"]), hash(&["ab", "c"]));
        assert_ne!(hash(&["", "a"]), hash(&["a", ""]));
        assert_eq!(hash(&["a", "b"]), hash(&["a", "b"]));
    }
}
