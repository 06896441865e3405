//! Queues that keep an order: one event at a time, or one of each record.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use campanile_model::partition::partition;
use campanile_model::{Event, NewEvent, QueueOrder, SysId};
use campanile_store::{ClaimRequest, EventAction, NextState, QueueRule, Store, StoreError};

use crate::events_at_hand::{
    Kind, NOW, append, claim, claimed_names, event, event_at, failed, finish, fire, fresh, kind,
    names, on_both_engines, open, record, reprocess, request,
};

on_both_engines! {
    a_sequential_queue_gives_nothing_while_an_event_of_it_is_claimed,
    a_sequential_queue_follows_priority_and_then_arrival,
    an_attempt_that_failed_holds_a_sequential_queue_and_an_event_for_later_does_not,
    an_error_halts_the_queue_until_somebody_resumes_it,
    reprocessing_or_cancelling_the_event_that_halted_a_queue_lets_it_go_on,
    an_error_halts_no_queue_that_does_not_ask_for_it,
    one_event_of_each_record_is_claimed_and_the_rest_follow_their_own,
    a_better_priority_overtakes_other_records_and_never_its_own,
    what_failed_holds_its_record_and_no_other,
    events_about_no_record_follow_nothing,
    an_event_that_is_moved_into_a_queue_takes_its_turn_there,
    an_order_that_is_set_while_events_wait_and_are_handled_holds_for_them,
    an_event_for_now_is_due_when_it_arrives,
    orders_halts_and_begun_attempts_outlive_the_store,
    an_order_that_is_rolled_back_was_never_set,
    four_processors_never_hold_two_events_of_a_record_and_keep_its_order,
}

fn rule(order: QueueOrder) -> QueueRule {
    QueueRule { order, halts: false }
}

fn set(store: &Arc<dyn Store>, queue: &str, rule: QueueRule) {
    let mut tx = Arc::clone(store).write().unwrap();
    tx.set_queue_order(queue, Some(rule)).unwrap();
    tx.commit().unwrap();
}

/// A store whose default queue has this order.
fn ordered(rule: QueueRule) -> (Arc<dyn Store>, crate::events_at_hand::Place) {
    let (store, place) = fresh();
    set(&store, "", rule);
    (store, place)
}

fn claim_by(store: &Arc<dyn Store>, claimed_by: &str, limit: usize) -> Vec<Event> {
    store.claim(&ClaimRequest { claimed_by, ..request(limit) }).unwrap().events
}

/// About record `record`; about none when it is 0. In distributed mode all these records share a partition: what is said of two
/// of them would otherwise not be said of the order in which they are claimed.
fn about(record: usize, name: &str) -> NewEvent {
    let place = |key: &str| partition(key, 16);
    let together = |key: &String| place(key) == place(&event("").instance);
    let instance = match record.checked_sub(1) {
        Some(nth) => (1..).map(|n| format!("{n:032}")).filter(together).nth(nth).unwrap(),
        None => String::new(),
    };
    NewEvent { instance: Arc::from(instance), ..event(name) }
}

/// Whether the store that this test runs on spreads events over partitions.
fn is_spread() -> bool {
    matches!(kind(), Kind::Distributed | Kind::HashPartitions)
}

fn halting() -> QueueRule {
    QueueRule { order: QueueOrder::Sequential, halts: true }
}

fn a_sequential_queue_gives_nothing_while_an_event_of_it_is_claimed() {
    let (store, _place) = ordered(rule(QueueOrder::Sequential));
    append(&store, ["a", "b", "c", "d"].map(event).to_vec());
    let batch = claim_by(&store, "one", 2);
    assert_eq!(names(&batch), ["a", "b"], "one processor may hold several");
    let none = store.claim(&ClaimRequest { claimed_by: "two", ..request(9) }).unwrap();
    assert!(none.events.is_empty() && !none.more);
    finish(&store, &batch[0], NextState::Processed);
    assert!(claim_by(&store, "two", 9).is_empty(), "the second has not ended");
    store.release("one", &[batch[1].fired.sys_id]);
    assert_eq!(names(&claim_by(&store, "two", 9)), ["b", "c", "d"]);
}

