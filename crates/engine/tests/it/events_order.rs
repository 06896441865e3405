//! Queues that keep an order, on one node: events-and-jobs §14, cases 25 to 29 and 31 as far as one node shows them.

use std::sync::Arc;

use campanile_engine::EngineError;
use campanile_engine::events::service::{FireCall, cancel, reprocess};
use campanile_engine::queues::service::{QueueView, list, resume};
use campanile_model::{EventState, QueueOrder, SysId};
use campanile_store::{QueueRule, ReprocessOptions};

use crate::events_bed::{Bed, PATIENCE, RECORDER, call_to};

/// Keeps the order of what it handles, and fails for the value `bad` until `t.mended` is `true`.
const FAILS_FOR_BAD: &str = "var r = new GlideRecord('u_plain'); r.u_name = event.parm1; r.insert(); \
     if (event.parm1 == 'bad' && gs.getProperty('t.mended') != 'true') throw new Error('no');";

fn sequential(bed: &Bed, more: &[(&str, &str)]) -> String {
    bed.queue("in_turn", &[&[("processing_order", "sequential")], more].concat())
}

fn fire(bed: &Bed, name: &str, parm1: &str) -> SysId {
    bed.try_fire(call_to("in_turn", name, parm1)).unwrap().sys_id
}

fn fire_about(bed: &Bed, record: u32, parm1: &str) -> SysId {
    let about = FireCall {
        table: "incident".to_owned(),
        instance: format!("{record:032}"),
        ..call_to("in_turn", "t.ping", parm1)
    };
    bed.try_fire(about).unwrap().sys_id
}

fn view(bed: &Bed) -> QueueView {
    let all = list(bed.engine(), &Bed::admin()).unwrap();
    all.into_iter().find(|queue| queue.queue == "in_turn").unwrap()
}

fn all_ended(bed: &Bed, events: &[SysId]) {
    for event in events {
        bed.end_of(event).recv_timeout(PATIENCE).unwrap();
    }
    bed.engine().store().flush().unwrap();
}

/// Notes when it begins and when it ends. `A1` and `B1` wait for each other in between, if ever both are handled at once.
const MEETS: &str = "function note(what) { var r = new GlideRecord('u_plain'); r.u_name = event.parm1 + what; r.insert(); } \
     note(' begins'); var other = {A1: 'B1', B1: 'A1'}[String(event.parm1)]; var met = !other; \
     for (var i = 0; !met && i < 400; i++) { var o = new GlideRecord('u_plain'); \
     met = o.get('u_name', other + ' begins'); if (!met) gs.sleep(10); } \
     note(met ? ' ends' : ' was alone');";

/// What `names` note when each ends before the next begins.
fn one_by_one(names: impl IntoIterator<Item = String>) -> Vec<String> {
    names.into_iter().flat_map(|name| [format!("{name} begins"), format!("{name} ends")]).collect()
}

#[test]
fn ev_025_a_hundred_events_of_a_sequential_queue_are_handled_one_by_one_in_their_order() {
    let mut bed = Bed::quiet();
    bed.action("meets", "t.ping", MEETS, &[]);
    sequential(&bed, &[]);
    bed.with_processors();
    let events: Vec<SysId> = (0..100).map(|n| fire(&bed, "t.ping", &n.to_string())).collect();
    all_ended(&bed, &events);
    assert_eq!(bed.recorded(), one_by_one((0..100).map(|n| n.to_string())));
    let processors = bed.engine().queues().processors();
    let of_queue = processors.iter().find(|(queue, ..)| &**queue == "in_turn").unwrap();
    assert_eq!(of_queue.1 + of_queue.2, 1);
}

#[test]
fn ev_026_attempts_hold_a_sequential_queue_which_then_goes_on() {
    let bed = Bed::quiet();
    bed.action("recorder", "t.ping", FAILS_FOR_BAD, &[]);
    sequential(&bed, &[("max_attempts", "2")]);
    let events = ["first", "bad", "third"].map(|parm1| fire(&bed, "t.ping", parm1));
    bed.drain();
    assert_eq!(bed.recorded(), ["first", "bad"]);
    assert_eq!(bed.state(&events[2]), EventState::Ready);
    bed.advance_seconds(29);
    assert_eq!(bed.drain().claimed, 0, "the delay is not over");
    bed.advance_seconds(1);
    bed.drain();
    assert_eq!(bed.recorded(), ["first", "bad", "bad", "third"]);
    assert_eq!(bed.state(&events[1]), EventState::Error);
    assert_eq!(view(&bed).status, "Active");
}

