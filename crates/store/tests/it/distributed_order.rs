//! Queues that keep an order in distributed mode: what it takes that their events stand in partitions. What such queues promise
//! anywhere is in `event_order`, and from several programs in `postgres_order`.

use std::sync::Arc;
use std::time::Duration;

use campanile_model::partition::partition;
use campanile_model::{EventState, NewEvent, Outcome, QueueOrder};
use campanile_store::testing::TestDatabase;
use campanile_store::{
    Claim, ClaimRequest, EventAction, EventStore, Lease, NextState, PostgresLoader,
    PostgresOptions, PostgresStore, QueueRule, ReprocessOptions, Store, StoreError,
};

use crate::events_at_hand::{
    BY, HASH_PARTITIONS, MODE, NOW, completion, distributed, event, event_at, failed, finish,
    names, record, request, run_of, wait_until,
};

const SEQUENTIAL: QueueRule = QueueRule { order: QueueOrder::Sequential, halts: false };
const HALTING: QueueRule = QueueRule { halts: true, ..SEQUENTIAL };

/// A program that hears of nothing by itself.
fn node(database: &TestDatabase, name: &str) -> Arc<PostgresStore> {
    let rarely = Duration::from_secs(900);
    PostgresStore::open(&PostgresOptions {
        node: name.to_owned(),
        lease: Lease { lasts: Duration::from_secs(3_600), beat: rarely },
        watch: rarely,
        ..PostgresOptions::new(database.url())
    })
    .unwrap()
}

fn try_set(store: &Arc<PostgresStore>, queue: &str, rule: QueueRule) -> Result<(), StoreError> {
    let mut tx = Arc::clone(store).write()?;
    tx.set_queue_order(queue, Some(rule))?;
    tx.commit().map(drop)
}

fn set(store: &Arc<PostgresStore>, queue: &str, rule: QueueRule) {
    try_set(store, queue, rule).unwrap();
}

/// Where a sequential queue lives.
fn home(queue: &str) -> String {
    partition(queue, 16).to_string()
}

/// About different records, so that they stand in different partitions.
fn about(record: usize, name: &str) -> NewEvent {
    NewEvent { instance: Arc::from(format!("{record:032}")), ..event(name) }
}

fn in_queue(queue: &str, event: NewEvent) -> NewEvent {
    NewEvent { queue: Arc::from(queue), ..event }
}

/// The partitions of what waits in `queue`, in the order of its names.
fn partitions(database: &TestDatabase, queue: &str) -> Vec<String> {
    database.texts(&format!(
        "SELECT \"partition\"::text FROM sysevent_live WHERE queue = '{queue}' ORDER BY name"
    ))
}

/// Claims and ends one event after the other. Returns their names.
fn drain(store: &Arc<PostgresStore>, queue: &str) -> Vec<String> {
    let mut got = Vec::new();
    loop {
        let claim = store.claim(&ClaimRequest { queue, ..request(3) }).unwrap();
        if claim.events.is_empty() {
            return got;
        }
        got.extend(names(&claim.events));
        for event in &claim.events {
            finish(store, event, NextState::Processed);
        }
    }
}

#[test]
fn a_sequential_queue_has_all_that_arrives_in_one_partition_and_one_order() {
    let database = distributed();
    let store = node(&database, "n");
    set(&store, "mail", SEQUENTIAL);
    let events = (0..20).map(|n| in_queue("mail", about(n, &format!("{n:02}"))));
    store.append_blocking(events.collect(), MODE).unwrap();
    let mut tx = Arc::clone(&store).write().unwrap();
    tx.append_events(&[in_queue("mail", about(50, "20"))]).unwrap()[0].as_ref().unwrap();
    tx.commit().unwrap();
    assert_eq!(partitions(&database, "mail"), vec![home("mail"); 21]);
    assert_eq!(database.texts("SELECT DISTINCT turn::text FROM sysevent_live"), ["0"]);
    assert_eq!(drain(&store, "mail"), (0..21).map(|n| format!("{n:02}")).collect::<Vec<_>>());
}

