//! Names of events that are fired: registered, unregistered, refused (events-and-jobs §14).

use campanile_engine::events::service::FireCall;
use campanile_model::EventState;

use crate::events_bed::{Bed, RECORDER, call, code};

#[test]
fn ev_004_an_unregistered_name_is_stored_flagged_and_handled() {
    let bed = Bed::quiet();
    bed.action("listens", "t.unknown", RECORDER, &[]);
    let event = bed.fire("t.unknown", "heard");
    assert!(!bed.event(&event).fired.registered);
    bed.drain();
    assert_eq!(bed.state(&event), EventState::Processed);
    assert_eq!(bed.recorded(), ["heard"]);
}

#[test]
fn an_unregistered_name_is_logged_once_a_day_with_the_nearest_registered_one() {
    let bed = Bed::quiet();
    for _ in 0..3 {
        bed.fire("T.Ping", "");
    }
    campanile_engine::records::syslog::flush(bed.engine());
    let lines = bed.fixture.house.rows("syslog", &[("source", "events")]);
    let lines: Vec<_> = lines.iter().map(|row| row.text("message").to_owned()).collect();
    assert_eq!(
        lines,
        ["event 'T.Ping' is not registered: stored all the same; did you mean 't.ping'?"]
    );
    bed.advance_seconds(86_400);
    bed.fire("T.Ping", "");
    campanile_engine::records::syslog::flush(bed.engine());
    assert_eq!(bed.fixture.house.rows("syslog", &[("source", "events")]).len(), 2);
}

#[test]
fn ev_005_with_require_registration_an_unregistered_name_is_refused() {
    let bed = Bed::quiet();
    bed.fixture.property("campanile.events.require_registration", "true");
    assert_eq!(code(bed.try_fire(call("t.unknown", ""))), "name_unregistered");
    assert!(bed.events("").is_empty());
    assert!(bed.try_fire(call("t.ping", "")).is_ok());
}

#[test]
fn ev_014_a_name_of_41_characters_is_kept_whole_with_a_warning_and_101_are_refused() {
    let bed = Bed::quiet();
    let name = format!("t.{}", "x".repeat(39));
    let values = [("event_name", &*name)];
    let written = bed.fixture.insert("admin", "sysevent_register", &values).unwrap();
    assert_eq!(written.record.text("event_name"), name);
    assert!(written.warnings.iter().any(|w| w.contains("40 characters")), "{:?}", written.warnings);
    bed.action("long", &name, RECORDER, &[]);
    bed.fire(&name, "whole");
    bed.drain();
    assert_eq!(bed.recorded(), ["whole"]);
    let too_long = "x".repeat(101);
    bed.fixture.insert("admin", "sysevent_register", &[("event_name", &too_long)]).unwrap_err();
    assert_eq!(code(bed.try_fire(call(&too_long, ""))), "name_invalid");
}

#[test]
fn names_that_are_empty_or_hold_control_characters_are_refused() {
    let bed = Bed::quiet();
    for name in ["", "a\nb", "a\u{0}", "\u{7f}"] {
        assert_eq!(code(bed.try_fire(call(name, ""))), "name_invalid", "{name:?}");
    }
    assert!(bed.try_fire(call("ä name with blanks is no registration but fires", "")).is_ok());
}

#[test]
fn an_inactive_registration_stores_nothing_and_says_so() {
    let bed = Bed::quiet();
    bed.register("t.off", &[("active", "false")]);
    assert_eq!(code(bed.try_fire(call("t.off", ""))), "registration_inactive");
    bed.fixture.script("gs.eventQueue('t.off', null, '', '');");
    assert!(bed.events("").is_empty());
    campanile_engine::records::syslog::flush(bed.engine());
    let lines = bed.fixture.house.rows("syslog", &[("source", "events")]);
    assert_eq!(lines.len(), 2);
    assert!(lines[0].text("message").contains("registration_inactive"));
}

#[test]
fn an_unknown_table_is_refused_when_it_is_named() {
    let bed = Bed::quiet();
    let call = FireCall { table: "no_such_table".to_owned(), ..call("t.ping", "") };
    assert_eq!(code(bed.try_fire(call)), "table_unknown");
}
