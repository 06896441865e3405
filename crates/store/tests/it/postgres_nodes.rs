//! Many programs on one PostgreSQL database: leases, taking over, fencing; and what starting there promises.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use campanile_model::{EventState, NewEvent, Outcome};
use campanile_store::testing::TestDatabase;
use campanile_store::{
    ClaimRequest, EventStore, NextState, PostgresOptions, PostgresStore, Store, StoreError,
};

use crate::events_at_hand::{BY, MODE, NOW, completion, event, event_at, names, request, run_of};
use crate::postgres_at_hand::still;

/// A program on the database whose beat never comes by itself.
fn node(database: &TestDatabase, name: &str) -> Arc<PostgresStore> {
    PostgresStore::open(&still(database.url(), name)).unwrap()
}

fn append(store: &PostgresStore, names: &[&str]) {
    let events = names.iter().map(|name| event(name)).collect();
    store.append_blocking(events, MODE).unwrap();
}

/// As if `dead` had been killed long ago; another program opens the database.
fn after_kill(dead: Arc<PostgresStore>, database: &TestDatabase) -> Arc<PostgresStore> {
    dead.abandon();
    database.lapse_all();
    node(database, "heir")
}

#[test]
fn claims_of_a_dead_program_go_to_others_and_only_what_was_begun_counts_a_lapse() {
    let database = TestDatabase::create();
    let dead = node(&database, "dead");
    append(&dead, &["a", "b", "c"]);
    let claimed = dead.claim(&request(3)).unwrap().events;
    assert!(dead.begin(&claimed[1].fired.sys_id, BY, 2));
    // What is handed in after the beginning is written with it, or behind it.
    dead.record_runs(vec![run_of(&claimed[1], Outcome::Succeeded)]);
    dead.flush().unwrap();
    let heir = after_kill(dead, &database);
    let found: Vec<_> =
        claimed.iter().map(|e| heir.event(&e.fired.sys_id).unwrap().unwrap()).collect();
    assert_eq!(found.iter().map(|e| e.lapses).collect::<Vec<_>>(), [0, 1, 0]);
    assert!(heir.gauges().contains(&("lapses_counted", 1.0)), "{:?}", heir.gauges());
    assert!(found.iter().all(|e| e.state == EventState::Ready && e.claimed_by.is_empty()));
    let claims: Vec<_> = (0..3).map(|_| names(&heir.claim(&request(9)).unwrap().events)).collect();
    assert_eq!(claims, [["a"], ["b"], ["c"]], "the one that lapsed comes alone");
}

#[test]
fn a_program_that_died_before_it_could_tell_is_blamed_for_its_first_event() {
    let database = TestDatabase::create();
    let dead = node(&database, "dead");
    append(&dead, &["poison", "b", "c"]);
    dead.claim(&request(3)).unwrap();
    let heir = after_kill(dead, &database);
    let first = heir.claim(&request(9)).unwrap().events;
    assert_eq!((names(&first), first[0].lapses), (vec!["poison".to_owned()], 1));
    assert_eq!(names(&heir.claim(&request(9)).unwrap().events), ["b", "c"]);
}

#[test]
fn the_third_lapse_makes_it_an_error_and_the_queue_goes_on() {
    let database = TestDatabase::create();
    let mut store = node(&database, "n0");
    append(&store, &["poison", "next"]);
    let mut poison = None;
    for lapse in 1..=3 {
        let claimed = store.claim(&request(1)).unwrap().events.remove(0);
        assert_eq!(&*claimed.fired.name, "poison", "lapse {lapse}");
        assert!(store.begin(&claimed.fired.sys_id, BY, 0));
        poison = Some(claimed.fired.sys_id);
        store = after_kill(store, &database);
    }
    let lost = store.event(&poison.unwrap()).unwrap().unwrap();
    assert_eq!(
        (lost.state, &*lost.error_code, lost.lapses),
        (EventState::Error, "processor_lost", 3)
    );
    assert_eq!(names(&store.claim(&request(9)).unwrap().events), ["next"]);
}

