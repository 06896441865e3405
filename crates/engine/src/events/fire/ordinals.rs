//! Counting equal events of one run, so that a re-run after a crash makes the same keys (§3.7).

use std::collections::HashMap;

/// How often each content was fired in one run. One per execution.
///
/// When a record operation is rolled back and tried again, go back to where it began: what it fired then was
/// never stored.
#[derive(Debug, Default)]
pub struct FireOrdinals {
    seen: HashMap<u64, u32>,
    journal: Vec<u64>,
}

impl FireOrdinals {
    /// The number of earlier events with this content, which is counted from now on.
    pub(super) fn next(&mut self, content: u64) -> u32 {
        self.journal.push(content);
        let count = self.seen.entry(content).or_insert(0);
        *count += 1;
        *count - 1
    }

    /// Where the count stands.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.journal.len()
    }

    /// Forgets what was counted since `mark`.
    pub fn go_back(&mut self, mark: usize) {
        for content in self.journal.drain(mark.min(self.journal.len())..) {
            if let Some(count) = self.seen.get_mut(&content) {
                *count = count.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rolled_back_operation_counts_anew_and_others_go_on() {
        let mut ordinals = FireOrdinals::default();
        assert_eq!((ordinals.next(7), ordinals.next(7), ordinals.next(8)), (0, 1, 0));
        let mark = ordinals.mark();
        assert_eq!((ordinals.next(7), ordinals.next(9)), (2, 0));
        ordinals.go_back(mark);
        assert_eq!((ordinals.next(7), ordinals.next(9), ordinals.next(8)), (2, 0, 1));
    }
}
