//! What follows a commit: who is to be woken.
//!
//! Differs because nothing of the queues stands in memory: all that is left to do after a commit is to tell.

use std::sync::Arc;

/// Queues that have, or may have, claimable events now, with the earliest due time.
#[derive(Debug, Default)]
pub(super) struct Effects {
    wakes: Vec<(Arc<str>, i64)>,
}

impl Effects {
    /// Notes that an event of `queue` is due at `due`.
    pub(super) fn wake(&mut self, queue: &Arc<str>, due: i64) {
        match self.wakes.iter_mut().find(|(known, _)| known == queue) {
            Some((_, earliest)) => *earliest = (*earliest).min(due),
            None => self.wakes.push((Arc::clone(queue), due)),
        }
    }

    /// Adds what `other` has noted.
    pub(super) fn extend(&mut self, other: &Self) {
        for (queue, due) in &other.wakes {
            self.wake(queue, *due);
        }
    }

    /// Queue and earliest due time, in the order in which they were noted.
    pub(super) fn wakes(&self) -> &[(Arc<str>, i64)] {
        &self.wakes
    }
}