#[test]
fn ev_026_with_halt_the_queue_stands_still_until_somebody_resumes_it() {
    let bed = Bed::quiet();
    bed.action("recorder", "t.ping", FAILS_FOR_BAD, &[]);
    sequential(&bed, &[("max_attempts", "2"), ("on_error", "halt")]);
    let events = ["first", "bad", "third"].map(|parm1| fire(&bed, "t.ping", parm1));
    bed.drain();
    assert_eq!(view(&bed).status, "Active", "an attempt is left");
    bed.advance_seconds(30);
    bed.drain();
    let halted = view(&bed);
    assert_eq!((halted.status, halted.ready), ("Halted", 1));
    assert_eq!(halted.halted_by, Some(events[1].to_string()));
    bed.advance_seconds(3_600);
    assert_eq!(bed.drain().claimed, 0);
    let verdict = bed.explain(&events[2]).verdict;
    assert!(verdict.contains("is halted by the error of event"), "{verdict}");
    resume(bed.engine(), &Bed::admin(), "in_turn", "mended").unwrap();
    assert_eq!(view(&bed).status, "Active");
    bed.drain();
    assert_eq!(bed.recorded(), ["first", "bad", "bad", "third"]);
    let logged = bed.fixture.house.rows("sysevent_action_log", &[("action", "resume")]);
    assert_eq!(logged[0].text("reason"), "mended; queue 'in_turn'");
    let again = resume(bed.engine(), &Bed::admin(), "in_turn", "");
    assert!(matches!(again, Err(EngineError::BadParameter { .. })), "{again:?}");
    let unknown = resume(bed.engine(), &Bed::admin(), "nowhere", "");
    assert!(matches!(unknown, Err(EngineError::RecordUnknown { .. })), "{unknown:?}");
}

#[test]
fn whether_an_error_halts_a_queue_the_store_decides_and_no_definition_that_was_read_before() {
    let bed = Bed::quiet();
    bed.action("recorder", "t.ping", FAILS_FOR_BAD, &[]);
    sequential(&bed, &[]);
    // As another node has set it just now.
    let mut tx = Arc::clone(bed.engine().store()).write().unwrap();
    let rule = QueueRule { order: QueueOrder::Sequential, halts: true };
    tx.set_queue_order("in_turn", Some(rule)).unwrap();
    tx.commit().unwrap();
    let events = ["bad", "next"].map(|parm1| fire(&bed, "t.ping", parm1));
    bed.drain();
    assert_eq!(bed.recorded(), ["bad"]);
    assert_eq!(bed.state(&events[1]), EventState::Ready);
    assert_eq!(view(&bed).status, "Halted");
}

#[test]
fn a_halted_queue_goes_on_when_the_failed_event_is_reprocessed_or_cancelled() {
    let bed = Bed::quiet();
    bed.action("recorder", "t.ping", FAILS_FOR_BAD, &[]);
    sequential(&bed, &[("on_error", "halt")]);
    let bad = fire(&bed, "t.ping", "bad");
    fire(&bed, "t.ping", "second");
    bed.drain();
    assert_eq!(view(&bed).status, "Halted");
    bed.act(bad, |engine, session, act| {
        reprocess(engine, session, act, ReprocessOptions::default())
    })
    .unwrap();
    bed.drain();
    assert_eq!(view(&bed).status, "Halted", "it failed again");
    fire(&bed, "t.ping", "third");
    bed.act(bad, cancel).unwrap();
    bed.drain();
    assert_eq!(bed.state(&bad), EventState::Error, "its end stays what it was");
    let order = bed.recorded();
    assert_eq!(order.iter().filter(|name| *name == "bad").count(), 2);
    assert_eq!(order.last().unwrap(), "third");
    let refused = bed.act(bad, cancel);
    assert!(refused.is_err(), "it halts nothing any more");
}

#[test]
fn ev_027_events_of_one_record_follow_each_other_and_different_records_overlap() {
    let mut bed = Bed::quiet();
    bed.action("meets", "t.ping", MEETS, &[]);
    let two = [("ordering", "true"), ("job_config_value", "2"), ("active", "false")];
    bed.queue("in_turn", &two);
    bed.with_processors();
    let fired = [(1, "A1"), (2, "B1"), (1, "A2"), (1, "A3"), (2, "B2"), (2, "B3")];
    let events = fired.map(|(record, parm1)| fire_about(&bed, record, parm1));
    // All wait when the first one is claimed.
    bed.set_queue("in_turn", &[("active", "true")]);
    all_ended(&bed, &events);
    let (of_a, of_b): (Vec<_>, Vec<_>) =
        bed.recorded().into_iter().partition(|name| name.starts_with('A'));
    assert_eq!(of_a, one_by_one(["A1", "A2", "A3"].map(str::to_owned)));
    assert_eq!(of_b, one_by_one(["B1", "B2", "B3"].map(str::to_owned)), "and A1 and B1 have met");
}

