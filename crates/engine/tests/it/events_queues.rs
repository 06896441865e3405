//! Order, queues and processors: events-and-jobs §14, cases 22 to 39 as far as they exist.

use std::time::Duration;

use campanile_engine::EngineError;
use campanile_engine::events::service::{FireCall, QueueTarget, move_kind};
use campanile_model::{EventState, SysId};
use campanile_store::ClaimRequest;

use crate::events_bed::{Bed, PATIENCE, RECORDER, call, call_after, call_to};
use crate::house::on_postgres;

fn fire_with_priority(bed: &Bed, priority: i64) {
    let call = FireCall { priority: Some(priority), ..call("t.ping", &priority.to_string()) };
    bed.try_fire(call).unwrap();
}

#[test]
fn ev_022_a_resumed_queue_handles_by_priority() {
    let bed = Bed::new();
    bed.set_queue("default", &[("active", "false")]);
    [100, 10, 50].into_iter().for_each(|priority| fire_with_priority(&bed, priority));
    assert_eq!(bed.drain().claimed, 0, "a paused queue accepts events and handles none");
    let waiting = &bed.events("parm1=100")[0];
    assert_eq!(bed.explain(&waiting.fired.sys_id).verdict, "ready; queue 'default' is paused");
    bed.set_queue("default", &[("active", "true")]);
    bed.drain();
    assert_eq!(bed.recorded(), ["10", "50", "100"]);
}

#[test]
fn ev_023_without_priority_processing_the_order_is_that_of_arrival() {
    let bed = Bed::new();
    bed.fixture.property("com.glide.sysevent.priority.enabled", "false");
    [100, 10, 50].into_iter().for_each(|priority| fire_with_priority(&bed, priority));
    bed.drain();
    assert_eq!(bed.recorded(), ["100", "10", "50"]);
}

#[test]
fn ev_024_a_scheduled_event_takes_its_place_at_its_due_time() {
    let bed = Bed::new();
    bed.set_queue("default", &[("active", "false")]);
    bed.try_fire(call_after(59, "t.ping", "scheduled for :59")).unwrap();
    bed.advance_seconds(60);
    bed.fire("t.ping", "fired at :60");
    bed.advance_seconds(60);
    bed.set_queue("default", &[("active", "true")]);
    bed.drain();
    assert_eq!(bed.recorded(), ["scheduled for :59", "fired at :60"]);
}

#[test]
fn ev_033_an_idle_processor_is_woken_and_without_waking_waits_for_its_poll() {
    let mut bed = Bed::new();
    bed.set_queue("default", &[("poll_interval", "1970-01-01 01:00:00")]);
    bed.with_processors();
    let first = bed.fire("t.ping", "woken");
    bed.end_of(&first).recv_timeout(PATIENCE).unwrap();
    assert_eq!(bed.recorded(), ["woken"]);
    bed.fixture.property("campanile.queues.wake", "false");
    let settled = (0..1_000_000).any(|_| {
        std::thread::yield_now();
        bed.engine().queues().is_settled()
    });
    assert!(settled, "all processors wait by the new rule");
    let second = bed.fire("t.ping", "polled");
    let end = bed.end_of(&second);
    assert!(end.recv_timeout(Duration::from_millis(300)).is_err(), "nobody looks before the poll");
    assert_eq!(bed.state(&second), EventState::Ready);
    // The next poll comes: the queue is told to look every second, and nobody wakes it for the third event.
    bed.set_queue("default", &[("poll_interval", "1970-01-01 00:00:01")]);
    end.recv_timeout(PATIENCE).unwrap();
    let third = bed.fire("t.ping", "by the poll alone");
    bed.end_of(&third).recv_timeout(PATIENCE).unwrap();
    assert_eq!(bed.recorded(), ["woken", "polled", "by the poll alone"]);
}

#[test]
fn ev_046_endless_loops_in_all_processors_of_a_queue_delay_no_other_queue() {
    let mut bed = Bed::quiet();
    bed.action("endless", "t.endless", "for (;;) {}", &[("timeout", "1970-01-01 00:00:05")]);
    bed.action("quick", "t.quick", RECORDER, &[]);
    bed.with_processors();
    let endless: Vec<SysId> = (0..3).map(|_| bed.fire("t.endless", "")).collect();
    let quick = bed.try_fire(call_to("adaptive", "t.quick", "q")).unwrap().sys_id;
    bed.end_of(&quick).recv_timeout(PATIENCE).unwrap();
    let unfinished = |id: &SysId| matches!(bed.state(id), EventState::Ready | EventState::Queued);
    assert!(endless.iter().all(unfinished), "the loops still run");
    for event in &endless {
        bed.end_of(event).recv_timeout(PATIENCE).unwrap();
        let ended = bed.event(event);
        assert_eq!((ended.state, &*ended.error_code), (EventState::Error, "handler_timeout"));
    }
    let after = bed.fire("t.quick", "the queue goes on");
    bed.end_of(&after).recv_timeout(PATIENCE).unwrap();
}

