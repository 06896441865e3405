//! The states of an event and the moves between them.
//!
//! This enum, the picture in `docs/events.md` and the `CHECK` in the database schema say the same; a test
//! holds them together.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where an event stands (events-and-jobs §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventState {
    /// Stored, waiting to be processed: now, or at `process_on`.
    Ready,
    /// Claimed by a processor.
    Queued,
    /// Handling ended without an error; nothing needs to have reacted.
    Processed,
    /// Handling met an error.
    Error,
    /// Rotation closed its shard before it was processed; a duplicate carries on.
    Transferred,
    /// Withdrawn by a person while it was still waiting.
    Cancelled,
}

impl EventState {
    /// All states, in the order of the reference.
    pub const ALL: [Self; 6] = [
        Self::Ready,
        Self::Queued,
        Self::Processed,
        Self::Error,
        Self::Transferred,
        Self::Cancelled,
    ];

    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Queued => "queued",
            Self::Processed => "processed",
            Self::Error => "error",
            Self::Transferred => "transferred",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the table of transitions (§2.2, T2–T14) allows going from `self` to `next`. Move and
    /// reschedule (T11, T12) stay in `ready`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use EventState::{Cancelled, Error, Processed, Queued, Ready, Transferred};
        match self {
            Ready => matches!(next, Ready | Queued | Transferred | Cancelled),
            Queued => matches!(next, Ready | Processed | Error),
            Processed | Error | Cancelled => matches!(next, Ready),
            Transferred => false,
        }
    }

    /// Whether the event stands in the small live table (`ready`, `queued`) and not in the log.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Ready | Self::Queued)
    }
}

impl fmt::Display for EventState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no event state: expected ready, queued, processed, error, transferred or cancelled"
)]
pub struct UnknownState(pub String);

impl FromStr for EventState {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| UnknownState(word.to_owned()))
    }
}
