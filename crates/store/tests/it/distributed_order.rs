//! Queues that keep an order in distributed mode: what it takes that their events stand in partitions. What such queues promise
//! anywhere is in `event_order`, and from several programs in `postgres_order`.

use std::sync::Arc;
use std::time::Duration;

use campanile_model::partition::partition;
use campanile_model::{EventState, NewEvent, Outcome, QueueOrder};
use campanile_store::testing::TestDatabase;
use campanile_store::{
    ClaimRequest, EventAction, EventStore, Lease, NextState, PostgresLoader, PostgresOptions,
    PostgresStore, QueueRule, ReprocessOptions, Store, StoreError,
};

use crate::events_at_hand::{
    BY, HASH_PARTITIONS, MODE, NOW, completion, distributed, event, failed, finish, names, record,
    request, run_of, wait_until,
};

pub(crate) const SEQUENTIAL: QueueRule = QueueRule { order: QueueOrder::Sequential, halts: false };
const HALTING: QueueRule = QueueRule { halts: true, ..SEQUENTIAL };

/// A program that hears of nothing by itself.
pub(crate) fn node(database: &TestDatabase, name: &str) -> Arc<PostgresStore> {
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

pub(crate) fn set(store: &Arc<PostgresStore>, queue: &str, rule: QueueRule) {
    try_set(store, queue, rule).unwrap();
}

/// Where a sequential queue lives.
pub(crate) fn home(queue: &str) -> String {
    partition(queue, 16).to_string()
}

/// About different records, so that they stand in different partitions.
pub(crate) fn about(record: usize, name: &str) -> NewEvent {
    NewEvent { instance: Arc::from(format!("{record:032}")), ..event(name) }
}

pub(crate) fn in_queue(queue: &str, event: NewEvent) -> NewEvent {
    NewEvent { queue: Arc::from(queue), ..event }
}

/// The partitions of what waits in `queue`, in the order of its names.
pub(crate) fn partitions(database: &TestDatabase, queue: &str) -> Vec<String> {
    database.texts(&format!(
        "SELECT \"partition\"::text FROM sysevent_live WHERE queue = '{queue}' ORDER BY name"
    ))
}

/// Claims and ends one event after the other. Returns their names.
pub(crate) fn drain(store: &Arc<PostgresStore>, queue: &str) -> Vec<String> {
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

/// It comes again as it is told, and rests when it is told that there is nothing.
#[test]
fn a_processor_that_stays_gets_all_of_a_backlog_in_its_order() {
    for order in [QueueOrder::Sequential, QueueOrder::ByRecord] {
        let database = distributed();
        let store = node(&database, "n");
        let numbered = |from: usize| -> Vec<NewEvent> {
            (from..from + 40).map(|n| about(n % 13, &format!("{n:03}"))).collect()
        };
        // Before it kept an order, since then, and while its processor works and rests.
        store.append_blocking(numbered(0), MODE).unwrap();
        set(&store, "", QueueRule { order, halts: false });
        store.append_blocking(numbered(40), MODE).unwrap();
        store.stay("", BY, 5);
        let mut got: Vec<(String, String)> = Vec::new();
        let mut work = || {
            for _ in 0..300 {
                let claim = store.claim(&request(7)).unwrap();
                for event in &claim.events {
                    got.push((event.fired.instance.to_string(), event.fired.name.to_string()));
                    assert!(store.begin(&event.fired.sys_id, BY, 0));
                    finish(&store, event, NextState::Processed);
                    if got.len() == 50 {
                        store.append_blocking(numbered(80), MODE).unwrap();
                    }
                }
                let comes_again = claim.more || claim.next_due.is_some_and(|due| due <= NOW);
                if claim.events.is_empty() && !comes_again {
                    return got.len();
                }
            }
            panic!("it does not come to rest");
        };
        assert_eq!(work(), 120, "{order:?}");
        store.append_blocking(numbered(120), MODE).unwrap();
        assert_eq!(database.texts("SELECT DISTINCT state FROM sysevent_live"), ["ready"]);
        assert_eq!(work(), 160, "{order:?}");
        store.leave(BY);
        let by_sequence = "SELECT name FROM sysevent_log ORDER BY sequence";
        let names = |got: &[(String, String)]| -> Vec<String> {
            got.iter().map(|(_, name)| name.clone()).collect()
        };
        if order == QueueOrder::Sequential {
            assert_eq!(names(&got), database.texts(by_sequence));
        } else {
            got.sort_by(|l, r| l.0.cmp(&r.0));
            for of_record in got.chunk_by(|l, r| l.0 == r.0) {
                assert!(names(of_record).is_sorted(), "{of_record:?}");
            }
        }
    }
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
             DROP FUNCTION campanile_claim_from; DROP FUNCTION campanile_next_due_from; \
             DROP FUNCTION campanile_dues_from; DROP FUNCTION campanile_next_lane; \
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