#[test]
fn a_completion_that_comes_after_the_lease_is_refused_and_its_runs_with_it() {
    let database = TestDatabase::create();
    let slow = node(&database, "slow");
    append(&slow, &["a"]);
    let late = slow.claim(&request(1)).unwrap().events.remove(0);
    assert!(slow.begin(&late.fired.sys_id, BY, 0));
    database.lapse_all();
    let heir = node(&database, "heir");
    let taken = heir.claim(&request(1)).unwrap().events.remove(0);
    assert_eq!(taken.fired.sys_id, late.fired.sys_id);

    slow.record_runs(vec![run_of(&late, Outcome::Succeeded)]);
    let mut end = completion(&late, NextState::Processed);
    end.runs = vec![run_of(&late, Outcome::Succeeded)];
    slow.complete(end);
    slow.flush().unwrap();
    let standing = heir.event(&late.fired.sys_id).unwrap().unwrap();
    assert_eq!((standing.state, standing.attempts), (EventState::Queued, 0));
    assert_eq!(heir.runs(&late.fired.sys_id, None).unwrap(), []);

    heir.complete(completion(&taken, NextState::Processed));
    heir.flush().unwrap();
    assert_eq!(heir.event(&late.fired.sys_id).unwrap().unwrap().state, EventState::Processed);
}

#[test]
fn a_program_that_was_taken_for_dead_goes_on_under_a_new_lease() {
    let database = TestDatabase::create();
    let stopped = node(&database, "stopped");
    append(&stopped, &["a", "b"]);
    let lost = stopped.claim(&request(1)).unwrap().events.remove(0);
    database.lapse_all();
    let heir = node(&database, "heir");
    // It notices when it claims, and what it had is not its own any more.
    let claimed = stopped.claim(&request(9)).unwrap().events;
    assert_eq!(names(&claimed), ["a"], "lapsed, so alone");
    assert!(!heir.claim(&request(9)).unwrap().events.is_empty());
    stopped.release(BY, &[lost.fired.sys_id]);
    stopped.complete(completion(&claimed[0], NextState::Processed));
    stopped.flush().unwrap();
    assert_eq!(
        stopped.event(&claimed[0].fired.sys_id).unwrap().unwrap().state,
        EventState::Ready,
        "it was released under the new lease before it was completed"
    );
}

#[test]
fn what_still_runs_under_a_lapsed_lease_counts_for_nothing_and_is_begun_again_after_it() {
    let database = TestDatabase::create();
    let slow = node(&database, "slow");
    append(&slow, &["a"]);
    let old = slow.claim(&request(1)).unwrap().events.remove(0);
    let id = old.fired.sys_id;
    assert!(slow.begin(&id, BY, 0));
    database.lapse_all();
    drop(node(&database, "others"));
    let fires = || {
        let key = format!("h:{id}:0:script_action:x:0:abc");
        let follow_up = NewEvent { dedupe_key: Arc::from(key), ..event("follow-up") };
        slow.append_blocking(vec![follow_up], MODE).unwrap().0.remove(0)
    };
    assert!(fires().is_err(), "the lease has lapsed, and this program does not know yet");
    let again = slow.claim(&request(1)).unwrap().events.remove(0);
    assert!(fires().is_err(), "it knows, and has the event again");
    assert!(!slow.begin(&id, BY, 1), "the old handling has not ended");
    slow.record_runs(vec![run_of(&old, Outcome::Succeeded)]);
    slow.complete(completion(&old, NextState::Processed));
    slow.flush().unwrap();
    assert_eq!(slow.event(&id).unwrap().unwrap().state, EventState::Ready, "{again:?}");

    let again = slow.claim(&request(1)).unwrap().events.remove(0);
    assert!(slow.begin(&id, BY, 1));
    assert!(fires().is_ok());
    slow.complete(completion(&again, NextState::Processed));
    slow.flush().unwrap();
    assert_eq!(slow.event(&id).unwrap().unwrap().state, EventState::Processed);
    assert_eq!(slow.runs(&id, None).unwrap(), []);
}

#[test]
fn a_program_that_closes_gives_everything_back_at_once() {
    let database = TestDatabase::create();
    let first = node(&database, "first");
    append(&first, &["a", "b"]);
    let claimed = first.claim(&request(9)).unwrap().events;
    assert!(first.begin(&claimed[0].fired.sys_id, BY, 0));
    first.close().unwrap();
    let second = node(&database, "second");
    let again = second.claim(&request(9)).unwrap().events;
    assert_eq!(names(&again), ["a", "b"]);
    assert!(again.iter().all(|event| event.lapses == 0));
}

