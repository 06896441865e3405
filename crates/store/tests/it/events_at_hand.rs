//! What tests of events have at hand: a store in a folder, events, claims, completions.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use campanile_model::{Event, HandlerKind, HandlerRun, Instant, NewEvent, Outcome, SysId};
use campanile_store::testing::TestDatabase;
pub(crate) use campanile_store::testing::{NOW, event};
use campanile_store::{
    ActionRecord, AppendMode, AppendOutcome, Appended, Claim, ClaimRequest, Completion,
    EventAction, NextState, PostgresOptions, PostgresStore, ReprocessOptions, SqliteOptions,
    SqliteStore, Store,
};

/// Who claims in most tests.
pub(crate) const BY: &str = "node/default/0";

/// Fast, and each event for itself.
pub(crate) const MODE: AppendMode = AppendMode { durable: false, atomic: false };

/// Which store a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    /// PostgreSQL in distributed mode.
    Distributed,
    /// The same with its tables in native hash partitions.
    HashPartitions,
}

impl Kind {
    /// What goes for this kind.
    pub(crate) fn pick<T>(self, sqlite: T, postgres: T) -> T {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres | Self::Distributed | Self::HashPartitions => postgres,
        }
    }
}

/// The kind that this thread's test runs on.
pub(crate) fn kind() -> Kind {
    KIND.get()
}

thread_local! {
    static KIND: Cell<Kind> = const { Cell::new(Kind::Sqlite) };
}

/// Runs `test` on stores of this kind.
pub(crate) fn on(kind: Kind, test: fn()) {
    KIND.set(kind);
    test();
}

/// Makes a test of each function for each engine, and on PostgreSQL for each way in which rows of events may stand.
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        crate::events_at_hand::tests_on!(sqlite, Sqlite: $($test),+);
        crate::events_at_hand::tests_on!(postgres, Postgres: $($test),+);
        crate::events_at_hand::tests_on!(distributed, Distributed: $($test),+);
        crate::events_at_hand::tests_on!(hash_partitions, HashPartitions: $($test),+);
    };
}
pub(crate) use on_both_engines;

/// The tests of one kind, in a module of their own.
macro_rules! tests_on {
    ($module:ident, $kind:ident: $($test:ident),+) => {
        mod $module {
            $(#[test]
            fn $test() {
                crate::events_at_hand::on(crate::events_at_hand::Kind::$kind, super::$test);
            })+
        }
    };
}
pub(crate) use tests_on;

/// Where a store is kept; gone when it is dropped.
#[derive(Debug)]
pub(crate) enum Place {
    Folder(tempfile::TempDir),
    Database(TestDatabase),
}

impl Place {
    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Folder(folder) => folder.path(),
            Self::Database(_) => panic!("a database has no folder"),
        }
    }
}

/// The store there; anew when it was closed.
pub(crate) fn open(place: &Place) -> Arc<dyn Store> {
    match place {
        Place::Folder(folder) => SqliteStore::open(&SqliteOptions::new(folder.path())).unwrap(),
        Place::Database(database) => {
            PostgresStore::open(&PostgresOptions::new(database.url())).unwrap()
        }
    }
}

/// A store in a place of its own, which goes with the second value.
pub(crate) fn fresh() -> (Arc<dyn Store>, Place) {
    let place = match KIND.get() {
        Kind::Sqlite => Place::Folder(tempfile::tempdir().unwrap()),
        Kind::Postgres => Place::Database(TestDatabase::create()),
        Kind::Distributed => Place::Database(distributed()),
        Kind::HashPartitions => {
            let database = distributed();
            database.run(HASH_PARTITIONS);
            Place::Database(database)
        }
    };
    (open(&place), place)
}

/// What an administrator runs to put a database into native hash partitions.
pub(crate) const HASH_PARTITIONS: &str =
    include_str!("../../../../docs/operations/hash-partitions.sql");

/// A database in distributed mode.
pub(crate) fn distributed() -> TestDatabase {
    let database = TestDatabase::create();
    let options = PostgresOptions { partitions: Some(16), ..PostgresOptions::new(database.url()) };
    PostgresStore::open(&options).unwrap().close().unwrap();
    database
}

/// SQLite's store in this folder, for what it alone promises.
pub(crate) fn sqlite_open(folder: &Path) -> Arc<SqliteStore> {
    SqliteStore::open(&SqliteOptions::new(folder)).unwrap()
}