fn a_sequential_queue_follows_priority_and_then_arrival() {
    let (store, _place) = ordered(rule(QueueOrder::Sequential));
    for (name, priority) in [("a", 100.0), ("b", 10.0), ("c", 100.0)] {
        fire(&store, event_at(name, priority, 0));
    }
    let mut got = Vec::new();
    while let [event] = &claim(&store, 1).events[..] {
        got.extend(names(std::slice::from_ref(event)));
        finish(&store, event, NextState::Processed);
    }
    assert_eq!(got, ["b", "a", "c"]);
}

fn an_attempt_that_failed_holds_a_sequential_queue_and_an_event_for_later_does_not() {
    let (store, _place) = ordered(rule(QueueOrder::Sequential));
    let later = NewEvent { scheduled: true, ..event_at("later", 1.0, 60_000) };
    append(&store, vec![later, event("fails"), event("next")]);
    let first = claim(&store, 1).events.remove(0);
    assert_eq!(&*first.fired.name, "fails", "what is for later waits aside");
    finish(&store, &first, NextState::RetryAt(NOW.plus_millis(30_000)));
    let held = claim(&store, 9);
    assert!(held.events.is_empty());
    let due = held.next_due.unwrap();
    assert!(due <= NOW.plus_millis(30_000), "{due:?}");
    let at = |seconds: i64| ClaimRequest { now: NOW.plus_millis(seconds * 1_000), ..request(9) };
    let second = store.claim(&at(30)).unwrap().events;
    assert_eq!(names(&second), ["fails"], "alone");
    finish(&store, &second[0], NextState::RetryAt(NOW.plus_millis(90_000)));
    assert!(store.claim(&at(61)).unwrap().events.is_empty(), "also what has become due waits");
    let third = store.claim(&at(90)).unwrap().events;
    finish(&store, &third[0], failed());
    assert_eq!(names(&store.claim(&at(90)).unwrap().events), ["later", "next"]);
}

fn an_error_halts_the_queue_until_somebody_resumes_it() {
    let (store, _place) = ordered(halting());
    append(&store, ["bad", "next"].map(event).to_vec());
    let bad = claim(&store, 1).events.remove(0);
    assert!(store.halts().unwrap().is_empty());
    finish(&store, &bad, failed());
    let halted = claim(&store, 9);
    assert!(halted.events.is_empty() && halted.next_due.is_none() && !halted.more);
    let halts = store.halts().unwrap();
    assert_eq!((&*halts[0].queue, halts[0].event), ("", bad.fired.sys_id));
    assert_eq!(store.resume("other", record("resume", &[])).unwrap(), None);
    assert!(store.resume("", record("resume", &[bad.fired.sys_id])).unwrap().is_some());
    assert_eq!(store.resume("", record("resume", &[])).unwrap(), None, "it goes on already");
    assert_eq!(store.actions(&bad.fired.sys_id).unwrap().len(), 1);
    assert!(store.halts().unwrap().is_empty());
    assert_eq!(claimed_names(&store, 9), ["next"]);
}

fn reprocessing_or_cancelling_the_event_that_halted_a_queue_lets_it_go_on() {
    let (store, _place) = ordered(halting());
    append(&store, ["bad", "next"].map(event).to_vec());
    let bad = claim(&store, 1).events.remove(0);
    finish(&store, &bad, failed());
    let sys_id = bad.fired.sys_id;
    store.act(reprocess(sys_id, NOW.plus_millis(1))).unwrap();
    let next = claim(&store, 1).events.remove(0);
    assert_eq!(&*next.fired.name, "next", "it was due before");
    finish(&store, &next, NextState::Processed);
    let at = ClaimRequest { now: NOW.plus_millis(1), ..request(9) };
    let bad = store.claim(&at).unwrap().events.remove(0);
    finish(&store, &bad, failed());
    fire(&store, event("last"));
    assert!(store.claim(&at).unwrap().events.is_empty());
    let cancel = || EventAction::Cancel { sys_id, now: NOW, record: record("cancel", &[sys_id]) };
    store.act(cancel()).unwrap();
    assert_eq!(names(&store.claim(&at).unwrap().events), ["last"]);
    let stays = store.act(cancel());
    assert!(matches!(stays, Err(StoreError::StateConflict { .. })), "it halts nothing: {stays:?}");
}

