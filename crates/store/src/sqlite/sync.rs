//! Making commits durable: one `fdatasync` of the log file for all who wait.
//!
//! Commits run with `synchronous=NORMAL`, so a commit is in the log file but perhaps not on disk. Whoever tells
//! somebody outside waits here. This is sound only while the log file is never truncated or deleted under us: no
//! TRUNCATE checkpoint, no size limit, one connection always open. SQLite itself syncs the header of a restarted
//! log, and the database file in a checkpoint. A sync that failed once is fatal: what the kernel dropped then
//! cannot be known, so nobody is ever answered again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::failure::{closed, io_failure};
use crate::contract::{CommitMark, DurableCallback, StoreError};

/// Counts commits and syncs; shared by the writer (which counts) and all who wait.
pub(in crate::sqlite) struct Durability {
    place: PathBuf,
    state: Mutex<State>,
    /// Somebody wants a sync, or the thread is to stop.
    wanted: Condvar,
    /// A sync ended.
    advanced: Condvar,
    /// When the sync that is asked for or under way should end, in microseconds since `opened`; 0 without one. Written under
    /// the lock, read by the group writer without it.
    ends_at: AtomicU64,
    opened: Instant,
    /// Syncs that ended.
    ended: AtomicU64,
    /// Told at the end of each sync, before those who wait are answered.
    listener: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Durability")
            .field("place", &self.place)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    /// Last commit.
    committed: u64,
    /// Last commit that somebody waits for.
    wanted: u64,
    /// Everything up to here is on disk.
    durable: u64,
    waiting: Vec<(u64, DurableCallback)>,
    failed: Option<StoreError>,
    stopping: bool,
    last_sync_ms: f64,
    /// How long syncs took lately.
    usual: Duration,
}

/// How far the syncs are, for the group writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sqlite) struct Progress {
    /// Syncs that have ended.
    pub(in crate::sqlite) ended: u64,
    /// When the one that is asked for or under way should end, if there is one.
    pub(in crate::sqlite) ends_at: Option<Instant>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("committed", &self.committed)
            .field("durable", &self.durable)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// How a sync is done; the log file itself, or a test's failure plan.
pub(in crate::sqlite) trait SyncTarget: Send + 'static {
    /// Returns when everything written so far is on disk.
    fn sync(&mut self) -> std::io::Result<()>;
}

impl SyncTarget for File {
    fn sync(&mut self) -> std::io::Result<()> {
        self.sync_data()
    }
}

impl Durability {
    pub(in crate::sqlite) fn new(place: &Path) -> Arc<Self> {
        Arc::new(Self {
            place: place.to_owned(),
            state: Mutex::new(State::default()),
            wanted: Condvar::new(),
            advanced: Condvar::new(),
            ends_at: AtomicU64::new(0),
            opened: Instant::now(),
            ended: AtomicU64::new(0),
            listener: OnceLock::new(),
        })
    }

    /// Sets who is told at the end of each sync: from the sync thread, so it must not block. The first one stays.
    pub(in crate::sqlite) fn set_listener(&self, listener: Box<dyn Fn() + Send + Sync>) {
        if self.listener.set(listener).is_err() {
            tracing::debug!("the end of syncs is told to the first who asked");
        }
    }

    /// How far the syncs are.
    pub(in crate::sqlite) fn progress(&self) -> Progress {
        let ended = self.ended.load(Ordering::Acquire);
        let ends_at = match self.ends_at.load(Ordering::Acquire) {
            0 => None,
            us => Some(self.opened + Duration::from_micros(us)),
        };
        Progress { ended, ends_at }
    }

    /// Starts the thread that syncs `target`.
    pub(in crate::sqlite) fn start(
        self: &Arc<Self>,
        target: impl SyncTarget,
    ) -> std::io::Result<JoinHandle<()>> {
        let durability = Arc::clone(self);
        let mut target = target;
        std::thread::Builder::new()
            .name("store-sync".to_owned())
            .spawn(move || durability.run(&mut target))
    }