/// SQLite's store in a folder of its own, which goes with the second value.
pub(crate) fn sqlite_fresh() -> (Arc<SqliteStore>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (sqlite_open(folder.path()), folder)
}

/// What a process that is killed now would leave behind in its folder, opened anew.
pub(crate) fn after_kill(folder: &Path) -> (Arc<dyn Store>, Place) {
    let copy = Place::Folder(copied(folder));
    (open(&copy), copy)
}

/// What a process that is killed now would leave behind.
pub(crate) fn copied(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if !name.to_string_lossy().ends_with("-shm") {
            std::fs::copy(entry.path(), copy.path().join(name)).unwrap();
        }
    }
    copy
}

/// As [`event`], of this priority and due so many milliseconds from now.
pub(crate) fn event_at(name: &str, priority: f64, due_in_ms: i64) -> NewEvent {
    NewEvent { priority, process_on: NOW.plus_millis(due_in_ms), ..event(name) }
}

pub(crate) fn append(
    store: &Arc<impl Store + ?Sized>,
    events: Vec<NewEvent>,
) -> Vec<AppendOutcome> {
    store.append_blocking(events, MODE).unwrap().0
}

/// Appends one event that must be accepted.
pub(crate) fn fire(store: &Arc<impl Store + ?Sized>, event: NewEvent) -> Appended {
    append(store, vec![event]).remove(0).unwrap()
}

pub(crate) fn request(limit: usize) -> ClaimRequest<'static> {
    ClaimRequest { queue: "", limit, claimed_by: BY, by_priority: true, now: NOW }
}

pub(crate) fn claim(store: &Arc<impl Store + ?Sized>, limit: usize) -> Claim {
    store.claim(&request(limit)).unwrap()
}

/// The names of what a claim of up to `limit` brings.
pub(crate) fn claimed_names(store: &Arc<impl Store + ?Sized>, limit: usize) -> Vec<String> {
    names(&claim(store, limit).events)
}

pub(crate) fn names(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.fired.name.to_string()).collect()
}

pub(crate) fn completion(event: &Event, next: NextState) -> Completion {
    Completion {
        event: event.fired.sys_id,
        epoch: event.epoch,
        next,
        started: NOW.plus_millis(5),
        duration_ms: 7,
        runs: Vec::new(),
    }
}

pub(crate) fn failed() -> NextState {
    NextState::Error { code: "handler_failed", message: "it broke".to_owned() }
}

/// Completes and waits for the commit.
pub(crate) fn finish(store: &Arc<impl Store + ?Sized>, event: &Event, next: NextState) {
    store.complete(completion(event, next));
    store.flush().unwrap();
}

pub(crate) fn run_of(event: &Event, outcome: Outcome) -> HandlerRun {
    HandlerRun {
        sys_id: SysId::generate(NOW),
        event: event.fired.sys_id,
        origin_id: event.origin_id,
        epoch: event.epoch,
        attempt: event.attempts + 1,
        kind: HandlerKind::ScriptAction,
        handler: SysId::generate(NOW),
        handler_name: "the recorder".to_owned(),
        order: 1,
        outcome,
        reason: String::new(),
        sentence: String::new(),
        started_at: NOW,
        duration_ms: 3,
        error_message: String::new(),
        error_line: 0,
        error_stack: String::new(),
        log: "one line".to_owned(),
        fired_events: (2, vec!["a.b:1".to_owned(), "c.d:2".to_owned()]),
        written_records: (0, Vec::new()),
        definition_version: 4,
    }
}

/// Handle it once more, all of it, where it is.
pub(crate) fn reprocess(sys_id: SysId, now: Instant) -> EventAction {
    EventAction::Reprocess {
        sys_id,
        options: ReprocessOptions::default(),
        now,
        queue: None,
        record: record("reprocess", &[sys_id]),
    }
}

pub(crate) fn record(action: &str, events: &[SysId]) -> ActionRecord {
    ActionRecord {
        action: action.to_owned(),
        user: "fred".to_owned(),
        at: NOW,
        sys_ids: events.to_vec(),
        count: events.len() as u64,
        reason: "because".to_owned(),
    }
}

/// Waits for what other threads or programs do; fails with `what` when that does not come.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let patience = std::time::Duration::from_secs(60);
    let deadline = std::time::Instant::now() + patience;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "waited {patience:?} in vain until {what}");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
}
