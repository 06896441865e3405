//! Others on the server: locks that they hold, limits that an administrator has set, connections that are all taken.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use campanile_model::{EventState, QueueOrder};
use campanile_store::testing::TestDatabase;
use campanile_store::{
    ClaimRequest, Connections, EventStore, Lease, NextState, PostgresOptions, PostgresStore,
    QueueRule, Store, StoreError,
};

use crate::conformance::engine::{Bench, key};
use crate::events_at_hand::{BY, MODE, completion, event, names, request, wait_until};
use crate::postgres_at_hand::{waiting, works};

/// A program with a short lease that waits for nobody for long.
fn open(database: &TestDatabase) -> Arc<PostgresStore> {
    let every = Duration::from_millis(200);
    let options = PostgresOptions {
        lease: Lease { lasts: Duration::from_millis(1_500), beat: every },
        watch: every,
        patience: Duration::from_millis(500),
        connections: Connections { readers_max: 2, writers_max: 2, ..Connections::default() },
        ..PostgresOptions::new(database.url())
    };
    PostgresStore::open(&options).unwrap()
}

/// Waits until the program has lived for more than two leases.
fn outlive_the_lease(database: &TestDatabase) {
    wait_until("the program has beaten for two leases", || {
        let alive = "SELECT name FROM campanile_node WHERE gone_at IS NULL \
             AND beat_at > started_at + 2 * lease_ms * interval '1 millisecond'";
        !database.texts(alive).is_empty()
    });
}

#[test]
fn a_locked_table_of_events_costs_no_lease_and_what_waited_goes_on_after_it() {
    let database = TestDatabase::create();
    let store = open(&database);
    store.append_blocking(vec![event("a"), event("b")], MODE).unwrap();
    let claimed = store.claim(&request(2)).unwrap().events;
    assert!(store.begin(&claimed[0].fired.sys_id, BY, 0));
    let stranger = database.stranger();
    stranger.run("BEGIN; LOCK TABLE sysevent_live IN ACCESS EXCLUSIVE MODE");
    std::thread::scope(|scope| {
        store.complete(completion(&claimed[0], NextState::Processed));
        let appending = scope.spawn(|| store.append_blocking(vec![event("c")], MODE));
        outlive_the_lease(&database);
        assert!(!appending.is_finished(), "it waits for the lock");
        stranger.run("ROLLBACK");
        appending.join().unwrap().unwrap();
    });
    store.flush().unwrap();
    let done = store.event(&claimed[0].fired.sys_id).unwrap().unwrap();
    assert_eq!(done.state, EventState::Processed, "under the lease that it was claimed with");
    let held = store.event(&claimed[1].fired.sys_id).unwrap().unwrap();
    assert_eq!((held.state, held.lapses), (EventState::Queued, 0));
    assert_eq!(names(&store.claim(&request(9)).unwrap().events), ["c"]);
}

#[test]
fn reads_of_a_table_that_a_stranger_has_locked_hold_up_no_reads_of_others() {
    let database = TestDatabase::create();
    let store = open(&database);
    let bench = Bench::on(Arc::clone(&store) as Arc<dyn Store>);
    bench.insert(&[
        bench.row("thing", &[("sys_id", &key(1))]),
        bench.row("incident", &[("sys_id", &key(2))]),
    ]);
    let stranger = database.stranger();
    stranger.run("BEGIN; LOCK TABLE thing IN ACCESS EXCLUSIVE MODE");
    let readers = || waiting(&database, "FROM \"thing\"");
    let read = |table, number| store.row(bench.table(table), &key(number)).unwrap();
    std::thread::scope(|scope| {
        let held_up: Vec<_> = (0..2).map(|_| scope.spawn(|| read("thing", 1))).collect();
        wait_until("both connections for such reads wait", || readers() == 2);
        for _ in 0..3 {
            assert!(read("incident", 2).is_some());
        }
        assert_eq!(readers(), 2, "the lock is still there");
        stranger.run("ROLLBACK");
        assert!(held_up.into_iter().all(|reading| reading.join().unwrap().is_some()));
    });
}

