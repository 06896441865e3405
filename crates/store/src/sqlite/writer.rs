//! The one write connection and who has it.
//!
//! It is handed over, never shared: to the group writer, a thread that takes all *units* that wait as one
//! transaction, in which each is kept or undone alone; and to a record operation, which takes a [`Turn`]. Commits, and what has to
//! happen in their order ([`Unit::committed`], hooks of a turn), happen while the connection is held; answers
//! are given afterwards, for durable units by the sync thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::Connection;

use super::checkpoint::Checkpoints;
use super::failure::{closed, located};
use super::group;
use super::sync::Durability;
use super::turn::Turn;
use super::unit::Unit;
use super::units::{Start, Units};
use super::waited::Waited;
use crate::contract::{CommitMark, StoreError};

/// Hands out the write connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::sqlite) struct Writer {
    shared: Arc<Shared>,
}

/// What the writer's users share.
pub(in crate::sqlite) struct Shared {
    /// `None` once the store is closed.
    connection: Arc<Mutex<Option<Connection>>>,
    queue: Mutex<Queue>,
    /// Units came, a sync ended, the last part of a checkpoint is wanted, or the thread is to stop.
    filled: Condvar,
    /// The group writer waits, or is about to wait, for the connection.
    group_waits: AtomicBool,
    pub(in crate::sqlite) durability: Arc<Durability>,
    checkpoints: Arc<Checkpoints>,
    pub(in crate::sqlite) place: PathBuf,
    patience: Duration,
    pub(in crate::sqlite) measured: Measured,
}

#[derive(Default)]
struct Queue {
    waiting: Units,
    stopping: bool,
}

/// Counts of the writer since the start.
#[derive(Debug, Default)]
pub(in crate::sqlite) struct Measured {
    pub(in crate::sqlite) groups: AtomicU64,
    pub(in crate::sqlite) units: AtomicU64,
    pub(in crate::sqlite) operations: AtomicU64,
    pub(in crate::sqlite) operation_hold_us: AtomicU64,
    pub(in crate::sqlite) operation_hold_us_max: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What a writer is made of.
pub(in crate::sqlite) struct Parts {
    pub(in crate::sqlite) connection: Connection,
    pub(in crate::sqlite) durability: Arc<Durability>,
    pub(in crate::sqlite) checkpoints: Arc<Checkpoints>,
    pub(in crate::sqlite) file: PathBuf,
    /// How long an operation waits for its turn.
    pub(in crate::sqlite) patience: Duration,
}

impl Writer {
    pub(in crate::sqlite) fn new(parts: Parts) -> Self {
        let Parts { connection, durability, checkpoints, file, patience } = parts;
        let writer = Self {
            shared: Arc::new(Shared {
                connection: Arc::new(Mutex::new(Some(connection))),
                queue: Mutex::new(Queue::default()),
                filled: Condvar::new(),
                group_waits: AtomicBool::new(false),
                durability,
                checkpoints,
                place: file,
                patience,
                measured: Measured::default(),
            }),
        };
        // Weak: the thread of the syncs lives as long as its `Durability`, which the writer has.
        let shared = Arc::downgrade(&writer.shared);
        writer.shared.durability.set_listener(Box::new(move || {
            if let Some(shared) = shared.upgrade() {
                shared.nudge();
            }
        }));
        writer
    }

    /// Starts the group writer's thread.
    pub(in crate::sqlite) fn start(&self) -> std::io::Result<JoinHandle<()>> {
        let shared = Arc::clone(&self.shared);
        std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            let last = RefuseTheRest(shared);
            while last.0.run_once() {}
        })
    }

    /// The database file.
    pub(in crate::sqlite) fn file(&self) -> &Path {
        &self.shared.place
    }

    /// Counts since the start.
    pub(in crate::sqlite) fn measured(&self) -> &Measured {
        &self.shared.measured
    }

    /// Hands `unit` to the group writer. Units run in the order in which they were handed in.
    pub(in crate::sqlite) fn submit(&self, unit: Box<dyn Unit>) {
        let refusal = {
            let mut queue = self.shared.queue.lock();
            if queue.stopping {
                closed(&self.shared.place)
            } else if queue.waiting.is_full() && !unit.must_run() {
                StoreError::Busy { waited_ms: 0 }
            } else {
                queue.waiting.push(unit, self.shared.durability.progress().ended);
                self.shared.filled.notify_one();
                return;
            }
        };
        refuse(unit, &refusal);
    }

    /// Runs `work` in the group writer and waits for its commit (not for the disk). `committed` is called with the
    /// result in the order of commits, before this returns.
    pub(in crate::sqlite) fn run_and_wait<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        committed: impl FnOnce(&T, CommitMark) + Send + 'static,
    ) -> Result<(T, CommitMark), StoreError> {
        let (tell, told) = mpsc::sync_channel(1);
        self.submit(Box::new(Waited::new(Box::new(work), Box::new(committed), tell)));
        // The channel is dropped unanswered only when the writer's thread died.
        told.recv().unwrap_or_else(|_| Err(closed(&self.shared.place)))
    }

    /// Waits for the connection and begins a transaction.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when it does not come in time; [`StoreError::Unavailable`] when closed or broken.
    pub(in crate::sqlite) fn turn(&self) -> Result<Turn, StoreError> {
        if let Some(error) = self.shared.durability.failure() {
            return Err(error);
        }
        let asked = Instant::now();
        let Some(guard) = self.shared.connection.try_lock_arc_for(self.shared.patience) else {
            let waited_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
            return Err(StoreError::Busy { waited_ms });
        };
        Turn::begin(Arc::clone(&self.shared), guard)
    }

    /// What was handed in is no longer held back for company.
    pub(in crate::sqlite) fn hurry(&self) {
        self.shared.queue.lock().waiting.hurry();
        self.shared.filled.notify_one();
    }

    /// Makes the group writer look whether the last part of a checkpoint is wanted.
    pub(in crate::sqlite) fn nudge(&self) {
        self.shared.nudge();
    }

    /// Lets the thread finish what waits and end; further units are refused.
    pub(in crate::sqlite) fn stop(&self) {
        self.shared.queue.lock().stopping = true;
        self.shared.filled.notify_all();
    }

    /// Closes the connection: waits for whoever holds it.
    pub(in crate::sqlite) fn close(&self) -> Result<(), StoreError> {
        match self.shared.connection.lock().take() {
            Some(connection) => {
                connection.close().map_err(|(_, error)| located(error.into(), &self.shared.place))
            }
            None => Ok(()),
        }
    }
}

