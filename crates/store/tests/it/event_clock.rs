//! The machine's clock jumps while events wait, are claimed, are to be tried again or were asked for later.

use std::sync::Arc;

use campanile_model::{EventState, Instant, NewEvent, SysId};
use campanile_store::{ClaimRequest, EventAction, NextState, Store};

use crate::events_at_hand::{
    NOW, after_kill, append, claim, completion, event, event_at, finish, fire, fresh, names, open,
    record, request,
};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn at(millis: i64) -> Instant {
    NOW.plus_millis(millis)
}

fn claimed_at(store: &Arc<dyn Store>, millis: i64) -> Vec<String> {
    names(&store.claim(&ClaimRequest { now: at(millis), ..request(100) }).unwrap().events)
}

fn scheduled(name: &str, due_in_ms: i64) -> NewEvent {
    NewEvent { scheduled: true, ..event_at(name, 100.0, due_in_ms) }
}

#[test]
fn set_back_an_hour_what_was_due_by_the_old_clock_is_due_by_the_new_one() {
    let (store, _folder) = fresh();
    append(&store, vec![event("held"), event("a"), scheduled("later", 60_000), event("b")]);
    let held = claim(&store, 1).events.remove(0);
    assert_eq!(claimed_at(&store, -HOUR), ["a", "b"], "in the order of arrival");
    // Its own time was asked for: not early, by the clock as it is.
    assert_eq!(claimed_at(&store, 59_999), [""; 0]);
    assert_eq!(claimed_at(&store, 60_000), ["later"]);
    finish(&store, &held, NextState::Processed);
    assert_eq!(store.event(&held.fired.sys_id).unwrap().unwrap().state, EventState::Processed);
}

#[test]
fn a_retry_comes_after_its_delay_by_the_new_clock() {
    let (store, _folder) = fresh();
    let sys_id = fire(&store, event("retried")).sys_id;
    let claimed = claim(&store, 1).events.remove(0);
    let completion = completion(&claimed, NextState::RetryAt(at(30_000)));
    let ended = completion.started.as_millis() + completion.duration_ms - NOW.as_millis();
    store.complete(completion);
    store.flush().unwrap();
    assert_eq!(claimed_at(&store, 0), [""; 0]);
    assert_eq!(claimed_at(&store, -HOUR), [""; 0], "not early");
    let delay = 30_000 - ended;
    assert_eq!(claimed_at(&store, -HOUR + delay - 1), [""; 0], "not early");
    assert_eq!(claimed_at(&store, -HOUR + delay), ["retried"]);
    assert_eq!(store.event(&sys_id).unwrap().unwrap().attempts, 1);
}

#[test]
fn what_a_person_gave_a_time_keeps_it_and_what_a_person_wanted_now_comes_now() {
    let (store, _folder) = fresh();
    let [at_ten, now] = ["at ten", "now"].map(|name| fire(&store, event(name)).sys_id);
    let reschedule = |sys_id: SysId, process_on| {
        let record = record("reschedule", &[sys_id]);
        store.act(EventAction::Reschedule { sys_id, process_on, record }).unwrap();
    };
    reschedule(at_ten, at(600_000));
    reschedule(now, NOW);
    assert_eq!(claimed_at(&store, -1), [""; 0]);
    assert_eq!(claimed_at(&store, -HOUR), ["now"]);
    assert_eq!(claimed_at(&store, 599_999), [""; 0]);
    assert_eq!(claimed_at(&store, 600_000), ["at ten"]);
}

#[test]
fn a_clock_that_was_set_back_while_nobody_ran_is_noticed_at_the_first_claim() {
    let (store, folder) = fresh();
    append(&store, vec![event("a"), scheduled("later", 60_000)]);
    let (killed, _other) = after_kill(folder.path());
    assert_eq!(claimed_at(&killed, -HOUR), ["a"]);
    drop(store);
    assert_eq!(claimed_at(&open(&folder), -DAY), ["a"]);
}

#[test]
fn set_forward_a_day_everything_that_was_asked_for_until_then_comes_once() {
    let (store, _folder) = fresh();
    append(&store, vec![event("claimed"), scheduled("in an hour", HOUR)]);
    append(&store, vec![scheduled("in two days", 2 * DAY), event("waiting")]);
    let claimed = claim(&store, 1).events.remove(0);
    assert!(store.begin(&claimed.fired.sys_id, crate::events_at_hand::BY, 0));
    assert_eq!(claimed_at(&store, DAY), ["waiting", "in an hour"]);
    assert_eq!(claimed_at(&store, DAY), [""; 0], "what is being handled stays where it is");
    finish(&store, &claimed, NextState::Processed);
    // And back again: nothing comes twice, nothing early.
    assert_eq!(claimed_at(&store, 1_000), [""; 0]);
    assert_eq!(claimed_at(&store, 2 * DAY), ["in two days"]);
}

#[test]
fn thousands_that_wait_follow_the_clock_in_their_order() {
    let (store, _folder) = fresh();
    for batch in 0..5 {
        let events = (0..500).map(|n| event_at(&(batch * 500 + n).to_string(), 100.0, batch));
        append(
            &store,
            events.map(|event| NewEvent { created: event.process_on, ..event }).collect(),
        );
    }
    // Somebody looks at some queue all the time: the clock as it was is known.
    assert!(
        store.claim(&ClaimRequest { queue: "adaptive", ..request(1) }).unwrap().events.is_empty()
    );
    let mut order = Vec::new();
    loop {
        let claimed = claimed_at(&store, -HOUR);
        if claimed.is_empty() {
            break;
        }
        order.extend(claimed.iter().map(|name| name.parse::<usize>().unwrap()));
    }
    assert!(order.iter().copied().eq(0..2_500), "{} came, perhaps in another order", order.len());
}

#[test]
fn small_steps_of_the_clock_move_nothing() {
    let (store, _folder) = fresh();
    let sys_id = fire(&store, event("a")).sys_id;
    assert_eq!(claimed_at(&store, -999), [""; 0]);
    assert_eq!(store.event(&sys_id).unwrap().unwrap().fired.process_on, NOW);
    assert_eq!(claimed_at(&store, 0), ["a"]);
}
