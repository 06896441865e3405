//! Claims: order, windows, waiting, giving back.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use campanile_model::{EventState, Instant, NewEvent};
use campanile_store::{ClaimRequest, NextState, Store};

use crate::events_at_hand::{
    BY, NOW, append, claim, claimed_names, completion, event, event_at, failed, finish, fire,
    fresh, kind, names, on_both_engines, open, request,
};

on_both_engines! {
    lower_priority_numbers_go_first,
    without_priority_processing_arrival_decides,
    a_scheduled_event_takes_its_place_at_its_due_time,
    the_order_is_that_of_a_sorted_list_whatever_comes_when,
    turning_priority_off_and_on_again_changes_the_order_of_what_is_left,
    an_event_is_claimed_once_and_reads_queued_with_its_processor,
    a_claim_tells_whether_more_is_due_and_else_when_something_will_be,
    queues_do_not_see_each_others_events,
    released_events_are_claimable_at_once_in_their_old_place_and_nothing_is_counted,
    a_released_event_cannot_be_completed_by_who_released_it,
    thousands_of_mixed_priorities_and_future_ones_come_in_order_from_a_small_window,
    a_retry_waits_for_its_time_and_then_goes_behind_what_was_due_before,
    large_events_are_claimed_whole,
    whoever_listens_is_told_the_queue_and_the_earliest_due_time,
    eight_appending_and_four_claiming_lose_nothing_and_double_nothing,
}

fn claimed_by_arrival(store: &Arc<dyn Store>, limit: usize) -> Vec<String> {
    names(&store.claim(&ClaimRequest { by_priority: false, ..request(limit) }).unwrap().events)
}

/// A small generator, so that the cases are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What the reference says of order, on a plain list.
fn expected(mut events: Vec<(usize, NewEvent)>, now: Instant, by_priority: bool) -> Vec<String> {
    events.retain(|(_, event)| event.process_on <= now);
    events.sort_by(|(i, a), (j, b)| {
        let priority =
            if by_priority { a.priority.total_cmp(&b.priority) } else { std::cmp::Ordering::Equal };
        priority.then(a.process_on.cmp(&b.process_on)).then(i.cmp(j))
    });
    events.into_iter().map(|(_, event)| event.name.to_string()).collect()
}

fn lower_priority_numbers_go_first() {
    let (store, _folder) = fresh();
    for priority in [100.0, 10.0, 50.0] {
        fire(&store, event_at(&format!("p{priority}"), priority, 0));
    }
    assert_eq!(claimed_names(&store, 10), ["p10", "p50", "p100"]);
}

fn without_priority_processing_arrival_decides() {
    let (store, _folder) = fresh();
    for priority in [100.0, 10.0, 50.0] {
        fire(&store, event_at(&format!("p{priority}"), priority, 0));
    }
    assert_eq!(claimed_by_arrival(&store, 10), ["p100", "p10", "p50"]);
}

fn a_scheduled_event_takes_its_place_at_its_due_time() {
    let (store, _folder) = fresh();
    fire(&store, event_at("immediate", 100.0, 0));
    fire(&store, event_at("scheduled for before", 100.0, -1_000));
    assert_eq!(claimed_names(&store, 10), ["scheduled for before", "immediate"]);
}

fn the_order_is_that_of_a_sorted_list_whatever_comes_when() {
    // A database on a server takes longer to make than a file.
    for seed in 0..kind().pick(40, 8) {
        let mut dice = Dice(seed);
        let (store, folder) = fresh();
        let mut all = Vec::new();
        for n in 0..60 {
            let priority = [10.0, 50.0, 100.0, 0.5][usize::try_from(dice.below(4)).unwrap()];
            let due_in = i64::try_from(dice.below(9)).unwrap() - 5;
            all.push((n, event_at(&format!("e{n}"), priority, due_in)));
        }
        for batch in all.chunks(7) {
            append(&store, batch.iter().map(|(_, event)| event.clone()).collect());
        }
        // From the window that appends filled, or from the database.
        let store = if seed % 2 == 0 {
            store
        } else {
            drop(store);
            open(&folder)
        };
        let by_priority = seed % 4 < 2;
        let mut got = Vec::new();
        loop {
            let limit = 1 + usize::try_from(dice.below(5)).unwrap();
            let claim = store.claim(&ClaimRequest { by_priority, ..request(limit) }).unwrap();
            assert!(claim.events.len() <= limit);
            got.extend(names(&claim.events));
            if claim.events.is_empty() {
                assert!(!claim.more);
                break;
            }
        }
        assert_eq!(got, expected(all, NOW, by_priority), "seed {seed}");
    }
}