#[test]
fn three_programs_claim_each_event_once() {
    const EVENTS: usize = 600;
    let database = TestDatabase::create();
    let nodes = ["one", "two", "three"].map(|name| node(&database, name));
    let events: Vec<NewEvent> =
        (0..EVENTS).map(|n| event_at(&format!("{n:04}"), [1.0, 5.0][n % 2], 0)).collect();
    nodes[0].append_blocking(events, MODE).unwrap();
    let seen = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for store in &nodes {
            scope.spawn(|| {
                loop {
                    let claim = store.claim(&request(7)).unwrap();
                    if claim.events.is_empty() && !claim.more && claim.next_due.is_none() {
                        return;
                    }
                    let names = names(&claim.events);
                    assert!(
                        names.is_sorted_by_key(|n| (n.parse::<usize>().unwrap() % 2, n.clone()))
                    );
                    for event in &claim.events {
                        store.complete(completion(event, NextState::Processed));
                    }
                    seen.lock().unwrap().extend(names);
                }
            });
        }
    });
    for store in &nodes {
        store.flush().unwrap();
    }
    let mut seen = seen.into_inner().unwrap();
    seen.sort();
    assert_eq!(seen, (0..EVENTS).map(|n| format!("{n:04}")).collect::<Vec<_>>());
    assert_eq!(nodes[2].backlog(NOW).unwrap(), []);
    assert_eq!(nodes[2].integrity_problems().unwrap(), Vec::<String>::new());
}

#[test]
fn another_program_is_told_of_new_events_and_nobody_twice() {
    let database = TestDatabase::create();
    let (one, other) = (node(&database, "one"), node(&database, "other"));
    let (tell, told) = std::sync::mpsc::channel();
    for (name, store) in [("one", &one), ("other", &other)] {
        let tell = tell.clone();
        store.set_wake_listener(Arc::new(move |queue, due| {
            tell.send((name, queue.to_owned(), due)).unwrap();
        }));
    }
    let fired = NewEvent { queue: Arc::from("q ü"), ..event_at("a", 1.0, 300) };
    one.append_blocking(vec![fired], MODE).unwrap();
    let wait = Duration::from_secs(30);
    let due = NOW.plus_millis(300);
    assert_eq!(told.recv_timeout(wait).unwrap(), ("one", "q ü".to_owned(), due));
    assert_eq!(told.recv_timeout(wait).unwrap(), ("other", "q ü".to_owned(), due));
    append(&other, &["b"]);
    assert_eq!(
        told.recv_timeout(wait).unwrap().0,
        "other",
        "the first one heard nothing of its own"
    );
}

#[test]
fn twenty_that_start_at_once_migrate_once() {
    let database = TestDatabase::create_empty();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| node(&database, "n").close().unwrap());
        }
    });
    let numbers =
        database.texts("SELECT number::text FROM campanile_migration AS done ORDER BY done.number");
    let expected: Vec<String> = (1..=numbers.len()).map(|n| n.to_string()).collect();
    assert!(!numbers.is_empty());
    assert_eq!(numbers, expected);
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let database = TestDatabase::create();
    database.run("INSERT INTO campanile_migration (number, name) VALUES (999, 'future')");
    let error = PostgresStore::open(&PostgresOptions::new(database.url())).unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 999, .. }), "{error}");
    assert_eq!(database.texts("SELECT token::text FROM campanile_node"), Vec::<String>::new());
}

#[test]
fn what_keeps_a_program_from_starting_is_told_with_the_place_and_without_the_password() {
    let database = TestDatabase::create();
    let refused =
        |url: &str| PostgresStore::open(&PostgresOptions::new(url)).unwrap_err().to_string();
    let nowhere = refused("postgres://u:geheim@127.0.0.1:1/c?connect_timeout=2");
    assert!(nowhere.contains("127.0.0.1:1") && !nowhere.contains("geheim"), "{nowhere}");
    let unknown = refused("postgres://u:geheim@no-such-host.invalid/c?sslmode=disable");
    assert!(unknown.contains("no-such-host.invalid") && !unknown.contains("geheim"), "{unknown}");
    let missing = refused(&format!("{}_missing", database.url()));
    assert!(missing.contains("does not exist"), "{missing}");
    database.run(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', \
         current_database()); END $$",
    );
    let read_only = refused(database.url());
    assert!(read_only.contains("read-only"), "{read_only}");
}

/// How often the tables of events were read from end to end while a program did `work`.
fn whole_reads(database: &TestDatabase, work: impl FnOnce(&PostgresStore)) -> i64 {
    const SUM: &str = "SELECT coalesce(sum(seq_scan), 0)::text FROM pg_stat_user_tables \
         WHERE relname IN ('sysevent_live', 'sysevent_log')";
    counted(database, SUM, work)
}

/// What the server's `sum` grows by while a program does `work`.
fn counted(database: &TestDatabase, sum: &str, work: impl FnOnce(&PostgresStore)) -> i64 {
    let count = || -> i64 {
        // What a connection has counted is told when it ends.
        let others = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
             AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        while !database.texts(others).is_empty() {
            std::thread::yield_now();
        }
        database.texts(sum)[0].parse().unwrap()
    };
    let before = count();
    let store = node(database, "n");
    work(&store);
    store.close().unwrap();
    drop(store);
    count() - before
}

