//! What waits for the group writer, and when a group begins.
//!
//! A commit costs as much as writing several events, so a group is worth waiting for as long as the wait delays nobody: units that
//! wait for the disk gather while a sync runs that cannot cover them, and units for which nobody waits gather for
//! [`COMPANY_WAIT`]. Before that rule 16 callers were served in groups of one to three, and an event fired one by one and handled
//! cost 340 µs of processor time. The group begins as long before the end of the sync as groups take, so that it is committed when
//! the next sync can begin: the disk does not wait for the writer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::sync::Progress;
use super::unit::{Haste, Unit};

/// Rows after which a group is closed, so that an operation that waits meanwhile waits some milliseconds.
pub(super) const GROUP_ROWS_MAX: usize = 5_000;

/// Rows that may wait for the group writer; further units are refused as busy, unless they must run. Some hundred
/// megabytes, and seconds of work: a caller does better to come again.
pub(super) const WAITING_ROWS_MAX: usize = 250_000;

/// Rows for the disk that are no longer held back: writing them takes as long as a sync.
const HELD_ROWS_MAX: usize = 256;

/// How long what nobody waits for is held back for company.
const COMPANY_WAIT: Duration = Duration::from_millis(2);

/// The units that wait, in order.
#[derive(Default)]
pub(super) struct Units {
    units: VecDeque<Box<dyn Unit>>,
    rows: usize,
    /// Somebody waits for the commit of one of them, or what nobody waits for has become much.
    is_urgent: bool,
    disk: Option<Disk>,
    /// When the first unit for which nobody waits came.
    company_since: Option<Instant>,
    /// How long groups took lately.
    usual: Duration,
}

/// The units that wait for the disk.
#[derive(Debug, Clone, Copy)]
struct Disk {
    rows: usize,
    /// Syncs that had ended when the first of them came.
    syncs: u64,
}

/// Whether a group begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Now.
    Now,
    /// When something happens: a unit comes, a sync ends.
    Signal,
    /// Then, or when something happens.
    At(Instant),
}

impl Units {
    /// Adds a unit at the end; `syncs` have ended.
    pub(super) fn push(&mut self, unit: Box<dyn Unit>, syncs: u64) {
        let rows = unit.rows();
        match unit.haste() {
            Haste::Commit => self.is_urgent = true,
            Haste::Disk => self.disk.get_or_insert(Disk { rows: 0, syncs }).rows += rows,
            Haste::Nobody => {
                self.company_since.get_or_insert_with(Instant::now);
            }
        }
        self.rows += rows;
        self.units.push_back(unit);
    }

