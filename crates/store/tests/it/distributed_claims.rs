//! Claims in distributed mode that are stopped in the middle: what others do meanwhile, and what they cannot do.

use std::sync::Arc;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use campanile_model::partition::partition;
use campanile_model::{NewEvent, QueueOrder};
use campanile_store::testing::{PgBouncer, Stranger, TestDatabase};
use campanile_store::{
    ClaimRequest, EventAction, EventStore, Lease, NextState, PostgresOptions, PostgresStore,
    QueueRule, Store, StoreError,
};

use crate::events_at_hand::{
    BY, MODE, NOW, distributed, event, finish, names, record, request, wait_until,
};

/// A program that hears of nothing by itself.
fn node(url: &str) -> Arc<PostgresStore> {
    let rarely = Duration::from_secs(900);
    PostgresStore::open(&PostgresOptions {
        lease: Lease { lasts: Duration::from_secs(3_600), beat: rarely },
        watch: rarely,
        ..PostgresOptions::new(url)
    })
    .unwrap()
}

fn set(store: &Arc<PostgresStore>, queue: &str, order: QueueOrder) {
    let mut tx = Arc::clone(store).write().unwrap();
    tx.set_queue_order(queue, Some(QueueRule { order, halts: false })).unwrap();
    tx.commit().unwrap();
}

/// About the record with this number.
fn about(record: usize, name: &str) -> NewEvent {
    NewEvent { instance: Arc::from(format!("{record:032}")), ..event(name) }
}

/// About another record than the first, in its partition.
fn beside_the_first(name: &str) -> NewEvent {
    let of = |record: usize| partition(&format!("{record:032}"), 16);
    let beside = (2..).find(|record| of(*record) == of(1)).unwrap();
    about(beside, name)
}

/// Stops whoever is about to change this column of events.
struct Stop<'a> {
    database: &'a TestDatabase,
    stranger: Stranger,
}

impl<'a> Stop<'a> {
    fn before_changes_of(column: &str, database: &'a TestDatabase) -> Self {
        database.run(&format!(
            "CREATE OR REPLACE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END $$; \
             CREATE OR REPLACE TRIGGER wait_here BEFORE UPDATE OF {column} ON sysevent_live \
             FOR EACH STATEMENT EXECUTE FUNCTION wait_here()"
        ));
        let stranger = database.stranger();
        stranger.run("BEGIN; SELECT pg_advisory_xact_lock(42)");
        Self { database, stranger }
    }

    /// How many have come there.
    fn stopped(&self) -> usize {
        let waiting = "SELECT pid::text FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        self.database.texts(waiting).len()
    }

    fn go_on(&self) {
        self.stranger.run("ROLLBACK");
    }
}

fn has_come<T>(stop: &Stop<'_>, claiming: &ScopedJoinHandle<'_, T>) {
    wait_until("the claim has come there", || stop.stopped() == 1 || claiming.is_finished());
    assert!(!claiming.is_finished(), "it has not come there");
}

#[test]
fn a_claim_is_one_transaction_behind_a_pool_too() {
    let database = distributed();
    let Some(pool) = PgBouncer::before(database.url(), "default_pool_size = 10") else { return };
    let store = node(pool.url());
    for order in [QueueOrder::Parallel, QueueOrder::ByRecord, QueueOrder::Sequential] {
        let queue = order.as_str();
        if order != QueueOrder::Parallel {
            set(&store, queue, order);
        }
        store
            .append_blocking(vec![NewEvent { queue: Arc::from(queue), ..event("a") }], MODE)
            .unwrap();
        let request = ClaimRequest { queue, ..request(9) };
        let stop = Stop::before_changes_of("claim_token", &database);
        std::thread::scope(|scope| {
            let claim = |claimed_by| {
                let request = ClaimRequest { claimed_by, ..request.clone() };
                let store = &store;
                scope.spawn(move || store.claim(&request).unwrap().events)
            };
            let first = claim("first");
            has_come(&stop, &first);
            let held = format!(
                "SELECT name FROM sysevent_live WHERE queue = '{queue}' FOR UPDATE SKIP LOCKED"
            );
            let free = database.texts(&held);
            let second = claim("second");
            wait_until("the second has looked", || second.is_finished() || stop.stopped() == 2);
            stop.go_on();
            let [first, second] = [first, second].map(|claim| names(&claim.join().unwrap()));
            assert_eq!((first, second), (vec!["a".to_owned()], vec![]), "{queue}");
            assert_eq!(free, [""; 0], "{queue}: it holds what it is about to claim");
        });
    }
}