#[test]
fn what_waited_in_other_partitions_when_a_queue_became_sequential_comes_home_and_in_its_order() {
    for is_partitioned in [false, true] {
        let database = distributed();
        if is_partitioned {
            database.run(HASH_PARTITIONS);
        }
        let store = node(&database, "n");
        // More than one transaction brings home.
        let before: Vec<NewEvent> = (0..1_200).map(|n| about(n, &n.to_string())).collect();
        store.append_blocking(before, MODE).unwrap();
        let mut expected = database.texts("SELECT name FROM sysevent_live ORDER BY sequence");
        expected.push("last".to_owned());
        let later = NewEvent { scheduled: true, ..event_at("later", 100.0, 60_000) };
        store
            .append_blocking(vec![NewEvent { instance: about(7, "").instance, ..later }], MODE)
            .unwrap();
        set(&store, "", SEQUENTIAL);
        store.append_blocking(vec![about(3, "last")], MODE).unwrap();
        let mut got = Vec::new();
        let mut looks = 0;
        while got.len() < 1_201 {
            looks += 1;
            assert!(looks < 100, "{} after {looks} looks", got.len());
            let claim = store.claim(&request(100)).unwrap();
            got.extend(names(&claim.events));
            assert!(
                !claim.events.is_empty() || claim.next_due.is_some_and(|due| due <= NOW),
                "the rest may be had at once"
            );
            for event in &claim.events {
                store.complete(completion(event, NextState::Processed));
            }
            store.flush().unwrap();
        }
        assert!(got == expected, "in the order of their numbers");
        assert_ne!(partitions(&database, ""), [home("")], "what is for later is fetched then");
        let then = ClaimRequest { now: NOW.plus_millis(60_000), ..request(1) };
        assert_eq!(names(&store.claim(&then).unwrap().events), ["later"]);
        assert_eq!(partitions(&database, ""), [home("")]);
    }
}

#[test]
fn what_a_program_appends_that_does_not_know_yet_is_brought_home() {
    let database = distributed();
    let (store, unaware) = (node(&database, "n"), node(&database, "unaware"));
    unaware.append_blocking(vec![in_queue("other", event("it has looked"))], MODE).unwrap();
    set(&store, "mail", SEQUENTIAL);
    let events = (0..8).map(|n| in_queue("mail", about(n, &n.to_string()))).collect();
    unaware.append_blocking(events, MODE).unwrap();
    assert!(partitions(&database, "mail").iter().any(|at| *at != home("mail")));
    let expected =
        database.texts("SELECT name FROM sysevent_live WHERE queue = 'mail' ORDER BY sequence");
    let first = store.claim(&ClaimRequest { queue: "mail", ..request(1) }).unwrap().events;
    assert_eq!(names(&first), expected[..1]);
    assert_eq!(partitions(&database, "mail"), vec![home("mail"); 8]);
    // It is told when it claims, and takes no part in no turn of before.
    let by_other = ClaimRequest { queue: "mail", claimed_by: "other", ..request(9) };
    assert_eq!(unaware.claim(&by_other).unwrap().events, []);
    finish(&store, &first[0], NextState::Processed);
    let mut rest = Claim::default();
    wait_until("it hears of the end", || {
        rest = unaware.claim(&by_other).unwrap();
        !rest.events.is_empty()
    });
    assert_eq!((names(&rest.events), rest.order), (expected[1..].to_vec(), QueueOrder::Sequential));
}

#[test]
fn what_was_tried_elsewhere_comes_home_with_its_runs_and_holds_the_queue() {
    let database = distributed();
    let store = node(&database, "n");
    let elsewhere = |name: &str| about(if home("") == "0" { 1 } else { 2 }, name);
    store.append_blocking(vec![elsewhere("tried")], MODE).unwrap();
    let tried = store.claim(&request(1)).unwrap().events.remove(0);
    let mut end = completion(&tried, NextState::RetryAt(NOW.plus_millis(5_000)));
    end.runs = vec![run_of(&tried, Outcome::Succeeded), run_of(&tried, Outcome::Failed)];
    let runs = end.runs.clone();
    store.complete(end);
    store.flush().unwrap();
    set(&store, "", SEQUENTIAL);
    store.append_blocking(vec![elsewhere("next")], MODE).unwrap();
    assert_eq!(partitions(&database, ""), vec![home(""); 2]);
    assert_eq!(store.claim(&request(9)).unwrap().events, [], "its next attempt is first");
    let then = ClaimRequest { now: NOW.plus_millis(5_000), ..request(9) };
    let again = store.claim(&then).unwrap().events;
    assert_eq!((names(&again), again[0].attempts), (vec!["tried".to_owned()], 1));
    assert_eq!(store.runs(&tried.fired.sys_id, Some(0)).unwrap(), runs, "no handler runs again");
    let apart = "SELECT count(*)::text FROM sysevent_run JOIN sysevent_live USING (\"partition\")";
    assert_eq!(database.texts(apart), ["4"], "they stand where it stands");
}

