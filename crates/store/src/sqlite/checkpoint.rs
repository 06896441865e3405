//! Moving the log into the database file, so that the log grows once to its working size and is overwritten ever
//! after (a commit into a log that grows costs nearly twice one that overwrites: 0.29 against 0.16 ms).
//!
//! A thread of its own does the long part with passive checkpoints, which stop nobody; the writer does the last
//! short part between two groups. Only when nothing is left does SQLite begin the log anew. Never a TRUNCATE
//! checkpoint: see `sync`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

/// Pages of new log after which a checkpoint is due: 16 MB at 4 KiB a page.
const DUE_PAGES: u64 = 4_096;

/// What the thread leaves to the writer at most, unless it cannot catch up in [`ROUNDS_MAX`] rounds.
const LAST_PART_PAGES: u64 = 512;

/// Rounds of one checkpoint; while one runs, the log goes on growing.
const ROUNDS_MAX: usize = 8;

/// What the writer and the thread know of the log.
#[derive(Debug, Default)]
pub(in crate::sqlite) struct Checkpoints {
    /// Pages in the log after the last commit.
    log_pages: AtomicU64,
    /// Pages of the log that are in the database file.
    moved_pages: AtomicU64,
    /// Pages of the log when a reader (a backup, for one) held a checkpoint up; 0 when none does. Each try reads and syncs
    /// the log, so the next one waits until as much has come again.
    held_up_at: AtomicU64,
    /// The thread left the last part to the writer.
    last_part_wanted: AtomicBool,
    state: Mutex<State>,
    due: Condvar,
}

#[derive(Debug, Default)]
struct State {
    due: bool,
    stopping: bool,
}

