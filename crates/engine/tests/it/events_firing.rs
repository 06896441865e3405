//! Firing: events-and-jobs §14, what becomes of a call, and what a hostile caller would try.

use campanile_engine::events::service::FireCall;
use campanile_engine::{EngineError, Session};
use campanile_model::EventState;

use crate::events_bed::{Bed, call, code, publisher};
use crate::fixture::{A, ABEL, BETH, Fixture, update_a};

#[test]
fn ev_001_an_after_rule_fires_an_event_with_all_that_is_known_of_it() {
    let bed = Bed::new();
    bed.fixture.after("fires", "gs.eventQueue('t.ping', current, 'a', 'b');");
    bed.fixture.script(&update_a("gA.short_description = 'changed'"));
    let events = bed.events("name=t.ping");
    assert_eq!(events.len(), 1);
    let event = &events[0];
    let fired = &event.fired;
    assert_eq!((&*fired.parm1, &*fired.parm2), ("a", "b"));
    assert_eq!((&*fired.table, &*fired.instance), ("incident", A));
    assert_eq!((&*fired.queue, event.state), ("", EventState::Ready));
    assert_eq!(fired.priority, 100.0);
    assert!(fired.registered && !fired.scheduled);
    assert_eq!((&*fired.user_id, &*fired.user_name), (ABEL, "abel"));
    assert_eq!(&*fired.descriptive_name, "INC0000001");
}

#[test]
fn a_fire_from_outside_notes_the_display_value_of_its_record_by_its_real_class() {
    let bed = Bed::quiet();
    bed.fixture.house.define(
        "
- name: u_stage
  extendable: true
  fields:
    - {name: u_state, type: integer, display: true, choices: [{value: 1, label: Open}]}
- {name: u_defect, extends: u_stage, fields: []}
",
    );
    let label = [("name", "u_defect"), ("element", "u_state"), ("value", "1"), ("label", "Broken")];
    bed.fixture.house.add("sys_choice", &label);
    let defect = bed.fixture.house.add("u_defect", &[("u_state", "1")]);
    bed.register("t.kept", &[("capture_snapshot", "true")]);
    for (name, snapshot) in [("t.ping", ""), ("t.kept", "\"u_state\":\"1\"")] {
        let about = |table: &str| FireCall {
            table: table.to_owned(),
            instance: defect.clone(),
            ..call(name, "")
        };
        for table in ["u_stage", "u_defect"] {
            let event = bed.try_fire(about(table)).unwrap().sys_id;
            let fired = bed.event(&event).fired;
            assert_eq!(&*fired.descriptive_name, "Broken");
            assert!(fired.snapshot.contains(snapshot), "{}", fired.snapshot);
            assert_eq!(fired.snapshot.is_empty(), snapshot.is_empty());
        }
    }
}

#[test]
fn ev_002_no_business_rule_runs_for_the_event_itself() {
    let bed = Bed::new();
    for (name, action) in [("on insert", "action_insert"), ("on update", "action_update")] {
        bed.fixture.rule(
            name,
            &[
                ("collection", "sysevent"),
                ("when", "after"),
                (action, "true"),
                ("script", "gs.eventQueue('t.rule_ran', null, '', '');"),
            ],
        );
    }
    let event = bed.fire("t.ping", "x");
    bed.drain();
    assert_eq!(bed.state(&event), EventState::Processed);
    assert!(bed.events("name=t.rule_ran").is_empty());
}

#[test]
fn ev_003_an_aborted_operation_leaves_neither_record_nor_event() {
    let bed = Bed::quiet();
    bed.fixture.rule(
        "fires and aborts",
        &[
            ("action_update", "false"),
            ("action_insert", "true"),
            ("script", "gs.eventQueue('t.ping', current, '', ''); current.setAbortAction(true);"),
        ],
    );
    let before = bed.fixture.house.rows("incident", &[]).len();
    bed.fixture
        .script("var g = new GlideRecord('incident'); g.short_description = 'no'; g.insert();");
    assert_eq!(bed.fixture.house.rows("incident", &[]).len(), before);
    assert!(bed.events("name=t.ping").is_empty());
}