/// Is told who has the lock, and what to do.
fn is_held_up(error: &StoreError) {
    assert!(matches!(error, StoreError::HeldUp { .. }), "{error}");
    for part in ["postgres://", "lock timeout", "end whoever holds the lock"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

/// Connections of these pools that somebody has.
fn busy(store: &PostgresStore, gauge: &str) -> f64 {
    let gauges = store.gauges();
    gauges.iter().find(|(name, _)| *name == gauge).unwrap().1
}

#[test]
fn claims_wait_for_a_locked_table_no_longer_than_operations_and_leave_them_their_connections() {
    for order in [QueueOrder::Parallel, QueueOrder::Sequential] {
        let database = TestDatabase::create();
        let store = open(&database);
        let mut tx = Arc::clone(&store).write().unwrap();
        tx.set_queue_order("", Some(QueueRule { order, halts: false })).unwrap();
        tx.commit().unwrap();
        store.append_blocking(vec![event("a")], MODE).unwrap();
        let stranger = database.stranger();
        stranger.run("BEGIN; LOCK TABLE sysevent_live IN ACCESS EXCLUSIVE MODE");
        std::thread::scope(|scope| {
            let claims = ["one", "two"].map(|claimed_by| {
                let request = ClaimRequest { claimed_by, ..request(1) };
                let store = &store;
                scope.spawn(move || store.claim(&request).map(drop).unwrap_err())
            });
            for claim in claims {
                is_held_up(&claim.join().unwrap());
            }
        });
        assert_eq!(busy(&store, "writer_connections_busy"), 0.0);
        let bench = Bench::on(Arc::clone(&store) as Arc<dyn Store>);
        bench.insert(&[bench.row("thing", &[("sys_id", &key(1))])]);
        stranger.run("ROLLBACK");
        assert_eq!(names(&store.claim(&request(1)).unwrap().events), ["a"]);
    }
}

#[test]
fn reads_of_single_rows_wait_for_a_locked_table_no_longer_than_others() {
    let database = TestDatabase::create();
    let store = open(&database);
    let bench = Bench::on(Arc::clone(&store) as Arc<dyn Store>);
    bench.insert(&[bench.row("thing", &[("sys_id", &key(1))])]);
    let stranger = database.stranger();
    stranger.run("BEGIN; LOCK TABLE thing IN ACCESS EXCLUSIVE MODE");
    let read = || store.row(bench.table("thing"), &key(1));
    std::thread::scope(|scope| {
        let first: Vec<_> = (0..2).map(|_| scope.spawn(read)).collect();
        wait_until("both connections for such reads wait", || {
            waiting(&database, "FROM \"thing\"") == 2
        });
        // Who comes behind them waits by itself.
        is_held_up(&read().unwrap_err());
        assert_eq!(busy(&store, "reader_connections_busy"), 0.0);
        stranger.run("ROLLBACK");
        assert!(first.into_iter().all(|reading| reading.join().unwrap().unwrap().is_some()));
    });
    assert!(read().unwrap().is_some());
}

#[test]
fn a_beat_that_a_locked_table_of_programs_holds_up_is_told_and_tried_anew() {
    let database = TestDatabase::create();
    let store = open(&database);
    let stranger = database.stranger();
    stranger.run("BEGIN; LOCK TABLE campanile_node IN ACCESS EXCLUSIVE MODE");
    let beats = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock' AND query LIKE 'UPDATE campanile_node%'";
    let mut seen = HashSet::new();
    wait_until("another connection tries", || {
        seen.extend(database.texts(beats));
        seen.len() > 1
    });
    stranger.run("ROLLBACK");
    works(&store);
}

#[test]
fn who_waits_for_a_row_that_a_stranger_holds_is_told_so_and_nothing_is_kept() {
    let database = TestDatabase::create();
    let store = open(&database);
    let bench = Bench::on(Arc::clone(&store) as Arc<dyn Store>);
    bench.insert(&[bench.row("thing", &[("sys_id", &key(1)), ("label", "before")])]);
    let stranger = database.stranger();
    stranger.run("BEGIN; SELECT 1 FROM thing FOR UPDATE");
    let mut tx = bench.write();
    tx.append_events(&[event("beside.the.row")]).unwrap();
    let error = tx.get_for_change(bench.table("thing"), &key(1)).unwrap_err();
    drop(tx);
    is_held_up(&error);
    stranger.run("ROLLBACK");
    assert_eq!(store.claim(&request(9)).unwrap().events, []);
    bench.in_tx(|tx| tx.get_for_change(bench.table("thing"), &key(1)).map(drop));
}

#[test]
fn a_statement_timeout_of_an_administrator_ends_long_statements_by_name_and_no_work_on_events() {
    let database = TestDatabase::create();
    database.run(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = 250', current_database()); END $$",
    );
    let store = open(&database);
    let bench = Bench::on(Arc::clone(&store) as Arc<dyn Store>);
    bench.insert(&[bench.row("thing", &[("sys_id", &key(1)), ("label", "before")])]);
    works(&store);
    let stranger = database.stranger();
    stranger.run("BEGIN; LOCK TABLE thing, sysevent_log IN ACCESS EXCLUSIVE MODE");
    let error = bench.write().get_for_change(bench.table("thing"), &key(1)).unwrap_err();
    assert!(matches!(error, StoreError::HeldUp { .. }), "{error}");
    assert!(error.to_string().contains("raise statement_timeout"), "{error}");
    // A completion waits much longer than that, and is not ended.
    store.append_blocking(vec![event("a")], MODE).unwrap();
    let claimed = store.claim(&request(1)).unwrap().events.remove(0);
    assert!(store.begin(&claimed.fired.sys_id, BY, 0));
    store.complete(completion(&claimed, NextState::Processed));
    wait_until("the completion has waited for a second", || {
        let waiting = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event_type = 'Lock' AND query LIKE 'WITH gone AS%' \
             AND query_start < clock_timestamp() - interval '1 second'";
        !database.texts(waiting).is_empty()
    });
    stranger.run("ROLLBACK");
    store.flush().unwrap();
    works(&store);
}

#[test]
fn when_all_connections_are_taken_callers_are_told_and_beats_and_appends_go_on() {
    let database = TestDatabase::create();
    let store = open(&database);
    let bench = Bench::on(Arc::clone(&store) as Arc<dyn Store>);
    let taken = [bench.write(), bench.write()];
    let error = Arc::clone(&store).write().map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Busy { waited_ms: 500.. }), "{error}");
    assert!(error.to_string().contains("connection"), "{error}");
    store.append_blocking(vec![event("a")], MODE).unwrap();
    let error = store.claim(&request(1)).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    assert!(bench.get("thing", &key(1)).is_none(), "reading has connections of its own");
    let numbers = store.gauges();
    assert!(numbers.contains(&("writer_connections_busy", 2.0)), "{numbers:?}");
    outlive_the_lease(&database);
    drop(taken);
    assert_eq!(names(&store.claim(&request(1)).unwrap().events), ["a"]);
    bench.insert(&[bench.row("thing", &[("sys_id", &key(1))])]);
}