#[test]
fn the_clock_is_set_back_an_hour_and_forward_a_day() {
    if on_postgres() {
        // Differs because due times are kept as they are there: of many programs each may have another clock.
        return;
    }
    let bed = Bed::quiet();
    bed.register("t.retry", &[("max_attempts", "2")]);
    bed.action("fails", "t.retry", "throw new Error('no');", &[]);
    bed.action("recorder", "t.ping", RECORDER, &[]);
    let retried = bed.fire("t.retry", "");
    bed.drain();
    assert_eq!(bed.event(&retried).attempts, 1);
    bed.fire("t.ping", "for now");
    bed.try_fire(call_after(600, "t.ping", "for ten past")).unwrap();
    bed.advance_seconds(-3_600);
    bed.drain();
    assert_eq!(bed.recorded(), ["for now"], "what was due stays due, and nothing comes early");
    assert_eq!(bed.event(&retried).attempts, 1, "its delay is not over");
    bed.advance_seconds(30);
    bed.drain();
    assert_eq!(bed.state(&retried), EventState::Error, "its delay is over by the new clock");
    bed.try_fire(call_after(7 * 86_400, "t.ping", "for next week")).unwrap();
    bed.advance_seconds(86_400);
    bed.drain();
    assert_eq!(bed.recorded(), ["for now", "for ten past"]);
    bed.advance_seconds(6 * 86_400);
    bed.drain();
    assert_eq!(bed.recorded(), ["for now", "for ten past", "for next week"]);
    assert!(bed.events("stateINready,queued").is_empty());
}

#[test]
fn a_provisional_queue_is_served_without_a_restart_and_a_resumed_one_too() {
    let mut bed = Bed::new();
    bed.with_processors();
    let event = bed.try_fire(call_to("brand_new", "t.ping", "1")).unwrap().sys_id;
    bed.end_of(&event).recv_timeout(PATIENCE).unwrap();
    bed.set_queue("brand_new", &[("active", "false")]);
    let waits = bed.try_fire(call_to("brand_new", "t.ping", "2")).unwrap().sys_id;
    let other = bed.fire("t.ping", "3");
    bed.end_of(&other).recv_timeout(PATIENCE).unwrap();
    assert_eq!(bed.state(&waits), EventState::Ready);
    let end = bed.end_of(&waits);
    bed.set_queue("brand_new", &[("active", "true"), ("job_config_value", "2")]);
    end.recv_timeout(PATIENCE).unwrap();
    assert_eq!(bed.recorded(), ["1", "3", "2"]);
}

