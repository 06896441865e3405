//! A queue: one row of `sysevent_queue` (§1.4), as the processors need it.

use std::sync::Arc;
use std::time::Duration;

use crate::placement::Placement;
use crate::sys_id::SysId;

/// The row that stands for the default queue; on events it is the empty text.
pub const DEFAULT_QUEUE_ROW: &str = "default";

/// How the events of a queue follow each other (§4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum QueueOrder {
    /// Claims follow priority and arrival; what is being handled delays nothing else.
    #[default]
    Parallel,
    /// The next event about a record starts when the previous one about it has ended; others run beside it.
    ByRecord,
    /// The next event starts when the previous one has ended, in the whole cluster.
    Sequential,
}

impl QueueOrder {
    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parallel => "parallel",
            Self::ByRecord => "by_record",
            Self::Sequential => "sequential",
        }
    }

    /// Reads the stored word; an unknown one is `Parallel`.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        const ALL: [QueueOrder; 2] = [QueueOrder::ByRecord, QueueOrder::Sequential];
        ALL.into_iter().find(|order| order.as_str() == word).unwrap_or_default()
    }
}

/// One queue's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueDef {
    /// Name as on events: empty for the default queue.
    pub name: Arc<str>,
    /// Inactive: events are accepted and wait, none is claimed.
    pub active: bool,
    /// How many processors it has, and where.
    pub placement: Placement,
    /// Whether its events follow each other.
    pub order: QueueOrder,
    /// An event that ends in error stops it, when it is sequential.
    pub halts_on_error: bool,
    /// Fallback for a lost wake-up.
    pub poll_interval: Duration,
    /// Most events taken in one claim.
    pub claim_limit: usize,
    /// Attempts per epoch.
    pub max_attempts: i64,
    /// Delay before attempt 2; doubles each time, at most an hour.
    pub retry_backoff: Duration,
    /// Limit per handler run.
    pub handler_timeout: Duration,
    /// Made by the engine because an unknown name was used.
    pub provisional: bool,
    /// Key of the row, and how often it was changed: two definitions that look alike may have had another between them.
    pub revision: (Option<SysId>, i64),
}

/// Why a text is no queue name, with the nearest name that is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{name}' is no queue name: expected lower-case letters, digits and underscores, beginning with a \
     letter, in segments joined by dots, at most 100 characters; the nearest valid name is '{suggestion}'"
)]
pub struct InvalidQueueName {
    /// The refused text.
    pub name: String,
    /// A valid name near to it.
    pub suggestion: String,
}

/// The queue name that events carry for what a caller wrote: empty for `default`, `DEFAULT` and the empty text.
///
/// # Errors
/// [`InvalidQueueName`] when it does not match `^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$` or is over 100 characters.
pub fn normalise_queue_name(name: &str) -> Result<&str, InvalidQueueName> {
    if name.is_empty() || name.eq_ignore_ascii_case(DEFAULT_QUEUE_ROW) {
        return Ok("");
    }
    let segment = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_lowercase())
            && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if name.len() <= crate::limits::QUEUE_NAME_CHARS_MAX && name.split('.').all(segment) {
        return Ok(name);
    }
    Err(InvalidQueueName { name: name.to_owned(), suggestion: suggest(name) })
}

fn suggest(name: &str) -> String {
    let folded: String = name
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' { c } else { '_' })
        .take(crate::limits::QUEUE_NAME_CHARS_MAX)
        .collect();
    let segments: Vec<String> = folded
        .split('.')
        .map(|s| {
            s.trim_matches('_').trim_start_matches(|c: char| !c.is_ascii_lowercase()).to_owned()
        })
        .filter(|s| !s.is_empty())
        .collect();
    if segments.is_empty() { "queue".to_owned() } else { segments.join(".") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_is_refused_with_the_nearest_valid_one() {
        let refused = normalise_queue_name("My Queue!").unwrap_err();
        assert_eq!(refused.suggestion, "my_queue");
        assert_eq!(normalise_queue_name(&refused.suggestion), Ok("my_queue"));
    }

    #[test]
    fn three_spellings_mean_the_default_queue() {
        for name in ["", "default", "DEFAULT"] {
            assert_eq!(normalise_queue_name(name), Ok(""));
        }
    }

    #[test]
    fn segments_are_checked_one_by_one() {
        assert_eq!(normalise_queue_name("sn_nb_action.ra_1"), Ok("sn_nb_action.ra_1"));
        for name in ["a..b", ".a", "a.", "1a", "a b", "a-b", "a.1b"] {
            assert!(normalise_queue_name(name).is_err(), "{name}");
        }
    }
}
