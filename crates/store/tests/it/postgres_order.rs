//! Queues that keep an order on one PostgreSQL database, seen from several programs.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use campanile_model::{NewEvent, QueueOrder, SysId};
use campanile_store::testing::TestDatabase;
use campanile_store::{
    ClaimRequest, EventStore, NextState, PostgresOptions, PostgresStore, QueueRule, Store,
};

use crate::events_at_hand::{MODE, NOW, completion, event, names, request};

fn node(database: &TestDatabase, name: &str) -> Arc<PostgresStore> {
    let options = PostgresOptions { node: name.to_owned(), ..PostgresOptions::new(database.url()) };
    PostgresStore::open(&options).unwrap()
}

fn ordered(database: &TestDatabase, order: QueueOrder) {
    let store = node(database, "maker");
    let mut tx = Arc::clone(&store).write().unwrap();
    tx.set_queue_order("", Some(QueueRule { order, halts: false })).unwrap();
    tx.commit().unwrap();
    store.close().unwrap();
}

#[test]
fn what_is_committed_first_has_the_lower_number_whoever_wrote_first() {
    let database = TestDatabase::create();
    ordered(&database, QueueOrder::Sequential);
    let (left, right) = (node(&database, "left"), node(&database, "right"));
    let mut slow = Arc::clone(&left).write().unwrap();
    slow.append_events(&[event("written first")]).unwrap()[0].as_ref().unwrap();
    let mut quick = Arc::clone(&right).write().unwrap();
    quick.append_events(&[event("committed first")]).unwrap()[0].as_ref().unwrap();
    quick.commit().unwrap();
    right.append_blocking(vec![event("second")], MODE).unwrap();
    assert_eq!(names(&left.claim(&request(1)).unwrap().events), ["committed first"]);
    slow.commit().unwrap();
    let order = database.texts("SELECT name FROM sysevent_live ORDER BY sequence");
    assert_eq!(order, ["committed first", "second", "written first"]);
    let turns = database.texts("SELECT DISTINCT turn::text FROM sysevent_live");
    assert_eq!(turns, ["0"], "all wait for one turn");
}

#[test]
fn a_program_that_stands_still_before_its_commit_keeps_nobody_from_arriving() {
    let database = TestDatabase::create();
    ordered(&database, QueueOrder::Sequential);
    let (still, other) = (node(&database, "still"), node(&database, "other"));
    let mut tx = Arc::clone(&still).write().unwrap();
    tx.append_events(&[event("never")]).unwrap()[0].as_ref().unwrap();
    other.append_blocking(vec![event("a"), event("b")], MODE).unwrap();
    assert_eq!(names(&other.claim(&request(9)).unwrap().events), ["a", "b"]);
    drop(tx);
}