fn turning_priority_off_and_on_again_changes_the_order_of_what_is_left() {
    let (store, _folder) = fresh();
    for (name, priority) in [("a", 100.0), ("b", 10.0), ("c", 100.0), ("d", 10.0), ("e", 50.0)] {
        fire(&store, event_at(name, priority, 0));
    }
    assert_eq!(claimed_names(&store, 1), ["b"]);
    assert_eq!(claimed_by_arrival(&store, 2), ["a", "c"]);
    assert_eq!(claimed_names(&store, 9), ["d", "e"]);
}

fn an_event_is_claimed_once_and_reads_queued_with_its_processor() {
    let (store, _folder) = fresh();
    let appended = fire(&store, event("a"));
    assert_eq!(store.event(&appended.sys_id).unwrap().unwrap().state, EventState::Ready);
    let claimed = claim(&store, 10).events.remove(0);
    assert_eq!(claimed.state, EventState::Queued);
    assert_eq!(&*claimed.claimed_by, "node/default/0");
    assert_eq!(store.event(&appended.sys_id).unwrap().unwrap(), claimed);
    assert!(claim(&store, 10).events.is_empty());
}

fn a_claim_tells_whether_more_is_due_and_else_when_something_will_be() {
    let (store, _folder) = fresh();
    append(
        &store,
        vec![
            event("a"),
            event("b"),
            event_at("later", 1.0, 5_000),
            event_at("much later", 100.0, 9_000),
        ],
    );
    let first = claim(&store, 1);
    assert!(first.more);
    let second = claim(&store, 1);
    assert!(!second.more);
    assert_eq!(second.next_due, Some(NOW.plus_millis(5_000)));
    let later = store.claim(&ClaimRequest { now: NOW.plus_millis(5_000), ..request(5) }).unwrap();
    assert_eq!(names(&later.events), ["later"]);
    assert_eq!(later.next_due, Some(NOW.plus_millis(9_000)));
}

fn queues_do_not_see_each_others_events() {
    let (store, _folder) = fresh();
    fire(&store, NewEvent { queue: Arc::from("other"), ..event("a") });
    assert!(claim(&store, 5).events.is_empty());
    let other = store.claim(&ClaimRequest { queue: "other", ..request(5) }).unwrap();
    assert_eq!(names(&other.events), ["a"]);
}

fn released_events_are_claimable_at_once_in_their_old_place_and_nothing_is_counted() {
    let (store, _folder) = fresh();
    append(&store, vec![event("a"), event("b"), event("c")]);
    let claimed = claim(&store, 2).events;
    store.release(BY, &[claimed[1].fired.sys_id, claimed[0].fired.sys_id]);
    let again = claim(&store, 5).events;
    assert_eq!(names(&again), ["a", "b", "c"]);
    assert_eq!(again[0], claimed[0]);
}

fn a_released_event_cannot_be_completed_by_who_released_it() {
    let (store, _folder) = fresh();
    fire(&store, event("a"));
    let claimed = claim(&store, 1).events.remove(0);
    store.release(BY, &[claimed.fired.sys_id]);
    finish(&store, &claimed, NextState::Processed);
    assert_eq!(store.event(&claimed.fired.sys_id).unwrap().unwrap().state, EventState::Ready);
}

fn thousands_of_mixed_priorities_and_future_ones_come_in_order_from_a_small_window() {
    let (store, folder) = fresh();
    let mut dice = Dice(7);
    let mut all = Vec::new();
    let total = kind().pick(50_000_usize, 5_000);
    for n in 0..total {
        let priority = [1.0, 20.0, 300.0][usize::try_from(dice.below(3)).unwrap()];
        // Every third waits for the far future, at the best priority too.
        let due_in = if n % 3 == 0 { 3_600_000 } else { -i64::try_from(dice.below(50)).unwrap() };
        all.push((n, event_at(&n.to_string(), priority, due_in)));
    }
    for batch in all.chunks(500) {
        append(&store, batch.iter().map(|(_, event)| event.clone()).collect());
    }
    let expected = expected(all, NOW, true);
    let half = expected.len() / 2;
    let mut got = Vec::new();
    let drain = |store: &Arc<dyn Store>, got: &mut Vec<String>, until: usize| {
        while got.len() < until {
            let claim = claim(store, 100.min(until - got.len()));
            assert!(!claim.events.is_empty(), "after {}", got.len());
            for event in &claim.events {
                store.complete(completion(event, NextState::Processed));
            }
            got.extend(names(&claim.events));
        }
        store.flush().unwrap();
    };
    drain(&store, &mut got, half);
    drop(store);
    let store = open(&folder);
    drain(&store, &mut got, expected.len());
    assert_eq!(got, expected);
    assert!(claim(&store, 1).events.is_empty());
    let backlog = store.backlog(NOW).unwrap();
    assert_eq!((backlog[0].ready, backlog[0].queued), (0, 0));
    assert_eq!(backlog[0].scheduled, total.div_ceil(3) as u64);
}

