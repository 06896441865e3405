//! The events of a record are found wherever they stand: waiting, finished and indexed, finished and not indexed yet.

use std::collections::BTreeSet;
use std::sync::Arc;

use campanile_model::query::{BindMode, BindOptions, ParseLimits, bind, parse};
use campanile_model::testing::TableSpec;
use campanile_model::{NewEvent, SysId};
use campanile_store::{EventAction, EventStore, NextState, Select, SqliteStore, Store};

use crate::events_at_hand::{
    NOW, append, claim, completion, copied, event, event_at, finish, fire, record, reprocess,
    sqlite_fresh, sqlite_open,
};

const EVENT: TableSpec = TableSpec {
    name: "sysevent",
    parent: "",
    columns: &[("name", "string", ""), ("instance", "string", "")],
    display: "name",
};

const RECORD: &str = "c0ffee00000000000000000000000001";

fn about(name: &str, instance: &str) -> NewEvent {
    NewEvent { instance: Arc::from(instance), ..event(name) }
}

/// Names of the events that the query finds, and their number as it counts them.
fn found_in(read: &dyn campanile_store::ReadTx, text: &str) -> (BTreeSet<String>, u64) {
    let dictionary = TableSpec::dictionary(&[EVENT]);
    let table = Arc::clone(dictionary.table("sysevent").unwrap());
    let options = BindOptions { mode: BindMode::Database, invalid_returns_no_rows: false };
    let query = bind(&parse(text, ParseLimits::HTTP).unwrap(), &table, &dictionary, options);
    let count = read.count(&query).unwrap();
    let fields = table.index("name").into_iter().collect();
    let select = Select { fields: Some(fields), ..Select::new(query) };
    let rows = read.select(&select).unwrap();
    assert_eq!(rows.len() as u64, count, "{text}");
    (rows.iter().map(|row| row.text("name").to_owned()).collect(), count)
}

fn found(store: &Arc<SqliteStore>, text: &str) -> Vec<String> {
    let read = Arc::clone(store).read().unwrap();
    found_in(&*read, text).0.into_iter().collect()
}

fn missing(store: &SqliteStore) -> f64 {
    store.gauges().iter().find(|(name, _)| *name == "log_rows_not_indexed").unwrap().1
}

fn entries(folder: &std::path::Path) -> i64 {
    let connection = rusqlite::Connection::open(folder.join("campanile.db")).unwrap();
    connection
        .query_row("SELECT count(*) FROM sysevent_log_instance", [], |row| row.get(0))
        .unwrap()
}

/// Fires three about the record and two about others, and finishes the first of them and one other.
fn mixed() -> (Arc<SqliteStore>, tempfile::TempDir) {
    let (store, folder) = sqlite_fresh();
    append(
        &store,
        vec![about("a", RECORD), about("x", "else"), about("b", RECORD), about("y", "")],
    );
    for event in claim(&store, 2).events {
        finish(&store, &event, NextState::Processed);
    }
    (store, folder)
}

#[test]
fn waiting_finished_and_indexed_events_are_found_alike() {
    let (store, _folder) = mixed();
    for _ in 0..2 {
        let query = format!("instance={}", RECORD.to_uppercase());
        assert_eq!(found(&store, &query), ["a", "b"]);
        assert_eq!(found(&store, &format!("instance={RECORD}^name=a")), ["a"]);
        assert_eq!(found(&store, &format!("instanceIN{RECORD},else")), ["a", "b", "x"]);
        assert_eq!(found(&store, "instance=nobody"), [""; 0]);
        assert_eq!(found(&store, "instanceISEMPTY"), ["y"]);
        store.index_finished().unwrap();
        assert!(missing(&store) < 1.0);
    }
}

#[test]
fn a_snapshot_from_before_the_indexing_finds_what_it_always_found() {
    let (store, _folder) = mixed();
    let query = format!("instance={RECORD}");
    let old = Arc::clone(&store).read().unwrap();
    assert_eq!(found_in(&*old, &query).1, 2);
    store.index_finished().unwrap();
    assert_eq!(found_in(&*old, &query).1, 2);
    let event = claim(&store, 1).events.remove(0);
    finish(&store, &event, NextState::Processed);
    store.index_finished().unwrap();
    assert_eq!(found_in(&*old, &query).1, 2);
    for n in 0..40 {
        fire(&store, about(&format!("late {n}"), RECORD));
        let event = claim(&store, 9).events.pop().unwrap();
        finish(&store, &event, NextState::Processed);
        store.index_finished().unwrap();
    }
    assert_eq!(found_in(&*old, &query).1, 2, "a very old one too");
    assert_eq!(found(&store, &query).len(), 42);
}

