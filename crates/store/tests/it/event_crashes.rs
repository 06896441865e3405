//! What a process that is killed leaves behind: claims that are dead, lapses that are counted.

use campanile_model::EventState;
use campanile_store::{ClaimRequest, EventStore, NextState};

use crate::events_at_hand::{
    NOW, after_kill, append, claim, claimed_names, completion, event, finish, fire, fresh, names,
    open, request,
};

#[test]
fn claims_die_with_their_process_and_only_begun_events_count_a_lapse() {
    let (store, folder) = fresh();
    append(&store, vec![event("a"), event("b"), event("c")]);
    let claimed = claim(&store, 3).events;
    store.begin(&claimed[1].fired.sys_id, 2);
    let (store, _folder) = after_kill(folder.path());
    let lapses: Vec<i64> =
        claimed.iter().map(|e| store.event(&e.fired.sys_id).unwrap().unwrap().lapses).collect();
    assert_eq!(lapses, [0, 1, 0]);
    assert!(
        claimed
            .iter()
            .all(|e| store.event(&e.fired.sys_id).unwrap().unwrap().state == EventState::Ready)
    );
}

#[test]
fn an_event_that_lapsed_comes_alone() {
    let (store, folder) = fresh();
    append(&store, vec![event("a"), event("b"), event("c"), event("d")]);
    let claimed = claim(&store, 4).events;
    store.begin(&claimed[1].fired.sys_id, 0);
    let (store, _folder) = after_kill(folder.path());
    let first = claim(&store, 9);
    assert_eq!((names(&first.events), first.more), (vec!["a".to_owned()], true));
    let second = claim(&store, 9);
    assert_eq!((names(&second.events), second.more), (vec!["b".to_owned()], true));
    assert_eq!(claimed_names(&store, 9), ["c", "d"]);
    // Given back, it still comes alone.
    store.release(&[second.events[0].fired.sys_id, claimed[3].fired.sys_id]);
    assert_eq!(claimed_names(&store, 9), ["b"]);
}

#[test]
fn the_third_lapse_makes_it_an_error_and_the_queue_goes_on() {
    let (store, folder) = fresh();
    let poison = fire(&store, event("poison")).sys_id;
    fire(&store, event("next"));
    let mut held = (store, folder);
    for lapse in 1..=3 {
        let claimed = claim(&held.0, 1).events;
        assert_eq!(names(&claimed), ["poison"], "lapse {lapse}");
        held.0.begin(&poison, 0);
        held = after_kill(held.1.path());
    }
    let store = held.0;
    let lost = store.event(&poison).unwrap().unwrap();
    assert_eq!(
        (lost.state, &*lost.error_code, lost.lapses),
        (EventState::Error, "processor_lost", 3)
    );
    assert_eq!(claimed_names(&store, 9), ["next"]);
}

#[test]
fn what_was_completed_retried_or_released_before_the_crash_did_not_lapse() {
    let (store, folder) = fresh();
    append(&store, vec![event("done"), event("retried"), event("released")]);
    let claimed = claim(&store, 3).events;
    for (slot, event) in claimed.iter().enumerate() {
        store.begin(&event.fired.sys_id, slot);
    }
    finish(&store, &claimed[0], NextState::Processed);
    finish(&store, &claimed[1], NextState::RetryAt(NOW));
    store.release(&[claimed[2].fired.sys_id]);
    let (store, _folder) = after_kill(folder.path());
    for event in &claimed {
        assert_eq!(
            store.event(&event.fired.sys_id).unwrap().unwrap().lapses,
            0,
            "{}",
            event.fired.name
        );
    }
}

#[test]
fn a_clean_close_counts_nothing() {
    let (store, folder) = fresh();
    let sys_id = fire(&store, event("a")).sys_id;
    claim(&store, 1);
    store.begin(&sys_id, 0);
    drop(store);
    assert_eq!(open(folder.path()).event(&sys_id).unwrap().unwrap().lapses, 0);
}

#[test]
fn an_acknowledged_event_survives_the_kill_at_any_point_of_a_run() {
    let (store, folder) = fresh();
    let mut acknowledged = Vec::new();
    for round in 0..20 {
        let outcomes = append(&store, (0..25).map(|n| event(&format!("{round}.{n}"))).collect());
        acknowledged.extend(outcomes.into_iter().map(|outcome| outcome.unwrap().sys_id));
        for event in claim(&store, 20).events {
            store.begin(&event.fired.sys_id, 0);
            store.complete(completion(&event, NextState::Processed));
        }
        let (copy, _folder) = after_kill(folder.path());
        let mut waiting = 0;
        for key in &acknowledged {
            let event = copy.event(key).unwrap().expect("an acknowledged event is there");
            waiting += usize::from(event.state == EventState::Ready);
        }
        let mut claimed = 0;
        loop {
            let events =
                copy.claim(&ClaimRequest { claimed_by: "n", ..request(1_000) }).unwrap().events;
            if events.is_empty() {
                break;
            }
            claimed += events.len();
        }
        assert_eq!(claimed, waiting);
    }
}
