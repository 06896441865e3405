//! How long idempotency keys live. The store reads no property: every call brings what this says.

use std::fmt;

use campanile_model::Instant;
use campanile_model::limits::IDEMPOTENCY_KEY_MS;

use crate::engine::Engine;

/// The property.
const IDEMPOTENCY_HOURS: &str = "campanile.http.idempotency_hours";

const HOUR_MS: i64 = 60 * 60 * 1000;

/// How long keys live: those of rows and those of events, which share one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyLife {
    hours: i64,
}

impl KeyLife {
    /// What the property says now.
    pub(crate) fn of(engine: &Engine) -> Self {
        Self { hours: engine.int_property(IDEMPOTENCY_HOURS, IDEMPOTENCY_KEY_MS / HOUR_MS) }
    }

    /// In milliseconds.
    pub(crate) fn as_millis(self) -> i64 {
        self.hours.saturating_mul(HOUR_MS)
    }

    /// Keys that were used at this moment or before are free again.
    pub(crate) fn forgotten_at(self, now: Instant) -> Instant {
        now.plus_millis(-self.as_millis())
    }
}

/// For messages: `the last hour`, `the last 24 hours`.
impl fmt::Display for KeyLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hours {
            1 => f.write_str("the last hour"),
            hours => write!(f, "the last {hours} hours"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_told_as_people_say_it() {
        let told = |hours| KeyLife { hours }.to_string();
        assert_eq!((told(1).as_str(), told(24).as_str()), ("the last hour", "the last 24 hours"));
    }
}
