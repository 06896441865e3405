//! Where time comes from.
//!
//! Everything that asks for the time asks a [`Clock`] that was handed to it; tests hand in a
//! [`ManualClock`] and move it, they do not sleep.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::time::Instant;

/// A source of the present instant (UTC, milliseconds).
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present instant. May go backwards when the machine's clock is set.
    fn now(&self) -> Instant;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Instant::from_millis(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub fn starting_at(start: Instant) -> Self {
        Self(AtomicI64::new(start.as_millis()))
    }

    /// Moves the clock forward (or, with a negative number, back) by `millis`.
    pub fn advance_millis(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the clock to `instant`.
    pub fn set(&self, instant: Instant) {
        self.0.store(instant.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        Instant::from_millis(self.0.load(Ordering::SeqCst))
    }
}