#[test]
fn what_is_given_back_during_a_claim_by_record_comes_before_what_follows_it() {
    let database = distributed();
    let store = node(database.url());
    set(&store, "", QueueOrder::ByRecord);
    let events = vec![about(1, "first"), about(1, "next"), beside_the_first("beside")];
    store.append_blocking(events, MODE).unwrap();
    let first = store.claim(&request(1)).unwrap().events;
    assert_eq!(names(&first), ["first"]);
    // Between the look at what waits and the look at what was begun it gets its turn.
    database.run("UPDATE sysevent_live SET turn = NULL WHERE name = 'beside'");
    let stop = Stop::before_changes_of("turn", &database);
    let other = ClaimRequest { claimed_by: "other", ..request(9) };
    let got = std::thread::scope(|scope| {
        let claiming = scope.spawn(|| store.claim(&other).unwrap().events);
        has_come(&stop, &claiming);
        store.release(BY, &[first[0].fired.sys_id]);
        let waiting = "SELECT name FROM sysevent_live WHERE state = 'ready' AND name = 'first'";
        wait_until("it was given back", || !database.texts(waiting).is_empty());
        stop.go_on();
        claiming.join().unwrap()
    });
    assert_eq!(names(&got), ["beside"]);
    assert_eq!(names(&store.claim(&other).unwrap().events), ["first", "next"]);
}

#[test]
fn an_event_without_a_turn_that_somebody_holds_is_not_claimed_without_one_when_he_lets_it_go() {
    let database = distributed();
    let store = node(database.url());
    store.append_blocking(vec![about(1, "first"), about(1, "next")], MODE).unwrap();
    set(&store, "", QueueOrder::ByRecord);
    let holder = database.stranger();
    holder.run("BEGIN; SELECT 1 FROM sysevent_live WHERE name = 'first' FOR UPDATE");
    let stop = Stop::before_changes_of("turn", &database);
    let got = std::thread::scope(|scope| {
        let claiming = scope.spawn(|| store.claim(&request(9)).unwrap().events);
        has_come(&stop, &claiming);
        holder.run("ROLLBACK");
        stop.go_on();
        claiming.join().unwrap()
    });
    assert_eq!(names(&got), [""; 0]);
    let later = ClaimRequest { now: NOW.plus_millis(60_000), ..request(1) };
    assert_eq!(names(&store.claim(&later).unwrap().events), ["first"]);
    let in_turn = "SELECT name FROM sysevent_live WHERE state = 'queued' AND turn IS NOT NULL";
    assert_eq!(database.texts(in_turn), ["first"], "it is seen by the next claim");
}

#[test]
fn nothing_is_claimed_past_an_event_without_a_turn_that_somebody_holds() {
    let database = distributed();
    let store = node(database.url());
    set(&store, "", QueueOrder::ByRecord);
    let events = ["first", "held", "last"].map(|name| about(1, name));
    store.append_blocking(events.into(), MODE).unwrap();
    database.run("UPDATE sysevent_live SET turn = NULL WHERE name = 'held'");
    let holder = database.stranger();
    holder.run("BEGIN; SELECT 1 FROM sysevent_live WHERE name = 'held' FOR UPDATE");
    let first = store.claim(&request(9)).unwrap().events;
    assert_eq!(names(&first), ["first"]);
    holder.run("ROLLBACK");
    finish(&store, &first[0], NextState::Processed);
    assert_eq!(names(&store.claim(&request(9)).unwrap().events), ["held", "last"]);
}

