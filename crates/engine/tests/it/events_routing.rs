//! Where a fired event goes: its queue and its time (events-and-jobs §14).

use campanile_engine::events::service::{FireCall, FireTime};
use campanile_model::{EventState, Instant};

use crate::events_bed::{Bed, call, call_to, code};
use crate::fixture::{A, update_a};

#[test]
fn ev_006_the_queue_argument_wins_over_the_registration_for_that_call_only() {
    let bed = Bed::quiet();
    bed.queue("q1", &[]);
    bed.queue("q2", &[]);
    bed.register("t.queued", &[("queue", "q1")]);
    let with = bed.try_fire(call_to("q2", "t.queued", "")).unwrap();
    let without = bed.try_fire(call("t.queued", "")).unwrap();
    let to_default = bed.try_fire(call_to("DEFAULT", "t.queued", "")).unwrap();
    assert_eq!((&*with.queue, &*without.queue, &*to_default.queue), ("q2", "q1", ""));
    bed.fixture.script(
        "gs.eventQueue('t.queued', null, 'with', '', 'q2'); gs.eventQueue('t.queued', null, 'without', '');",
    );
    let queue_of = |parm1: &str| bed.events(&format!("parm1={parm1}"))[0].fired.queue.to_string();
    assert_eq!((queue_of("with"), queue_of("without")), ("q2".to_owned(), "q1".to_owned()));
}

#[test]
fn ev_007_a_scheduled_event_takes_the_registrations_queue_and_waits_aside() {
    let bed = Bed::quiet();
    bed.queue("q1", &[]);
    bed.register("t.later", &[("queue", "q1")]);
    bed.fixture.script(&format!(
        "var g = new GlideRecord('incident'); g.get('{A}');
         var when = new GlideDateTime('2024-03-13 18:40:00');
         gs.eventQueueScheduled('t.later', g, 'a', 'b', when);"
    ));
    let event = &bed.events("name=t.later")[0];
    assert_eq!(&*event.fired.queue, "q1");
    assert!(event.fired.scheduled);
    assert_eq!(event.fired.process_on, Instant::parse_glide_text("2024-03-13 18:40:00").unwrap());
    let backlog = bed.engine().store().backlog(bed.engine().clock().now()).unwrap();
    let q1 = backlog.iter().find(|queue| queue.queue == "q1").unwrap();
    assert_eq!((q1.ready, q1.scheduled), (0, 1));
    assert_eq!(bed.drain().claimed, 0);
    bed.advance_seconds(600);
    assert_eq!(bed.drain().processed, 1);
}

#[test]
fn ev_009_a_time_in_the_past_means_now() {
    let bed = Bed::new();
    let past = bed.engine().clock().now().plus_millis(-3_600_000);
    let at = FireCall { process_on: Some(FireTime::At(past)), ..call("t.ping", "past") };
    let event = bed.try_fire(at).unwrap().sys_id;
    assert!(!bed.event(&event).fired.scheduled);
    bed.drain();
    assert_eq!(bed.recorded(), ["past"]);
}

#[test]
fn ev_010_an_unknown_queue_is_provisioned_and_served() {
    let bed = Bed::new();
    let event = bed.try_fire(call_to("brand_new", "t.ping", "new")).unwrap().sys_id;
    let rows = bed.fixture.house.rows("sysevent_queue", &[("queue", "brand_new")]);
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(row.text("processing_order"), "parallel");
    assert_eq!((row.text("job_config"), row.text("job_config_value")), ("job_count", "1"));
    assert_eq!(row.text("poll_interval"), "1970-01-01 00:00:30");
    assert_eq!(row.text("provisional"), "1");
    bed.drain();
    assert_eq!(bed.state(&event), EventState::Processed);
    bed.fixture.property("campanile.queues.unknown", "hold");
    let held = bed.try_fire(call_to("held_back", "t.ping", "")).unwrap().sys_id;
    bed.drain();
    assert_eq!(bed.state(&held), EventState::Ready);
    assert_eq!(bed.explain(&held).verdict, "ready; queue 'held_back' does not exist");
    bed.fixture.property("campanile.queues.unknown", "default");
    let fell_back = bed.try_fire(call_to("nowhere", "t.ping", "")).unwrap();
    assert_eq!(&*fell_back.queue, "");
}

#[test]
fn an_unknown_queue_in_a_rule_is_provisioned_with_the_operation_or_not_at_all() {
    let bed = Bed::new();
    let fires = "gs.eventQueue('t.ping', current, 'a', '', 'from_rule');";
    bed.fixture.after("fires", fires);
    bed.fixture.script(&update_a("gA.short_description = 'x'"));
    assert_eq!(bed.fixture.house.rows("sysevent_queue", &[("queue", "from_rule")]).len(), 1);
    bed.drain();
    assert_eq!(bed.recorded(), ["a"]);
}

#[test]
fn ev_011_a_wrong_queue_name_is_refused_with_the_nearest_valid_one() {
    let bed = Bed::quiet();
    let refused = bed.try_fire(call_to("My Queue!", "t.ping", "")).unwrap_err();
    assert!(refused.to_string().contains("'my_queue'"), "{refused}");
    assert_eq!(code(Err(refused)), "queue_invalid");
    let ran = bed.fixture.script(
        "try { gs.eventQueue('t.ping', null, '', '', 'My Queue!'); gs.print('stored'); } catch (e) { \
         gs.print('refused: ' + e.message); }",
    );
    assert!(ran.trace()[0].starts_with("refused: "), "{:?}", ran.trace());
    assert!(bed.events("").is_empty());
    assert!(bed.fixture.house.rows("sysevent_queue", &[("queue", "My Queue!")]).is_empty());
}
