//! What a busy processor has claimed and not begun goes to an idle one of the same queue (§4.3).

use std::sync::Arc;

use campanile_model::{EventState, Instant};
use campanile_store::{Claim, ClaimRequest, NextState, Store, TAKE_BACK_AFTER};

use crate::events_at_hand::{
    BY, NOW, append, claim, completion, event, event_at, fire, fresh, names, on_both_engines,
    request,
};

on_both_engines! {
    what_waits_behind_a_slow_event_is_taken_by_an_idle_processor_after_fifteen_seconds,
    whoever_lost_an_event_neither_begins_it_nor_gives_it_back,
    what_is_being_handled_or_ended_is_never_taken_however_long_it_takes,
    other_queues_and_what_is_due_first_go_before_taking_back,
    a_clock_that_was_set_back_does_not_keep_events_from_being_taken,
    of_all_who_claimed_an_event_one_begins_it,
}

const OTHER: &str = "node/default/1";

fn after(millis: i64) -> Instant {
    NOW.plus_millis(i64::try_from(TAKE_BACK_AFTER.as_millis()).unwrap() + millis)
}

fn idle_claim(store: &Arc<dyn Store>, now: Instant) -> Claim {
    store.claim(&ClaimRequest { claimed_by: OTHER, now, ..request(9) }).unwrap()
}

fn what_waits_behind_a_slow_event_is_taken_by_an_idle_processor_after_fifteen_seconds() {
    let (store, _folder) = fresh();
    append(&store, vec![event("slow"), event("b"), event("c")]);
    let batch = claim(&store, 3).events;
    assert!(store.begin(&batch[0].fired.sys_id, BY, 0));
    let early = idle_claim(&store, after(-1));
    assert!(early.events.is_empty());
    assert_eq!(early.next_due, Some(after(0)), "the idle processor knows when to look again");
    let taken = idle_claim(&store, after(0)).events;
    assert_eq!(names(&taken), ["b", "c"], "in the same order, without what was begun");
    assert!(taken.iter().all(|event| &*event.claimed_by == OTHER));
    assert_eq!(idle_claim(&store, after(60_000)).events.len(), 0, "nobody takes from itself");
}

fn whoever_lost_an_event_neither_begins_it_nor_gives_it_back() {
    let (store, _folder) = fresh();
    append(&store, vec![event("slow"), event("b"), event("c")]);
    let batch = claim(&store, 3).events;
    assert!(store.begin(&batch[0].fired.sys_id, BY, 0));
    let taken = idle_claim(&store, after(0)).events;
    assert!(store.begin(&taken[0].fired.sys_id, OTHER, 1));
    for lost in &batch[1..] {
        assert!(!store.begin(&lost.fired.sys_id, BY, 0));
    }
    store.release(BY, &[batch[1].fired.sys_id, batch[2].fired.sys_id]);
    for event in &taken {
        let row = store.event(&event.fired.sys_id).unwrap().unwrap();
        assert_eq!((row.state, &*row.claimed_by), (EventState::Queued, OTHER));
    }
    // The slow one ends as if nothing had been.
    for event in [&batch[0], &taken[0], &taken[1]] {
        store.complete(completion(event, NextState::Processed));
    }
    store.flush().unwrap();
    for event in &batch {
        let row = store.event(&event.fired.sys_id).unwrap().unwrap();
        assert_eq!((row.state, row.attempts), (EventState::Processed, 1));
    }
    assert_eq!(store.backlog(NOW).unwrap(), []);
}

fn what_is_being_handled_or_ended_is_never_taken_however_long_it_takes() {
    let (store, _folder) = fresh();
    append(&store, vec![event("begun"), event("ending")]);
    let batch = claim(&store, 2).events;
    assert!(store.begin(&batch[0].fired.sys_id, BY, 0));
    assert!(store.begin(&batch[1].fired.sys_id, BY, 1));
    store.complete(completion(&batch[1], NextState::Processed));
    assert!(idle_claim(&store, after(3_600_000)).events.is_empty());
}

fn other_queues_and_what_is_due_first_go_before_taking_back() {
    let (store, _folder) = fresh();
    fire(&store, event("held"));
    let held = claim(&store, 1).events;
    fire(&store, event("new"));
    assert_eq!(names(&idle_claim(&store, after(0)).events), ["new"], "what is due goes first");
    let elsewhere = ClaimRequest { queue: "adaptive", claimed_by: "node/adaptive/1", ..request(9) };
    let elsewhere = ClaimRequest { now: after(0), ..elsewhere };
    assert!(store.claim(&elsewhere).unwrap().events.is_empty(), "another queue's processor");
    assert_eq!(names(&idle_claim(&store, after(0)).events), ["held"]);
    assert!(!store.begin(&held[0].fired.sys_id, BY, 0));
}

fn a_clock_that_was_set_back_does_not_keep_events_from_being_taken() {
    let (store, _folder) = fresh();
    fire(&store, event_at("held", 100.0, -7_200_000));
    claim(&store, 1);
    let back = NOW.plus_millis(-3_600_000);
    assert!(idle_claim(&store, back).events.is_empty());
    let later = back.plus_millis(i64::try_from(TAKE_BACK_AFTER.as_millis()).unwrap());
    assert_eq!(names(&idle_claim(&store, later).events), ["held"]);
}

/// Many claims and takings at once: each event is begun by one claimant.
fn of_all_who_claimed_an_event_one_begins_it() {
    let (store, _folder) = fresh();
    append(&store, (0..400).map(|n| event(&n.to_string())).collect());
    let begun = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_i64 {
            let (store, begun) = (Arc::clone(&store), &begun);
            scope.spawn(move || {
                let me = format!("node/default/{thread}");
                for round in 0..100 {
                    // Each round lies far behind the last: everything that is not begun is stale.
                    let now = NOW.plus_millis(round * 3_600_000);
                    let request = ClaimRequest { claimed_by: &me, now, ..request(7) };
                    for (at, event) in store.claim(&request).unwrap().events.iter().enumerate() {
                        if at % 2 == 0
                            && store.begin(
                                &event.fired.sys_id,
                                &me,
                                usize::try_from(thread).unwrap(),
                            )
                        {
                            begun.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                            store.complete(completion(event, NextState::Processed));
                        }
                    }
                }
            });
        }
    });
    store.flush().unwrap();
    let summary = store.summary(0, after(1_000 * 3_600_000)).unwrap();
    let processed: u64 =
        summary.events.iter().filter(|e| e.1 == EventState::Processed).map(|e| e.2).sum();
    assert_eq!(processed, begun.into_inner() as u64);
    assert!(processed > 300, "{processed}");
}