#[test]
fn a_failing_event_holds_its_record_through_its_attempts_and_no_other() {
    let bed = Bed::quiet();
    bed.action("recorder", "t.ping", FAILS_FOR_BAD, &[]);
    bed.queue("in_turn", &[("ordering", "true"), ("max_attempts", "2")]);
    for (record, parm1) in [(1, "bad"), (1, "behind it"), (2, "other"), (2, "other 2")] {
        fire_about(&bed, record, parm1);
    }
    bed.drain();
    assert_eq!(bed.recorded(), ["bad", "other", "other 2"]);
    bed.advance_seconds(30);
    bed.drain();
    assert_eq!(bed.recorded(), ["bad", "other", "other 2", "bad", "behind it"]);
}

#[test]
fn ev_028_the_processing_order_of_a_saved_queue_cannot_be_changed() {
    let bed = Bed::quiet();
    let id = sequential(&bed, &[]);
    let changed =
        bed.fixture.update("admin", "sysevent_queue", &id, &[("processing_order", "parallel")]);
    assert!(matches!(changed, Err(EngineError::Integrity { .. })), "{changed:?}");
    let rows = bed.fixture.house.rows("sysevent_queue", &[("sys_id", &id)]);
    assert_eq!(rows[0].text("processing_order"), "sequential");
    assert_eq!(view(&bed).order, "sequential");
}

#[test]
fn ev_029_a_sequential_queue_has_one_processor_in_the_cluster_whatever_is_saved() {
    let bed = Bed::quiet();
    let refused = |values: &[(&str, &str)]| -> String {
        let values =
            [&[("queue", "q_refused"), ("processing_order", "sequential")], values].concat();
        match bed.fixture.insert("admin", "sysevent_queue", &values) {
            Err(EngineError::Integrity { detail, .. }) => detail,
            other => panic!("{values:?}: {other:?}"),
        }
    };
    assert!(refused(&[("job_config_value", "2")]).contains("exactly one processor"));
    assert!(refused(&[("job_config", "jobs_per_node")]).contains("exactly one processor"));
    assert!(refused(&[("ordering", "true")]).contains("parallel queues"));
    let id = sequential(&bed, &[]);
    let row = &bed.fixture.house.rows("sysevent_queue", &[("sys_id", &id)])[0];
    assert_eq!((row.text("job_config"), row.text("job_config_value")), ("job_count", "1"));
    for change in [("job_config_value", "2"), ("job_config", "jobs_per_node"), ("ordering", "true")]
    {
        let changed = bed.fixture.update("admin", "sysevent_queue", &id, &[change]);
        assert!(matches!(changed, Err(EngineError::Integrity { .. })), "{change:?}");
    }
    assert_eq!(view(&bed).number_of_jobs, 1);
    let parallel = bed.queue("q_parallel", &[]);
    let row = &bed.fixture.house.rows("sysevent_queue", &[("sys_id", &parallel)])[0];
    assert_eq!(row.text("job_config"), "jobs_per_node");
}

#[test]
fn a_queue_that_is_deleted_and_made_anew_keeps_nothing_of_its_order() {
    let bed = Bed::quiet();
    bed.action("recorder", "t.ping", RECORDER, &[]);
    let id = sequential(&bed, &[("on_error", "halt")]);
    bed.fixture.house.remove("sysevent_queue", &id);
    bed.queue("in_turn", &[]);
    for n in 0..3 {
        fire(&bed, "t.ping", &n.to_string());
    }
    let request = campanile_store::ClaimRequest {
        queue: "in_turn",
        limit: 1,
        claimed_by: "one",
        by_priority: true,
        now: bed.engine().clock().now(),
    };
    let store = bed.engine().store();
    let first = store.claim(&request).unwrap().events.remove(0);
    let other = campanile_store::ClaimRequest { claimed_by: "two", ..request.clone() };
    let second = store.claim(&other).unwrap().events.remove(0);
    store.release("one", &[first.fired.sys_id]);
    store.release("two", &[second.fired.sys_id]);
    assert_eq!(bed.drain().processed, 3);
}
