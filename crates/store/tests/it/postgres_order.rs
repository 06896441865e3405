//! Queues that keep an order on PostgreSQL, seen from several programs: on one database, and in distributed mode.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use campanile_model::partition::partition;
use campanile_model::{NewEvent, QueueOrder, SysId};
use campanile_store::testing::TestDatabase;
use campanile_store::{
    ClaimRequest, EventStore, NextState, PostgresOptions, PostgresStore, QueueRule, Store,
};

use crate::events_at_hand::{
    BY, MODE, NOW, completion, distributed, event, failed, names, record, request, wait_until,
};
use crate::postgres_at_hand::waits;

fn node(database: &TestDatabase, name: &str) -> Arc<PostgresStore> {
    let options = PostgresOptions { node: name.to_owned(), ..PostgresOptions::new(database.url()) };
    PostgresStore::open(&options).unwrap()
}

/// Does `test` on one database, and on one in distributed mode.
fn on_each(test: impl Fn(&TestDatabase, bool)) {
    test(&TestDatabase::create(), false);
    test(&distributed(), true);
}

fn ordered(database: &TestDatabase, queue: &str, order: QueueOrder) {
    let store = node(database, "maker");
    let mut tx = Arc::clone(&store).write().unwrap();
    tx.set_queue_order(queue, Some(QueueRule { order, halts: false })).unwrap();
    tx.commit().unwrap();
    store.close().unwrap();
}

#[test]
fn what_is_committed_first_has_the_lower_number_whoever_wrote_first() {
    on_each(|database, _| {
        ordered(database, "", QueueOrder::Sequential);
        let (left, right) = (node(database, "left"), node(database, "right"));
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
    });
}

#[test]
fn a_program_that_stands_still_before_its_commit_keeps_nobody_from_arriving() {
    on_each(|database, _| {
        ordered(database, "", QueueOrder::Sequential);
        let (still, other) = (node(database, "still"), node(database, "other"));
        let mut tx = Arc::clone(&still).write().unwrap();
        tx.append_events(&[event("never")]).unwrap()[0].as_ref().unwrap();
        other.append_blocking(vec![event("a"), event("b")], MODE).unwrap();
        assert_eq!(names(&other.claim(&request(9)).unwrap().events), ["a", "b"]);
        drop(tx);
    });
}

/// Programs race for one sequential queue; nobody ever holds an event beside another's.
#[test]
fn four_threads_of_two_programs_never_hold_a_sequential_queue_at_once() {
    on_each(|database, _| {
        ordered(database, "", QueueOrder::Sequential);
        let nodes = [node(database, "left"), node(database, "right")];
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
    });
}

fn halting(store: &Arc<PostgresStore>, queue: &str) {
    let mut tx = Arc::clone(store).write().unwrap();
    let rule = QueueRule { order: QueueOrder::Sequential, halts: true };
    tx.set_queue_order(queue, Some(rule)).unwrap();
    tx.commit().unwrap();
}

fn event_in(queue: &str, name: &str) -> NewEvent {
    NewEvent { queue: Arc::from(queue), ..event(name) }
}

#[test]
fn a_queue_that_halts_between_a_claims_first_look_and_its_pick_gives_nothing() {
    on_each(|database, is_spread| {
        let store = node(database, "n");
        halting(&store, "");
        store.append_blocking(vec![event("bad"), event("next")], MODE).unwrap();
        // The claim that is meant finds its statements prepared.
        assert_eq!(names(&store.claim(&request(1)).unwrap().events), ["bad"]);
        let stranger = database.stranger();
        stranger.run("BEGIN; LOCK TABLE sysevent_live IN ACCESS EXCLUSIVE MODE");
        std::thread::scope(|scope| {
            let claiming = scope.spawn(|| store.claim(&request(9)).unwrap().events);
            wait_until("the claim waits at its pick", || {
                let asks =
                    if is_spread { "SELECT derived_priority" } else { "campanile_claim_in_turn" };
                waits(database, asks)
            });
            // What a completion does.
            stranger.run(
                "DELETE FROM sysevent_live WHERE name = 'bad'; \
                 UPDATE sysevent_queue_order SET halted_event = 'bad', halted_at = 1; COMMIT",
            );
            assert_eq!(claiming.join().unwrap(), []);
        });
    });
}

#[test]
fn a_program_that_stands_still_in_a_claim_holds_up_nobody_who_asks() {
    on_each(|database, _| {
        ordered(database, "", QueueOrder::Sequential);
        let store = node(database, "n");
        store.append_blocking(vec![event("a")], MODE).unwrap();
        let still = database.stranger();
        still.run("BEGIN; SELECT campanile_hold_claims('')");
        let claim = store.claim(&request(1)).unwrap();
        assert!(claim.events.is_empty() && !claim.more);
        let again = claim.next_due.unwrap();
        assert!(again > NOW && again <= NOW.plus_millis(100), "{again:?}");
        still.run("ROLLBACK");
        assert_eq!(names(&store.claim(&request(1)).unwrap().events), ["a"]);
    });
}

