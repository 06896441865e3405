//! Events that are born claimed on PostgreSQL: what they are like, when they may be, and that none is lost or handled twice.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use campanile_model::{Event, NewEvent, SysId};
use campanile_store::testing::TestDatabase;
use campanile_store::{
    ClaimRequest, EventAction, EventStore, NextState, PostgresOptions, PostgresStore, Store,
    TAKE_BACK_AFTER,
};

use crate::events_at_hand::{
    BY, MODE, NOW, completion, event, event_at, names, record, request, wait_until,
};
use crate::postgres_at_hand::still;

/// Another processor of the same queue.
pub(crate) const OTHER: &str = "node/default/1";

fn node(database: &TestDatabase) -> Arc<PostgresStore> {
    PostgresStore::open(&still(database.url(), "node")).unwrap()
}

/// A program whose processor [`BY`] has found nothing to do, and stays.
fn resting(database: &TestDatabase) -> Arc<PostgresStore> {
    let store = node(database);
    rest(&store, BY);
    store
}

pub(crate) fn rest(store: &PostgresStore, claimed_by: &str) {
    store.stay("", claimed_by, 5);
    let claim = store.claim(&ClaimRequest { claimed_by, ..request(9) }).unwrap();
    assert!(claim.events.is_empty() && !claim.more, "{claim:?}");
}

pub(crate) fn append(store: &PostgresStore, names: &[&str]) {
    let events: Vec<NewEvent> = names.iter().map(|name| event(name)).collect();
    assert!(store.append_blocking(events, MODE).unwrap().0.iter().all(Result::is_ok));
}

/// What waits and is claimed, as another program sees it: `name state claimed_by`, by name.
pub(crate) fn rows(database: &TestDatabase) -> Vec<String> {
    database.texts(
        "SELECT concat_ws(' ', name, state, claimed_by) FROM sysevent_live ORDER BY name COLLATE \"C\"",
    )
}

pub(crate) fn claim(store: &PostgresStore, limit: usize) -> Vec<Event> {
    store.claim(&request(limit)).unwrap().events
}

pub(crate) fn finish(store: &PostgresStore, events: &[Event]) {
    for event in events {
        assert!(store.begin(&event.fired.sys_id, &event.claimed_by, 0), "{event:?}");
        store.complete(completion(event, NextState::Processed));
    }
    store.flush().unwrap();
}

/// How often the database was asked for events.
fn asked(store: &PostgresStore) -> u64 {
    gauge(store, "claims").parse().unwrap()
}

fn gauge(store: &PostgresStore, name: &str) -> String {
    store.gauges().into_iter().find(|(found, _)| *found == name).unwrap().1.to_string()
}

pub(crate) fn queued(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("{name} queued {BY}")).collect()
}

