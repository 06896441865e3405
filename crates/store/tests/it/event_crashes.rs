//! What a process that is killed leaves behind: claims that are dead, lapses that are counted.

use std::path::Path;
use std::sync::Arc;

use campanile_model::{EventState, NewEvent, Outcome};
use campanile_store::{ClaimRequest, NextState, Store};

use crate::events_at_hand::{
    BY, NOW, Place, after_kill, append, claim, claimed_names, completion, copied, event, failed,
    finish, fire, fresh, names, open, reprocess, request, run_of,
};

#[test]
fn claims_die_with_their_process_and_only_begun_events_count_a_lapse() {
    let (store, folder) = fresh();
    append(&store, vec![event("a"), event("b"), event("c")]);
    let claimed = claim(&store, 3).events;
    assert!(store.begin(&claimed[1].fired.sys_id, BY, 2));
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
    assert!(store.begin(&claimed[1].fired.sys_id, BY, 0));
    let (store, _folder) = after_kill(folder.path());
    let first = claim(&store, 9);
    assert_eq!((names(&first.events), first.more), (vec!["a".to_owned()], true));
    let second = claim(&store, 9);
    assert_eq!((names(&second.events), second.more), (vec!["b".to_owned()], true));
    assert_eq!(claimed_names(&store, 9), ["c", "d"]);
    // Given back, it still comes alone.
    store.release(BY, &[second.events[0].fired.sys_id, claimed[3].fired.sys_id]);
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
        assert!(held.0.begin(&poison, BY, 0));
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
        assert!(store.begin(&event.fired.sys_id, BY, slot));
    }
    finish(&store, &claimed[0], NextState::Processed);
    finish(&store, &claimed[1], NextState::RetryAt(NOW));
    store.release(BY, &[claimed[2].fired.sys_id]);
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
    assert!(store.begin(&sys_id, BY, 0));
    drop(store);
    assert_eq!(open(&folder).event(&sys_id).unwrap().unwrap().lapses, 0);
}