fn an_error_halts_no_queue_that_does_not_ask_for_it() {
    let (store, _place) = ordered(rule(QueueOrder::Sequential));
    append(&store, ["bad", "next"].map(event).to_vec());
    finish(&store, &claim(&store, 1).events[0], failed());
    assert_eq!(claimed_names(&store, 9), ["next"]);
    assert!(store.halts().unwrap().is_empty());
}

fn one_event_of_each_record_is_claimed_and_the_rest_follow_their_own() {
    let (store, _place) = ordered(rule(QueueOrder::ByRecord));
    append(
        &store,
        [(1, "a1"), (1, "a2"), (2, "b1"), (1, "a3"), (2, "b2")].map(|(r, n)| about(r, n)).to_vec(),
    );
    let one = claim_by(&store, "one", 1);
    let two = claim_by(&store, "two", 1);
    assert_eq!((names(&one), names(&two)), (vec!["a1".to_owned()], vec!["b1".to_owned()]));
    assert!(claim_by(&store, "three", 9).is_empty());
    finish(&store, &two[0], failed());
    assert_eq!(names(&claim_by(&store, "three", 9)), ["b2"]);
    finish(&store, &one[0], NextState::Processed);
    let batch = claim_by(&store, "one", 9);
    assert_eq!(names(&batch), ["a2", "a3"], "one processor may hold several of a record");
    store.release("one", &[batch[0].fired.sys_id, batch[1].fired.sys_id]);
    assert_eq!(names(&claim_by(&store, "two", 9)), ["a2", "a3"]);
}

fn a_better_priority_overtakes_other_records_and_never_its_own() {
    let (store, _place) = ordered(rule(QueueOrder::ByRecord));
    let with = |event: NewEvent, priority: f64| NewEvent { priority, ..event };
    append(
        &store,
        vec![
            with(about(1, "a1"), 100.0),
            with(about(1, "a2 urgent"), 1.0),
            with(about(2, "b1"), 50.0),
        ],
    );
    let first = claim_by(&store, "one", 1);
    assert_eq!(names(&first), ["b1"]);
    assert_eq!(names(&claim_by(&store, "two", 9)), ["a1", "a2 urgent"]);
}

fn what_failed_holds_its_record_and_no_other() {
    let (store, _place) = ordered(rule(QueueOrder::ByRecord));
    append(&store, vec![about(1, "a1"), about(1, "a2"), about(2, "b1")]);
    let a1 = claim_by(&store, "one", 1).remove(0);
    finish(&store, &a1, NextState::RetryAt(NOW.plus_millis(5_000)));
    let b1 = claim(&store, 9);
    assert_eq!(names(&b1.events), ["b1"]);
    let next = claim(&store, 9);
    assert!(next.events.is_empty() && next.next_due.unwrap() <= NOW.plus_millis(5_000));
    let then = ClaimRequest { now: NOW.plus_millis(5_000), ..request(9) };
    let again = store.claim(&then).unwrap().events;
    assert_eq!(names(&again), ["a1"], "alone");
    finish(&store, &again[0], failed());
    assert_eq!(names(&store.claim(&then).unwrap().events), ["a2"]);
}

fn events_about_no_record_follow_nothing() {
    let (store, _place) = ordered(rule(QueueOrder::ByRecord));
    append(&store, vec![about(0, "x"), about(0, "y"), about(0, "z")]);
    let mut got = ["one", "two", "three"].map(|by| names(&claim_by(&store, by, 1)).concat());
    if is_spread() {
        // They stand in partitions of their own.
        got.sort();
    }
    assert_eq!(got, ["x", "y", "z"]);
}