    /// Notes a commit. Called by whoever holds the write connection, so marks rise in the order of commits.
    pub(in crate::sqlite) fn committed(&self) -> CommitMark {
        let mut state = self.state.lock();
        state.committed += 1;
        CommitMark(state.committed)
    }

    /// Why nothing can become durable any more, if so.
    pub(in crate::sqlite) fn failure(&self) -> Option<StoreError> {
        self.state.lock().failed.clone()
    }

    /// Returns when everything up to `mark` is on disk.
    pub(in crate::sqlite) fn wait(&self, mark: CommitMark) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        loop {
            if state.durable >= mark.0 {
                return Ok(());
            }
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if state.stopping {
                return Err(closed(&self.place));
            }
            self.want(&mut state, mark);
            self.advanced.wait(&mut state);
        }
    }

    /// Calls back when everything up to `mark` is on disk: from the sync thread, or at once when it already is.
    pub(in crate::sqlite) fn on_durable(&self, mark: CommitMark, callback: DurableCallback) {
        let answer = {
            let mut state = self.state.lock();
            if state.durable >= mark.0 {
                Ok(())
            } else if let Some(error) = &state.failed {
                Err(error.clone())
            } else if state.stopping {
                Err(closed(&self.place))
            } else {
                state.waiting.push((mark.0, callback));
                self.want(&mut state, mark);
                return;
            }
        };
        callback(answer);
    }

    /// Lets the thread do a last sync of everything committed and end.
    pub(in crate::sqlite) fn stop(&self) {
        let mut state = self.state.lock();
        state.stopping = true;
        self.wanted.notify_all();
    }

    /// Number of syncs, and how long the last one took in milliseconds.
    pub(in crate::sqlite) fn measured(&self) -> (u64, f64) {
        (self.ended.load(Ordering::Acquire), self.state.lock().last_sync_ms)
    }

    fn run(&self, target: &mut impl SyncTarget) {
        while let Some(upto) = self.next() {
            let began = Instant::now();
            let outcome = target.sync().map_err(|e| io_failure(&e, &self.place));
            self.done(upto, outcome, began.elapsed());
        }
        let (waiting, error) = {
            let mut state = self.state.lock();
            self.advanced.notify_all();
            let error = state.failed.clone().unwrap_or_else(|| closed(&self.place));
            (std::mem::take(&mut state.waiting), error)
        };
        for (_, callback) in waiting {
            callback(Err(error.clone()));
        }
    }

    /// The commit up to which the next sync reaches; `None` when there is nothing more to do for good.
    fn next(&self) -> Option<u64> {
        let mut state = self.state.lock();
        loop {
            if state.failed.is_some() {
                return None;
            }
            if state.stopping {
                return (state.committed > state.durable).then_some(state.committed);
            }
            if state.wanted > state.durable {
                return Some(state.committed);
            }
            self.wanted.wait(&mut state);
        }
    }

    fn want(&self, state: &mut State, mark: CommitMark) {
        if mark.0 > state.wanted {
            state.wanted = mark.0;
            if self.ends_at.load(Ordering::Relaxed) == 0 {
                self.expect_end(state.usual);
            }
            self.wanted.notify_one();
        }
    }

    /// A sync begins now that takes `usual`.
    fn expect_end(&self, usual: Duration) {
        let us = u64::try_from((self.opened.elapsed() + usual).as_micros()).unwrap_or(u64::MAX);
        self.ends_at.store(us.max(1), Ordering::Release);
    }

    fn done(&self, upto: u64, outcome: Result<(), StoreError>, took: Duration) {
        let mut answered = Vec::new();
        let answer = {
            let mut state = self.state.lock();
            state.last_sync_ms = took.as_secs_f64() * 1000.0;
            state.usual = (state.usual * 3 + took) / 4;
            let answer = match outcome {
                Ok(()) => {
                    state.durable = upto;
                    answered.extend(state.waiting.extract_if(.., |(mark, _)| *mark <= upto));
                    Ok(())
                }
                Err(error) => {
                    tracing::error!(place = %self.place.display(), %error, "the log file could not be synced");
                    state.failed = Some(error.clone());
                    answered.append(&mut state.waiting);
                    Err(error)
                }
            };
            if state.wanted > state.durable && state.failed.is_none() {
                self.expect_end(state.usual);
            } else {
                self.ends_at.store(0, Ordering::Release);
            }
            self.ended.fetch_add(1, Ordering::Release);
            answer
        };
        self.advanced.notify_all();
        if let Some(listener) = self.listener.get() {
            listener();
        }
        for (_, callback) in answered {
            callback(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Syncs when the test says so, and as it says.
    struct Planned(mpsc::Receiver<std::io::Result<()>>);

    impl SyncTarget for Planned {
        fn sync(&mut self) -> std::io::Result<()> {
            self.0.recv().expect("the test plans every sync")
        }
    }

    fn planned() -> (Arc<Durability>, mpsc::Sender<std::io::Result<()>>, JoinHandle<()>) {
        let durability = Durability::new(Path::new("/data/campanile.db-wal"));
        let (plan, target) = mpsc::channel();
        let thread = durability.start(Planned(target)).unwrap();
        (durability, plan, thread)
    }

    fn ask(durability: &Durability, mark: CommitMark) -> mpsc::Receiver<Result<(), StoreError>> {
        let (tell, told) = mpsc::channel();
        durability.on_durable(mark, Box::new(move |answer| tell.send(answer).unwrap()));
        told
    }

    #[test]
    fn one_sync_answers_all_who_wait_and_nobody_before_it() {
        let (durability, plan, thread) = planned();
        let first = ask(&durability, durability.committed());
        // The thread may have begun a sync for the first mark; these two are covered by it or by the next.
        let marks = [durability.committed(), durability.committed()];
        let others = marks.map(|mark| ask(&durability, mark));
        assert!(first.try_recv().is_err(), "answered without a sync");
        plan.send(Ok(())).unwrap();
        assert_eq!(first.recv().unwrap(), Ok(()));
        plan.send(Ok(())).unwrap();
        assert!(others.iter().all(|told| told.recv().unwrap() == Ok(())));
        assert!(durability.measured().0 <= 2);
        durability.stop();
        thread.join().unwrap();
    }

    #[test]
    fn a_sync_is_expected_to_take_as_long_as_the_last_ones_and_its_end_is_told_no_longer_once_it_ended()
     {
        let (durability, plan, thread) = planned();
        assert_eq!(durability.progress(), Progress { ended: 0, ends_at: None });
        durability.state.lock().usual = Duration::from_secs(3_600);
        let asked = Instant::now();
        let told = ask(&durability, durability.committed());
        let ends_at = durability.progress().ends_at.expect("a sync is asked for");
        let expected = asked + Duration::from_secs(3_600);
        assert!(ends_at + Duration::from_micros(1) >= expected, "{:?} early", expected - ends_at);
        plan.send(Ok(())).unwrap();
        assert_eq!(told.recv().unwrap(), Ok(()));
        assert_eq!(durability.progress(), Progress { ended: 1, ends_at: None });
        let usual = durability.state.lock().usual;
        assert!(usual < Duration::from_secs(3_600), "the short one counts: {usual:?}");
        durability.stop();
        thread.join().unwrap();
    }

    #[test]
    fn after_a_failed_sync_nobody_is_told_that_anything_is_durable() {
        let (durability, plan, thread) = planned();
        let mark = durability.committed();
        let told = ask(&durability, mark);
        plan.send(Err(std::io::Error::other("broken disk"))).unwrap();
        assert!(matches!(told.recv().unwrap(), Err(StoreError::Unavailable { .. })));
        thread.join().unwrap();
        assert!(durability.wait(mark).is_err());
        assert!(ask(&durability, durability.committed()).recv().unwrap().is_err());
    }

    #[test]
    fn stopping_syncs_what_was_committed() {
        let (durability, plan, thread) = planned();
        let mark = durability.committed();
        plan.send(Ok(())).unwrap();
        durability.stop();
        thread.join().unwrap();
        assert_eq!(durability.wait(mark), Ok(()));
    }
}
