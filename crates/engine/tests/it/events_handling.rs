//! Handling and errors: events-and-jobs §14, cases 40 to 51.

use campanile_engine::events::service::FireCall;
use campanile_model::EventState;
use serde_json::json;

use crate::events_bed::{Bed, RECORDER, call};
use crate::fixture::{A, B, Fixture, update_a};

#[test]
fn ev_040_script_actions_run_by_order_then_name() {
    let bed = Bed::quiet();
    for (name, order) in [("b", "200"), ("c", "100"), ("a", "100")] {
        let script =
            format!("var r = new GlideRecord('u_plain'); r.u_name = '{name}'; r.insert();");
        bed.action(name, "t.ping", &script, &[("order", order)]);
    }
    let event = bed.fire("t.ping", "");
    bed.drain();
    assert_eq!(bed.recorded(), ["a", "c", "b"]);
    let orders: Vec<i64> = bed.runs(&event).iter().map(|run| run.order).collect();
    assert_eq!(orders, [1, 2, 3]);
}

#[test]
fn ev_041_a_false_condition_skips_the_script_and_says_what_it_saw() {
    let bed = Bed::quiet();
    bed.action("urgent", "t.ping", RECORDER, &[("condition_script", "current.priority == 1")]);
    let event = bed.fire_about("t.ping", B);
    bed.drain();
    assert!(bed.recorded().is_empty());
    assert_eq!(bed.outcomes(&event), ["urgent skipped/condition_false"]);
    assert_eq!(bed.runs(&event)[0].sentence, "condition was false: current.priority is '3'");
    assert_eq!(bed.state(&event), EventState::Processed);
    assert_eq!(bed.explain(&event).verdict, "processed; 0 of 1 candidate ran");
    let event = bed.fire_about("t.ping", A);
    bed.drain();
    assert_eq!(bed.outcomes(&event), ["urgent succeeded"]);
}

#[test]
fn ev_042_a_condition_that_throws_fails_its_handler_alone() {
    let bed = Bed::new();
    bed.action(
        "broken",
        "t.ping",
        RECORDER,
        &[("condition_script", "nothing.here"), ("order", "1")],
    );
    let event = bed.fire("t.ping", "other");
    bed.drain();
    assert_eq!(bed.outcomes(&event), ["broken failed/condition_error", "recorder succeeded"]);
    assert_eq!(bed.recorded(), ["other"]);
    let event = bed.event(&event);
    assert_eq!((event.state, &*event.error_code), (EventState::Error, "handler_failed"));
}

#[test]
fn ev_043_the_second_of_three_throws_and_the_others_have_run() {
    let bed = Bed::quiet();
    bed.action("one", "t.ping", RECORDER, &[("order", "1")]);
    let throws = "var x = 1;\nvar y = 2;\nthrow new Error('on line three');";
    bed.action("two", "t.ping", throws, &[("order", "2")]);
    bed.action("three", "t.ping", RECORDER, &[("order", "3")]);
    let event = bed.fire("t.ping", "x");
    bed.drain();
    assert_eq!(
        bed.outcomes(&event),
        ["one succeeded", "two failed/script_error", "three succeeded"]
    );
    let run = &bed.runs(&event)[1];
    assert_eq!((run.error_message.as_str(), run.error_line), ("Error: on line three", 3));
    let event = bed.event(&event);
    assert_eq!((event.state, &*event.error_code), (EventState::Error, "handler_failed"));
    assert_eq!(&*event.error_message, "'two' failed (script_error, line 3): Error: on line three");
}

/// Fails until `u_plain` holds `succeed`.
const FAILS_AT_FIRST: &str = "var g = new GlideRecord('u_plain'); \
    if (!g.get('u_name', 'succeed')) throw new Error('not yet');";

#[test]
fn ev_044_retries_repeat_the_failed_handler_with_growing_delays() {
    let bed = Bed::quiet();
    bed.register("t.retry", &[("max_attempts", "3")]);
    bed.action("good", "t.retry", RECORDER, &[("order", "1")]);
    bed.action("bad", "t.retry", FAILS_AT_FIRST, &[("order", "2")]);
    let event = bed.fire("t.retry", "once");
    let began = bed.engine().clock().now();
    bed.drain();
    let delay = |event: &campanile_model::Event, from: campanile_model::Instant| {
        (event.fired.process_on.as_millis() - from.as_millis()) / 1_000
    };
    let first = bed.event(&event);
    assert_eq!((first.state, first.attempts, delay(&first, began)), (EventState::Ready, 1, 30));
    bed.advance_seconds(29);
    assert_eq!(bed.drain().claimed, 0);
    bed.advance_seconds(1);
    let again = bed.engine().clock().now();
    bed.drain();
    let second = bed.event(&event);
    assert_eq!((second.state, second.attempts, delay(&second, again)), (EventState::Ready, 2, 60));
    bed.fixture.house.add("u_plain", &[("u_name", "succeed")]);
    bed.advance_seconds(60);
    bed.drain();
    let last = bed.event(&event);
    assert_eq!((last.state, last.attempts), (EventState::Processed, 3));
    assert!(last.error_code.is_empty());
    assert_eq!(
        bed.outcomes(&event),
        ["good succeeded", "bad failed/script_error", "bad failed/script_error", "bad succeeded"]
    );
    assert_eq!(bed.recorded(), ["once", "succeed"]);
}

