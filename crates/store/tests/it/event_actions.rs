//! What people do to events: reprocess, run now, move, reschedule, cancel.

use std::sync::Arc;

use campanile_model::{Event, EventState, Instant, NewEvent, SysId};
use campanile_store::{ClaimRequest, EventAction, NextState, ReprocessOptions, Store, StoreError};

use crate::events_at_hand::{
    NOW, append, claim, claimed_names, event, event_at, failed, finish, fire, fresh, names,
    on_both_engines, open, record, reprocess, request,
};

on_both_engines! {
    a_reprocessed_event_is_ready_in_the_next_epoch_with_its_place_of_arrival,
    reprocess_can_ask_for_failed_handlers_only_and_replace_a_queue_that_is_gone,
    an_event_that_waits_or_is_handled_is_not_reprocessed,
    a_refused_action_leaves_the_event_claimable,
    an_unknown_event_is_told_as_such,
    run_now_makes_a_future_event_due,
    a_cancelled_event_is_never_handled_and_reprocess_brings_it_back,
    a_moved_event_keeps_its_order_and_age_in_the_new_queue,
    a_rescheduled_event_waits_for_its_new_time_and_the_past_means_now,
    actions_reach_events_beyond_the_window,
    an_action_in_the_middle_of_concurrent_claims_wins_or_loses_but_never_both,
}

/// A while after the end of what is handled.
const LATER: Instant = NOW.plus_millis(100);

fn move_to(sys_id: SysId, queue: &str) -> EventAction {
    EventAction::Move { sys_id, queue: Arc::from(queue), record: record("move", &[sys_id]) }
}

fn cancel(sys_id: SysId) -> EventAction {
    EventAction::Cancel { sys_id, now: NOW, record: record("cancel", &[sys_id]) }
}

fn reschedule(sys_id: SysId, after_ms: i64) -> EventAction {
    EventAction::Reschedule {
        sys_id,
        process_on: NOW.plus_millis(after_ms),
        record: record("reschedule", &[sys_id]),
    }
}

fn run_now(sys_id: SysId) -> EventAction {
    EventAction::RunNow { sys_id, now: NOW, record: record("run_now", &[sys_id]) }
}

fn present(store: &Arc<dyn Store>, sys_id: &SysId) -> Event {
    store.event(sys_id).unwrap().unwrap()
}

fn claimed_in(store: &Arc<dyn Store>, queue: &str) -> Vec<String> {
    names(&store.claim(&ClaimRequest { queue, ..request(100) }).unwrap().events)
}

fn later(store: &Arc<dyn Store>, after_ms: i64) -> Vec<String> {
    names(
        &store
            .claim(&ClaimRequest { now: NOW.plus_millis(after_ms), ..request(100) })
            .unwrap()
            .events,
    )
}

fn conflict(store: &Arc<dyn Store>, action: EventAction) -> (EventState, String) {
    match store.act(action) {
        Err(StoreError::StateConflict { state, detail, .. }) => (state, detail),
        other => panic!("expected a conflict, got {other:?}"),
    }
}

fn a_reprocessed_event_is_ready_in_the_next_epoch_with_its_place_of_arrival() {
    let (store, folder) = fresh();
    let sys_id = fire(&store, event("a")).sys_id;
    fire(&store, event_at("due before", 100.0, 99));
    finish(&store, &claim(&store, 1).events[0], failed());
    store.act(reprocess(sys_id, LATER)).unwrap();
    let ready = present(&store, &sys_id);
    assert_eq!(
        (ready.state, ready.epoch, ready.attempts, ready.sequence),
        (EventState::Ready, 1, 0, 1)
    );
    assert_eq!((&*ready.error_code, &*ready.error_message, ready.only_failed), ("", "", false));
    assert_eq!(later(&store, 100), ["due before", "a"]);
    drop(store);
    let store = open(&folder);
    let again =
        store.claim(&ClaimRequest { now: NOW.plus_millis(100), ..request(9) }).unwrap().events;
    finish(&store, &again[1], NextState::Processed);
    assert_eq!(present(&store, &sys_id).epoch, 1);
    let actions = store.actions(&sys_id).unwrap();
    assert_eq!(actions, [record("reprocess", &[sys_id])]);
}

fn reprocess_can_ask_for_failed_handlers_only_and_replace_a_queue_that_is_gone() {
    let (store, _folder) = fresh();
    let sys_id = fire(&store, event("a")).sys_id;
    finish(&store, &claim(&store, 1).events[0], failed());
    store
        .act(EventAction::Reprocess {
            sys_id,
            options: ReprocessOptions { only_failed: true },
            now: NOW,
            queue: Some(Arc::from("new")),
            record: record("reprocess", &[sys_id]),
        })
        .unwrap();
    let events = store.claim(&ClaimRequest { queue: "new", ..request(9) }).unwrap().events;
    assert!(events[0].only_failed);
    finish(&store, &events[0], NextState::Processed);
    store.act(reprocess(sys_id, LATER)).unwrap();
    assert!(!present(&store, &sys_id).only_failed, "it is for one epoch");
}

fn an_event_that_waits_or_is_handled_is_not_reprocessed() {
    let (store, _folder) = fresh();
    let sys_id = fire(&store, event("a")).sys_id;
    assert_eq!(
        conflict(&store, reprocess(sys_id, LATER)),
        (EventState::Ready, "is still waiting".to_owned())
    );
    let claimed = claim(&store, 1).events.remove(0);
    let handled = (EventState::Queued, "is being handled by node/default/0".to_owned());
    for action in [
        reprocess(sys_id, LATER),
        cancel(sys_id),
        move_to(sys_id, "q"),
        reschedule(sys_id, 5),
        run_now(sys_id),
    ] {
        assert_eq!(conflict(&store, action), handled);
    }
    assert!(store.actions(&sys_id).unwrap().is_empty(), "a refused action is not logged as done");
    finish(&store, &claimed, NextState::Processed);
    for action in [cancel(sys_id), move_to(sys_id, "q"), reschedule(sys_id, 5), run_now(sys_id)] {
        assert_eq!(conflict(&store, action).0, EventState::Processed);
    }
}