fn an_event_that_is_moved_into_a_queue_takes_its_turn_there() {
    let (store, _place) = ordered(rule(QueueOrder::ByRecord));
    fire(&store, about(1, "a1"));
    let elsewhere = NewEvent { queue: Arc::from("other"), ..about(1, "a2") };
    let moved = fire(&store, elsewhere).sys_id;
    let a1 = claim(&store, 9).events.remove(0);
    let to = |queue: &str| EventAction::Move {
        sys_id: moved,
        queue: Arc::from(queue),
        record: record("move", &[moved]),
    };
    store.act(to("")).unwrap();
    assert!(claim(&store, 9).events.is_empty(), "its record is being handled here");
    store.act(to("other")).unwrap();
    let other = ClaimRequest { queue: "other", ..request(9) };
    assert_eq!(names(&store.claim(&other).unwrap().events), ["a2"], "and not there");
    store.release(request(1).claimed_by, &[moved]);
    assert_eq!(store.move_kind("a2", "").unwrap().moved, 1);
    assert!(claim(&store, 9).events.is_empty());
    finish(&store, &a1, NextState::Processed);
    assert_eq!(claimed_names(&store, 9), ["a2"]);
}

fn an_order_that_is_set_while_events_wait_and_are_handled_holds_for_them() {
    let (store, _place) = fresh();
    append(&store, vec![about(1, "a1"), about(1, "a2"), about(2, "b1"), about(2, "b2")]);
    let a1 = claim(&store, 1).events.remove(0);
    set(&store, "", rule(QueueOrder::ByRecord));
    let by_two = store.claim(&ClaimRequest { claimed_by: "two", ..request(1) }).unwrap();
    assert_eq!(names(&by_two.events), ["b1"]);
    assert_eq!(by_two.order, QueueOrder::ByRecord);
    assert!(claim_by(&store, "three", 9).is_empty());
    finish(&store, &a1, NextState::Processed);
    assert_eq!(names(&claim_by(&store, "three", 9)), ["a2"]);
    let mut tx = Arc::clone(&store).write().unwrap();
    tx.set_queue_order("", None).unwrap();
    tx.commit().unwrap();
    let rest = claim(&store, 9);
    assert_eq!(names(&rest.events), ["b2"], "nothing follows anything any more");
    assert_eq!(rest.order, QueueOrder::Parallel);
}

fn an_event_for_now_is_due_when_it_arrives() {
    let (store, _place) = ordered(rule(QueueOrder::Sequential));
    let fired = |name: &str, ago_ms: i64| event_at(name, 100.0, -ago_ms);
    fire(&store, fired("committed first", 10));
    let mut tx = Arc::clone(&store).write().unwrap();
    tx.append_events(&[fired("fired first", 500)]).unwrap()[0].as_ref().unwrap();
    tx.commit().unwrap();
    fire(&store, NewEvent { scheduled: true, ..fired("asked for then", 5) });
    fire(&store, fired("committed last", 2_000));
    let got = names(&claim(&store, 9).events);
    assert_eq!(got, ["committed first", "fired first", "committed last", "asked for then"]);
}

fn orders_halts_and_begun_attempts_outlive_the_store() {
    let (store, place) = ordered(rule(QueueOrder::Sequential));
    set(&store, "halting", halting());
    let in_queue = |event: NewEvent| NewEvent { queue: Arc::from("halting"), ..event };
    append(
        &store,
        vec![event("fails"), event("next"), in_queue(event("bad")), in_queue(event("behind"))],
    );
    let of_halting = ClaimRequest { queue: "halting", ..request(1) };
    finish(&store, &claim(&store, 1).events[0], NextState::RetryAt(NOW.plus_millis(9_000)));
    finish(&store, &store.claim(&of_halting).unwrap().events[0], failed());
    store.close().unwrap();
    drop(store);
    let store = open(&place);
    assert!(claim(&store, 9).events.is_empty(), "the attempt holds the queue");
    assert!(store.claim(&of_halting).unwrap().events.is_empty(), "it stands still");
    assert_eq!(store.halts().unwrap().len(), 1);
    let then = ClaimRequest { now: NOW.plus_millis(9_000), ..request(9) };
    assert_eq!(names(&store.claim(&then).unwrap().events), ["fails"]);
}