#[test]
fn ev_045_an_event_that_nobody_listens_to_is_processed() {
    let bed = Bed::quiet();
    let event = bed.fire("t.ping", "");
    bed.drain();
    assert_eq!(bed.state(&event), EventState::Processed);
    assert_eq!(bed.explain(&event).verdict, "processed; nothing listens to it");
}

#[test]
fn ev_046_an_endless_loop_ends_with_its_time_limit() {
    let bed = Bed::quiet();
    bed.action("endless", "t.ping", "for (;;) {}", &[("timeout", "1970-01-01 00:00:01")]);
    bed.action("after", "t.ping", RECORDER, &[("order", "200")]);
    let event = bed.fire("t.ping", "ran");
    bed.drain();
    assert_eq!(bed.outcomes(&event), ["endless failed/timeout", "after succeeded"]);
    assert_eq!(bed.recorded(), ["ran"], "the next handler starts clean");
    let event = bed.event(&event);
    assert_eq!((event.state, &*event.error_code), (EventState::Error, "handler_timeout"));
    assert!(event.error_message.contains("1000 ms"), "{}", event.error_message);
}

#[test]
fn ev_047_a_deleted_record_is_seen_as_it_was() {
    let bed = Bed::quiet();
    bed.fixture.rule(
        "on delete",
        &[
            ("when", "after"),
            ("action_update", "false"),
            ("action_delete", "true"),
            ("script", "gs.eventQueue('t.ping', current, current.number, '');"),
        ],
    );
    let look = "gs.print(current.number + ' ' + current.short_description + ' ' + current.isValidRecord());";
    bed.action("looks", "t.ping", look, &[]);
    let delete = format!("var g = new GlideRecord('incident'); g.get('{A}'); g.deleteRecord();");
    bed.fixture.script(&delete);
    bed.drain();
    let event = bed.events("name=t.ping").remove(0).fired.sys_id;
    assert_eq!(bed.outcomes(&event), ["looks succeeded/target_from_snapshot"]);
    assert_eq!(bed.runs(&event)[0].log, "INC0000001 Email down false\n");
}

#[test]
fn a_record_that_is_gone_without_a_snapshot_is_an_empty_one() {
    let bed = Bed::quiet();
    let look =
        "gs.print(current.isValidRecord() + '/' + current.number + '/' + (current == null));";
    bed.action("looks", "t.ping", look, &[]);
    let event = bed.fire_about("t.ping", A);
    let without = bed.fire("t.ping", "");
    bed.fixture.house.remove("incident", A);
    bed.drain();
    assert_eq!(bed.outcomes(&event), ["looks succeeded/target_missing"]);
    assert_eq!(bed.runs(&event)[0].log, "false//false\n");
    assert_eq!(bed.outcomes(&without), ["looks succeeded"]);
    assert_eq!(bed.runs(&without)[0].log, "false/undefined/true\n");
}

#[test]
fn a_false_condition_about_a_record_that_is_gone_says_both() {
    let bed = Bed::quiet();
    bed.action("urgent", "t.ping", RECORDER, &[("condition_script", "current.priority == 1")]);
    let event = bed.fire_about("t.ping", A);
    bed.fixture.house.remove("incident", A);
    bed.drain();
    assert_eq!(bed.outcomes(&event), ["urgent skipped/condition_false"]);
    let sentence =
        "condition was false: current.priority is ''; the record was gone: current was empty";
    assert_eq!(bed.explain(&event).handlers[0].sentence, sentence);
}

#[test]
fn where_the_priority_of_an_event_that_is_not_registered_came_from_is_told() {
    let bed = Bed::quiet();
    let from = |priority| {
        let fired = bed.try_fire(FireCall { priority, ..call("t.unknown", "") }).unwrap();
        let priority = bed.explain(&fired.sys_id).resolution.priority;
        (priority.value, priority.from)
    };
    assert_eq!(from(Some(5)), (5.0, "call"));
    assert_eq!(from(None), (100.0, "default"));
}

