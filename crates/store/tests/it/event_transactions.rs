//! Events inside a write transaction: with it or not at all. And what a full disk does to completions.

use std::sync::Arc;

use campanile_model::{EventState, NewEvent, SysId};
use campanile_store::{
    ClaimRequest, EventAction, NextState, SqliteOptions, SqliteStore, Store, StoreError,
};

use crate::events_at_hand::{
    BY, MODE, NOW, claim, claimed_names, completion, event, event_at, finish, fire, fresh, names,
    on_both_engines, record, reprocess, request,
};

on_both_engines! {
    events_of_a_transaction_are_claimable_at_its_commit_and_not_before,
    events_of_a_transaction_that_is_dropped_never_were,
    going_back_to_a_savepoint_drops_the_events_fired_since,
    an_event_that_a_transaction_changes_is_nobodys_until_it_ends,
    moving_a_kind_takes_what_waits_by_registration_and_leaves_claimed_and_called_ones,
    a_transaction_reads_its_own_events_and_claims_show_in_reads,
    completions_handed_in_before_a_close_are_written,
}

fn write(store: &Arc<dyn Store>) -> Box<dyn campanile_store::WriteTx> {
    Arc::clone(store).write().unwrap()
}

fn events_of_a_transaction_are_claimable_at_its_commit_and_not_before() {
    let (store, _folder) = fresh();
    let mut tx = write(&store);
    let appended = tx.append_events(&[event("a"), event("b")]).unwrap();
    assert!(claim(&store, 9).events.is_empty());
    assert_eq!(store.event(&appended[0].as_ref().unwrap().sys_id).unwrap(), None);
    tx.commit().unwrap();
    assert_eq!(claimed_names(&store, 9), ["a", "b"]);
}

fn events_of_a_transaction_that_is_dropped_never_were() {
    let (store, _folder) = fresh();
    let mut tx = write(&store);
    tx.append_events(&[NewEvent { dedupe_key: Arc::from("k"), ..event("a") }]).unwrap();
    drop(tx);
    assert!(claim(&store, 9).events.is_empty());
    assert!(!fire(&store, NewEvent { dedupe_key: Arc::from("k"), ..event("a") }).duplicate);
}

fn going_back_to_a_savepoint_drops_the_events_fired_since() {
    let (store, _folder) = fresh();
    let mut tx = write(&store);
    tx.append_events(&[event("before")]).unwrap();
    let savepoint = tx.savepoint().unwrap();
    tx.append_events(&[event("inside")]).unwrap();
    tx.rollback_to(savepoint).unwrap();
    tx.append_events(&[event("after")]).unwrap();
    tx.commit().unwrap();
    assert_eq!(claimed_names(&store, 9), ["before", "after"]);
}

fn an_event_that_a_transaction_changes_is_nobodys_until_it_ends() {
    let (store, _folder) = fresh();
    let sys_id = fire(&store, event("a")).sys_id;
    let move_it = |queue: &str| EventAction::Move {
        sys_id,
        queue: Arc::from(queue),
        record: record("move", &[sys_id]),
    };
    let mut tx = write(&store);
    tx.act_on_event(&move_it("q")).unwrap();
    assert!(claim(&store, 1).events.is_empty(), "it is about to go");
    drop(tx);
    assert_eq!(claimed_names(&store, 1), ["a"], "it stayed after all");
    store.release(BY, &[sys_id]);
    let mut tx = write(&store);
    tx.act_on_event(&move_it("q")).unwrap();
    tx.act_on_event(&move_it("r")).unwrap();
    tx.commit().unwrap();
    let there = store.claim(&ClaimRequest { queue: "r", ..request(9) }).unwrap().events;
    assert_eq!(names(&there), ["a"]);
}

fn moving_a_kind_takes_what_waits_by_registration_and_leaves_claimed_and_called_ones() {
    let (store, _folder) = fresh();
    let claimed = fire(&store, event("kind")).sys_id;
    claim(&store, 1);
    let by_registration =
        [fire(&store, event("kind")).sys_id, fire(&store, event_at("kind", 1.0, 90_000)).sys_id];
    let by_call = fire(&store, NewEvent { queue_from_call: true, ..event("kind") }).sys_id;
    let other = fire(&store, event("other")).sys_id;
    let mut tx = write(&store);
    assert_eq!(tx.move_kind("kind", "adaptive", 0).unwrap(), 2);
    tx.commit().unwrap();
    let queue = |key: &SysId| store.event(key).unwrap().unwrap().fired.queue.to_string();
    assert!(by_registration.iter().all(|key| queue(key) == "adaptive"));
    assert!([claimed, by_call, other].iter().all(|key| queue(key).is_empty()));
    let moved = store
        .claim(&ClaimRequest { queue: "adaptive", now: NOW.plus_millis(90_000), ..request(9) })
        .unwrap();
    assert_eq!(moved.events.len(), 2);
    assert_eq!(claim(&store, 9).events.len(), 2);
}