#[test]
fn a_program_that_is_stopped_inside_a_transaction_does_not_hold_its_rows_for_ever() {
    let database = TestDatabase::create();
    let store = open(&database);
    let bench = Bench::on(Arc::clone(&store) as Arc<dyn Store>);
    bench.insert(&[bench.row("thing", &[("sys_id", &key(1)), ("label", "before")])]);
    let mut stopped = bench.write();
    stopped.get_for_change(bench.table("thing"), &key(1)).unwrap();
    stopped.append_events(&[event("beside.the.row")]).unwrap();
    // It says nothing any more.
    wait_until("somebody else has the row", || {
        let tx = bench.write();
        tx.get_for_change(bench.table("thing"), &key(1)).is_ok()
    });
    let error = stopped.commit().map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert_eq!(store.claim(&request(9)).unwrap().events, []);
}

#[test]
fn a_locked_table_of_orders_costs_no_lease_and_what_waited_goes_on_after_it() {
    let database = TestDatabase::create();
    let store = open(&database);
    let stranger = database.stranger();
    stranger.run("BEGIN; LOCK TABLE sysevent_queue_order IN ACCESS EXCLUSIVE MODE");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.append_blocking(vec![event("a")], MODE));
        outlive_the_lease(&database);
        stranger.run("ROLLBACK");
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(names(&store.claim(&request(9)).unwrap().events), ["a"]);
}
