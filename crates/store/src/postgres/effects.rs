//! What follows a commit: who is to be woken.
//!
//! Differs because nothing of the queues stands in memory: all that is left to do after a commit is to tell.

use std::sync::Arc;

use super::turns::Arriving;

/// Queues that have, or may have, claimable events now.
#[derive(Debug, Default)]
pub(super) struct Effects {
    wakes: Vec<Wake>,
    /// Events that have yet to arrive in queues that keep an order: part of the commit.
    pub(super) arriving: Vec<Arriving>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wake {
    pub(super) queue: Arc<str>,
    /// Where the events stand, in distributed mode.
    pub(super) partition: Option<i64>,
    /// The earliest due time.
    pub(super) due: i64,
}

impl Effects {
    /// Notes that an event of `queue`, in `partition` in distributed mode, is due at `due`.
    pub(super) fn wake(&mut self, queue: &Arc<str>, partition: Option<i64>, due: i64) {
        let same = |known: &&mut Wake| known.queue == *queue && known.partition == partition;
        match self.wakes.iter_mut().find(same) {
            Some(known) => known.due = known.due.min(due),
            None => self.wakes.push(Wake { queue: Arc::clone(queue), partition, due }),
        }
    }

    /// Adds what `other` has noted.
    pub(super) fn extend(&mut self, other: &Self) {
        for Wake { queue, partition, due } in &other.wakes {
            self.wake(queue, *partition, *due);
        }
    }

    /// In the order in which they were noted.
    pub(super) fn wakes(&self) -> &[Wake] {
        &self.wakes
    }
}
