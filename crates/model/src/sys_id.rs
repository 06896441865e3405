//! The key of every row: 32 characters.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::{Mutex, OnceLock};

use crate::time::Instant;

/// A record's key.
///
/// One that is made here is 32 lower-case hex digits: a UUID v7, so keys rise with time. One given by a
/// caller is any 32 ASCII letters or digits; it is kept as spelled and compared ignoring case.
#[derive(Clone, Copy)]
pub struct SysId([u8; 32]);

/// The text is not 32 ASCII letters or digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no sys_id: expected 32 letters or digits, got {len}", len = .0.chars().count())]
pub struct InvalidSysId(pub String);

impl SysId {
    /// A new key, greater than every key that this process made before, for a row made at `now`.
    #[must_use]
    pub fn generate(now: Instant) -> Self {
        static CONTEXT: OnceLock<Mutex<uuid::ContextV7>> = OnceLock::new();
        let context = CONTEXT.get_or_init(|| Mutex::new(uuid::ContextV7::new()));
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
        let uuid = {
            let context = context.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            uuid::Uuid::new_v7(uuid::Timestamp::from_unix(&*context, millis / 1000, nanos))
        };
        let mut text = [0u8; 32];
        uuid.simple().encode_lower(&mut text);
        Self(text)
    }

    /// The key as it was spelled.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether `text` could be a key.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        text.len() == 32 && text.bytes().all(|b| b.is_ascii_alphanumeric())
    }
}

impl FromStr for SysId {
    type Err = InvalidSysId;

    fn from_str(text: &str) -> Result<Self, InvalidSysId> {
        if !Self::is_valid(text) {
            return Err(InvalidSysId(text.to_owned()));
        }
        let mut bytes = [0u8; 32];
        bytes.copy_from_slice(text.as_bytes());
        Ok(Self(bytes))
    }
}

impl PartialEq for SysId {
    fn eq(&self, other: &Self) -> bool {
        // Nearly all keys are made here and spelled alike.
        self.0 == other.0 || self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for SysId {}

impl Hash for SysId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0.to_ascii_lowercase());
    }
}

impl PartialOrd for SysId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SysId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.to_ascii_lowercase().cmp(&other.0.to_ascii_lowercase())
    }
}

impl fmt::Display for SysId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SysId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_keys_rise_even_within_one_millisecond() {
        let now = Instant::from_millis(1_700_000_000_000);
        let keys: Vec<_> = (0..1000).map(|_| SysId::generate(now)).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(keys[0].as_str().bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    }

    #[test]
    fn spelling_is_kept_and_case_is_ignored() {
        let upper: SysId = "AAAABBBBCCCCDDDDEEEEFFFF00001111".parse().unwrap();
        let lower: SysId = "aaaabbbbccccddddeeeeffff00001111".parse().unwrap();
        assert_eq!(upper, lower);
        assert_eq!(upper.to_string(), "AAAABBBBCCCCDDDDEEEEFFFF00001111");
    }

    #[test]
    fn other_forms_are_refused() {
        for text in
            ["", "short", "AAAABBBBCCCCDDDDEEEEFFFF0000111-", "äAAABBBBCCCCDDDDEEEEFFFF000011"]
        {
            assert!(text.parse::<SysId>().is_err(), "{text}");
        }
    }
}
