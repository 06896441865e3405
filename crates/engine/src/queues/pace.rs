//! How many events one claim takes: many while they are quick, few while they are slow, so that an idle processor
//! of the same queue finds some too.

/// Handling time that one claim should hold, in milliseconds.
const BATCH_MS: f64 = 20.0;
/// So many claims' worth of events may be claimed ahead for one processor (a second's): fired faster than they are handled,
/// they need no claim of their own, and others wait no longer for them than that.
const AHEAD_BATCHES: usize = 50;
/// Before anything is known.
const BATCH_FIRST: usize = 16;
/// Weight of the newest event in the running mean.
const WEIGHT: f64 = 0.2;

/// The mean handling time of a processor's recent events.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    mean_ms: Option<f64>,
}

impl Pace {
    /// Size of the next claim, at most `limit` and at least 1.
    #[must_use]
    pub fn batch(&self, limit: usize) -> usize {
        let wanted = match self.mean_ms {
            None => BATCH_FIRST,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 20,000"
            )]
            Some(mean) => (BATCH_MS / mean.max(0.001)) as usize,
        };
        wanted.clamp(1, limit.max(1))
    }

    /// How many events may be claimed ahead; none while they are slow, or while nobody knows.
    #[must_use]
    pub fn ahead(&self, limit: usize) -> usize {
        match self.batch(limit) {
            0 | 1 => 0,
            _ if !self.is_known() => 0,
            batch => batch * AHEAD_BATCHES,
        }
    }

    /// Whether an event was handled before.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.mean_ms.is_some()
    }

    /// One event took this long.
    pub fn note(&mut self, duration_ms: i64) {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of one event")]
        let duration = duration_ms.max(0) as f64;
        self.mean_ms =
            Some(self.mean_ms.map_or(duration, |mean| mean + WEIGHT * (duration - mean)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_events_are_claimed_in_full_batches_and_slow_ones_singly() {
        let mut pace = Pace::default();
        assert_eq!(pace.batch(100), BATCH_FIRST);
        (0..50).for_each(|_| pace.note(0));
        assert_eq!(pace.batch(100), 100);
        (0..50).for_each(|_| pace.note(1_000));
        assert_eq!(pace.batch(100), 1);
        (0..100).for_each(|_| pace.note(0));
        assert_eq!(pace.batch(100), 100, "it recovers");
        assert_eq!(pace.batch(0), 1, "a claim takes something");
    }

    #[test]
    fn a_second_of_quick_events_may_be_claimed_ahead_and_no_slow_ones() {
        let mut pace = Pace::default();
        assert_eq!(pace.ahead(100), 0, "nobody knows");
        (0..50).for_each(|_| pace.note(0));
        assert_eq!(pace.ahead(100), 5_000);
        assert_eq!(pace.ahead(1), 0, "each is to be claimed by itself");
        (0..50).for_each(|_| pace.note(5));
        assert_eq!(pace.ahead(100), 200);
        (0..50).for_each(|_| pace.note(30));
        assert_eq!(pace.ahead(100), 0);
    }
}