impl Shared {
    /// Whether a fair handover is due: the group writer waits.
    pub(in crate::sqlite) fn group_waits(&self) -> bool {
        self.group_waits.load(Ordering::Acquire)
            || self.queue.lock().waiting.start(self.durability.progress()) == Start::Now
    }

    fn nudge(&self) {
        // Under the lock, so that the thread is either waiting or has yet to look.
        let _queue = self.queue.lock();
        self.filled.notify_one();
    }

    /// Waits for the time of the next group. Returns whether there is one.
    fn wait_for_group(&self) -> bool {
        let mut queue = self.queue.lock();
        loop {
            if queue.stopping {
                return !queue.waiting.is_empty();
            }
            if self.checkpoints.last_part_wanted() {
                return true;
            }
            match queue.waiting.start(self.durability.progress()) {
                Start::Now => return true,
                Start::Signal => self.filled.wait(&mut queue),
                Start::At(when) => {
                    self.filled.wait_until(&mut queue, when);
                }
            }
        }
    }

    /// Takes what waits as one group. Returns whether there will be more.
    fn run_once(&self) -> bool {
        if !self.wait_for_group() {
            return false;
        }
        self.group_waits.store(true, Ordering::Release);
        let guard = self.connection.lock();
        self.group_waits.store(false, Ordering::Release);
        // Taken as late as possible: whatever came while the connection was elsewhere rides along.
        let mut units = self.queue.lock().waiting.take();
        let outcomes = match (guard.as_ref(), self.durability.failure()) {
            (None, _) => vec![Err(closed(&self.place)); units.len()],
            (_, Some(error)) => vec![Err(error); units.len()],
            (Some(connection), None) => {
                let began = Instant::now();
                let outcomes = group::run(connection, &mut units, &self.durability, &self.place);
                self.queue.lock().waiting.took(began.elapsed());
                outcomes
            }
        };
        for (unit, outcome) in units.iter_mut().zip(&outcomes) {
            unit.committed(outcome);
        }
        self.measured.groups.fetch_add(1, Ordering::Relaxed);
        self.measured.units.fetch_add(units.len() as u64, Ordering::Relaxed);
        match guard.as_ref() {
            Some(connection) if self.checkpoints.last_part_wanted() => {
                // Nobody who waits for this group waits for the checkpoint too.
                group::answer(units, outcomes, &self.durability);
                self.checkpoints.move_last_part(connection);
                MutexGuard::unlock_fair(guard);
            }
            _ => {
                MutexGuard::unlock_fair(guard);
                group::answer(units, outcomes, &self.durability);
            }
        }
        true
    }
}

/// However the thread ends, nobody waits for ever.
struct RefuseTheRest(Arc<Shared>);

impl Drop for RefuseTheRest {
    fn drop(&mut self) {
        let left = {
            let mut queue = self.0.queue.lock();
            queue.stopping = true;
            queue.waiting.drain()
        };
        for unit in left {
            refuse(unit, &closed(&self.0.place));
        }
    }
}

