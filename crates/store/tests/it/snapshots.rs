//! Copies of a database that is in use: one moment of it, whatever is written meanwhile, and nobody has to wait.

use std::path::Path;
use std::sync::Arc;

use campanile_store::{
    AppendMode, DatabaseFile, EventStore, FileError, SqliteOptions, SqliteStore, Store, snapshot,
};
use rusqlite::Connection;

use crate::events_at_hand::event;

const DURABLE: AppendMode = AppendMode { durable: true, atomic: false };

fn append(store: &Arc<SqliteStore>, count: usize) {
    let events = (0..count).map(|_| campanile_model::NewEvent {
        parm1: "x".repeat(2_000).as_str().into(),
        ..event("t.copied")
    });
    store.append_blocking(events.collect(), DURABLE).unwrap();
}

fn events_in(file: &Path) -> i64 {
    let connection = Connection::open(file).unwrap();
    connection.query_row("SELECT count(*) FROM sysevent", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_snapshot_is_one_moment_and_what_is_written_meanwhile_neither_waits_nor_makes_it_start_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&SqliteOptions::new(folder.path().join("data"))).unwrap();
    append(&store, 2_000);
    let target = folder.path().join("copy");
    let mut steps: Vec<(u64, u64)> = Vec::new();
    snapshot(&folder.path().join("data"), &target, &mut |done, all| {
        steps.push((done, all));
        assert!(steps.len() < 100, "it started again: {steps:?}");
        // Durable: it returns when it is on disk, while the copy stands still.
        append(&store, 10);
    })
    .unwrap();
    assert!(steps.len() > 3, "the database is too small to show anything: {steps:?}");
    assert!(steps.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 == two[1].1), "{steps:?}");
    assert_eq!(steps.last().map(|(done, all)| done == all), Some(true));
    assert_eq!(events_in(&target), 2_000);
    DatabaseFile::open(&target).unwrap().check().unwrap();
    let found = store.summary(0, crate::events_at_hand::NOW).unwrap();
    assert_eq!(found.last_sequence, 2_000 + 10 * i64::try_from(steps.len()).unwrap());
    store.close().unwrap();
}

#[test]
fn the_log_that_grew_during_a_snapshot_is_moved_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = SqliteStore::open(&SqliteOptions::new(&data)).unwrap();
    append(&store, 2_000);
    let pages_to_move = || -> f64 {
        let gauges = store.gauges();
        gauges.iter().find(|(name, _)| *name == "wal_pages_to_move").unwrap().1
    };
    let mut grown = 0.0_f64;
    snapshot(&data, &folder.path().join("copy"), &mut |done, all| {
        if done == all {
            append(&store, 10_000);
            grown = pages_to_move();
        }
    })
    .unwrap();
    assert!(grown > 4_096.0, "the log could not be moved while the copy was made: {grown}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while pages_to_move() > 4_096.0 {
        assert!(std::time::Instant::now() < deadline, "{} pages stay in the log", pages_to_move());
        append(&store, 100);
    }
    store.close().unwrap();
}

#[test]
fn a_file_is_told_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = SqliteStore::open(&SqliteOptions::new(&data)).unwrap();
    append(&store, 500);
    // A name that has to be written otherwise in a URI.
    let file = folder.path().join("a #1%20?.db");
    snapshot(&data, &file, &mut |_, _| {}).unwrap();
    let copy = DatabaseFile::open(&file).unwrap();
    copy.check().unwrap();
    assert!(copy.schema() >= 4);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing was made beside it");

    let live = DatabaseFile::open(&data.join("campanile.db")).unwrap_err();
    assert!(matches!(live, FileError::LogBeside { .. }), "{live}");
    store.close().unwrap();

    let refused = |name: &str, contents: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, contents).unwrap();
        DatabaseFile::open(&path).unwrap_err().to_string()
    };
    assert!(refused("letter", b"Dear Sir or Madam").contains("no SQLite file"));
    assert!(refused("empty", b"").contains("it is empty"));
    assert_eq!(DatabaseFile::open(folder.path()).unwrap_err(), FileError::Missing);
    let stranger = folder.path().join("stranger");
    Connection::open(&stranger).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let told = DatabaseFile::open(&stranger).unwrap_err().to_string();
    assert!(told.contains("without Campanile's tables"), "{told}");

    // A page in the middle is another's.
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes[middle..middle + 4_096].fill(0xa5);
    let damaged = folder.path().join("damaged");
    std::fs::write(&damaged, &bytes).unwrap();
    let told = DatabaseFile::open(&damaged).unwrap().check().unwrap_err();
    assert!(matches!(told, FileError::Damaged { .. }), "{told}");
    assert!(!told.to_string().contains('\n'), "{told}");

    Connection::open(&file)
        .unwrap()
        .execute_batch("INSERT INTO campanile_migration (number, name) VALUES (999, 'later')")
        .unwrap();
    let told = DatabaseFile::open(&file).unwrap_err();
    assert!(matches!(told, FileError::Newer { found: 999, .. }), "{told}");
}