#[test]
fn a_queue_does_not_become_sequential_while_its_events_are_handled_in_other_partitions() {
    let database = distributed();
    let store = node(&database, "n");
    store
        .append_blocking((0..20).map(|n| in_queue("mail", about(n, "n"))).collect(), MODE)
        .unwrap();
    let request = ClaimRequest { queue: "mail", ..request(9) };
    let claimed = store.claim(&request).unwrap().events;
    let error = try_set(&store, "mail", SEQUENTIAL).unwrap_err();
    assert_eq!(error, StoreError::QueueAtWork { queue: "mail".to_owned() });
    assert!(error.to_string().contains("'mail'") && error.to_string().contains("pause it"));
    for event in &claimed {
        finish(&store, event, NextState::Processed);
    }
    set(&store, "mail", SEQUENTIAL);
    // With order by record it is a matter of each partition, and may be set meanwhile.
    store.append_blocking(vec![about(1, "a1"), about(1, "a2")], MODE).unwrap();
    let a1 = store.claim(&ClaimRequest { queue: "", limit: 1, ..request }).unwrap().events;
    assert_eq!(names(&a1), ["a1"]);
    // As a record operation of its handler, which may last.
    let handler = database.stranger();
    handler.run("BEGIN; SELECT FROM sysevent_live WHERE state = 'queued' FOR KEY SHARE");
    set(&store, "", QueueRule { order: QueueOrder::ByRecord, halts: false });
    handler.run("ROLLBACK");
    let other = ClaimRequest { queue: "", claimed_by: "other", ..request };
    assert_eq!(store.claim(&other).unwrap().events, []);
    finish(&store, &a1[0], NextState::Processed);
    assert_eq!(names(&store.claim(&other).unwrap().events), ["a2"]);
}

/// Whoever claims under the old rule while the new one is being set would be seen by nobody.
#[test]
fn claims_and_the_setting_of_an_order_wait_for_each_other() {
    let database = distributed();
    let store = node(&database, "n");
    store.append_blocking(vec![in_queue("mail", event("a"))], MODE).unwrap();
    let claiming = database.stranger();
    claiming.run("BEGIN; SELECT pg_try_advisory_xact_lock_shared(1667329395, hashtext('mail'))");
    std::thread::scope(|scope| {
        let setting = scope.spawn(|| set(&store, "mail", SEQUENTIAL));
        wait_until("the order waits for the claim", || {
            let waiting = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock' AND query LIKE '%1667329395%' AND pid <> pg_backend_pid()";
            !database.texts(waiting).is_empty()
        });
        let request = ClaimRequest { queue: "mail", ..request(9) };
        let held = store.claim(&request).unwrap();
        assert!(held.events.is_empty(), "it claims no more under the old rule");
        assert!(held.next_due.is_some_and(|due| due > NOW && due <= NOW.plus_millis(100)));
        claiming.run("ROLLBACK");
        setting.join().unwrap();
        assert_eq!(names(&store.claim(&request).unwrap().events), ["a"]);
    });
}

#[test]
fn actions_by_hand_keep_an_event_where_its_queue_has_its_order() {
    let database = distributed();
    let store = node(&database, "n");
    set(&store, "mail", HALTING);
    let (first, other) = (in_queue("mail", about(1, "a")), in_queue("post", about(2, "b")));
    let (first_id, other_id) = (first.sys_id, other.sys_id);
    store.append_blocking(vec![first], MODE).unwrap();
    store.append_blocking(vec![other], MODE).unwrap();
    let of_record = partitions(&database, "post");
    assert_ne!(of_record, [home("mail")]);
    let move_to = |queue: &str| EventAction::Move {
        sys_id: other_id,
        queue: Arc::from(queue),
        record: record("move", &[other_id]),
    };
    store.act(move_to("mail")).unwrap();
    assert_eq!(partitions(&database, "mail"), vec![home("mail"); 2]);
    let of_mail = ClaimRequest { queue: "mail", ..request(1) };
    let a = store.claim(&of_mail).unwrap().events.remove(0);
    assert_eq!(
        store.claim(&ClaimRequest { claimed_by: "two", ..of_mail.clone() }).unwrap().events,
        []
    );
    let mut end = completion(&a, failed());
    end.runs = vec![run_of(&a, Outcome::Succeeded)];
    store.complete(end);
    store.flush().unwrap();
    assert_eq!(store.halts().unwrap()[0].event, first_id);
    store.act(move_to("post")).unwrap();
    assert_eq!(partitions(&database, "post"), of_record, "with the others of its record");
    assert_eq!(
        database.texts("SELECT turn::text FROM sysevent_live WHERE turn IS NOT NULL"),
        [""; 0]
    );
    // Reprocessed in another queue it stands by its record, with its runs; moved as one of its kind it comes home again.
    let again = EventAction::Reprocess {
        sys_id: first_id,
        options: ReprocessOptions { only_failed: true },
        now: NOW,
        queue: Some(Arc::from("post")),
        record: record("reprocess", &[first_id]),
    };
    store.act(again).unwrap();
    assert!(store.halts().unwrap().is_empty());
    let stands = "SELECT (run.\"partition\" = live.\"partition\")::text FROM sysevent_run AS run \
         JOIN sysevent_live AS live ON live.sys_id = run.event";
    assert_eq!(database.texts(stands), ["true"]);
    assert_eq!(store.move_kind("a", "mail").unwrap().moved, 1);
    assert_eq!(store.move_kind("b", "mail").unwrap().moved, 1);
    assert_eq!(partitions(&database, "mail"), vec![home("mail"); 2]);
    assert_eq!(database.texts(stands), ["true"]);
    assert_eq!(names(&store.claim(&of_mail).unwrap().events), ["a"]);
}