/// Waiting events whose keys begin with `letter`, as other programs would have appended them.
fn fill(database: &TestDatabase, letter: char, rows: usize) {
    database.run(&format!(
        "INSERT INTO sysevent_live (sys_id, queue, derived_priority, process_on, sys_created_on, name, \"partition\", \
         depth, source, queue_from_call, registered, scheduled, max_attempts, coalesce_seconds) \
         SELECT '{letter}' || lpad(n::text, 31, '0'), '', 100, {at}, {at}, 'n', 0, 0, 'api', false, true, false, 0, 0 \
         FROM generate_series(1, {rows}) AS n",
        at = NOW.as_millis()
    ));
}

#[test]
fn claims_and_completions_read_no_table_from_end_to_end_whatever_was_analysed() {
    for analysed in [0_usize, 20, 100_000] {
        let database = TestDatabase::create();
        // Nothing may be analysed again behind our back.
        database.run("ALTER TABLE sysevent_live SET (autovacuum_enabled = off)");
        fill(&database, 'a', analysed);
        database.run("ANALYZE sysevent_live; ANALYZE sysevent_log");
        fill(&database, 'b', 5_000);
        let idle = whole_reads(&database, |_| {});
        let busy = whole_reads(&database, |store| {
            for round in 0..12 {
                let request = ClaimRequest { by_priority: round % 2 == 0, ..request(50) };
                let claimed = store.claim(&request).unwrap().events;
                assert_eq!(claimed.len(), 50);
                for event in &claimed {
                    assert!(store.begin(&event.fired.sys_id, BY, 0));
                    store.record_runs(vec![run_of(event, Outcome::Succeeded)]);
                    store.complete(completion(event, NextState::Processed));
                }
                store.flush().unwrap();
                append(store, &["x"]);
            }
        });
        assert_eq!(busy, idle, "analysed with {analysed} rows");
    }
}

/// A program may hold thousands: the index of what is claimed leads to all of them.
#[test]
fn an_end_looks_at_no_other_event_that_its_program_holds_whatever_was_analysed() {
    const OF_CLAIMS: &str = "SELECT coalesce(sum(idx_scan), 0)::text FROM pg_stat_user_indexes \
         WHERE indexrelname = 'sysevent_live_claimed'";
    const BATCHES: usize = 20;
    for analysed in [0_usize, 20, 20_000] {
        let database = TestDatabase::create();
        database.run("ALTER TABLE sysevent_live SET (autovacuum_enabled = off)");
        fill(&database, 'a', analysed);
        database.run("ANALYZE sysevent_live; ANALYZE sysevent_log");
        fill(&database, 'b', 3_000);
        let idle = counted(&database, OF_CLAIMS, |_| {});
        let busy = counted(&database, OF_CLAIMS, |store| {
            let claimed = store.claim(&request(1_000)).unwrap().events;
            for batch in claimed.chunks(10).take(BATCHES) {
                for event in batch {
                    assert!(store.begin(&event.fired.sys_id, BY, 0));
                    store.record_runs(vec![run_of(event, Outcome::Succeeded)]);
                    store.complete(completion(event, NextState::Processed));
                }
                store.flush().unwrap();
            }
        });
        assert!(busy - idle < 5, "{busy} and {idle} of {BATCHES}, analysed with {analysed} rows");
    }
}

#[test]
fn an_event_whose_end_the_database_refuses_ends_in_error_and_holds_up_nobody() {
    let database = TestDatabase::create();
    let store = node(&database, "only");
    database.run("ALTER TABLE sysevent_run ADD CHECK (handler_name <> 'poison')");
    append(&store, &["a", "b", "c"]);
    let claimed = store.claim(&request(3)).unwrap().events;
    for (event, handler) in claimed.iter().zip(["fine", "poison", "fine"]) {
        let mut end = completion(event, NextState::Processed);
        let mut run = run_of(event, Outcome::Succeeded);
        run.handler_name = handler.to_owned();
        end.runs.push(run);
        store.complete(end);
    }
    store.flush().unwrap();
    let found: Vec<_> =
        claimed.iter().map(|e| store.event(&e.fired.sys_id).unwrap().unwrap()).collect();
    let states: Vec<_> = found.iter().map(|event| event.state).collect();
    assert_eq!(states, [EventState::Processed, EventState::Error, EventState::Processed]);
    assert!(found.iter().all(|event| event.claimed_by.is_empty()));
    assert_eq!(&*found[1].error_code, "handler_failed");
    let message = &found[1].error_message;
    assert!(message.contains("could not be written down"), "{message}");
    assert!(message.contains("sysevent_run"), "{message}");
}