/// Programs race for one sequential queue; nobody ever holds an event beside another's.
#[test]
fn four_threads_of_two_programs_never_hold_a_sequential_queue_at_once() {
    let database = TestDatabase::create();
    ordered(&database, QueueOrder::Sequential);
    let nodes = [node(&database, "left"), node(&database, "right")];
    let all: Vec<NewEvent> = (0..120).map(|n| event(&n.to_string())).collect();
    nodes[0].append_blocking(all, MODE).unwrap();
    let holding = AtomicUsize::new(0);
    let ended: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, holding, ended) = (&nodes[thread % 2], &holding, &ended);
            scope.spawn(move || {
                let by = format!("p{thread}");
                while ended.lock().unwrap().len() < 120 {
                    let request = ClaimRequest { claimed_by: &by, ..request(1 + thread) };
                    let claimed = store.claim(&request).unwrap().events;
                    if claimed.is_empty() {
                        std::thread::yield_now();
                        continue;
                    }
                    assert_eq!(holding.fetch_add(1, Ordering::SeqCst), 0, "two hold the queue");
                    for event in &claimed {
                        ended.lock().unwrap().push(event.fired.name.to_string());
                    }
                    // From here on the database decides.
                    holding.fetch_sub(1, Ordering::SeqCst);
                    for event in claimed {
                        store.complete(completion(&event, NextState::Processed));
                    }
                    store.flush().unwrap();
                }
            });
        }
    });
    let ended = ended.into_inner().unwrap();
    assert_eq!(ended, (0..120).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// Waiting events about one record, as an older program would have appended them.
fn fill(database: &TestDatabase, letter: char, rows: usize) {
    database.run(&format!(
        "INSERT INTO sysevent_live (sys_id, queue, derived_priority, process_on, sys_created_on, name, \"table\", \
         instance, \"partition\", depth, source, queue_from_call, registered, scheduled, max_attempts, \
         coalesce_seconds, turn) SELECT '{letter}' || lpad(n::text, 31, '0'), '', 100, {at}, {at}, 'n', 'incident', \
         '{letter}' || lpad('1', 31, '0'), 0, 0, 'api', false, true, false, 0, 0, \
         campanile_turn('', 'incident', '{letter}' || lpad('1', 31, '0'), '') FROM generate_series(1, {rows}) AS n",
        at = NOW.as_millis()
    ));
}

/// Whole reads of tables, and entries read in indexes of the live table, that a store makes while it does `work`.
fn reads(database: &TestDatabase, work: impl FnOnce(&PostgresStore)) -> (i64, i64) {
    let count = || {
        // What a connection has counted is told when it ends.
        let others = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
             AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        while !database.texts(others).is_empty() {
            std::thread::yield_now();
        }
        let of = |sql: &str| database.texts(sql)[0].parse::<i64>().unwrap();
        (
            of(
                "SELECT sum(seq_scan)::bigint::text FROM pg_stat_user_tables WHERE relname LIKE 'sysevent\\_l%'",
            ),
            of(
                "SELECT sum(idx_tup_read)::bigint::text FROM pg_stat_user_indexes WHERE relname = 'sysevent_live'",
            ),
        )
    };
    let before = count();
    let store = node(database, "n");
    work(&store);
    store.close().unwrap();
    drop(store);
    let after = count();
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn claims_in_turn_read_no_table_and_no_index_from_end_to_end_whatever_was_analysed() {
    for order in [QueueOrder::Sequential, QueueOrder::ByRecord] {
        for analysed in [0_usize, 20, 100_000] {
            let database = TestDatabase::create();
            database.run("ALTER TABLE sysevent_live SET (autovacuum_enabled = off)");
            ordered(&database, order);
            fill(&database, 'a', analysed);
            database
                .run("ANALYZE sysevent_live; ANALYZE sysevent_log; ANALYZE sysevent_queue_order");
            fill(&database, 'b', 30_000);
            let idle = reads(&database, |_| {});
            let busy = reads(&database, |store| {
                for round in 0..12 {
                    let request = ClaimRequest { by_priority: round % 2 == 0, ..request(50) };
                    let claimed = store.claim(&request).unwrap().events;
                    assert!((25..=50).contains(&claimed.len()), "{}", claimed.len());
                    // Another processor finds the records busy, and thousands of events that wait for them.
                    let other = ClaimRequest { claimed_by: "other", ..request.clone() };
                    let more = store.claim(&other).unwrap().events;
                    let ids: HashSet<SysId> = more.iter().map(|e| e.fired.sys_id).collect();
                    assert!(order == QueueOrder::ByRecord || ids.is_empty());
                    for event in claimed.iter().chain(&more) {
                        store.complete(completion(event, NextState::Processed));
                    }
                    store.flush().unwrap();
                    store.append_blocking(vec![event("x")], MODE).unwrap();
                }
            });
            assert_eq!(busy.0, idle.0, "{order:?}, analysed with {analysed} rows");
            let read = busy.1 - idle.1;
            // 24 claims. One whole read of an index in each would be 720,000; what a claim looks at is 200 events, and for
            // each up to 50 of its record that are being handled.
            assert!(
                read < 360_000,
                "{order:?}, analysed with {analysed} rows: {read} entries read"
            );
        }
    }
}