#[test]
fn ev_048_current_has_todays_values_and_the_explanation_shows_both() {
    let bed = Bed::quiet();
    bed.register("t.kept", &[("capture_snapshot", "true")]);
    for name in ["t.ping", "t.kept"] {
        bed.action(name, name, "gs.print(current.short_description);", &[]);
    }
    let plain = bed.fire_about("t.ping", A);
    let kept = bed.fire_about("t.kept", A);
    bed.fixture.script(&update_a("gA.short_description = 'new text'"));
    bed.drain();
    for event in [&plain, &kept] {
        assert_eq!(bed.runs(event)[0].log, "new text\n");
    }
    let explained = bed.explain(&kept).record;
    assert_eq!(explained.snapshot.unwrap()["short_description"], json!("Email down"));
    assert_eq!(explained.now.unwrap()["short_description"], json!("new text"));
    assert_eq!(bed.explain(&plain).record.snapshot, None);
}

#[test]
fn ev_051_a_name_that_differs_in_case_does_not_run_and_is_named_as_a_near_miss() {
    let bed = Bed::quiet();
    bed.action("shouts", "T.Ping", RECORDER, &[]);
    bed.action("sleeps", "t.ping", RECORDER, &[("active", "false")]);
    let event = bed.fire("t.ping", "");
    bed.drain();
    assert!(bed.recorded().is_empty());
    let explained = bed.explain(&event);
    let misses: Vec<_> = explained
        .near_misses
        .iter()
        .map(|miss| (miss.name.as_str(), miss.reason, miss.sentence.as_str()))
        .collect();
    assert_eq!(
        misses,
        [
            ("shouts", "name_differs", "listens to `T.Ping`, this event is `t.ping`"),
            ("sleeps", "inactive", "is inactive"),
        ]
    );
    assert_eq!(explained.verdict, "processed; 0 of 2 candidates ran");
}

#[test]
fn a_script_action_writes_current_and_its_run_tells_what_it_did() {
    let bed = Bed::quiet();
    bed.register("t.follow_up", &[]);
    let works = "current.short_description = 'by handler'; current.update(); gs.info('done {0}', event.parm1);
                 gs.eventQueue('t.follow_up', current, 'f', '');";
    bed.action("works", "t.ping", works, &[]);
    let event = bed.fire_about("t.ping", A);
    bed.drain();
    assert_eq!(bed.fixture.a("short_description"), "by handler");
    let run = &bed.runs(&event)[0];
    assert_eq!(run.log, "info: done \n");
    let follow_up = bed.events("name=t.follow_up").remove(0);
    assert_eq!(run.fired_events, (1, vec![format!("t.follow_up:{}", follow_up.fired.sys_id)]));
    assert_eq!(run.written_records, (1, vec![format!("update:incident:{A}")]));
    assert_eq!((follow_up.fired.depth, follow_up.fired.cause_event), (1, Some(event)));
    assert_eq!(&*follow_up.fired.user_name, "system");
    assert_eq!(bed.explain(&follow_up.fired.sys_id).chain, "t.ping → t.follow_up");
}

#[test]
fn the_event_is_read_only_for_its_handlers() {
    let bed = Bed::quiet();
    let script =
        "event.parm1 = 'changed'; event.update(); gs.print(event.parm1 + '|' + event.name);";
    bed.action("writes", "t.ping", script, &[]);
    let event = bed.fire("t.ping", "kept");
    bed.drain();
    assert_eq!(bed.state(&event), EventState::Processed);
    let log = &bed.runs(&event)[0].log;
    assert!(log.ends_with("kept|t.ping\n"), "{log}");
    assert!(log.contains("warn: "), "{log}");
    assert_eq!(&*bed.event(&event).fired.parm1, "kept");
}

#[test]
fn run_as_gives_the_handler_the_users_identity_and_an_inactive_user_fails_it() {
    let bed = Bed::quiet();
    let user = bed
        .fixture
        .house
        .add("sys_user", &[("user_name", "robot"), ("name", "Robot"), ("active", "1")]);
    bed.action("as robot", "t.ping", "gs.print(gs.getUserName());", &[("run_as", &user)]);
    bed.action("as system", "t.ping", "gs.print(gs.getUserName());", &[]);
    let event = bed.fire("t.ping", "");
    bed.drain();
    let logs: Vec<String> = bed.runs(&event).into_iter().map(|run| run.log).collect();
    assert_eq!(logs, ["robot\n", "system\n"]);
    bed.fixture.house.change("sys_user", &user, &[("active", "0")]);
    let event = bed.fire("t.ping", "");
    bed.drain();
    assert_eq!(bed.outcomes(&event), ["as robot failed/run_as_inactive", "as system succeeded"]);
}