#[test]
fn an_acknowledged_event_survives_the_kill_at_any_point_of_a_run() {
    let (store, folder) = fresh();
    let mut acknowledged = Vec::new();
    for round in 0..20 {
        let outcomes = append(&store, (0..25).map(|n| event(&format!("{round}.{n}"))).collect());
        acknowledged.extend(outcomes.into_iter().map(|outcome| outcome.unwrap().sys_id));
        for event in claim(&store, 20).events {
            assert!(store.begin(&event.fired.sys_id, BY, 0));
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

/// What a kill leaves behind once `file` is put back as `bytes`: the database is newer than that file.
fn with_older(folder: &Path, file: &str, bytes: &[u8]) -> (Arc<dyn Store>, Place) {
    let copy = Place::Folder(copied(folder));
    std::fs::write(copy.path().join(file), bytes).unwrap();
    (open(&copy), copy)
}

#[test]
fn a_kill_between_counting_the_lapses_and_forgetting_them_counts_them_once() {
    let (store, folder) = fresh();
    let sys_id = fire(&store, event("a")).sys_id;
    claim(&store, 1);
    assert!(store.begin(&sys_id, BY, 0));
    let begun = std::fs::read(folder.path().join("handling")).unwrap();
    let (counted, mut folder) = after_kill(folder.path());
    assert_eq!(counted.event(&sys_id).unwrap().unwrap().lapses, 1);
    drop(counted);
    // The next processes die at their opening, before they have cleared the file.
    for _ in 0..3 {
        let (again, copy) = with_older(folder.path(), "handling", &begun);
        let event = again.event(&sys_id).unwrap().unwrap();
        assert_eq!((event.state, event.lapses), (EventState::Ready, 1));
        drop(again);
        folder = copy;
    }
}

#[test]
fn what_was_recorded_before_the_next_event_was_begun_is_known_though_no_lapse_is_counted() {
    let (store, folder) = fresh();
    append(&store, vec![event("a"), event("b")]);
    let batch = claim(&store, 2).events;
    assert!(store.begin(&batch[0].fired.sys_id, BY, 0));
    let run = run_of(&batch[0], Outcome::Succeeded);
    store.record_runs(vec![run.clone()]);
    store.flush().unwrap();
    // Its last handler ended; the completion is not written yet when the processor begins the next one and dies.
    assert!(store.begin(&batch[1].fired.sys_id, BY, 0));
    let (store, _folder) = after_kill(folder.path());
    let [first, second] =
        [0, 1].map(|n: usize| store.event(&batch[n].fired.sys_id).unwrap().unwrap());
    assert_eq!((first.lapses, second.lapses), (0, 1));
    assert_eq!(store.runs(&first.fired.sys_id, Some(0)).unwrap(), [run]);
    assert!(first.sequence <= store.sequence_at_opening(), "whoever handles it asks for its runs");
    let new = fire(&store, event("new"));
    assert!(new.sequence > store.sequence_at_opening(), "a new event has none to ask for");
}

#[test]
fn a_kill_after_the_last_handler_and_before_the_completion_counts_a_lapse_and_keeps_the_keys() {
    let (store, folder) = fresh();
    let cause = fire(&store, event("cause")).sys_id;
    let claimed = claim(&store, 1).events.remove(0);
    assert!(store.begin(&cause, BY, 0));
    let fired = |parm1: &str| NewEvent {
        dedupe_key: format!("h:{cause}:0:handler:0:{parm1}").into(),
        cause_event: Some(cause),
        ..event("follow")
    };
    let first = fire(&store, fired("x"));
    let (again, folder) = after_kill(folder.path());
    let repeated = fire(&again, fired("x"));
    assert!(repeated.duplicate && repeated.sys_id == first.sys_id, "fired once");
    assert!(!fire(&again, fired("y")).duplicate, "what is fired differently this time is not lost");
    // This process never saw the first fire of the event that it completes; the keys go all the same.
    let (last, _folder) = after_kill(folder.path());
    let claimed_again = last.claim(&request(1)).unwrap().events.remove(0);
    assert_eq!((claimed_again.fired.sys_id, claimed_again.lapses), (claimed.fired.sys_id, 1));
    finish(&last, &claimed_again, NextState::Processed);
    assert!(!fire(&last, fired("x")).duplicate, "its epoch has ended");
}

#[test]
fn a_slot_from_an_earlier_epoch_or_attempt_counts_nothing_later() {
    let (store, folder) = fresh();
    append(&store, vec![event("reprocessed"), event("retried")]);
    let batch = claim(&store, 2).events;
    for (slot, event) in batch.iter().enumerate() {
        assert!(store.begin(&event.fired.sys_id, BY, slot));
    }
    let handling = std::fs::read(folder.path().join("handling")).unwrap();
    finish(&store, &batch[0], failed());
    finish(&store, &batch[1], NextState::RetryAt(NOW));
    store.act(reprocess(batch[0].fired.sys_id, NOW)).unwrap();
    let (store, _folder) = with_older(folder.path(), "handling", &handling);
    for event in &batch {
        assert_eq!(store.event(&event.fired.sys_id).unwrap().unwrap().lapses, 0);
    }
    assert_eq!(claim(&store, 9).events.len(), 2);
}

#[test]
fn a_taken_back_event_lapses_for_whoever_began_it() {
    let (store, folder) = fresh();
    append(&store, vec![event("slow"), event("b")]);
    let batch = claim(&store, 2).events;
    assert!(store.begin(&batch[0].fired.sys_id, BY, 0));
    let now = NOW.plus_millis(60_000);
    let other = ClaimRequest { claimed_by: "node/default/1", now, ..request(1) };
    let taken = store.claim(&other).unwrap().events.remove(0);
    assert!(store.begin(&taken.fired.sys_id, "node/default/1", 1));
    let (store, _folder) = after_kill(folder.path());
    let lapses = |n: usize| store.event(&batch[n].fired.sys_id).unwrap().unwrap().lapses;
    assert_eq!((lapses(0), lapses(1)), (1, 1));
}