    /// Whether there is room for more.
    pub(super) fn is_full(&self) -> bool {
        self.rows > WAITING_ROWS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// No longer holds anything back.
    pub(super) fn hurry(&mut self) {
        self.is_urgent |= !self.units.is_empty();
    }

    /// A group took that long.
    pub(super) fn took(&mut self, took: Duration) {
        self.usual = (self.usual * 3 + took) / 4;
    }

    /// When the next group begins.
    pub(super) fn start(&self, syncs: Progress) -> Start {
        if self.units.is_empty() {
            return Start::Signal;
        }
        if self.is_urgent {
            return Start::Now;
        }
        if let Some(disk) = self.disk {
            // At most one sync is waited for: others may ask for one after the other.
            let is_held = syncs.ended == disk.syncs && disk.rows < HELD_ROWS_MAX;
            let begin = syncs.ends_at.and_then(|end| end.checked_sub(self.usual));
            return match begin {
                Some(begin) if is_held && Instant::now() < begin => Start::At(begin),
                _ => Start::Now,
            };
        }
        match self.company_since {
            Some(since) if since.elapsed() < COMPANY_WAIT => Start::At(since + COMPANY_WAIT),
            _ => Start::Now,
        }
    }

    /// Takes the next group.
    pub(super) fn take(&mut self) -> Vec<Box<dyn Unit>> {
        let mut group = Vec::new();
        let mut rows = 0;
        while rows < GROUP_ROWS_MAX {
            let Some(unit) = self.units.pop_front() else { break };
            rows += unit.rows();
            group.push(unit);
        }
        self.rows = self.rows.saturating_sub(rows);
        // What is left was held back long enough.
        self.is_urgent = !self.units.is_empty();
        self.disk = None;
        self.company_since = None;
        group
    }

    /// Takes everything, for refusing it.
    pub(super) fn drain(&mut self) -> VecDeque<Box<dyn Unit>> {
        std::mem::take(self).units
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::contract::{CommitMark, StoreError};

    struct Plain(Haste, usize);

    impl Unit for Plain {
        fn run(&mut self, _: &Connection) -> Result<(), StoreError> {
            Ok(())
        }
        fn committed(&mut self, _: &Result<CommitMark, StoreError>) {}
        fn answer(self: Box<Self>, _: Result<CommitMark, StoreError>) {}
        fn haste(&self) -> Haste {
            self.0
        }
        fn rows(&self) -> usize {
            self.1
        }
    }

    fn some(given: &[(Haste, usize)]) -> Units {
        let mut units = Units::default();
        for (haste, rows) in given {
            units.push(Box::new(Plain(*haste, *rows)), 7);
        }
        units
    }

    /// A sync that runs long enough for the test: `ended` are over.
    fn syncing(ended: u64) -> (Progress, Instant) {
        let end = Instant::now() + Duration::from_secs(3_600);
        (Progress { ended, ends_at: Some(end) }, end)
    }

    fn idle(ended: u64) -> Progress {
        Progress { ended, ends_at: None }
    }

    #[test]
    fn who_waits_for_the_disk_is_held_back_by_the_sync_that_ran_when_it_came_and_by_no_other() {
        let units = some(&[(Haste::Disk, 1)]);
        let (progress, end) = syncing(7);
        assert_eq!(units.start(progress), Start::At(end));
        assert_eq!(units.start(syncing(8).0), Start::Now, "the next sync runs already");
        assert_eq!(units.start(idle(7)), Start::Now, "no sync runs");
    }

    #[test]
    fn a_group_begins_as_long_before_the_end_of_the_sync_as_groups_take() {
        let mut units = some(&[(Haste::Disk, 1)]);
        units.took(Duration::from_millis(400));
        let (progress, end) = syncing(7);
        assert_eq!(
            units.start(progress),
            Start::At(end - Duration::from_millis(100)),
            "a quarter counts"
        );
        units.took(Duration::from_millis(500));
        assert_eq!(units.start(progress), Start::At(end - Duration::from_millis(200)));
        let over = Progress { ended: 7, ends_at: Some(Instant::now()) };
        assert_eq!(
            units.start(over),
            Start::Now,
            "a sync that takes longer than usual holds nothing back"
        );
        units.take();
        units.push(Box::new(Plain(Haste::Disk, 1)), 7);
        assert_eq!(
            units.start(progress),
            Start::At(end - Duration::from_millis(200)),
            "known for the next"
        );
    }

    #[test]
    fn many_rows_for_the_disk_are_written_while_a_sync_runs() {
        assert_eq!(some(&[(Haste::Disk, HELD_ROWS_MAX)]).start(syncing(7).0), Start::Now);
    }

    #[test]
    fn who_waits_for_a_commit_takes_all_others_along_at_once() {
        let mut units = some(&[(Haste::Disk, 1), (Haste::Nobody, 1), (Haste::Commit, 1)]);
        assert_eq!(units.start(syncing(7).0), Start::Now);
        assert_eq!(units.take().len(), 3);
        assert_eq!(units.start(syncing(7).0), Start::Signal, "nothing is left");
    }

    #[test]
    fn what_nobody_waits_for_gathers_company_for_a_while_unless_it_is_much() {
        let mut units = some(&[(Haste::Nobody, 1)]);
        assert!(matches!(units.start(idle(7)), Start::At(_)));
        units.company_since = Instant::now().checked_sub(COMPANY_WAIT);
        assert_eq!(units.start(idle(7)), Start::Now);
        units.company_since = Some(Instant::now());
        units.hurry();
        assert_eq!(units.start(idle(7)), Start::Now);
    }

    #[test]
    fn what_a_full_group_leaves_behind_is_not_held_back_again() {
        let mut units = some(&[(Haste::Disk, GROUP_ROWS_MAX), (Haste::Disk, 1)]);
        assert_eq!(units.take().len(), 1);
        assert_eq!(units.start(syncing(7).0), Start::Now);
        assert_eq!(units.take().len(), 1);
    }
}