fn a_transaction_reads_its_own_events_and_claims_show_in_reads() {
    let (store, _folder) = fresh();
    let sys_id = fire(&store, event("a")).sys_id;
    let mut tx = write(&store);
    let refused = tx.act_on_event(&reprocess(sys_id, NOW));
    assert!(matches!(refused, Err(StoreError::StateConflict { state: EventState::Ready, .. })));
    tx.append_events(&[event("b")]).unwrap();
    tx.commit().unwrap();
    assert_eq!(
        claimed_names(&store, 9),
        ["a", "b"],
        "a refused action leaves the transaction usable"
    );
}

#[test]
fn a_completion_that_the_disk_refuses_is_kept_and_written_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let open = |pages| {
        let options = SqliteOptions { pages_max: pages, ..SqliteOptions::new(folder.path()) };
        let store: Arc<dyn Store> = SqliteStore::open(&options).unwrap();
        store
    };
    let store = open(Some(200));
    let long: Arc<str> = Arc::from("x".repeat(20_000));
    let mut accepted = Vec::new();
    let refusal = loop {
        match store.append_blocking(vec![NewEvent { parm1: Arc::clone(&long), ..event("a") }], MODE)
        {
            Ok((mut outcomes, _)) => accepted.push(outcomes.remove(0).unwrap().sys_id),
            Err(refusal) => break refusal,
        }
    };
    assert!(matches!(refusal, StoreError::Full { .. }), "{refusal}");
    let events = claim(&store, 1_000).events;
    assert_eq!(events.len(), accepted.len());
    // The log needs room before the live table gives some back.
    store.complete(completion(&events[0], NextState::Processed));
    let flushed = store.flush();
    let state = store.event(&accepted[0]).unwrap().unwrap().state;
    match flushed {
        Ok(_) => assert_eq!(state, EventState::Processed),
        Err(error) => {
            assert!(matches!(error, StoreError::Full { .. }), "{error}");
            assert_eq!(state, EventState::Queued, "nobody else gets it");
        }
    }
    drop(store);
    let store = open(None);
    for event in claim(&store, 1_000).events {
        finish(&store, &event, NextState::Processed);
    }
    for key in &accepted {
        assert_eq!(store.event(key).unwrap().unwrap().state, EventState::Processed);
    }
    assert!(store.integrity_problems().unwrap().is_empty());
}

#[test]
fn a_completion_whose_row_another_program_deleted_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = SqliteStore::open(&SqliteOptions::new(folder.path())).unwrap();
    let keys = [fire(&store, event("gone")).sys_id, fire(&store, event("stays")).sys_id];
    let events = claim(&store, 9).events;
    let other = rusqlite::Connection::open(folder.path().join("campanile.db")).unwrap();
    other.execute("DELETE FROM sysevent_live WHERE name = 'gone'", []).unwrap();
    for event in &events {
        store.complete(completion(event, NextState::Processed));
    }
    store.flush().unwrap();
    assert_eq!(store.event(&keys[0]).unwrap(), None);
    assert_eq!(store.event(&keys[1]).unwrap().unwrap().state, EventState::Processed);
    assert!(claim(&store, 9).events.is_empty());
}

fn completions_handed_in_before_a_close_are_written() {
    let (store, folder) = fresh();
    let mut keys = Vec::new();
    for _ in 0..4 {
        let (outcomes, _) =
            store.append_blocking((0..500).map(|_| event("a")).collect(), MODE).unwrap();
        keys.extend(outcomes.into_iter().map(|outcome| outcome.unwrap().sys_id));
    }
    for event in claim(&store, 2_000).events {
        store.complete(completion(&event, NextState::Processed));
    }
    store.close().unwrap();
    assert!(store.claim(&request(1)).map_or(true, |claim| claim.events.is_empty()));
    drop(store);
    let store = crate::events_at_hand::open(&folder);
    assert!(
        keys.iter().all(|key| store.event(key).unwrap().unwrap().state == EventState::Processed)
    );
}
