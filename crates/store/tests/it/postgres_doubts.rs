//! Events that are born claimed on PostgreSQL with an append, or for a processor with a claim, whose answer was lost: what is
//! known of them, and that none is lost or handled twice.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use campanile_model::NewEvent;
use campanile_store::testing::{Cut, Proxy, TestDatabase};
use campanile_store::{EventStore, PostgresStore, StoreError};

use crate::events_at_hand::{BY, MODE, event, names, request, wait_until};
use crate::postgres_at_hand::{still, waits};
use crate::postgres_births::{OTHER, append, claim, finish, queued, rest, rows};

/// A store whose line to its database can be cut, with a resting processor.
fn behind_proxy() -> (Arc<PostgresStore>, Proxy, TestDatabase) {
    let database = TestDatabase::create();
    let proxy = Proxy::to(database.url());
    let store = PostgresStore::open(&still(proxy.url(), "node")).unwrap();
    rest(&store, BY);
    (store, proxy, database)
}

#[test]
fn a_born_group_whose_answer_was_lost_is_handed_out_once() {
    let (store, proxy, database) = behind_proxy();
    for round in 1..=20 {
        proxy.cut_next_with("cut.one", if round % 2 == 0 { Cut::Before } else { Cut::After });
        append(&store, &["cut.one", "cut.two"]);
        assert_eq!(proxy.cuts(), round);
        assert_eq!(rows(&database), queued(&["cut.one", "cut.two"]));
        let batch = claim(&store, 9);
        assert_eq!(names(&batch), ["cut.one", "cut.two"]);
        finish(&store, &batch);
        rest(&store, BY);
    }
    assert_eq!(database.texts("SELECT count(*)::text FROM sysevent_log"), ["40"]);
}

/// What is promised to a processor keeps what was claimed without its knowledge from being given back.
#[test]
fn nothing_is_born_for_who_may_have_claimed_what_it_does_not_know_of() {
    let (store, proxy, database) = behind_proxy();
    store.append_blocking(vec![NewEvent { scheduled: true, ..event("a") }], MODE).unwrap();
    proxy.cut_next_commit(Cut::After);
    store.claim(&request(9)).unwrap_err();
    finish(&store, &claim(&store, 9));
    rest(&store, BY);
    append(&store, &["b"]);
    assert_eq!(rows(&database), ["b ready"]);
}

/// Appends `events`, of which nobody here can tell what became: the server meets `cut` and is gone.
fn append_in_doubt(store: &PostgresStore, proxy: &Proxy, events: Vec<NewEvent>, cut: Cut) {
    proxy.cut_next_with(&events[0].name, cut);
    proxy.close();
    let error = store.append_blocking(events, MODE).unwrap_err();
    assert!(matches!(error, StoreError::OutcomeUnknown { .. }), "{error}");
}

#[test]
fn a_born_group_that_nobody_can_tell_of_is_given_back_once_the_server_answers() {
    let (store, proxy, database) = behind_proxy();
    append_in_doubt(&store, &proxy, vec![event("cut.one")], Cut::After);
    assert_eq!(rows(&database), queued(&["cut.one"]), "nobody here knows that");
    let (tell, told) = channel();
    store.set_wake_listener(Arc::new(move |_, _| tell.send(()).unwrap()));
    proxy.open_again();
    told.recv_timeout(Duration::from_secs(60)).unwrap();
    wait_until("it waits again", || rows(&database) == ["cut.one ready"]);
    finish(&store, &claim(&store, 9));
    assert_eq!(database.texts("SELECT name FROM sysevent_log"), ["cut.one"]);
}

/// The second look finds nothing to give back any more: who is to handle it was told by neither.
#[test]
fn who_waits_for_a_born_group_is_woken_though_the_answer_to_giving_it_back_was_lost_too() {
    let (store, proxy, database) = behind_proxy();
    let one = event("cut.one");
    let key = one.sys_id.to_string();
    let later = NewEvent { scheduled: true, queue: "elsewhere".into(), ..event("cut.two") };
    append_in_doubt(&store, &proxy, vec![one, later], Cut::After);
    let (tell, told) = channel();
    store.set_wake_listener(Arc::new(move |queue, _| tell.send(queue.to_owned()).unwrap()));
    proxy.cut_next_with(&key, Cut::After);
    proxy.open_again();
    let woken = [(), ()].map(|()| told.recv_timeout(Duration::from_secs(60)).unwrap());
    assert_eq!(proxy.cuts(), 2);
    assert_eq!(woken, ["", "elsewhere"], "nobody was told of what was not born either");
    assert_eq!(rows(&database), ["cut.one ready", "cut.two ready"]);
    finish(&store, &claim(&store, 9));
}

/// Whoever asks for the row of the group's number waits for the group that is written at the time: it is not to be taken for the
/// one of which nobody knows.
#[test]
fn while_what_became_of_a_born_group_is_looked_for_no_later_group_is_ended() {
    let (store, proxy, database) = behind_proxy();
    append_in_doubt(&store, &proxy, vec![event("cut.one")], Cut::Before);
    let [before, keys] = [(), ()].map(|()| database.stranger());
    before.run("BEGIN; SELECT FROM campanile_node_writer FOR UPDATE");
    keys.run("BEGIN; LOCK TABLE sysevent_dedupe IN EXCLUSIVE MODE");
    proxy.open_again();
    let processes = |statement: &str| {
        database.texts(&format!(
            "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event_type = 'Lock' AND {statement}"
        ))
    };
    std::thread::scope(|scope| {
        let keyed = NewEvent { dedupe_key: "key".into(), ..event("two") };
        let appending = scope.spawn(|| store.append_blocking(vec![keyed], MODE));
        // Before whoever looks: that one waits behind it.
        let is_next = "query LIKE 'UPDATE campanile_node_writer%' AND wait_event = 'transactionid'";
        wait_until("the group is the next to be written", || !processes(is_next).is_empty());
        before.run("COMMIT");
        let is_under_way = "query LIKE '%sysevent_dedupe%'";
        wait_until("the group is under way", || !processes(is_under_way).is_empty());
        let writer = processes(is_under_way);
        wait_until("somebody looks", || waits(&database, "SELECT last_group"));
        let looks = processes("query LIKE 'SELECT last_group%'").remove(0);
        let is_there = format!("SELECT '' FROM pg_stat_activity WHERE pid = {looks}");
        wait_until("it has given up", || database.texts(&is_there).is_empty());
        assert_eq!(processes(is_under_way), writer);
        keys.run("COMMIT");
        appending.join().unwrap().unwrap();
    });
    assert_eq!(rows(&database), ["two ready"]);
}

/// What was given back meanwhile may have been claimed again, by whoever of this program looked first.
#[test]
fn what_another_processor_has_claimed_since_the_append_is_not_handed_out_as_born() {
    let (store, proxy, database) = behind_proxy();
    proxy.cut_next_with("cut.one", Cut::After);
    proxy.close();
    std::thread::scope(|scope| {
        let events = vec![event("cut.one"), event("cut.two")];
        let appending = scope.spawn(|| store.append_blocking(events, MODE));
        wait_until("it is there", || rows(&database) == queued(&["cut.one", "cut.two"]));
        database.run(&format!(
            "UPDATE sysevent_live SET claimed_by = '{OTHER}' WHERE name = 'cut.one'"
        ));
        proxy.open_again();
        assert!(appending.join().unwrap().unwrap().0.iter().all(Result::is_ok));
    });
    let born = claim(&store, 9);
    assert_eq!(names(&born), ["cut.two"]);
    finish(&store, &born);
}