#[test]
fn stopping_hands_back_what_was_claimed_and_a_restart_goes_on() {
    let mut bed = Bed::new();
    let events: Vec<SysId> = (0..200).map(|n| bed.fire("t.ping", &n.to_string())).collect();
    bed.with_processors();
    bed.end_of(&events[0]).recv_timeout(PATIENCE).unwrap();
    bed.with_processors();
    for event in &events {
        bed.end_of(event).recv_timeout(PATIENCE).unwrap();
        assert_eq!(bed.event(event).lapses, 0, "a stop is no lapse");
    }
    let mut recorded = bed.recorded();
    recorded.sort_by_key(|n| n.parse::<u32>().unwrap());
    assert_eq!(recorded, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn ev_038_moving_a_kind_takes_the_waiting_events_that_the_registration_queued() {
    let bed = Bed::quiet();
    let engine = bed.engine();
    let explicit = bed.try_fire(call_to("default", "t.ping", "explicit")).unwrap().sys_id;
    let waiting = [bed.fire("t.ping", "1"), bed.fire("t.ping", "2")];
    let urgent = FireCall { priority: Some(1), ..call("t.ping", "claimed") };
    let claimed = bed.try_fire(urgent).unwrap().sys_id;
    let claim = ClaimRequest {
        queue: "",
        limit: 1,
        claimed_by: "node-a/default/1",
        by_priority: true,
        now: engine.clock().now(),
    };
    assert_eq!(engine.store().claim(&claim).unwrap().events[0].fired.sys_id, claimed);
    let moved = move_kind(engine, &Bed::admin(), "t.ping", QueueTarget::Adaptive).unwrap();
    assert_eq!((moved.moved, &*moved.queue, moved.next), (2, "adaptive", QueueTarget::Default));
    assert_eq!(bed.fixture.house.rows("sysevent_register", &[("queue", "adaptive")]).len(), 1);
    assert!(waiting.iter().all(|id| &*bed.event(id).fired.queue == "adaptive"));
    assert_eq!(&*bed.event(&explicit).fired.queue, "");
    assert_eq!(&*bed.event(&claimed).fired.queue, "");
    assert_eq!(
        bed.try_fire(call("t.ping", "")).map(|a| a.queue.to_string()),
        Ok("adaptive".to_owned())
    );
    let back = move_kind(engine, &Bed::admin(), "t.ping", QueueTarget::Default).unwrap();
    assert_eq!((back.moved, &*back.queue, back.next), (3, "", QueueTarget::Adaptive));
    engine.store().release(claim.claimed_by, &[claimed]);
    let logged = bed.fixture.house.rows("sysevent_action_log", &[("action", "move_kind")]);
    assert_eq!(logged.len(), 2);
}

#[test]
fn a_custom_queue_is_remembered_and_offered_back() {
    let bed = Bed::quiet();
    bed.queue("mine", &[]);
    bed.register("t.mine", &[("queue", "mine")]);
    let press = |target| move_kind(bed.engine(), &Bed::admin(), "t.mine", target).unwrap();
    assert_eq!(&*press(QueueTarget::Default).custom_queue, "mine");
    assert_eq!(&*press(QueueTarget::Adaptive).custom_queue, "mine");
    let again = move_kind(bed.engine(), &Bed::admin(), "t.mine", QueueTarget::Adaptive);
    assert!(matches!(again, Err(EngineError::BadParameter { .. })));
}

#[test]
fn queues_are_checked_when_they_are_saved() {
    let bed = Bed::quiet();
    let refused = |values: &[(&str, &str)]| -> String {
        match bed.fixture.insert("admin", "sysevent_queue", values) {
            Err(EngineError::Integrity { detail, .. }) => detail,
            other => panic!("{values:?}: {other:?}"),
        }
    };
    assert!(refused(&[("queue", "My Queue")]).contains("'my_queue'"));
    assert!(refused(&[("queue", "DEFAULT")]).contains("default queue"));
    for (field, value, says) in [
        ("processing_order", "in turn", "parallel or sequential"),
        ("job_config", "many", "job_count or jobs_per_node"),
        ("on_error", "stop", "continue or halt"),
        ("job_config_value", "4", "ceiling on this node is 3"),
        ("job_config_value", "0", "at least 1"),
        ("claim_limit", "10001", "1 to 10000"),
        ("max_attempts", "21", "1 to 20"),
        ("poll_interval", "1970-01-03 00:00:00", "1 to 86400"),
        ("poll_interval", "1970-01-01 00:00:00", "1 to 86400"),
        ("handler_timeout", "1970-01-01 05:00:00", "1 to 14400"),
        ("handler_timeout", "1970-01-01 00:00:00", "1 to 14400"),
    ] {
        let detail = refused(&[("queue", "q_checked"), (field, value)]);
        assert!(detail.contains(says), "{field}: {detail}");
    }
    bed.fixture.property("com.glide.processing.framework.max_thread_utilization_percentage", "50");
    let id = bed.queue("q_checked", &[("job_config_value", "4")]);
    for (field, value) in [("queue", "other"), ("processing_order", "sequential")] {
        let changed = bed.fixture.update("admin", "sysevent_queue", &id, &[(field, value)]);
        assert!(matches!(changed, Err(EngineError::Integrity { .. })), "{field}");
    }
}

#[test]
fn a_handler_that_is_slow_does_not_keep_its_neighbours_from_an_idle_processor() {
    let mut bed = Bed::new();
    bed.action("slow", "t.slow", "gs.sleep(400); gs.sleep(400);", &[]);
    bed.action("quick", "t.quick", RECORDER, &[]);
    bed.with_processors();
    let slow: Vec<SysId> = (0..2).map(|_| bed.fire("t.slow", "")).collect();
    let quick = bed.try_fire(call_to("adaptive", "t.quick", "q")).unwrap().sys_id;
    bed.end_of(&quick).recv_timeout(PATIENCE).unwrap();
    for event in &slow {
        bed.end_of(event).recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(bed.recorded(), ["q"]);
}