#[test]
fn what_has_left_its_queue_before_the_commit_does_not_arrive_there() {
    let database = distributed();
    let store = node(&database, "n");
    set(&store, "", QueueRule { order: QueueOrder::ByRecord, halts: false });
    let mut tx = Arc::clone(&store).write().unwrap();
    let sys_id = tx.append_events(&[event("a")]).unwrap()[0].as_ref().unwrap().sys_id;
    let queue = Arc::from("other");
    let leaves = EventAction::Move { sys_id, queue, record: record("move", &[sys_id]) };
    tx.act_on_event(&leaves).unwrap();
    tx.commit().unwrap();
    let stands = "SELECT queue || ' ' || coalesce(turn::text, 'without turn') FROM sysevent_live";
    assert_eq!(database.texts(stands), ["other without turn"]);
}

#[test]
fn the_third_lapse_halts_a_sequential_queue() {
    let database = distributed();
    let mut store = node(&database, "n0");
    set(&store, "", HALTING);
    store.append_blocking(vec![event("poison"), event("next")], MODE).unwrap();
    for lapse in 1..=3 {
        let claimed = store.claim(&request(9)).unwrap().events;
        assert_eq!(claimed[0].fired.name.as_ref(), "poison", "lapse {lapse}");
        assert!(store.begin(&claimed[0].fired.sys_id, BY, 0));
        store.flush().unwrap();
        store.abandon();
        database.lapse_all();
        store = node(&database, &format!("n{lapse}"));
    }
    assert_eq!(store.claim(&request(9)).unwrap().events, []);
    let halts = store.halts().unwrap();
    let lost = store.event(&halts[0].event).unwrap().unwrap();
    assert_eq!((&*lost.fired.name, lost.state), ("poison", EventState::Error));
    assert!(store.resume("", record("resume", &[])).unwrap().is_some());
    assert_eq!(names(&store.claim(&request(9)).unwrap().events), ["next"]);
}

#[test]
fn an_order_is_refused_while_a_program_works_that_knows_none_in_partitions() {
    let database = distributed();
    let store = node(&database, "n");
    database
        .run("INSERT INTO campanile_node (name, lease_ms, serves) VALUES ('elder', 3600000, true)");
    let error = try_set(&store, "", SEQUENTIAL).unwrap_err();
    assert!(matches!(error, StoreError::OlderAtWork { number: 8, .. }), "{error}");
    assert!(error.to_string().contains("'elder'"), "{error}");
    database.run("UPDATE campanile_node SET gone_at = clock_timestamp() WHERE name = 'elder'");
    let stops = "SELECT name FROM campanile_migration WHERE stops_older AND number > 5";
    assert_eq!(database.texts(stops), [""; 0]);
    set(&store, "", SEQUENTIAL);
    assert_eq!(database.texts(stops), ["partition_order"]);
}

#[test]
fn what_was_begun_where_a_sequential_queue_does_not_look_is_told() {
    let database = distributed();
    let store = node(&database, "n");
    set(&store, "mail", SEQUENTIAL);
    store.append_blocking(vec![in_queue("mail", event("a"))], MODE).unwrap();
    assert_eq!(store.integrity_problems().unwrap(), [""; 0]);
    // As nobody of ours does it.
    database.run("UPDATE sysevent_live SET \"partition\" = (\"partition\" + 1) % 16, attempts = 1");
    let told = store.integrity_problems().unwrap();
    assert!(told.len() == 1 && told[0].contains("'mail'"), "{told:?}");
}

