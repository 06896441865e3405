//! The index on the instance of finished events, filled behind.
//!
//! A completion touches no index on a random value. What enters the log is noted here, in memory, before it is
//! committed; a thread of its own puts it into `sysevent_log_instance` when the house is quiet, or when much waits,
//! sorted, in short units of the group writer. A search looks into the index and through what is not in it yet
//! ([`super::event_search`]). After a crash that is everything above a mark, until the thread has been there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::ranges::Ranges;
use crate::contract::StoreError;

/// Sequences that one round reads and sorts: some ten megabytes. So many are not left waiting for a quiet time.
const ROUND_SPAN: u64 = 100_000;

/// Rounds that a reader's snapshot may lag behind; an older one looks through the whole log.
const ROUNDS_REMEMBERED: usize = 16;

/// Without a new row for so long, the house is quiet.
const QUIET: Duration = Duration::from_secs(1);

/// Rest between two units of a round while it is not quiet.
const REST: Duration = Duration::from_millis(20);

/// Rest after a round that failed, for example because the disk is full.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What is in the log and not in the index, as far as anybody can know.
#[derive(Debug, Default)]
pub(super) struct LogIndex {
    state: Mutex<State>,
    /// Something waits, or the thread is to stop.
    filled: Condvar,
    /// Rows noted so far.
    noted: AtomicU64,
    /// One round at a time.
    pub(super) round: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Ranges,
    /// What the present round has taken.
    in_hand: Ranges,
    /// What the last rounds have put in, with the generation since when it is there.
    done: VecDeque<(i64, Ranges)>,
    generation: i64,
    stopping: bool,
}

impl LogIndex {
    /// Reads how far the index is. What may be missing is all that entered the log above the mark, unless the store was
    /// closed with nothing missing; from now on something may be.
    ///
    /// # Errors
    /// What SQLite said.
    pub(super) fn open(&self, connection: &Connection, newest: i64) -> Result<(), StoreError> {
        let (generation, low, complete) = connection.query_row(
            "SELECT generation, low, complete FROM sysevent_log_indexing",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, bool>(2)?)),
        )?;
        if complete {
            connection.execute("UPDATE sysevent_log_indexing SET complete = 0", [])?;
        }
        let mut state = self.state.lock();
        state.generation = generation;
        state.waiting = if complete { Ranges::default() } else { Ranges::of(low, newest) };
        Ok(())
    }

    /// Notes that the event with this sequence is about to enter the log. To be called before the commit; for one
    /// that does not enter it after all, nothing is lost.
    pub(super) fn note(&self, sequence: i64) {
        let was_empty = {
            let mut state = self.state.lock();
            let was_empty = state.waiting.is_empty();
            state.waiting.add(sequence, sequence);
            was_empty
        };
        self.noted.fetch_add(1, Ordering::Relaxed);
        if was_empty {
            self.filled.notify_all();
        }
    }

    /// Where a reader whose snapshot has this generation must look beside the index, as a JSON list of `[first, last]`.
    pub(super) fn missing(&self, generation: i64) -> String {
        let state = self.state.lock();
        let oldest = state.done.front().map_or(state.generation, |(since, _)| *since - 1);
        if generation < oldest {
            return format!("[[0,{}]]", i64::MAX);
        }
        let mut missing = state.waiting.clone();
        missing.add_all(&state.in_hand);
        for (since, ranges) in &state.done {
            if *since > generation {
                missing.add_all(ranges);
            }
        }
        let list: Vec<String> =
            missing.iter().map(|(first, last)| format!("[{first},{last}]")).collect();
        format!("[{}]", list.join(","))
    }

    /// About how many rows are not in the index.
    pub(super) fn span_missing(&self) -> u64 {
        let state = self.state.lock();
        state.waiting.span().saturating_add(state.in_hand.span())
    }

    /// Takes the next sequences into hand. Returns them; none when nothing waits.
    pub(super) fn take(&self) -> Ranges {
        let mut state = self.state.lock();
        let taken = state.waiting.take_first(ROUND_SPAN);
        state.in_hand = taken.clone();
        taken
    }

    /// Leaves what was taken waiting.
    pub(super) fn put_back(&self) {
        let mut state = self.state.lock();
        let taken = std::mem::take(&mut state.in_hand);
        state.waiting.add_all(&taken);
    }

    /// What was taken is in the index since `generation`.
    pub(super) fn finish(&self, generation: i64) {
        let mut state = self.state.lock();
        let taken = std::mem::take(&mut state.in_hand);
        state.generation = generation;
        state.done.push_back((generation, taken));
        if state.done.len() > ROUNDS_REMEMBERED {
            state.done.pop_front();
        }
    }

    /// The first sequence that waits.
    pub(super) fn first_waiting(&self) -> Option<i64> {
        self.state.lock().waiting.first()
    }

    /// Waits until a round is worth its while. Returns false when the thread is to end.
    pub(super) fn wait_until_due(&self) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
                return false;
            }
            if state.waiting.is_empty() {
                self.filled.wait(&mut state);
                continue;
            }
            if state.waiting.span() >= ROUND_SPAN {
                return true;
            }
            let before = self.noted.load(Ordering::Relaxed);
            self.filled.wait_for(&mut state, QUIET);
            if !state.stopping && before == self.noted.load(Ordering::Relaxed) {
                return true;
            }
        }
    }

    /// Between two units of a round: rests while others work. Returns false when the thread is to end.
    pub(super) fn rest_while_busy(&self, noted_before: &mut u64) -> bool {
        let noted = self.noted.load(Ordering::Relaxed);
        let is_busy = std::mem::replace(noted_before, noted) != noted;
        let mut state = self.state.lock();
        if is_busy && !state.stopping {
            self.filled.wait_for(&mut state, REST);
        }
        !state.stopping
    }

    /// Rests after a round that failed.
    pub(super) fn wait_after_failure(&self) {
        let mut state = self.state.lock();
        if !state.stopping {
            self.filled.wait_for(&mut state, REST_AFTER_FAILURE);
        }
    }

    /// Rows noted so far.
    pub(super) fn noted(&self) -> u64 {
        self.noted.load(Ordering::Relaxed)
    }

    /// Lets the thread end.
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.filled.notify_all();
    }

    /// Whether nothing is missing.
    pub(super) fn is_complete(&self) -> bool {
        let state = self.state.lock();
        state.waiting.is_empty() && state.in_hand.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_looks_where_its_snapshot_has_no_index_yet() {
        let index = LogIndex::default();
        index.note(7);
        assert_eq!(index.missing(0), "[[7,7]]");
        assert_eq!(index.take().first(), Some(7));
        assert_eq!(index.missing(0), "[[7,7]]", "in hand is not in the index");
        index.note(5_000);
        index.finish(1);
        assert_eq!(index.missing(0), "[[7,7],[5000,5000]]", "an older snapshot does not have it");
        assert_eq!(index.missing(1), "[[5000,5000]]");
    }

    #[test]
    fn a_reader_that_is_too_old_looks_through_everything() {
        let index = LogIndex::default();
        for generation in 1..=i64::try_from(ROUNDS_REMEMBERED).unwrap() + 1 {
            index.note(generation * 1_000);
            index.take();
            index.finish(generation);
        }
        assert_eq!(index.missing(0), format!("[[0,{}]]", i64::MAX));
        assert!(index.missing(1).starts_with("[[2000,2000],"));
    }

    #[test]
    fn what_a_round_could_not_do_waits_again() {
        let index = LogIndex::default();
        index.note(7);
        index.take();
        index.put_back();
        assert_eq!((index.first_waiting(), index.is_complete()), (Some(7), false));
    }
}