fn an_order_that_is_rolled_back_was_never_set() {
    let (store, _place) = fresh();
    append(&store, vec![event("a"), event("b")]);
    let mut tx = Arc::clone(&store).write().unwrap();
    tx.set_queue_order("", Some(rule(QueueOrder::Sequential))).unwrap();
    tx.append_events(&[event("never")]).unwrap()[0].as_ref().unwrap();
    drop(tx);
    assert_eq!(names(&claim_by(&store, "one", 1)), ["a"]);
    assert_eq!(names(&claim_by(&store, "two", 1)), ["b"]);
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

/// Claims, ends, failures, releases and appends in any order, on more events than a window holds.
fn four_processors_never_hold_two_events_of_a_record_and_keep_its_order() {
    let (store, _place) = ordered(rule(QueueOrder::ByRecord));
    let mut dice = Dice(7);
    let backlog = kind().pick(6_000, 600);
    let mut appended = 0;
    let mut add = |store: &Arc<dyn Store>, dice: &mut Dice, count: usize| {
        let events = (0..count).map(|_| {
            appended += 1;
            let instance = Arc::from(format!("{:032}", 1 + dice.below(40)));
            let priority = [100.0, 50.0, 1.0][dice.below(3)];
            NewEvent { priority, instance, ..event(&format!("{appended}")) }
        });
        append(store, events.collect());
    };
    add(&store, &mut dice, backlog);
    let mut held: Vec<Vec<Event>> = vec![Vec::new(); 4];
    let mut ended: HashMap<String, Vec<usize>> = HashMap::new();
    let mut retried: HashSet<SysId> = HashSet::new();
    let mut now = NOW;
    let mut idle = 0;
    while idle < 8 {
        let processor = dice.below(4);
        let by = format!("p{processor}");
        now = now.plus_millis(10);
        if held[processor].is_empty() {
            let limit = 1 + dice.below(20);
            let claimed = store.claim(&ClaimRequest { claimed_by: &by, now, ..request(limit) });
            held[processor] = claimed.unwrap().events;
            let anything = held.iter().any(|events| !events.is_empty());
            idle = if anything { 0 } else { idle + 1 };
            if idle > 0 {
                // What was tried before waits for its time.
                now = now.plus_millis(1_000);
            }
            let mut holder: HashMap<Arc<str>, usize> = HashMap::new();
            for (other, events) in held.iter().enumerate() {
                for event in events {
                    let first = *holder.entry(Arc::clone(&event.fired.instance)).or_insert(other);
                    assert_eq!(first, other, "two hold events of one record");
                }
            }
            continue;
        }
        let event = held[processor].remove(0);
        let sys_id = event.fired.sys_id;
        let record = event.fired.instance.to_string();
        match dice.below(10) {
            0 if retried.insert(sys_id) => {
                finish(&store, &event, NextState::RetryAt(now.plus_millis(500)));
                give_back(&store, &by, &mut held[processor]);
            }
            1 => {
                store.release(&by, &[sys_id]);
                give_back(&store, &by, &mut held[processor]);
            }
            2 => {
                finish(&store, &event, failed());
                ended.entry(record).or_default().push(event.fired.name.parse().unwrap());
            }
            _ => {
                finish(&store, &event, NextState::Processed);
                ended.entry(record).or_default().push(event.fired.name.parse().unwrap());
            }
        }
        if dice.below(4) == 0 && ended.values().map(Vec::len).sum::<usize>() < backlog {
            add(&store, &mut dice, 3);
        }
    }
    let total: usize = ended.values().map(Vec::len).sum();
    assert!(total > backlog, "{total}");
    assert!(store.backlog(now).unwrap().is_empty(), "{:?}", store.backlog(now));
    for (record, order) in ended {
        assert!(order.is_sorted(), "{record}: {order:?}");
    }
}

fn give_back(store: &Arc<dyn Store>, by: &str, held: &mut Vec<Event>) {
    let ids: Vec<SysId> = held.drain(..).map(|event| event.fired.sys_id).collect();
    store.release(by, &ids);
}