#[test]
fn ev_008_a_scheduled_event_without_parms_takes_the_display_value_of_its_record() {
    let bed = Bed::quiet();
    bed.fixture.script(&format!(
        "var g = new GlideRecord('incident'); g.get('{A}');
         gs.eventQueueScheduled('t.ping', g);
         gs.eventQueueScheduled('t.ping', '{A}');"
    ));
    let events = bed.events("name=t.ping");
    assert_eq!((&*events[0].fired.parm1, &*events[0].fired.parm2), ("INC0000001", ""));
    assert_eq!((&*events[1].fired.parm1, &*events[1].fired.instance), ("", A));
    assert_eq!(&*events[1].fired.table, "incident", "the table comes from the registration");
}

#[test]
fn ev_012_an_over_long_parameter_is_refused_whole_and_the_limit_itself_is_kept_whole() {
    let bed = Bed::quiet();
    let limit = "ä".repeat(65_536);
    let refused = bed.try_fire(call("t.ping", &format!("{limit}x"))).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("parm1") && text.contains("65537") && text.contains("65536"), "{text}");
    assert_eq!(code(Err(refused)), "value_too_long");
    assert!(bed.events("").is_empty());
    let event = bed.fire("t.ping", &limit);
    assert_eq!(&*bed.event(&event).fired.parm1, limit);
}

#[test]
fn ev_013_undefined_becomes_empty_and_an_object_becomes_json() {
    let bed = Bed::quiet();
    bed.fixture.script("gs.eventQueue('t.ping', null, undefined, {a: 1});");
    let event = &bed.events("name=t.ping")[0];
    assert_eq!((&*event.fired.parm1, &*event.fired.parm2), ("", "{\"a\":1}"));
}

#[test]
fn ev_019_global_events_fires_what_the_operation_did() {
    let bed = Bed::quiet();
    for (name, action) in [("insert", "action_insert"), ("update", "action_update")] {
        bed.fixture.rule(
            name,
            &[
                ("collection", "problem"),
                ("when", "after"),
                ("action_update", "false"),
                (action, "true"),
                ("script", "global_events(current);"),
            ],
        );
    }
    let names = |bed: &Bed, from: usize| -> Vec<String> {
        bed.events("").iter().skip(from).map(|event| event.fired.name.to_string()).collect()
    };
    bed.fixture
        .script("var g = new GlideRecord('problem'); g.short_description = 'p'; g.insert();");
    assert_eq!(names(&bed, 0), ["problem.inserted"]);
    let first = &bed.events("")[0];
    assert_eq!((&*first.fired.parm1, &*first.fired.parm2), (ABEL, "abel"));
    assert!(first.fired.registered, "its registration was made on first use");
    let registered = bed.fixture.house.rows("sysevent_register", &[("fired_by", "global_events")]);
    assert_eq!(registered.len(), 5);
    let change = |what: &str| {
        bed.fixture.script(&format!(
            "var g = new GlideRecord('problem'); g.query(); g.next(); {what}; g.update();"
        ));
    };
    change(&format!("g.assigned_to = '{ABEL}'"));
    assert_eq!(names(&bed, 1), ["problem.updated", "problem.assigned"]);
    change(&format!("g.comments = 'hello'; g.assigned_to = '{BETH}'"));
    assert_eq!(names(&bed, 3), ["problem.commented", "problem.updated", "problem.assigned"]);
    let assigned = bed.events("name=problem.assigned");
    let assigned = assigned.last().unwrap();
    assert_eq!((&*assigned.fired.parm1, &*assigned.fired.parm2), ("Beth Anglin", "Abel Tuter"));
    change("g.active = false; g.state = 3");
    assert_eq!(names(&bed, 6), ["problem.updated", "problem.inactive"]);
    let inactive = bed.events("name=problem.inactive");
    assert_eq!((&*inactive[0].fired.parm1, &*inactive[0].fired.parm2), ("3", "1"));
}

#[test]
fn ev_020_a_loop_ends_after_51_events_and_shows_its_chain() {
    let bed = Bed::quiet();
    bed.register("t.loop", &[]);
    bed.action("loops", "t.loop", "gs.eventQueue('t.loop', null, event.parm1, '');", &[]);
    bed.fire("t.loop", "x");
    bed.drain();
    let events = bed.events("name=t.loop");
    let depths: Vec<i64> = events.iter().map(|event| event.fired.depth).collect();
    assert_eq!(depths, (0..=50).collect::<Vec<i64>>());
    let last = events.last().unwrap();
    assert_eq!((last.state, &*last.error_code), (EventState::Error, "loop_suspected"));
    assert!(last.error_message.contains("t.loop ×51"), "{}", last.error_message);
    assert!(events[..50].iter().all(|event| event.state == EventState::Processed));
    assert_eq!(bed.outcomes(&last.fired.sys_id), ["loops failed/loop_suspected"]);
}