#[test]
fn a_reprocessed_event_is_found_once_before_during_and_after() {
    let (store, _folder) = sqlite_fresh();
    let sys_id = fire(&store, about("again", RECORD)).sys_id;
    let query = format!("instance={RECORD}");
    for round in 0..3 {
        let event = claim(&store, 1).events.remove(0);
        finish(&store, &event, NextState::Processed);
        assert_eq!(found(&store, &query), ["again"], "finished, round {round}");
        store.index_finished().unwrap();
        assert_eq!(found(&store, &query), ["again"], "indexed, round {round}");
        store.act(reprocess(sys_id, NOW)).unwrap();
        assert_eq!(found(&store, &query), ["again"], "waiting again, round {round}");
    }
}

#[test]
fn a_cancelled_event_is_found() {
    let (store, _folder) = mixed();
    let waiting: SysId = claim(&store, 1).events[0].fired.sys_id;
    store.release(crate::events_at_hand::BY, &[waiting]);
    store.index_finished().unwrap();
    let cancel =
        EventAction::Cancel { sys_id: waiting, now: NOW, record: record("cancel", &[waiting]) };
    store.act(cancel).unwrap();
    assert_eq!(found(&store, &format!("instance={RECORD}")), ["a", "b"]);
    store.index_finished().unwrap();
    assert_eq!(found(&store, &format!("instance={RECORD}")), ["a", "b"]);
}

#[test]
fn a_kill_before_during_or_after_indexing_hides_no_event() {
    let (store, folder) = sqlite_fresh();
    // A future event keeps the mark low for all that follows.
    fire(&store, event_at("for later", 1.0, 1_000_000_000));
    let query = format!("instance={RECORD}");
    for round in 0..6 {
        append(&store, (0..7).map(|n| about(&format!("{round}.{n}"), RECORD)).collect());
        let batch = claim(&store, 9).events;
        // Some end in another order than they came, some not at all.
        for event in batch.iter().rev().skip(round % 2) {
            store.complete(completion(event, NextState::Processed));
        }
        store.flush().unwrap();
        if round % 3 > 0 {
            store.index_finished().unwrap();
        }
        let killed_folder = copied(folder.path());
        let killed = sqlite_open(killed_folder.path());
        let expected = 7 * (round + 1);
        assert_eq!(found(&killed, &query).len(), expected, "round {round}");
        killed.index_finished().unwrap();
        assert_eq!(found(&killed, &query).len(), expected, "round {round}, indexed");
        drop(killed);
        let again = sqlite_open(killed_folder.path());
        assert!(missing(&again) < 1.0, "a clean close leaves nothing to look for");
        assert_eq!(found(&again, &query).len(), expected, "round {round}, opened again");
    }
}

#[test]
fn an_older_database_is_indexed_once_it_is_opened() {
    let (store, folder) = mixed();
    drop(store);
    let connection = rusqlite::Connection::open(folder.path().join("campanile.db")).unwrap();
    connection
        .execute_batch(
            "DELETE FROM campanile_migration WHERE number > 3; DROP TABLE sysevent_log_instance; \
             DROP TABLE sysevent_log_indexing; DROP TABLE sysevent_queue_order; DROP INDEX sysevent_live_begun;",
        )
        .unwrap();
    drop(connection);
    let store = sqlite_open(folder.path());
    assert_eq!(found(&store, &format!("instance={RECORD}")), ["a", "b"]);
    store.index_finished().unwrap();
    assert_eq!(found(&store, &format!("instance={RECORD}")), ["a", "b"]);
    assert_eq!(entries(folder.path()), 2);
}

#[test]
fn searches_beside_completions_and_indexing_miss_nothing_that_was_finished() {
    let (store, _folder) = sqlite_fresh();
    let done = std::sync::atomic::AtomicBool::new(false);
    let query = format!("instance={RECORD}");
    std::thread::scope(|scope| {
        let (store, done, query) = (&store, &done, &query);
        scope.spawn(move || {
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                store.index_finished().unwrap();
            }
        });
        let searcher = scope.spawn(move || {
            let mut seen = 0;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                let now = found(store, query).len();
                assert!(now >= seen, "{now} after {seen}: an event was not found");
                seen = now;
            }
        });
        for round in 0..150 {
            append(store, (0..4).map(|n| about(&format!("{round}.{n}"), RECORD)).collect());
            for event in claim(store, 9).events {
                store.complete(completion(&event, NextState::Processed));
            }
        }
        store.flush().unwrap();
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        searcher.join().unwrap();
    });
    assert_eq!(found(&store, &query).len(), 600);
}