fn a_retry_waits_for_its_time_and_then_goes_behind_what_was_due_before() {
    let (store, _folder) = fresh();
    append(&store, vec![event("fails"), event_at("other", 100.0, 20), event_at("last", 100.0, 40)]);
    let claimed = claim(&store, 1).events.remove(0);
    finish(&store, &claimed, NextState::RetryAt(NOW.plus_millis(30)));
    let waiting = store.event(&claimed.fired.sys_id).unwrap().unwrap();
    assert_eq!((waiting.state, waiting.attempts), (EventState::Ready, 1));
    assert_eq!(waiting.processed, Some(NOW.plus_millis(5)));
    assert!(claim(&store, 5).events.is_empty());
    let later = store.claim(&ClaimRequest { now: NOW.plus_millis(50), ..request(5) }).unwrap();
    assert_eq!(names(&later.events), ["other", "fails", "last"]);
    assert_eq!(later.events[1].attempts, 1);
    finish(&store, &later.events[1], failed());
    let done = store.event(&claimed.fired.sys_id).unwrap().unwrap();
    assert_eq!(
        (done.state, done.attempts, &*done.error_code),
        (EventState::Error, 2, "handler_failed")
    );
}

fn large_events_are_claimed_whole() {
    let (store, _folder) = fresh();
    let big: Arc<str> = Arc::from("x".repeat(200_000));
    let fired = NewEvent { snapshot: Arc::clone(&big), ..event("big") };
    append(&store, vec![event("small"), fired.clone(), event("small too")]);
    let events = claim(&store, 5).events;
    assert_eq!(names(&events), ["small", "big", "small too"]);
    assert_eq!(events[1].fired, fired);
}

fn whoever_listens_is_told_the_queue_and_the_earliest_due_time() {
    let (store, _folder) = fresh();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    store.set_wake_listener(Arc::new(move |queue, due| {
        ears.lock().unwrap().push((queue.to_owned(), due));
    }));
    append(
        &store,
        vec![
            event_at("a", 1.0, 900),
            event_at("b", 1.0, 300),
            NewEvent { queue: Arc::from("other"), ..event("c") },
        ],
    );
    let expected = [(String::new(), NOW.plus_millis(300)), ("other".to_owned(), NOW)];
    assert_eq!(*heard.lock().unwrap(), expected);
    heard.lock().unwrap().clear();
    let claimed = store.claim(&ClaimRequest { queue: "other", ..request(1) }).unwrap().events;
    store.release(BY, &[claimed[0].fired.sys_id]);
    assert_eq!(*heard.lock().unwrap(), [("other".to_owned(), NOW)]);
}

fn eight_appending_and_four_claiming_lose_nothing_and_double_nothing() {
    const EACH: usize = 3_000;
    let (store, folder) = fresh();
    let appended = Mutex::new(Vec::new());
    let handled = Mutex::new(Vec::new());
    let left = AtomicUsize::new(8 * EACH);
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (store, appended) = (&store, &appended);
            scope.spawn(move || {
                for n in (0..EACH).step_by(10) {
                    let events: Vec<_> = (n..n + 10)
                        .map(|n| event_at(&format!("{thread}.{n}"), [1.0, 5.0, 9.0][n % 3], 0))
                        .collect();
                    let keys: Vec<_> =
                        append(store, events).into_iter().map(|a| a.unwrap().sys_id).collect();
                    appended.lock().unwrap().extend(keys);
                }
            });
        }
        for _ in 0..4 {
            scope.spawn(|| {
                while left.load(Ordering::SeqCst) > 0 {
                    let events = claim(&store, 50).events;
                    left.fetch_sub(events.len(), Ordering::SeqCst);
                    if events.is_empty() {
                        std::thread::yield_now();
                    }
                    // Some go back: then they are not handled yet.
                    let (back, done) = events.split_at(events.len() / 7);
                    left.fetch_add(back.len(), Ordering::SeqCst);
                    store.release(BY, &back.iter().map(|e| e.fired.sys_id).collect::<Vec<_>>());
                    for event in done {
                        store.complete(completion(event, NextState::Processed));
                    }
                    handled.lock().unwrap().extend(done.iter().map(|e| e.fired.sys_id));
                }
            });
        }
    });
    store.flush().unwrap();
    let (appended, handled) = (appended.into_inner().unwrap(), handled.into_inner().unwrap());
    assert_eq!(handled.len(), 8 * EACH);
    assert_eq!(handled.iter().collect::<HashSet<_>>(), appended.iter().collect::<HashSet<_>>());
    assert!(store.backlog(NOW).unwrap().is_empty());
    drop(store);
    let store = open(&folder);
    assert!(claim(&store, 1).events.is_empty());
    for key in &appended {
        assert_eq!(store.event(key).unwrap().unwrap().state, EventState::Processed);
    }
}