impl Checkpoints {
    /// Counts the pages of each commit of `writer`.
    pub(in crate::sqlite) fn watch(
        self: &Arc<Self>,
        writer: &mut Connection,
    ) -> Result<(), rusqlite::Error> {
        let checkpoints = Arc::clone(self);
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            checkpoints.log_is(u64::try_from(pages).unwrap_or(0));
            Ok(())
        }))
    }

    /// Starts the thread. `nudge_writer` makes the writer look at [`Checkpoints::last_part_wanted`].
    pub(in crate::sqlite) fn start(
        self: &Arc<Self>,
        connection: Connection,
        nudge_writer: impl Fn() + Send + 'static,
    ) -> std::io::Result<JoinHandle<()>> {
        let checkpoints = Arc::clone(self);
        std::thread::Builder::new().name("store-checkpoint".to_owned()).spawn(move || {
            while checkpoints.wait_until_due() {
                checkpoints.move_long_part(&connection);
                if checkpoints.last_part_wanted() {
                    nudge_writer();
                }
            }
        })
    }

    /// Whether the writer should call [`Checkpoints::move_last_part`].
    pub(in crate::sqlite) fn last_part_wanted(&self) -> bool {
        self.last_part_wanted.load(Ordering::Acquire)
    }

    /// Moves what the thread left, on the writer's connection, outside a transaction.
    pub(in crate::sqlite) fn move_last_part(&self, connection: &Connection) {
        self.last_part_wanted.store(false, Ordering::Release);
        self.checkpoint(connection);
    }

    /// Lets the thread end.
    pub(in crate::sqlite) fn stop(&self) {
        self.state.lock().stopping = true;
        self.due.notify_all();
    }

    /// Pages of the log that are not yet in the database file.
    pub(in crate::sqlite) fn pages_to_move(&self) -> u64 {
        let log = self.log_pages.load(Ordering::Relaxed);
        log.saturating_sub(self.moved_pages.load(Ordering::Relaxed))
    }

    fn log_is(&self, pages: u64) {
        if pages < self.log_pages.swap(pages, Ordering::Relaxed) {
            self.moved_pages.store(0, Ordering::Relaxed);
            self.held_up_at.store(0, Ordering::Relaxed);
        }
        let held_up_at = self.held_up_at.load(Ordering::Relaxed);
        let is_worth_a_try = held_up_at == 0 || pages >= held_up_at + DUE_PAGES;
        if is_worth_a_try && self.pages_to_move() >= DUE_PAGES {
            let mut state = self.state.lock();
            if !state.due {
                state.due = true;
                self.due.notify_one();
            }
        }
    }

    fn wait_until_due(&self) -> bool {
        let mut state = self.state.lock();
        while !state.due && !state.stopping {
            self.due.wait(&mut state);
        }
        !state.stopping
    }

    fn move_long_part(&self, connection: &Connection) {
        let mut is_held_up = false;
        for _ in 0..ROUNDS_MAX {
            let moved_before = self.moved_pages.load(Ordering::Relaxed);
            self.checkpoint(connection);
            is_held_up = self.moved_pages.load(Ordering::Relaxed) == moved_before;
            if is_held_up || self.pages_to_move() <= LAST_PART_PAGES {
                break;
            }
        }
        // An old reader can hold the checkpoint up; then later commits ask again.
        let left = self.pages_to_move();
        let held_up_at = if is_held_up { self.log_pages.load(Ordering::Relaxed) } else { 0 };
        self.held_up_at.store(held_up_at, Ordering::Relaxed);
        if left > 0 && left < DUE_PAGES {
            self.last_part_wanted.store(true, Ordering::Release);
        }
        self.state.lock().due = false;
    }

    fn checkpoint(&self, connection: &Connection) {
        let answer = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        match answer {
            Ok((log, moved)) => {
                let moved = u64::try_from(moved).unwrap_or(0);
                self.moved_pages.store(moved, Ordering::Relaxed);
                tracing::debug!(log, moved, "checkpoint");
            }
            // Nothing is lost: what is not moved stays in the log.
            Err(error) => tracing::warn!(%error, "a checkpoint failed, it will be tried again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::connection::{Role, open};
    use super::*;

    struct Bench {
        folder: tempfile::TempDir,
        writer: Connection,
        mover: Connection,
        checkpoints: Arc<Checkpoints>,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("campanile.db");
            let mut writer = open(&file, Role::Writer).unwrap();
            writer.execute_batch("CREATE TABLE pages (page BLOB)").unwrap();
            let checkpoints = Arc::new(Checkpoints::default());
            checkpoints.watch(&mut writer).unwrap();
            let mover = open(&file, Role::Checkpointer).unwrap();
            Self { folder, writer, mover, checkpoints }
        }

        /// Writes until a checkpoint is due.
        fn write_until_due(&self) {
            while !self.checkpoints.state.lock().due {
                self.writer.execute("INSERT INTO pages VALUES (zeroblob(1000000))", []).unwrap();
            }
        }

        fn log_bytes(&self) -> u64 {
            let log = Path::join(self.folder.path(), "campanile.db-wal");
            std::fs::metadata(log).unwrap().len()
        }
    }

    #[test]
    fn the_log_grows_once_and_is_then_overwritten() {
        let bench = Bench::new();
        bench.write_until_due();
        let grown = bench.log_bytes();
        assert!(grown > DUE_PAGES * 4096);
        for _ in 0..2 {
            bench.checkpoints.move_long_part(&bench.mover);
            assert_eq!(bench.checkpoints.pages_to_move(), 0);
            bench.write_until_due();
        }
        assert!(bench.log_bytes() < grown + 2_000_000, "{} after {grown}", bench.log_bytes());
    }

    #[test]
    fn a_reader_that_holds_the_log_is_not_asked_for_with_every_commit() {
        let bench = Bench::new();
        bench.write_until_due();
        let reader = open(&bench.folder.path().join("campanile.db"), Role::Reader).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM pages").unwrap();
        bench.checkpoints.move_long_part(&bench.mover);
        bench.write_until_due();
        bench.checkpoints.move_long_part(&bench.mover);
        let log_before = bench.log_bytes();
        assert!(bench.checkpoints.pages_to_move() >= DUE_PAGES, "the reader holds it up");
        bench.writer.execute("INSERT INTO pages VALUES (zeroblob(1000000))", []).unwrap();
        assert!(!bench.checkpoints.state.lock().due, "one commit later");
        bench.write_until_due();
        assert!(bench.log_bytes() - log_before >= DUE_PAGES * 4_096);
        drop(reader);
        bench.checkpoints.move_long_part(&bench.mover);
        assert_eq!(bench.checkpoints.pages_to_move(), 0);
    }

    #[test]
    fn the_writer_moves_what_came_while_the_long_part_was_moved() {
        let bench = Bench::new();
        bench.write_until_due();
        let reader = open(&bench.folder.path().join("campanile.db"), Role::Reader).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM pages").unwrap();
        bench.writer.execute("INSERT INTO pages VALUES (zeroblob(1000000))", []).unwrap();
        // The open reader holds the checkpoint up: something is left.
        bench.checkpoints.move_long_part(&bench.mover);
        assert!(bench.checkpoints.pages_to_move() > 0);
        assert!(bench.checkpoints.last_part_wanted());
        drop(reader);
        bench.checkpoints.move_last_part(&bench.writer);
        assert_eq!(bench.checkpoints.pages_to_move(), 0);
        assert!(!bench.checkpoints.last_part_wanted());
        let grown = bench.log_bytes();
        bench.writer.execute("INSERT INTO pages VALUES (zeroblob(1000000))", []).unwrap();
        assert_eq!(bench.log_bytes(), grown, "the log began anew");
    }
}