/// A unit that was not run.
fn refuse(mut unit: Box<dyn Unit>, error: &StoreError) {
    let outcome = Err(error.clone());
    unit.committed(&outcome);
    unit.answer(outcome);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::super::store::{SqliteOptions, SqliteStore};
    use super::super::unit::Haste;
    use super::*;

    /// Writes `key` into the meta table, or fails when `key` is empty; tells its calls.
    struct Note {
        key: &'static str,
        durable: bool,
        again: bool,
        tell: Sender<(&'static str, &'static str, Result<CommitMark, StoreError>)>,
    }

    impl Unit for Note {
        fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
            connection.execute("INSERT INTO campanile_meta VALUES (?1, '')", [self.key])?;
            if self.key.starts_with("refused") {
                return Err(StoreError::EventUnknown(self.key.to_owned()));
            }
            Ok(())
        }

        fn runs_again(&self) -> bool {
            self.again
        }

        fn committed(&mut self, outcome: &Result<CommitMark, StoreError>) {
            self.tell.send((self.key, "committed", outcome.clone())).unwrap();
        }

        fn answer(self: Box<Self>, outcome: Result<CommitMark, StoreError>) {
            self.tell.send((self.key, "answer", outcome)).unwrap();
        }

        fn haste(&self) -> Haste {
            if self.durable { Haste::Disk } else { Haste::Commit }
        }
    }

    fn store(folder: &tempfile::TempDir) -> Arc<SqliteStore> {
        SqliteStore::open(&SqliteOptions::new(folder.path())).unwrap()
    }

    fn keys(store: &SqliteStore) -> Vec<String> {
        let turn = store.writer.turn().unwrap();
        let connection = turn.connection().unwrap();
        let mut statement =
            connection.prepare("SELECT key FROM campanile_meta ORDER BY key").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    type Told = Receiver<(&'static str, &'static str, Result<CommitMark, StoreError>)>;

    fn submit_while_held(store: &SqliteStore, keys: &[&'static str], durable: bool) -> Told {
        submit(store, keys, durable, false)
    }

    fn submit(store: &SqliteStore, keys: &[&'static str], durable: bool, again: bool) -> Told {
        let (tell, told) = channel();
        let turn = store.writer.turn().unwrap();
        for key in keys {
            store.writer.submit(Box::new(Note { key, durable, again, tell: tell.clone() }));
        }
        drop(turn);
        told
    }

    #[test]
    fn a_refused_unit_disturbs_nobody_else_in_its_group() {
        // In savepoints, and without them until one fails.
        for again in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let store = store(&folder);
            let told: Vec<_> =
                submit(&store, &["a", "refused", "b"], false, again).iter().collect();
            let committed: Vec<_> = told.iter().filter(|t| t.1 == "committed").collect();
            assert_eq!(committed.iter().map(|t| t.0).collect::<Vec<_>>(), ["a", "refused", "b"]);
            assert!(
                committed[0].2.is_ok() && committed[1].2.is_err() && committed[2].2.is_ok(),
                "again: {again}"
            );
            assert_eq!(committed[0].2, committed[2].2, "one group has one mark");
            assert_eq!(keys(&store), ["a", "b"], "again: {again}");
        }
    }

    #[test]
    fn a_durable_unit_is_answered_after_a_sync() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let before = store.durability.measured().0;
        let told: Vec<_> = submit_while_held(&store, &["a"], true).iter().collect();
        assert_eq!(told.iter().map(|t| t.1).collect::<Vec<_>>(), ["committed", "answer"]);
        let mark = told[1].2.clone().unwrap();
        assert!(store.durability.measured().0 > before);
        assert_eq!(store.durability.wait(mark), Ok(()));
    }

    #[test]
    fn hooks_of_a_turn_run_after_its_commit_and_never_after_a_rollback() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let (tell, told) = channel();
        let mut turn = store.writer.turn().unwrap();
        turn.after_commit(Box::new(move |mark| tell.send(mark).unwrap()));
        let mark = turn.commit().unwrap();
        assert_eq!(told.try_recv(), Ok(mark));
        let (tell, told) = channel();
        let mut turn = store.writer.turn().unwrap();
        turn.after_commit(Box::new(move |mark| tell.send(mark).unwrap()));
        drop(turn);
        assert!(told.recv().is_err());
    }

    #[test]
    fn who_waits_too_long_for_a_turn_is_told_that_the_writer_is_busy() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = SqliteOptions::new(folder.path());
        options.patience = Duration::from_millis(5);
        let store = SqliteStore::open(&options).unwrap();
        let turn = store.writer.turn().unwrap();
        assert!(matches!(store.writer.turn(), Err(StoreError::Busy { waited_ms: 5.. })));
        drop(turn);
        assert!(store.writer.turn().is_ok());
    }

    #[test]
    fn after_the_close_everybody_is_refused_and_what_waited_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let first = store(&folder);
        let told = submit_while_held(&first, &["a"], false);
        first.close_all().unwrap();
        assert!(told.iter().all(|t| t.2.is_ok()));
        assert!(matches!(first.writer.turn(), Err(StoreError::Unavailable { .. })));
        assert!(first.writer.run_and_wait(|_| Ok(()), |(), _| ()).is_err());
        assert_eq!(keys(&store(&folder)), ["a"]);
    }

    #[test]
    fn work_that_is_waited_for_gives_its_value_and_mark() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let (tell, told) = channel();
        let (value, mark) = store
            .writer
            .run_and_wait(|_| Ok(7), move |value, mark| tell.send((*value, mark)).unwrap())
            .unwrap();
        assert_eq!(told.try_recv(), Ok((7, mark)), "the hook runs before the answer");
        assert_eq!(value, 7);
    }
}
