//! Moving a kind of event with many that wait: nobody else stands still meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use campanile_model::Instant;
use campanile_store::{AppendMode, ClaimRequest};

use crate::events_at_hand::{
    MODE, NOW, append, claim, claimed_names, event, fire, fresh, names, on_both_engines, request,
};

on_both_engines! {
    appends_go_on_between_the_steps_of_moving_a_kind,
    what_arrives_while_a_kind_moves_is_left_to_the_last_transaction,
    a_kind_that_moves_while_it_is_claimed_and_released_is_handled_once_each,
}

fn appends_go_on_between_the_steps_of_moving_a_kind() {
    let (store, _folder) = fresh();
    for _ in 0..6 {
        append(&store, (0..500).map(|_| event("kind")).collect());
    }
    append(&store, (0..50).map(|_| event("other")).collect());
    // Each step tells once that events were added to the new queue. At the first one somebody appends.
    let steps = Arc::new(AtomicUsize::new(0));
    let committed_at_step = Arc::new(Mutex::new(None));
    let (weak, seen, told) =
        (Arc::downgrade(&store), Arc::clone(&steps), Arc::clone(&committed_at_step));
    store.set_wake_listener(Arc::new(move |queue: &str, _due: Instant| {
        if queue != "adaptive" || seen.fetch_add(1, Ordering::SeqCst) > 0 {
            return;
        }
        let (seen, told) = (Arc::clone(&seen), Arc::clone(&told));
        let done = move |answer: campanile_store::AppendAnswer| {
            answer.unwrap();
            *told.lock().unwrap() = Some(seen.load(Ordering::SeqCst));
        };
        weak.upgrade().unwrap().append(vec![event("urgent")], MODE, Box::new(done));
    }));
    let moved = store.move_kind("kind", "adaptive").unwrap();
    store.flush().unwrap();
    assert_eq!(moved.moved, 3_000);
    let steps = steps.load(Ordering::SeqCst);
    assert!(steps >= 6, "3,000 events move in {steps} steps");
    let appended_at = committed_at_step.lock().unwrap().expect("the append was answered");
    assert!(appended_at < steps, "appended in step {appended_at} of {steps}");
    assert_eq!(claim(&store, 5_000).events.len(), 51, "the others stay");
    let there = store.claim(&ClaimRequest { queue: "adaptive", ..request(5_000) }).unwrap();
    assert_eq!(there.events.len(), 3_000);
    assert!(there.events.is_sorted_by_key(|event| event.sequence), "in the order of arrival");
}

fn what_arrives_while_a_kind_moves_is_left_to_the_last_transaction() {
    let (store, _folder) = fresh();
    append(&store, vec![event("kind"), event("other")]);
    let first = store.move_kind("kind", "adaptive").unwrap();
    let late = fire(&store, event("kind"));
    assert!(first.moved == 1 && first.upto < late.sequence);
    let mut tx = Arc::clone(&store).write().unwrap();
    assert_eq!(tx.move_kind("kind", "adaptive", first.upto).unwrap(), 1);
    tx.commit().unwrap();
    assert_eq!(store.move_kind("kind", "adaptive").unwrap().moved, 0, "again: nothing is left");
    assert_eq!(claimed_names(&store, 9), ["other"]);
}

#[test]
fn an_operation_takes_its_turn_between_two_steps() {
    let (store, _folder) = fresh();
    append(&store, (0..2_000).map(|_| event("kind")).collect());
    let groups = |name: &str| store.gauges().iter().find(|(n, _)| *n == name).unwrap().1;
    let before = groups("writer_groups");
    store.move_kind("kind", "adaptive").unwrap();
    let handovers = groups("writer_groups") - before;
    assert!(handovers >= 4.0, "the writer was handed over {handovers} times for 2,000 events");
}

fn a_kind_that_moves_while_it_is_claimed_and_released_is_handled_once_each() {
    let (store, _folder) = fresh();
    let mode = AppendMode { durable: false, atomic: true };
    store.append_blocking((0..1_500).map(|_| event("kind")).collect(), mode).unwrap();
    let taken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let (store, taken) = (&store, &taken);
        scope.spawn(move || {
            for _ in 0..40 {
                taken.lock().unwrap().extend(claim(store, 10).events);
            }
        });
        store.move_kind("kind", "adaptive").unwrap();
    });
    let mut taken = taken.into_inner().unwrap();
    taken.extend(claim(&store, 5_000).events);
    let there = store.claim(&ClaimRequest { queue: "adaptive", ..request(5_000) }).unwrap().events;
    assert_eq!(names(&taken).len() + there.len(), 1_500, "each has one claimant");
    assert!(store.backlog(NOW).unwrap().iter().all(|queue| queue.ready == 0));
}
