//! How long something took: by the clock, and of the processors.

use std::time::{Duration, Instant};

/// A stretch of work. On a machine that does other things too, the time of the processors is the steadier of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Took {
    /// By the clock.
    pub(super) wall: Duration,
    /// Of all processors for this process: load generator, server and database together.
    pub(super) processor: Duration,
}

impl Took {
    /// Longer than anything.
    pub(super) const FOREVER: Self = Self { wall: Duration::MAX, processor: Duration::MAX };

    /// The shorter of both, each for itself.
    pub(super) fn min(self, other: Self) -> Self {
        Self { wall: self.wall.min(other.wall), processor: self.processor.min(other.processor) }
    }

    /// The median of both, each for itself; of nothing, [`Took::FOREVER`].
    pub(super) fn median(all: &[Self]) -> Self {
        let median = |of: fn(&Self) -> Duration| {
            let mut sorted: Vec<Duration> = all.iter().map(of).collect();
            sorted.sort_unstable();
            sorted.get(sorted.len() / 2).copied().unwrap_or(Duration::MAX)
        };
        Self { wall: median(|took| took.wall), processor: median(|took| took.processor) }
    }
}

/// A stretch that has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began {
    wall: Instant,
    processor: Duration,
}

impl Began {
    pub(super) fn now() -> Self {
        Self { wall: Instant::now(), processor: processor_time() }
    }

    /// What it took until now.
    pub(super) fn took(self) -> Took {
        Took {
            wall: self.wall.elapsed(),
            processor: processor_time().saturating_sub(self.processor),
        }
    }
}

/// How long `work` took.
///
/// # Errors
/// What `work` answers.
pub(super) fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(Took, T), E> {
    let began = Began::now();
    let value = work()?;
    Ok((began.took(), value))
}

/// User and system time of this process, in steps of ten milliseconds.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program stands in brackets and may hold blanks.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_no_worse_for_one_that_was_held_up() {
        let took = |wall, processor| Took {
            wall: Duration::from_millis(wall),
            processor: Duration::from_millis(processor),
        };
        let rounds = [took(9_000, 2), took(11, 3), took(10, 1)];
        assert_eq!(Took::median(&rounds), took(11, 2));
        assert_eq!(Took::median(&[]), Took::FOREVER);
    }

    #[test]
    fn work_takes_time_of_a_processor() {
        let began = Began::now();
        let mut turns = 0_u64;
        // The first step may be a moment away; between two lie ten milliseconds of work.
        while began.took().processor < Duration::from_millis(20) {
            turns = std::hint::black_box(turns + 1);
        }
        assert!(turns > 0 && began.took().wall >= Duration::from_millis(1));
    }
}