#[test]
fn queues_are_halted_in_the_order_of_their_names() {
    on_each(|database, is_spread| {
        let store = node(database, "n");
        halting(&store, "b");
        halting(&store, "a");
        let claimed = ["b", "a", "c"].map(|queue| {
            store.append_blocking(vec![event_in(queue, "n")], MODE).unwrap();
            store.claim(&ClaimRequest { queue, ..request(1) }).unwrap().events.remove(0)
        });
        let (stranger, other) = (database.stranger(), database.stranger());
        stranger.run("BEGIN; SELECT FROM sysevent_queue_order WHERE queue = 'a' FOR UPDATE");
        other.run("BEGIN; LOCK TABLE sysevent_log");
        store.complete(completion(&claimed[2], NextState::Processed));
        wait_until("the completer waits for the log", || {
            waits(database, if is_spread { "INSERT INTO sysevent_log" } else { "WITH gone AS" })
        });
        // What is handed in meanwhile is one batch.
        for event in &claimed[..2] {
            store.complete(completion(event, failed()));
        }
        other.run("ROLLBACK");
        wait_until("the completer waits for a", || waits(database, "sysevent_queue_order"));
        stranger
            .run("SELECT FROM sysevent_queue_order WHERE queue = 'b' FOR UPDATE NOWAIT; ROLLBACK");
        store.flush().unwrap();
        assert_eq!(store.halts().unwrap().len(), 2);
    });
}

/// What follows an event that fails is given back. Where that cannot be done at once, both are written together: first what is
/// given back, then the halt, since whoever sets an order takes events and then its row.
#[test]
fn a_queue_that_halts_while_what_follows_is_given_back_lets_nothing_pass() {
    on_each(|database, _| {
        let store = node(database, "n");
        halting(&store, "");
        store.append_blocking(["bad", "b", "c"].map(event).into(), MODE).unwrap();
        let claimed = store.claim(&request(9)).unwrap().events;
        assert_eq!(names(&claimed), ["bad", "b", "c"]);
        database.run(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION USING ERRCODE = '55P03'; END $$; \
             CREATE TRIGGER refuse BEFORE INSERT ON sysevent_log FOR EACH ROW EXECUTE FUNCTION refuse()",
        );
        store.complete(completion(&claimed[0], failed()));
        store.release(BY, &[claimed[1].fired.sys_id, claimed[2].fired.sys_id]);
        let setter = database.stranger();
        setter.run("BEGIN; SELECT FROM sysevent_live WHERE name = 'b' FOR NO KEY UPDATE");
        database.run("DROP TRIGGER refuse ON sysevent_log");
        wait_until("the completer waits for what is given back", || {
            waits(database, "claim_token = NULL")
        });
        setter.run("SELECT FROM sysevent_queue_order FOR UPDATE NOWAIT; ROLLBACK");
        wait_until("both are written", || store.flush().is_ok());
        let stands = "SELECT state FROM sysevent_live ORDER BY name";
        assert_eq!(database.texts(stands), ["ready", "ready"], "they were given back");
        assert_eq!(store.halts().unwrap()[0].event, claimed[0].fired.sys_id);
        let (by_other, other) =
            (node(database, "other"), ClaimRequest { claimed_by: "other", ..request(9) });
        assert_eq!(by_other.claim(&other).unwrap().events, []);
        assert_eq!(store.claim(&request(9)).unwrap().events, []);
        assert!(store.resume("", record("resume", &[])).unwrap().is_some());
        assert_eq!(names(&store.claim(&request(9)).unwrap().events), ["b", "c"]);
    });
}

#[test]
fn a_group_that_was_ended_in_a_deadlock_over_the_rows_of_queues_is_written_after_it() {
    on_each(|database, is_spread| {
        database.run(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 2000', current_database()); END $$",
        );
        let store = node(database, "n");
        halting(&store, "a");
        halting(&store, "b");
        let stranger = database.stranger();
        stranger.run(
            "SET deadlock_timeout = '1min'; BEGIN; SELECT FROM sysevent_queue_order WHERE queue = 'b' FOR UPDATE",
        );
        std::thread::scope(|scope| {
            let appending = scope.spawn(|| {
                store.append_blocking(vec![event_in("a", "of a"), event_in("b", "of b")], MODE)
            });
            wait_until("the group waits for b", || {
                waits(database, if is_spread { "SET last_due" } else { "campanile_arrive" })
            });
            stranger.run("SELECT FROM sysevent_queue_order WHERE queue = 'a' FOR UPDATE");
            stranger.run("ROLLBACK");
            appending.join().unwrap().unwrap();
        });
        let kept = database.texts("SELECT name FROM sysevent_live ORDER BY name");
        assert_eq!(kept, ["of a", "of b"]);
    });
}

#[test]
fn what_a_program_that_did_not_know_yet_has_claimed_holds_the_queue() {
    let database = TestDatabase::create();
    ordered(&database, "", QueueOrder::Sequential);
    let store = node(&database, "n");
    store.append_blocking(vec![event("a"), event("b")], MODE).unwrap();
    let claimed = store.claim(&request(1)).unwrap().events.remove(0);
    database.run("UPDATE sysevent_live SET turn = NULL WHERE state = 'queued'");
    let other = ClaimRequest { claimed_by: "other", ..request(9) };
    assert_eq!(store.claim(&other).unwrap().events, []);
    store.complete(completion(&claimed, NextState::Processed));
    store.flush().unwrap();
    assert_eq!(names(&store.claim(&other).unwrap().events), ["b"]);
}