#[test]
fn what_a_resting_processor_waits_for_is_born_claimed_and_comes_in_the_order_of_the_queue() {
    let database = TestDatabase::create();
    let store = resting(&database);
    append(&store, &["b"]);
    let better = vec![event_at("c", 10.0, 0), event_at("a", 100.0, -1)];
    store.append_blocking(better, MODE).unwrap();
    assert_eq!(rows(&database), queued(&["a", "b", "c"]));
    let first = store.claim(&request(2)).unwrap();
    assert_eq!((names(&first.events), first.more), (vec!["c".to_owned(), "a".to_owned()], true));
    let second = store.claim(&request(2)).unwrap();
    assert_eq!((names(&second.events), second.more), (vec!["b".to_owned()], false));
    finish(&store, &[first.events, second.events].concat());
    assert_eq!(rows(&database), Vec::<String>::new());
    let log = "SELECT name || ' ' || state || ' ' || attempts FROM sysevent_log ORDER BY name";
    assert_eq!(database.texts(log), ["a processed 1", "b processed 1", "c processed 1"]);
    assert_eq!(store.integrity_problems().unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_born_is_what_a_claim_would_have_read() {
    let database = TestDatabase::create();
    let store = resting(&database);
    let odd = "\0 \u{1}\u{2} ß \u{10ffff}";
    let full = NewEvent {
        sys_id: "AbCdEf0123456789aBcDeF0123456789".parse().unwrap(),
        parm1: odd.into(),
        parm2: odd.into(),
        table: odd.into(),
        instance: odd.into(),
        descriptive_name: odd.into(),
        queue_from_call: true,
        priority: -0.1,
        registered: false,
        user_id: odd.into(),
        user_name: odd.into(),
        uri: odd.into(),
        snapshot: odd.into(),
        depth: 3,
        cause_event: Some(SysId::generate(NOW)),
        cause_handler: odd.into(),
        key_life_ms: 7,
        content_hash: 7,
        source: campanile_model::EventSource::Script,
        max_attempts: 4,
        ..event(odd)
    };
    let empty = NewEvent {
        table: "".into(),
        instance: "".into(),
        descriptive_name: "".into(),
        user_id: "".into(),
        user_name: "".into(),
        uri: "".into(),
        ..event("")
    };
    for fired in [full, empty] {
        let id = fired.sys_id;
        let told = store.append_blocking(vec![fired], MODE).unwrap().0.remove(0).unwrap();
        let born = claim(&store, 9).remove(0);
        assert_eq!(born.sequence, told.sequence);
        assert_eq!(store.event(&id).unwrap().unwrap(), born);
        // Given back, and claimed as ever.
        store.release(BY, &[id]);
        assert_eq!(claim(&store, 9), [born]);
        finish(&store, &[store.event(&id).unwrap().unwrap()]);
    }
}

#[test]
fn nothing_is_born_for_who_does_not_stay_has_not_looked_or_is_another_queues() {
    let database = TestDatabase::create();
    let store = node(&database);
    assert!(claim(&store, 9).is_empty());
    append(&store, &["a"]);
    store.stay("", BY, 5);
    append(&store, &["b"]);
    assert_eq!(names(&claim(&store, 9)), ["a", "b"]);
    let elsewhere = NewEvent { queue: "elsewhere".into(), ..event("c") };
    store.append_blocking(vec![elsewhere], MODE).unwrap();
    assert_eq!(rows(&database)[2], "c ready");
}

#[test]
fn what_is_scheduled_or_not_due_or_has_a_key_waits_as_ever() {
    let database = TestDatabase::create();
    let store = resting(&database);
    let far = 4_000_000_000_000;
    let later = NewEvent { process_on: campanile_model::Instant::from_millis(far), ..event("a") };
    let scheduled = NewEvent { scheduled: true, ..event("b") };
    store.append_blocking(vec![later, scheduled], MODE).unwrap();
    assert_eq!(names(&claim(&store, 9)), ["b"]);
    rest(&store, BY);
    let keyed = NewEvent { dedupe_key: "key".into(), ..event("c") };
    store.append_blocking(vec![keyed], MODE).unwrap();
    assert_eq!(rows(&database), ["a ready".to_owned(), format!("b queued {BY}"), "c ready".into()]);
}

/// Whatever puts something else into the queue shuts the inbox, until the processor has looked again.
#[test]
fn while_anything_else_waits_new_events_wait_behind_it() {
    type Case = (&'static str, fn(&PostgresStore, &[Event]));
    let cases: [Case; 4] = [
        ("a retry", |store, held| {
            store.complete(completion(&held[0], NextState::RetryAt(NOW)));
            store.flush().unwrap();
        }),
        ("a release", |store, held| store.release(OTHER, &[held[0].fired.sys_id])),
        ("an append that takes more than one statement", |store, _| {
            let keyed = NewEvent { dedupe_key: "key".into(), ..event("keyed") };
            store.append_blocking(vec![keyed], MODE).unwrap();
        }),
        ("an action by hand", |store, held| {
            finish(store, &held[..1]);
            let sys_id = held[0].fired.sys_id;
            let record = record("reprocess", &[sys_id]);
            let options = campanile_store::ReprocessOptions::default();
            let again = EventAction::Reprocess { sys_id, options, now: NOW, queue: None, record };
            store.act(again).unwrap();
        }),
    ];
    for (what, case) in cases {
        let database = TestDatabase::create();
        let store = node(&database);
        append(&store, &["first"]);
        let held = store.claim(&ClaimRequest { claimed_by: OTHER, ..request(9) }).unwrap().events;
        rest(&store, BY);
        case(&store, &held);
        append(&store, &["new"]);
        assert!(rows(&database).contains(&"new ready".to_owned()), "{what}");
        let found = claim(&store, 9);
        assert_eq!(names(&found).last().unwrap(), "new", "{what}: in its place");
        assert!(found.len() > 1 || what == "a retry", "{what}");
        append(&store, &["newer"]);
        let born = format!("newer queued {BY}");
        assert!(rows(&database).contains(&born), "{what}: it has looked since");
    }
}

#[test]
fn what_another_program_appends_shuts_the_inbox_once_that_is_heard() {
    let database = TestDatabase::create();
    let store = resting(&database);
    let (tell, told) = channel();
    store.set_wake_listener(Arc::new(move |queue, _| tell.send(queue.to_owned()).unwrap()));
    let other = node(&database);
    append(&other, &["theirs"]);
    assert_eq!(told.recv_timeout(Duration::from_secs(60)).unwrap(), "");
    append(&store, &["ours"]);
    assert_eq!(rows(&database), ["ours ready", "theirs ready"]);
    assert_eq!(names(&claim(&store, 9)), ["theirs", "ours"]);
}

#[test]
fn what_becomes_due_shuts_the_inbox_without_being_told() {
    let database = TestDatabase::create();
    let store = node(&database);
    // Due long ago by the clock that the store has, and not yet by the processor's.
    store.append_blocking(vec![event_at("scheduled", 100.0, 60_000)], MODE).unwrap();
    store.stay("", BY, 5);
    let looked = store.claim(&request(9)).unwrap();
    assert_eq!(looked.next_due, Some(NOW.plus_millis(60_000)));
    append(&store, &["new"]);
    assert_eq!(rows(&database), ["new ready", "scheduled ready"]);
}

#[test]
fn a_full_inbox_leaves_the_rest_waiting_and_is_shut_until_its_processor_has_looked() {
    let database = TestDatabase::create();
    let store = node(&database);
    store.stay("", BY, 2);
    assert!(claim(&store, 3).is_empty());
    append(&store, &["a", "b", "c", "d"]);
    let mut expected = queued(&["a", "b", "c"]);
    expected.push("d ready".to_owned());
    assert_eq!(rows(&database), expected, "as many as it claims at once");
    append(&store, &["e"]);
    assert_eq!(rows(&database)[4], "e ready", "behind the one that waits");
    let batch = claim(&store, 9);
    assert_eq!(names(&batch), ["a", "b", "c", "d", "e"], "it has looked: they may go before");
    finish(&store, &batch);
    append(&store, &["f", "g", "h"]);
    let mut expected = queued(&["f", "g"]);
    expected.push("h ready".to_owned());
    assert_eq!(rows(&database), expected, "as many as it has room for while it is busy");
}

#[test]
fn what_waits_in_an_inbox_goes_with_its_kind() {
    let database = TestDatabase::create();
    let store = resting(&database);
    append(&store, &["kind", "kind", "other"]);
    append(&store, &["kind"]);
    let moved = store.move_kind("kind", "elsewhere").unwrap();
    assert_eq!(moved.moved, 3);
    let stand = "SELECT concat_ws(' ', name, queue, state) FROM sysevent_live ORDER BY sequence";
    assert_eq!(
        database.texts(stand),
        ["kind elsewhere ready", "kind elsewhere ready", "other  queued", "kind elsewhere ready"]
    );
    assert_eq!(names(&claim(&store, 9)), ["other"]);
}

#[test]
fn what_a_transaction_takes_out_of_an_inbox_waits_for_anybody_when_it_is_rolled_back() {
    let database = TestDatabase::create();
    for commits in [true, false] {
        let store = resting(&database);
        append(&store, &["a"]);
        let id: SysId = database.texts("SELECT sys_id FROM sysevent_live")[0].parse().unwrap();
        let queue = Arc::from("elsewhere");
        let action = EventAction::Move { sys_id: id, queue, record: record("by hand", &[id]) };
        let mut tx = Arc::clone(&store).write().unwrap();
        tx.act_on_event(&action).unwrap();
        let savepoint = tx.savepoint().unwrap();
        tx.rollback_to(savepoint).unwrap();
        if commits {
            tx.commit().unwrap();
            // It may be claimed again at once, under the same lease.
            assert_eq!(gauge(&store, "completions_waiting"), "0", "nothing is given back");
            assert_eq!(rows(&database), ["a ready"]);
            assert_eq!(database.texts("SELECT queue FROM sysevent_live"), ["elsewhere"]);
            database.run("DELETE FROM sysevent_live");
        } else {
            assert_eq!(rows(&database), queued(&["a"]), "not yet");
            drop(tx);
            store.flush().unwrap();
            assert_eq!(rows(&database), ["a ready"]);
            finish(&store, &claim(&store, 9));
        }
        store.close().unwrap();
    }
}

#[test]
fn what_a_savepoint_undoes_waits_in_hand_no_more_and_can_be_changed_again() {
    let database = TestDatabase::create();
    let store = resting(&database);
    append(&store, &["a"]);
    let id: SysId = database.texts("SELECT sys_id FROM sysevent_live")[0].parse().unwrap();
    let to = |queue: &str| EventAction::Move {
        sys_id: id,
        queue: Arc::from(queue),
        record: record("by hand", &[id]),
    };
    let mut tx = Arc::clone(&store).write().unwrap();
    let savepoint = tx.savepoint().unwrap();
    tx.act_on_event(&to("undone")).unwrap();
    tx.rollback_to(savepoint).unwrap();
    tx.act_on_event(&to("done")).unwrap();
    let savepoint = tx.savepoint().unwrap();
    tx.act_on_event(&to("undone")).unwrap();
    tx.rollback_to(savepoint).unwrap();
    tx.commit().unwrap();
    store.flush().unwrap();
    assert_eq!(database.texts("SELECT queue || ' ' || state FROM sysevent_live"), ["done ready"]);
}

/// What is in hand is handed out without a look as long as nothing that waits goes before it.
#[test]
fn what_was_born_before_all_that_waits_goes_first_and_what_is_better_is_fetched() {
    let database = TestDatabase::create();
    let store = node(&database);
    store.stay("", BY, 2);
    assert!(claim(&store, 3).is_empty());
    let at = |name, millis: i64| event_at(name, 100.0, millis - 1_000);
    let born = vec![at("a", 1), at("b", 2), at("c", 3), at("late", 4)];
    store.append_blocking(born, MODE).unwrap();
    assert_eq!(rows(&database)[3], "late ready");
    let asked_before = asked(&store);
    let first = store.claim(&request(1)).unwrap();
    assert_eq!((names(&first.events), first.more), (vec!["a".to_owned()], true));
    assert_eq!(asked(&store), asked_before, "late is behind it");
    store.append_blocking(vec![event_at("urgent", 10.0, -1)], MODE).unwrap();
    let second = store.claim(&request(2)).unwrap();
    assert_eq!(
        (names(&second.events), second.more),
        (vec!["urgent".to_owned(), "b".to_owned()], true)
    );
    assert_eq!(asked(&store), asked_before + 1);
    let third = claim(&store, 9);
    assert_eq!(names(&third), ["c", "late"], "in the order of the queue");
    finish(&store, &[first.events, second.events, third].concat());
    assert_eq!(store.integrity_problems().unwrap(), Vec::<String>::new());
}

#[test]
fn what_waits_in_an_inbox_can_be_moved_put_off_and_cancelled() {
    let database = TestDatabase::create();
    let store = resting(&database);
    append(&store, &["cancelled", "moved", "put off", "stays"]);
    let ids: Vec<SysId> = database
        .texts("SELECT sys_id FROM sysevent_live ORDER BY name COLLATE \"C\"")
        .iter()
        .map(|id| id.parse().unwrap())
        .collect();
    let record = || record("by hand", &ids);
    store.act(EventAction::Cancel { sys_id: ids[0], now: NOW, record: record() }).unwrap();
    let queue = Arc::from("elsewhere");
    store.act(EventAction::Move { sys_id: ids[1], queue, record: record() }).unwrap();
    let process_on = NOW.plus_millis(60_000);
    store.act(EventAction::Reschedule { sys_id: ids[2], process_on, record: record() }).unwrap();
    assert_eq!(
        rows(&database),
        ["moved ready".to_owned(), "put off ready".to_owned(), format!("stays queued {BY}")]
    );
    let batch = claim(&store, 9);
    assert_eq!(names(&batch), ["stays"]);
    let refused = store.act(EventAction::Cancel { sys_id: ids[3], now: NOW, record: record() });
    assert!(refused.unwrap_err().to_string().contains("is being handled"));
    finish(&store, &batch);
}

#[test]
fn while_its_processor_lags_behind_nothing_is_born() {
    let database = TestDatabase::create();
    let store = node(&database);
    store.stay("", BY, 100);
    append(&store, &["a", "b", "c"]);
    assert_eq!(names(&claim(&store, 2)), ["a", "b"], "a full batch: more may wait");
    append(&store, &["d"]);
    assert_eq!(rows(&database)[3], "d ready");
    let many: Vec<String> = (0..8).map(|n| format!("e{n}")).collect();
    append(&store, &many.iter().map(String::as_str).collect::<Vec<_>>());
    let batch = store.claim(&request(2)).unwrap();
    assert_eq!((names(&batch.events), batch.more), (vec!["c".to_owned(), "d".to_owned()], true));
    let of_look =
        rows(&database).iter().filter(|row| row.starts_with('e')).cloned().collect::<Vec<_>>();
    assert_eq!(of_look.iter().filter(|row| row.ends_with(BY)).count(), 6, "four times as many");
    append(&store, &["f"]);
    assert!(rows(&database).contains(&"f ready".to_owned()), "a full look: more may wait");
    assert_eq!(names(&claim(&store, 99)).len(), 9);
    append(&store, &["g"]);
    assert!(rows(&database).contains(&format!("g queued {BY}")), "it has caught up");
}

#[test]
fn who_is_busy_and_slow_has_nothing_born_for_it() {
    let database = TestDatabase::create();
    let store = resting(&database);
    append(&store, &["a"]);
    store.stay("", BY, 0);
    assert_eq!(names(&claim(&store, 9)), ["a"]);
    append(&store, &["b"]);
    assert_eq!(rows(&database)[1], "b ready");
}

/// One event in a long script must not keep those behind it from whoever is idle, on another node too.
#[test]
fn what_was_born_for_a_processor_that_turns_out_to_be_slow_is_others() {
    let database = TestDatabase::create();
    let options =
        PostgresOptions { watch: Duration::from_secs(4), ..still(database.url(), "node") };
    let store = PostgresStore::open(&options).unwrap();
    let other = node(&database);
    let (tell, told) = channel();
    other.set_wake_listener(Arc::new(move |queue, _| tell.send(queue.to_owned()).unwrap()));
    rest(&store, BY);
    append(&store, &["slow"]);
    let slow = claim(&store, 9);
    append(&store, &["behind"]);
    told.recv_timeout(Duration::from_secs(60)).unwrap();
    wait_until("it is given back", || {
        rows(&database) == ["behind ready".to_owned(), format!("slow queued {BY}")]
    });
    let found = other.claim(&ClaimRequest { claimed_by: OTHER, ..request(9) }).unwrap().events;
    assert_eq!(names(&found), ["behind"]);
    assert!(!store.begin(&found[0].fired.sys_id, BY, 0));
    assert!(claim(&store, 9).is_empty());
    finish(&other, &found);
    finish(&store, &slow);
}

#[test]
fn events_are_born_for_who_rests_and_who_was_woken_takes_what_was_born_for_another_one() {
    let database = TestDatabase::create();
    let store = resting(&database);
    rest(&store, OTHER);
    append(&store, &["a", "b"]);
    assert_eq!(rows(&database), [format!("a queued {BY}"), format!("b queued {OTHER}")]);
    assert_eq!(names(&claim(&store, 1)), ["a"]);
    append(&store, &["c"]);
    assert_eq!(rows(&database)[2], format!("c queued {OTHER}"), "the other one rests still");
    let taken = claim(&store, 9);
    assert_eq!(names(&taken), ["b", "c"], "before it has come to it");
    assert!(taken.iter().all(|event| &*event.claimed_by == BY));
    assert!(!store.begin(&taken[0].fired.sys_id, OTHER, 1));
    let other = ClaimRequest { claimed_by: OTHER, ..request(9) };
    assert!(store.claim(&other).unwrap().events.is_empty());
    finish(&store, &taken);
}

/// That another processor has it by now is only what is shown; what ends at once costs nothing.
#[test]
fn who_takes_what_was_born_for_another_one_bears_its_name_once_it_has_begun() {
    let database = TestDatabase::create();
    let store = resting(&database);
    rest(&store, OTHER);
    append(&store, &["a", "b", "c", "d"]);
    database.run(
        "CREATE TABLE seen (name TEXT, synced TEXT); CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ \
         BEGIN INSERT INTO seen VALUES (NEW.name, current_setting('synchronous_commit')); RETURN NEW; END $$; \
         CREATE TRIGGER seeing BEFORE UPDATE ON sysevent_live FOR EACH ROW EXECUTE FUNCTION see()",
    );
    let taken = claim(&store, 9);
    assert_eq!(names(&taken), ["a", "b", "c", "d"]);
    assert!(store.begin(&taken[3].fired.sys_id, BY, 1));
    wait_until("it bears the name of who handles it", || {
        rows(&database)[3] == format!("d queued {BY}")
    });
    assert_eq!(rows(&database)[1], format!("b queued {OTHER}"), "it has not begun");
    store.complete(completion(&taken[3], NextState::Processed));
    finish(&store, &taken[..3]);
    assert_eq!(database.texts("SELECT name || synced FROM seen"), ["doff"], "nobody waits for it");
}

#[test]
fn who_leaves_gives_back_at_once_what_was_born_and_keeps_what_it_was_given() {
    let database = TestDatabase::create();
    let store = resting(&database);
    append(&store, &["given"]);
    let given = claim(&store, 9);
    append(&store, &["born"]);
    let (tell, told) = channel();
    store.set_wake_listener(Arc::new(move |queue, due| {
        tell.send((queue.to_owned(), due)).unwrap();
    }));
    store.leave(BY);
    assert_eq!(rows(&database), ["born ready".to_owned(), format!("given queued {BY}")]);
    assert_eq!(told.try_recv().unwrap(), (String::new(), NOW), "others are woken for it");
    append(&store, &["after"]);
    assert_eq!(rows(&database)[0], "after ready");
    finish(&store, &given);
    let rest = store.claim(&ClaimRequest { claimed_by: OTHER, ..request(9) }).unwrap().events;
    assert_eq!(names(&rest), ["born", "after"]);
}

#[test]
fn a_program_that_closes_gives_back_what_was_born() {
    let database = TestDatabase::create();
    let store = resting(&database);
    append(&store, &["a"]);
    store.close().unwrap();
    assert_eq!(rows(&database), ["a ready"]);
}

#[test]
fn whoever_waits_is_woken_and_other_programs_are_not_told() {
    let database = TestDatabase::create();
    let store = resting(&database);
    let other = node(&database);
    let (tell, told) = channel();
    for (name, store) in [("here", &store), ("there", &other)] {
        let tell = tell.clone();
        store.set_wake_listener(Arc::new(move |_, _| tell.send(name).unwrap()));
    }
    append(&store, &["born"]);
    assert_eq!(told.recv_timeout(Duration::from_secs(60)).unwrap(), "here");
    // What follows is told, and comes after what would have been.
    store.append_blocking(vec![NewEvent { scheduled: true, ..event("b") }], MODE).unwrap();
    assert_eq!(told.recv_timeout(Duration::from_secs(60)).unwrap(), "here");
    assert_eq!(told.recv_timeout(Duration::from_secs(60)).unwrap(), "there");
    assert!(told.try_recv().is_err());
}

#[test]
fn who_comes_from_what_was_born_rests_and_who_rests_already_looks_for_what_nobody_told_of() {
    let database = TestDatabase::create();
    let (store, other) = (resting(&database), resting(&database));
    append(&store, &["own"]);
    finish(&store, &claim(&store, 9));
    append(&other, &["untold"]);
    database.run("UPDATE sysevent_live SET state = 'ready', claimed_by = NULL, claim_token = NULL");
    assert!(claim(&store, 9).is_empty(), "it has looked a moment ago, and was told nothing since");
    assert_eq!(names(&claim(&store, 9)), ["untold"], "it was woken for something, or polls");
}

#[test]
fn an_order_or_a_lapse_that_this_program_has_not_heard_of_lets_nothing_be_born() {
    let database = TestDatabase::create();
    let store = resting(&database);
    database.run(
        "INSERT INTO sysevent_queue_order (queue, kind, halts) VALUES ('', 'sequential', false)",
    );
    append(&store, &["a"]);
    assert_eq!(rows(&database), ["a ready"]);
    database.run("DELETE FROM sysevent_queue_order");

    assert_eq!(names(&claim(&store, 9)), ["a"]);
    rest(&store, OTHER);
    database.lapse_all();
    drop(node(&database));
    append(&store, &["b"]);
    assert_eq!(rows(&database), ["a ready", "b ready"]);
}

#[test]
fn what_was_born_for_a_queue_that_keeps_an_order_by_now_goes_by_turns() {
    let database = TestDatabase::create();
    let store = resting(&database);
    append(&store, &["a", "b"]);
    let mut tx = Arc::clone(&store).write().unwrap();
    let rule =
        campanile_store::QueueRule { order: campanile_model::QueueOrder::Sequential, halts: false };
    tx.set_queue_order("", Some(rule)).unwrap();
    tx.commit().unwrap();
    // It knows by the next group that it writes.
    append(&store, &["c"]);
    let claim = store.claim(&request(9)).unwrap();
    assert_eq!(names(&claim.events), ["a", "b", "c"]);
    assert_eq!(claim.order, campanile_model::QueueOrder::Sequential);
    append(&store, &["d"]);
    assert_eq!(rows(&database)[3], "d ready");
}

#[test]
fn what_was_born_under_a_lapsed_lease_is_others_and_is_not_handed_out() {
    let database = TestDatabase::create();
    let store = resting(&database);
    append(&store, &["a"]);
    append(&store, &["b"]);
    database.lapse_all();
    let heir = node(&database);
    assert_eq!(rows(&database), ["a ready", "b ready"]);
    let taken = heir.claim(&request(1)).unwrap().events;
    // It does not know yet: what it hands out is refused at its end.
    let late = claim(&store, 1);
    assert_eq!(names(&late), ["a"]);
    assert!(store.begin(&late[0].fired.sys_id, BY, 0));
    store.complete(completion(&late[0], NextState::Processed));
    store.flush().unwrap();
    finish(&heir, &taken);
    // It learns of it by a claim; what its inbox had left is forgotten.
    let other = ClaimRequest { claimed_by: "node/default/2", ..request(9) };
    let found = store.claim(&other).unwrap().events;
    assert!(found.len() <= 1, "{found:?}");
    assert!(claim(&store, 9).is_empty());
    store.complete(completion(&found[0], NextState::Processed));
    store.flush().unwrap();
    let log = "SELECT name || ' ' || attempts FROM sysevent_log ORDER BY name";
    assert_eq!(database.texts(log), ["a 1", "b 1"]);
}

#[test]
fn what_waits_in_the_inbox_of_a_busy_processor_is_taken_back_after_fifteen_seconds() {
    let database = TestDatabase::create();
    let store = resting(&database);
    append(&store, &["slow"]);
    assert_eq!(names(&claim(&store, 9)), ["slow"]);
    append(&store, &["b"]);
    let now = campanile_model::Clock::now(&campanile_model::SystemClock);
    let late = now.plus_millis(i64::try_from(TAKE_BACK_AFTER.as_millis()).unwrap() + 60_000);
    let idle = ClaimRequest { claimed_by: OTHER, now: late, ..request(9) };
    let taken = store.claim(&idle).unwrap().events;
    assert!(names(&taken).contains(&"b".to_owned()), "{taken:?}");
    assert!(claim(&store, 9).is_empty(), "it is not handed out a second time");
}

/// No claim waits for the disk: a crash of the server may undo it, while the lease and what follows it stay.
#[test]
fn an_event_whose_claim_was_undone_by_a_crash_of_the_server_is_begun_again_after_its_handler_has_ended()
 {
    let database = TestDatabase::create();
    let store = node(&database);
    append(&store, &["a"]);
    let undo = || {
        database
            .run("UPDATE sysevent_live SET state = 'ready', claimed_by = NULL, claim_token = NULL");
    };
    let other = |limit| store.claim(&ClaimRequest { claimed_by: OTHER, ..request(limit) }).unwrap();
    let id = claim(&store, 9)[0].fired.sys_id;
    assert!(store.begin(&id, BY, 0));
    undo();
    let again = other(9).events;
    assert_eq!(names(&again), ["a"]);
    assert!(!store.begin(&id, OTHER, 1), "it is being handled still");
    store.complete(completion(&again[0], NextState::Processed));
    assert_eq!(rows(&database), ["a ready"], "what the first handler did counts for nothing");
    finish(&store, &other(9).events);
    let log = "SELECT name || ' ' || attempts FROM sysevent_log";
    assert_eq!(database.texts(log), ["a 1"]);
}

/// A small generator, so that the cases are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// One processor of a model: what it holds, and whether it stays.
struct Hands {
    name: String,
    store: Arc<PostgresStore>,
    held: Vec<Event>,
}

/// Many appends, claims, ends, releases and leavings of the processors of two programs, in any order: no event is in two hands, and
/// each is handled once in the end.
#[test]
fn whatever_comes_in_whichever_order_each_event_is_in_one_pair_of_hands_and_ends_once() {
    let mut born_in_all = 0;
    for seed in 0..6 {
        let database = TestDatabase::create();
        let mut dice = Dice(seed);
        let stores = [node(&database), node(&database)];
        let mut all: Vec<Hands> = (0..6)
            .map(|n| Hands {
                name: format!("node{}/default/{n}", n % 2),
                store: Arc::clone(&stores[n % 2]),
                held: Vec::new(),
            })
            .collect();
        let (mut fired, mut born) = (0, 0);
        for _ in 0..200 {
            let count = dice.below(4);
            let at = dice.below(all.len());
            let hands = &mut all[at];
            match dice.below(9) {
                0..2 => {
                    let events: Vec<NewEvent> = (fired..fired + count)
                        .map(|n| event_at(&n.to_string(), [1.0, 5.0][dice.below(2)], 0))
                        .collect();
                    fired += count;
                    hands.store.append_blocking(events, MODE).unwrap();
                    let queued = "SELECT count(*)::text FROM sysevent_live WHERE state = 'queued'";
                    let queued: usize = database.texts(queued)[0].parse().unwrap();
                    born += usize::from(queued > all.iter().map(|hands| hands.held.len()).sum());
                }
                2..7 => {
                    hands.store.stay("", &hands.name, count);
                    let limit = 1 + 4 * count;
                    let request = ClaimRequest { claimed_by: &hands.name, ..request(limit) };
                    let claimed = hands.store.claim(&request).unwrap().events;
                    assert!(claimed.len() <= limit);
                    let is_held = |event: &Event| {
                        all.iter().any(|one| one.held.iter().any(|h| h.fired == event.fired))
                    };
                    assert!(!claimed.iter().any(is_held), "seed {seed}: it is in two hands");
                    all[at].held.extend(claimed);
                }
                7 => finish(&hands.store, &std::mem::take(&mut hands.held)),
                _ => {
                    hands.store.leave(&hands.name);
                    let ids: Vec<SysId> = hands.held.drain(..).map(|e| e.fired.sys_id).collect();
                    hands.store.release(&hands.name, &ids);
                }
            }
        }
        born_in_all += born;
        for hands in &mut all {
            hands.store.leave(&hands.name);
            finish(&hands.store, &std::mem::take(&mut hands.held));
        }
        let waiting = rows(&database);
        assert!(!waiting.iter().any(|row| row.contains("queued")), "seed {seed}: {waiting:?}");
        finish(&stores[0], &claim(&stores[0], 1_000));
        let ended = "SELECT count(*)::text || ' ' || count(DISTINCT name)::text FROM sysevent_log \
             WHERE attempts = 1 AND lapses = 0";
        assert_eq!(database.texts(ended), [format!("{fired} {fired}")], "seed {seed}");
    }
    // How many depends on how fast all this runs: nothing is born for who is busy for long.
    assert!(born_in_all > 30, "{born_in_all}");
}

/// The same at once: appends race with looks, with processors that leave, and with those that take what is another's.
#[test]
fn four_who_append_and_six_processors_that_come_and_go_lose_nothing_and_double_nothing() {
    const EACH: usize = 400;
    let database = TestDatabase::create();
    let stores = [node(&database), node(&database)];
    let handled = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let (stores, handled) = (&stores, &handled);
        for writer in 0..4 {
            scope.spawn(move || {
                for n in 0..EACH {
                    append(&stores[writer % 2], &[&format!("{writer}-{n}")]);
                }
            });
        }
        for number in 0..6 {
            scope.spawn(move || {
                let store = &stores[number % 2];
                let name = format!("node{}/default/{number}", number % 2);
                let mut dice = Dice(u64::try_from(number).unwrap());
                while handled.lock().unwrap().len() < 4 * EACH {
                    store.stay("", &name, dice.below(20));
                    let request = ClaimRequest { claimed_by: &name, ..request(1 + dice.below(20)) };
                    for event in store.claim(&request).unwrap().events {
                        if dice.below(20) == 0 {
                            store.release(&name, &[event.fired.sys_id]);
                        } else if store.begin(&event.fired.sys_id, &name, number) {
                            handled.lock().unwrap().push(event.fired.name.to_string());
                            store.complete(completion(&event, NextState::Processed));
                        }
                    }
                    if dice.below(10) == 0 {
                        store.leave(&name);
                    }
                }
                store.leave(&name);
            });
        }
    });
    for store in &stores {
        store.flush().unwrap();
    }
    let mut handled = handled.into_inner().unwrap();
    handled.sort_unstable();
    handled.dedup();
    assert_eq!(handled.len(), 4 * EACH, "none twice");
    assert_eq!(rows(&database), Vec::<String>::new());
    let log = "SELECT count(*)::text FROM sysevent_log WHERE attempts = 1 AND lapses = 0";
    assert_eq!(database.texts(log), [(4 * EACH).to_string()]);
}