fn a_refused_action_leaves_the_event_claimable() {
    let (store, _folder) = fresh();
    let sys_id = fire(&store, event("a")).sys_id;
    conflict(&store, reprocess(sys_id, LATER));
    assert_eq!(claimed_names(&store, 1), ["a"]);
}

fn an_unknown_event_is_told_as_such() {
    let (store, _folder) = fresh();
    let nobody = SysId::generate(NOW);
    for action in [reprocess(nobody, LATER), cancel(nobody), move_to(nobody, "q")] {
        assert_eq!(store.act(action).unwrap_err(), StoreError::EventUnknown(nobody.to_string()));
    }
}

fn run_now_makes_a_future_event_due() {
    let (store, _folder) = fresh();
    let sys_id = fire(&store, event_at("a", 100.0, 60_000)).sys_id;
    assert!(claim(&store, 1).events.is_empty());
    store.act(run_now(sys_id)).unwrap();
    assert_eq!(claimed_names(&store, 1), ["a"]);
}

fn a_cancelled_event_is_never_handled_and_reprocess_brings_it_back() {
    let (store, _folder) = fresh();
    let sys_id = fire(&store, event("a")).sys_id;
    store.act(cancel(sys_id)).unwrap();
    let cancelled = present(&store, &sys_id);
    assert_eq!((cancelled.state, &*cancelled.error_message), (EventState::Cancelled, "because"));
    assert!(claim(&store, 1).events.is_empty());
    assert!(store.backlog(NOW).unwrap().is_empty());
    store.act(reprocess(sys_id, LATER)).unwrap();
    assert_eq!(later(&store, 100), ["a"]);
    assert_eq!(store.actions(&sys_id).unwrap().len(), 2);
}

fn a_moved_event_keeps_its_order_and_age_in_the_new_queue() {
    let (store, folder) = fresh();
    let a = fire(&store, event("a")).sys_id;
    fire(&store, NewEvent { queue: Arc::from("q"), ..event("b") });
    store.act(move_to(a, "q")).unwrap();
    let moved = present(&store, &a);
    assert_eq!((&*moved.fired.queue, moved.sequence, moved.fired.process_on), ("q", 1, NOW));
    assert!(claim(&store, 9).events.is_empty());
    let store = {
        drop(store);
        open(&folder)
    };
    assert_eq!(claimed_in(&store, "q"), ["a", "b"]);
}

fn a_rescheduled_event_waits_for_its_new_time_and_the_past_means_now() {
    let (store, _folder) = fresh();
    let a = fire(&store, event("a")).sys_id;
    let b = fire(&store, event_at("b", 100.0, 9_000)).sys_id;
    store.act(reschedule(a, 5_000)).unwrap();
    store.act(reschedule(b, -5_000)).unwrap();
    assert_eq!(present(&store, &b).fired.process_on, NOW);
    assert_eq!(claimed_names(&store, 9), ["b"]);
    assert_eq!(later(&store, 5_000), ["a"]);
}

fn actions_reach_events_beyond_the_window() {
    let (store, folder) = fresh();
    let mut keys = Vec::new();
    for _ in 0..12 {
        let outcomes = append(&store, (0..1_000).map(|_| event("a")).collect());
        keys.extend(outcomes.into_iter().map(|outcome| outcome.unwrap().sys_id));
    }
    store.act(cancel(keys[11_000])).unwrap();
    store.act(move_to(keys[11_001], "q")).unwrap();
    store.act(reschedule(keys[11_002], 50_000)).unwrap();
    store.act(cancel(keys[0])).unwrap();
    assert_eq!(store.backlog(NOW).unwrap()[0].ready, 12_000 - 4);
    let mut seen = 0;
    loop {
        let events = claim(&store, 500).events;
        if events.is_empty() {
            break;
        }
        seen += events.len();
        assert!(events.iter().all(|event| {
            ![0, 11_000, 11_001, 11_002].map(|i| keys[i]).contains(&event.fired.sys_id)
        }));
    }
    assert_eq!(seen, 12_000 - 4);
    drop((store, folder));
}

fn an_action_in_the_middle_of_concurrent_claims_wins_or_loses_but_never_both() {
    let (store, _folder) = fresh();
    let keys: Vec<SysId> = append(&store, (0..2_000).map(|n| event(&n.to_string())).collect())
        .into_iter()
        .map(|outcome| outcome.unwrap().sys_id)
        .collect();
    let (cancelled, claimed) = std::thread::scope(|scope| {
        let cancelling = scope.spawn(|| {
            keys.iter()
                .rev()
                .filter(|key| store.act(cancel(**key)).is_ok())
                .copied()
                .collect::<Vec<_>>()
        });
        let claiming = scope.spawn(|| {
            let mut claimed = Vec::new();
            loop {
                let events = claim(&store, 7).events;
                if events.is_empty() {
                    return claimed;
                }
                claimed.extend(events.iter().map(|event| event.fired.sys_id));
            }
        });
        (cancelling.join().unwrap(), claiming.join().unwrap())
    });
    let mut late =
        claim(&store, 2_000).events.iter().map(|event| event.fired.sys_id).collect::<Vec<_>>();
    let mut all: Vec<_> = cancelled.iter().chain(&claimed).copied().collect();
    all.append(&mut late);
    all.sort();
    let mut expected = keys;
    expected.sort();
    assert_eq!(all, expected);
}
