//! A set of sequences, kept as few ranges: what lies close together becomes one range, with what lies between.

use std::collections::BTreeMap;

/// A gap up to this many is filled. Whoever looks at too much finds nothing there, or what it knows already.
const GAP_FILLED: i64 = 256;

/// Inclusive ranges that do not touch.
#[derive(Debug, Default, Clone)]
pub(super) struct Ranges(BTreeMap<i64, i64>);

impl Ranges {
    /// The sequences from `first` to `last`; none when `last` is smaller.
    pub(super) fn of(first: i64, last: i64) -> Self {
        let mut ranges = Self::default();
        if first <= last {
            ranges.add(first, last);
        }
        ranges
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest sequence.
    pub(super) fn first(&self) -> Option<i64> {
        self.0.first_key_value().map(|(first, _)| *first)
    }

    /// All ranges, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.0.iter().map(|(first, last)| (*first, *last))
    }

    /// How many sequences lie in the ranges.
    pub(super) fn span(&self) -> u64 {
        let length = |(first, last): (i64, i64)| last.abs_diff(first).saturating_add(1);
        self.iter().map(length).fold(0, u64::saturating_add)
    }

    /// Adds the sequences from `first` to `last`.
    pub(super) fn add(&mut self, mut first: i64, mut last: i64) {
        if let Some((near, end)) = self.0.range(..=first).next_back()
            && *end >= first.saturating_sub(GAP_FILLED)
        {
            first = *near;
            last = last.max(*end);
        }
        while let Some((next, end)) = self.0.range(first..=last.saturating_add(GAP_FILLED)).next() {
            let (next, end) = (*next, *end);
            last = last.max(end);
            self.0.remove(&next);
        }
        self.0.insert(first, last);
    }

    /// Adds another set.
    pub(super) fn add_all(&mut self, other: &Self) {
        for (first, last) in other.iter() {
            self.add(first, last);
        }
    }

    /// Takes the first `span` sequences out.
    pub(super) fn take_first(&mut self, span: u64) -> Self {
        let mut taken = Self::default();
        let mut left = span;
        while left > 0
            && let Some((first, last)) = self.0.pop_first()
        {
            let until = last.min(first.saturating_add_unsigned(left - 1));
            taken.0.insert(first, until);
            left -= until.abs_diff(first) + 1;
            if until < last {
                self.0.insert(until + 1, last);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(ranges: &Ranges) -> Vec<(i64, i64)> {
        ranges.iter().collect()
    }

    #[test]
    fn neighbours_become_one_range_whatever_their_order() {
        let mut ranges = Ranges::default();
        for sequence in [5, 1, 3, 2_000, 4, 2, 1_999] {
            ranges.add(sequence, sequence);
        }
        assert_eq!(all(&ranges), [(1, 5), (1_999, 2_000)]);
        ranges.add(200, 1_800);
        assert_eq!(all(&ranges), [(1, 2_000)]);
        assert_eq!((ranges.span(), ranges.first()), (2_000, Some(1)));
    }

    #[test]
    fn what_is_far_away_stays_apart_and_what_is_inside_adds_nothing() {
        let mut ranges = Ranges::of(10, 20);
        ranges.add(1_000, 1_000);
        ranges.add(12, 15);
        assert_eq!(all(&ranges), [(10, 20), (1_000, 1_000)]);
        assert!(Ranges::of(1, 0).is_empty());
    }

    #[test]
    fn taking_divides_a_range_and_loses_nothing() {
        let mut ranges = Ranges::of(1, 10);
        ranges.add(1_000, 1_009);
        let taken = ranges.take_first(14);
        assert_eq!(all(&taken), [(1, 10), (1_000, 1_003)]);
        assert_eq!(all(&ranges), [(1_004, 1_009)]);
        assert_eq!(all(&ranges.take_first(u64::MAX)), [(1_004, 1_009)]);
        assert!(ranges.is_empty() && ranges.take_first(5).is_empty());
    }

    #[test]
    fn every_sequence_that_was_added_is_in_it() {
        let mut ranges = Ranges::default();
        let added: Vec<i64> = (0..500).map(|n: i64| (n * 7_919) % 100_003).collect();
        for sequence in &added {
            ranges.add(*sequence, *sequence);
        }
        let has = |s: &i64| ranges.iter().any(|(first, last)| first <= *s && *s <= last);
        assert!(added.iter().all(has));
        let bounds = all(&ranges);
        assert!(bounds.windows(2).all(|pair| pair[0].1 + GAP_FILLED < pair[1].0), "{bounds:?}");
    }
}