#[test]
fn databases_of_the_mode_that_were_made_before_get_indexes_of_turns_that_begin_with_the_partition()
{
    let begins = "SELECT (pg_get_indexdef(indexrelid) ~ '\\(\"?partition\"?, queue, (turn|process_on)')::text FROM pg_index \
         WHERE indrelid = 'sysevent_live'::regclass AND pg_get_expr(indpred, indrelid) LIKE '%turn IS NOT NULL%'";
    let indexes = |database: &TestDatabase| database.texts(begins);
    for is_partitioned in [false, true] {
        let database = distributed();
        // As the migration before left them.
        database.run(
            "DROP INDEX sysevent_live_turn; DROP INDEX sysevent_live_begun; \
             CREATE INDEX sysevent_live_turn ON sysevent_live (queue, turn, process_on, sequence) WHERE turn IS NOT NULL; \
             CREATE INDEX sysevent_live_begun ON sysevent_live (queue, turn) \
             WHERE turn IS NOT NULL AND (state = 'queued' OR attempts > 0 OR lapses > 0); \
             DROP INDEX sysevent_live_retry; CREATE INDEX sysevent_live_retry ON sysevent_live (queue, process_on) \
             WHERE turn IS NOT NULL AND state = 'ready' AND (attempts > 0 OR lapses > 0); \
             DROP TRIGGER campanile_node_admit_older ON campanile_node; DROP FUNCTION campanile_admit_older; \
             DROP FUNCTION campanile_index_turns; ALTER TABLE campanile_node DROP COLUMN knows; \
             DELETE FROM campanile_migration WHERE number >= 8",
        );
        if is_partitioned {
            database.run(HASH_PARTITIONS);
        }
        assert_eq!(indexes(&database), ["false"; 3]);
        node(&database, "newer").close().unwrap();
        assert_eq!(indexes(&database), ["true"; 3], "partitioned: {is_partitioned}");
    }
}

#[test]
fn queues_that_keep_an_order_are_copied_into_the_mode_and_out_of_it() {
    use campanile_store::{CopyMark, Dump, Load, dump_tables};
    let tables = dump_tables(&campanile_model::testing::dictionary()).unwrap();
    let fixed: Vec<_> = tables.iter().filter(|table| !table.is_records).collect();
    let copy = |from: &dyn Dump, to: &mut dyn Load| {
        for table in &fixed {
            let rows = from.rows(table, &[], 1_000).unwrap();
            to.load(table, &rows, &CopyMark::default()).unwrap();
        }
        to.finish().unwrap();
    };
    let source = TestDatabase::create();
    let store = node(&source, "source");
    set(&store, "mail", SEQUENTIAL);
    set(&store, "", QueueRule { order: QueueOrder::ByRecord, halts: false });
    let mut events: Vec<NewEvent> =
        (0..10).map(|n| in_queue("mail", about(n, &n.to_string()))).collect();
    events.extend((0..10).map(|n| about(n % 5, &format!("r{n}"))));
    store.append_blocking(events, MODE).unwrap();
    let request = ClaimRequest { queue: "mail", ..request(1) };
    let tried = store.claim(&request).unwrap().events.remove(0);
    let mut end = completion(&tried, NextState::RetryAt(NOW));
    end.runs = vec![run_of(&tried, Outcome::Succeeded)];
    store.complete(end);
    store.flush().unwrap();
    let target = distributed();
    let dump = Arc::clone(&store).dump().unwrap();
    let mut loader = PostgresLoader::open(target.url()).unwrap();
    copy(&*dump, &mut loader);
    drop(loader);
    assert_eq!(partitions(&target, "mail"), vec![home("mail"); 10]);
    assert_eq!(target.texts("SELECT sys_id FROM sysevent_live WHERE turn IS NULL"), [""; 0]);
    let moved = node(&target, "moved");
    let again = moved.claim(&request).unwrap().events.remove(0);
    assert_eq!(&*again.fired.name, "0");
    assert_eq!(moved.runs(&again.fired.sys_id, None).unwrap().len(), 1);
    moved.release(BY, &[again.fired.sys_id]);
    let back = TestDatabase::create_empty();
    let mut loader = PostgresLoader::open(back.url()).unwrap();
    copy(&*Arc::clone(&moved).dump().unwrap(), &mut loader);
    drop(loader);
    let home_again = node(&back, "back");
    assert_eq!(drain(&home_again, "mail"), (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}