#[test]
fn nothing_is_claimed_past_an_event_that_somebody_holds() {
    for order in [QueueOrder::Sequential, QueueOrder::ByRecord] {
        let database = distributed();
        let store = node(database.url());
        set(&store, "", order);
        let events = ["first", "held", "last"].map(|name| about(1, name));
        store.append_blocking(events.into(), MODE).unwrap();
        let holder = database.stranger();
        holder.run("BEGIN; SELECT 1 FROM sysevent_live WHERE name = 'held' FOR UPDATE");
        let first = store.claim(&request(9)).unwrap().events;
        assert_eq!(names(&first), ["first"], "{order:?}");
        holder.run("ROLLBACK");
        finish(&store, &first[0], NextState::Processed);
        assert_eq!(names(&store.claim(&request(9)).unwrap().events), ["held", "last"], "{order:?}");
    }
}

/// By what it believes its turn is another.
#[test]
fn who_has_not_heard_that_a_queue_keeps_another_order_takes_nothing() {
    let database = distributed();
    let (store, deaf) = (node(database.url()), node(database.url()));
    set(&store, "", QueueOrder::ByRecord);
    store.append_blocking((1..9).map(|record| about(record, "n")).collect(), MODE).unwrap();
    let by_deaf = ClaimRequest { claimed_by: "deaf", ..request(1) };
    let heard = deaf.claim(&by_deaf).unwrap();
    assert_eq!((heard.events.len(), heard.order), (1, QueueOrder::ByRecord));
    finish(&deaf, &heard.events[0], NextState::Processed);
    set(&store, "", QueueOrder::Sequential);
    assert_eq!(deaf.claim(&by_deaf).unwrap().events, [], "nobody would see it where it stands");
    assert_eq!(store.claim(&request(1)).unwrap().events.len(), 1);
    assert_eq!(deaf.claim(&by_deaf).unwrap().events, []);
}

#[test]
fn what_nobody_told_of_is_looked_for_everywhere_while_an_order_is_new() {
    let database = distributed();
    let store = node(database.url());
    set(&store, "", QueueOrder::Sequential);
    assert_eq!(store.claim(&request(9)).unwrap().events, [], "it has looked everywhere");
    store.append_blocking(vec![event("first"), event("next")], MODE).unwrap();
    // As one left it that did not know of the order.
    database.run(
        "UPDATE sysevent_live SET \"partition\" = (\"partition\" + 1) % 16, turn = NULL WHERE name = 'first'",
    );
    assert_eq!(names(&store.claim(&request(9)).unwrap().events), ["first", "next"]);
}

#[test]
fn an_event_that_is_brought_home_while_somebody_looks_for_it_is_found_there() {
    let database = distributed();
    let store = node(database.url());
    let sys_id = event("a").sys_id;
    store.append_blocking(vec![NewEvent { sys_id, ..event("a") }], MODE).unwrap();
    let claiming = database.stranger();
    claiming.run("BEGIN; UPDATE sysevent_live SET \"partition\" = (\"partition\" + 1) % 16");
    std::thread::scope(|scope| {
        let action = EventAction::Cancel { sys_id, now: NOW, record: record("cancel", &[sys_id]) };
        let cancelling = scope.spawn(|| store.act(action));
        wait_until("it waits for the event", || {
            let waiting = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%'";
            !database.texts(waiting).is_empty()
        });
        claiming.run("COMMIT");
        cancelling.join().unwrap().unwrap();
    });
    assert_eq!(database.texts("SELECT state FROM sysevent_log"), ["cancelled"]);
}

#[test]
fn a_queue_that_was_sequential_keeps_the_order_of_records_once_it_is_empty() {
    let database = distributed();
    let store = node(database.url());
    set(&store, "", QueueOrder::Sequential);
    store.append_blocking(vec![event("a")], MODE).unwrap();
    let mut tx = Arc::clone(&store).write().unwrap();
    let by_record = QueueRule { order: QueueOrder::ByRecord, halts: false };
    let error = tx.set_queue_order("", Some(by_record)).unwrap_err();
    drop(tx);
    assert_eq!(error, StoreError::QueueHasOneTurn { queue: String::new() });
    let claimed = store.claim(&request(9)).unwrap().events;
    finish(&store, &claimed[0], NextState::Processed);
    set(&store, "", QueueOrder::ByRecord);
}