#[test]
fn one_wrong_event_refuses_an_atomic_batch_and_only_itself_otherwise() {
    use campanile_engine::events::service::fire_batch_blocking;
    let bed = Bed::quiet();
    let calls = || vec![call("t.ping", "1"), call("", "2"), call("t.ping", "3")];
    match fire_batch_blocking(bed.engine(), &Bed::admin(), calls(), true) {
        Err(EngineError::BatchRefused { items }) => {
            assert_eq!(items.len(), 1);
            assert_eq!((items[0].0, items[0].1), (1, "name_invalid"));
        }
        other => panic!("{other:?}"),
    }
    assert!(bed.events("").is_empty());
    let answers = fire_batch_blocking(bed.engine(), &Bed::admin(), calls(), false).unwrap();
    assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok());
    let parms: Vec<_> = bed.events("").iter().map(|e| e.fired.parm1.to_string()).collect();
    assert_eq!(parms, ["1", "3"]);
}

#[test]
fn only_publishers_fire_and_only_administrators_of_events_give_a_priority() {
    let bed = Bed::quiet();
    let fire = |session: &Session, call| {
        campanile_engine::events::service::fire_blocking(bed.engine(), session, call)
    };
    let nobody = Fixture::session("beth", campanile_engine::Channel::Http);
    assert!(matches!(fire(&nobody, call("t.ping", "")), Err(EngineError::NotAllowed { .. })));
    assert!(fire(&publisher(), call("t.ping", "")).is_ok());
    let urgent = FireCall { priority: Some(1), ..call("t.ping", "") };
    assert!(matches!(fire(&publisher(), urgent.clone()), Err(EngineError::NotAllowed { .. })));
    let event = bed.try_fire(urgent).unwrap().sys_id;
    assert_eq!(bed.event(&event).fired.priority, 1.0);
    assert_eq!(bed.events("").len(), 2);
}

#[test]
fn equal_events_within_the_coalescing_time_are_counted_on_the_first() {
    let bed = Bed::new();
    bed.register("t.burst", &[("coalesce_seconds", "60")]);
    let first = bed.fire("t.burst", "x");
    let second = bed.try_fire(call("t.burst", "x")).unwrap();
    assert!(second.coalesced);
    assert_eq!(second.sys_id, first);
    assert!(!bed.try_fire(call("t.burst", "y")).unwrap().coalesced);
    assert_eq!(bed.explain(&first).coalesced, 1);
    bed.drain();
    assert!(!bed.try_fire(call("t.burst", "x")).unwrap().coalesced, "it no longer waits");
}

#[test]
fn a_row_of_sysevent_fires_and_everything_but_an_action_is_refused() {
    let bed = Bed::new();
    let values = [("name", "t.ping"), ("parm1", "row"), ("state", "processed"), ("sequence", "7")];
    let written = bed.fixture.insert("admin", "sysevent", &values).unwrap();
    assert_eq!(written.record.text("state"), "ready");
    let id = written.record.text("sys_id").to_owned();
    let change = |values: &[(&str, &str)]| bed.fixture.update("admin", "sysevent", &id, values);
    assert!(matches!(change(&[("parm1", "x")]), Err(EngineError::OperationDenied { .. })));
    assert!(matches!(change(&[("state", "processed")]), Err(EngineError::OperationDenied { .. })));
    bed.queue("q2", &[]);
    assert_eq!(change(&[("queue", "q2")]).unwrap().record.text("queue"), "q2");
    bed.drain();
    assert_eq!(bed.recorded(), ["row"]);
    assert_eq!(change(&[("state", "ready")]).unwrap().record.text("epoch"), "1");
    bed.drain();
    assert_eq!(bed.recorded(), ["row", "row"]);
}

#[test]
fn a_refused_fire_tells_the_script_why() {
    let bed = Bed::quiet();
    let text = "try { gs.eventQueue('', null); 'none' } catch (e) {\
                e.name + '|' + (e instanceof TypeError) + '|' + (e instanceof Error) + '|' + e.message }";
    let told = bed.fixture.script_as("admin", text).text;
    assert!(told.starts_with("Error|false|true|"), "{told}");
    assert!(told.contains("is empty"), "{told}");
}