#[test]
fn a_queue_that_is_saved_as_it_was_waits_for_nobody_and_holds_up_nobody() {
    on_each(|database, _| {
        let store = node(database, "n");
        halting(&store, "");
        let mut saving = Arc::clone(&store).write().unwrap();
        let rule = QueueRule { order: QueueOrder::Sequential, halts: true };
        saving.set_queue_order("", Some(rule)).unwrap();
        let stranger = database.stranger();
        stranger.run("BEGIN; SELECT FROM sysevent_queue_order FOR UPDATE NOWAIT; ROLLBACK");
        saving.commit().unwrap();
    });
}

/// Waiting events about one record, as many as told in each queue that keeps an order.
fn fill(database: &TestDatabase, is_spread: bool, letter: char, rows: usize) {
    let record = format!("{letter}{:0>31}", 1);
    let place = if is_spread {
        let (home, of_record) = (partition("sequential", 16), partition(&record, 16));
        format!("CASE kind WHEN 'sequential' THEN {home} ELSE {of_record} END")
    } else {
        "0".to_owned()
    };
    // What the function gives is not what a program in distributed mode works out.
    let turn =
        if is_spread { "NULL::bigint" } else { "campanile_turn_of(kind, 'incident', record, '')" };
    database.run(&format!(
        "INSERT INTO sysevent_live (sys_id, queue, derived_priority, process_on, sys_created_on, name, \"table\", \
         instance, \"partition\", depth, source, queue_from_call, registered, scheduled, max_attempts, \
         coalesce_seconds, turn) SELECT left(kind, 1) || '{letter}' || lpad(n::text, 30, '0'), queue, 100, {at}, {at}, 'n', 'incident', record, {place}, 0, \
         'api', false, true, false, 0, 0, turn FROM (SELECT kind, queue, record, {turn} AS turn \
         FROM sysevent_queue_order, (VALUES ('{record}')) AS about (record)) AS rule, \
         generate_series(1, {rows}) AS n",
        at = NOW.as_millis()
    ));
}

/// Whole reads of tables, and rows read by indexes of the live table, that a store makes while it does `work`.
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
                // Rows that are there. Dead entries are skipped once nobody needs them, and that is judged by transactions of
                // the whole server: beside other tests ten times as many were read by the same scans.
                "SELECT sum(idx_tup_fetch)::bigint::text FROM pg_stat_user_indexes WHERE relname = 'sysevent_live'",
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
    let one = [0_usize, 10, 500_000].map(|rows| (rows, false));
    let spread = [0, 10, 100_000].map(|rows| (rows, true));
    for (analysed, is_spread) in one.into_iter().chain(spread) {
        let database = if is_spread { distributed() } else { TestDatabase::create() };
        database.run("ALTER TABLE sysevent_live SET (autovacuum_enabled = off)");
        ordered(&database, "sequential", QueueOrder::Sequential);
        ordered(&database, "by_record", QueueOrder::ByRecord);
        fill(&database, is_spread, 'a', analysed);
        database.run("ANALYZE sysevent_live; ANALYZE sysevent_log; ANALYZE sysevent_queue_order");
        fill(&database, is_spread, 'b', 30_000);
        for queue in ["sequential", "by_record"] {
            let idle = reads(&database, |_| {});
            let busy = reads(&database, |store| {
                for round in 0..12 {
                    let by_priority = round % 2 == 0;
                    let request = ClaimRequest { queue, by_priority, ..request(50) };
                    let claimed = store.claim(&request).unwrap().events;
                    // In distributed mode a claim brings what one partition has, and one may have next to nothing.
                    let least = if is_spread { 1 } else { 25 };
                    assert!((least..=50).contains(&claimed.len()), "{}", claimed.len());
                    // Another processor finds the records busy, and thousands of events that wait for them.
                    let other = ClaimRequest { claimed_by: "other", ..request.clone() };
                    let more = store.claim(&other).unwrap().events;
                    let ids: HashSet<SysId> = more.iter().map(|e| e.fired.sys_id).collect();
                    assert!(queue == "by_record" || ids.is_empty());
                    for event in claimed.iter().chain(&more) {
                        store.complete(completion(event, NextState::Processed));
                    }
                    store.flush().unwrap();
                    store.append_blocking(vec![event_in(queue, "x")], MODE).unwrap();
                }
            });
            assert_eq!(
                busy.0, idle.0,
                "{queue}, spread: {is_spread}, analysed with twice {analysed} rows"
            );
            let read = busy.1 - idle.1;
            // 24 claims. One whole read of an index in each would be 720,000. A claim looks at 200 events, each three times, and
            // asks their record once for what it has in hand.
            assert!(
                read < 40_000,
                "{queue}, spread: {is_spread}, analysed with twice {analysed} rows: {read} rows read"
            );
        }
    }
}
