//! Many durations as a few numbers.

use std::time::Duration;

/// Durations, sorted.
#[derive(Debug, Clone, Default)]
pub(super) struct Spread(Vec<Duration>);

impl Spread {
    pub(super) fn new(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    /// The duration that `percent` of them do not exceed, in milliseconds; 0 of none.
    pub(super) fn percentile_ms(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(rank).map_or(0.0, |duration| duration.as_secs_f64() * 1e3)
    }
}

/// How many of `count` a second.
pub(super) fn per_second(count: usize, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = count as f64;
    count / took.as_secs_f64().max(1e-9)
}

/// Microseconds for one of `count`.
pub(super) fn micros_each(count: usize, took: Duration) -> f64 {
    1e6 / per_second(count, took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let spread = Spread::new((1..=200).rev().map(Duration::from_millis).collect());
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(spread.percentile_ms(50), 100.0));
        assert!(close(spread.percentile_ms(99), 198.0));
        assert!(close(Spread::default().percentile_ms(99), 0.0));
    }

    #[test]
    fn rates_and_costs_are_each_others_inverse() {
        assert!((per_second(500, Duration::from_millis(250)) - 2_000.0).abs() < 1e-6);
        assert!((micros_each(500, Duration::from_millis(250)) - 500.0).abs() < 1e-6);
    }
}
