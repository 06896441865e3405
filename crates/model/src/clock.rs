//! Where time comes from.
//!
//! Everything that asks for the time asks a [`Clock`] that was handed to it; tests hand in a
//! [`ManualClock`] and move it, they do not sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::time::Instant;

/// A source of the present instant (UTC, milliseconds).
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present instant. May go backwards when the machine's clock is set.
    fn now(&self) -> Instant;

    /// Whether it follows the machine's clock, which may be wrong. One that a test moves is always right.
    fn may_be_wrong(&self) -> bool {
        false
    }
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

    fn may_be_wrong(&self) -> bool {
        true
    }
}

/// Another clock, put right by a number of milliseconds: machines that share a database tell its time by it.
#[derive(Debug)]
pub struct CorrectedClock {
    inner: Arc<dyn Clock>,
    correction: AtomicI64,
}

impl CorrectedClock {
    /// Shows what `inner` shows and `correction` milliseconds more.
    #[must_use]
    pub fn new(inner: Arc<dyn Clock>, correction: i64) -> Self {
        Self { inner, correction: AtomicI64::new(correction) }
    }

    /// What the clock shows that is put right.
    #[must_use]
    pub fn uncorrected(&self) -> Instant {
        self.inner.now()
    }

    /// The milliseconds that are added.
    #[must_use]
    pub fn correction(&self) -> i64 {
        self.correction.load(Ordering::Relaxed)
    }

    /// Adds so many milliseconds from now on.
    pub fn correct(&self, millis: i64) {
        self.correction.store(millis, Ordering::Relaxed);
    }
}

impl Clock for CorrectedClock {
    fn now(&self) -> Instant {
        self.inner.now().plus_millis(self.correction())
    }

    fn may_be_wrong(&self) -> bool {
        self.inner.may_be_wrong()
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