#[test]
fn a_table_that_is_gone_fails_the_event_before_any_handler() {
    let bed = Bed::quiet();
    bed.fixture.house.add("sysevent_register", &[("event_name", "t.gone"), ("table", "no_table")]);
    bed.action("never", "t.gone", RECORDER, &[]);
    bed.fixture.script(&format!("gs.eventQueueScheduled('t.gone', '{A}');"));
    bed.drain();
    let event = bed.events("name=t.gone").remove(0);
    assert_eq!((event.state, &*event.error_code), (EventState::Error, "table_unknown"));
    assert!(bed.runs(&event.fired.sys_id).is_empty());
}

#[test]
fn an_imported_script_that_does_not_parse_is_not_tried_again() {
    let bed = Bed::quiet();
    bed.register("t.broken", &[("max_attempts", "5")]);
    bed.fixture.house.add(
        "sysevent_script_action",
        &[("name", "broken"), ("event_name", "t.broken"), ("script", "if ("), ("active", "1")],
    );
    let event = bed.fire("t.broken", "");
    bed.drain();
    let event = bed.event(&event);
    assert_eq!((event.state, &*event.error_code), (EventState::Error, "definition_invalid"));
    assert_eq!(event.attempts, 1);
}

#[test]
fn a_script_that_does_not_parse_is_refused_when_it_is_saved() {
    let bed = Bed::quiet();
    let values = [("name", "broken"), ("event_name", "t.ping"), ("script", "var a = 1;\nif (")];
    let refused = bed.fixture.insert("admin", "sysevent_script_action", &values).unwrap_err();
    assert!(refused.to_string().contains("line 2"), "{refused}");
    let values = [("name", "far"), ("event_name", "T.PING"), ("synchronous", "true")];
    let written = bed.fixture.insert("admin", "sysevent_script_action", &values).unwrap();
    assert!(
        written.warnings.iter().any(|w| w.contains("did you mean 't.ping'")),
        "{:?}",
        written.warnings
    );
    assert!(written.warnings.iter().any(|w| w.contains("synchronous")), "{:?}", written.warnings);
    let again = bed.fixture.insert("admin", "sysevent_script_action", &values);
    assert!(again.is_err(), "names are unique");
}

#[test]
fn renaming_a_registration_takes_its_listeners_along() {
    let bed = Bed::new();
    let row = bed.fixture.house.rows("sysevent_register", &[("event_name", "t.ping")]).remove(0);
    let values = [("event_name", "t.pong")];
    bed.fixture.update("admin", "sysevent_register", row.text("sys_id"), &values).unwrap();
    bed.fire("t.pong", "renamed");
    bed.drain();
    assert_eq!(bed.recorded(), ["renamed"]);
}

#[test]
fn a_memory_bomb_ends_with_its_limit_and_the_next_event_is_handled() {
    let bed = Bed::new();
    let bomb = "var a = []; for (;;) { a.push('x'.repeat(1 << 20) + a.length); }";
    bed.action("bomb", "t.bomb", bomb, &[("timeout", "1970-01-01 00:00:20")]);
    let event = bed.fire("t.bomb", "");
    bed.fire("t.ping", "next");
    bed.drain();
    let event = bed.event(&event);
    assert_eq!((event.state, &*event.error_code), (EventState::Error, "handler_limit"));
    assert_eq!(bed.recorded(), ["next"]);
}

#[test]
fn a_handler_that_is_run_again_fires_nothing_twice() {
    let bed = Bed::quiet();
    bed.register("t.retry", &[("max_attempts", "2")]);
    let script = format!(
        "gs.eventQueue('t.out', null, 'same', ''); gs.eventQueue('t.out', null, 'same', ''); \
         gs.eventQueue('t.out', null, 'first only ' + event.attempts, ''); {FAILS_AT_FIRST}"
    );
    bed.action("fires and fails", "t.retry", &script, &[]);
    let event = bed.fire("t.retry", "");
    bed.drain();
    bed.fixture.house.add("u_plain", &[("u_name", "succeed")]);
    bed.advance_seconds(30);
    bed.drain();
    assert_eq!(bed.state(&event), EventState::Processed);
    let out: Vec<_> = bed.events("name=t.out").iter().map(|e| e.fired.parm1.to_string()).collect();
    assert_eq!(out, ["same", "same", "first only 0", "first only 1"]);
}

#[test]
fn sessions_of_the_fixture_are_not_those_of_handlers() {
    let bed = Bed::quiet();
    bed.action("one", "t.ping", "leak = 'x'; gs.addInfoMessage('m');", &[("order", "1")]);
    bed.action("two", "t.ping", "gs.print(typeof leak);", &[("order", "2")]);
    let event = bed.fire("t.ping", "");
    bed.drain();
    assert_eq!(bed.runs(&event)[1].log, "undefined\n");
    let _ = Fixture::session("joe", campanile_engine::Channel::Http);
}
