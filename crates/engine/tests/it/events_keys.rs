//! Idempotency keys: one event, one row for one key, as long as the key lives (events-and-jobs §3.7, rest-api §23).

use std::rc::Rc;

use campanile_engine::events::service::FireCall;
use campanile_engine::records::once::{self, CallKey, MakeAnswer, Once};
use campanile_engine::{Channel, EngineError};

use crate::events_bed::{Bed, call, call_after, code, publisher};
use crate::fixture::Fixture;

#[test]
fn ev_018_a_repeated_key_stores_one_event_and_other_content_under_it_is_refused() {
    let bed = Bed::quiet();
    let keyed =
        |parm1: &str| FireCall { dedupe_key: Some("k-1".to_owned()), ..call("t.ping", parm1) };
    let first = bed.try_fire(keyed("a")).unwrap();
    let second = bed.try_fire(keyed("a")).unwrap();
    assert!(!first.duplicate && second.duplicate);
    assert_eq!(first.sys_id, second.sys_id);
    assert_eq!(code(bed.try_fire(keyed("b"))), "key_reused");
    assert_eq!(bed.events("name=t.ping").len(), 1);
    // Keys belong to the user.
    let beth = publisher();
    let other = campanile_engine::events::service::fire_blocking(bed.engine(), &beth, keyed("b"));
    assert!(!other.unwrap().duplicate);
    bed.advance_seconds(24 * 3_600 + 1);
    assert!(!bed.try_fire(keyed("b")).unwrap().duplicate, "a key is forgotten after 24 hours");
}

#[test]
fn a_key_of_a_delayed_call_is_the_same_when_the_call_is_repeated_later() {
    let bed = Bed::quiet();
    let keyed =
        || FireCall { dedupe_key: Some("later".to_owned()), ..call_after(60, "t.ping", "a") };
    let first = bed.try_fire(keyed()).unwrap();
    bed.advance_seconds(5);
    let again = bed.try_fire(keyed()).unwrap();
    assert!(again.duplicate);
    assert_eq!(again.sys_id, first.sys_id);
}

const HOURS: &str = "campanile.http.idempotency_hours";

/// An insert of an incident under the key `k`, as a request.
fn keyed_insert(fixture: &Fixture, content_hash: u64) -> Result<Once, EngineError> {
    let request = Fixture::request("incident", None, &[("short_description", "keyed")]);
    fixture.run(Fixture::session("abel", Channel::Http), move |execution| {
        let make: MakeAnswer = Rc::new(|_, written| Ok(written.record.text("sys_id").to_owned()));
        once::insert(execution, &request, &CallKey { key: "k".to_owned(), content_hash }, &make)
    })
}

#[test]
fn a_key_lives_as_long_as_the_property_says_for_events_and_for_rows() {
    let bed = Bed::quiet();
    bed.fixture.property(HOURS, "2");
    let keyed =
        |parm1: &str| FireCall { dedupe_key: Some("e".to_owned()), ..call("t.ping", parm1) };
    bed.try_fire(keyed("a")).unwrap();
    let first = keyed_insert(&bed.fixture, 1).unwrap();
    bed.advance_seconds(2 * 3_600 - 1);
    assert!(bed.try_fire(keyed("a")).unwrap().duplicate);
    let again = keyed_insert(&bed.fixture, 1).unwrap();
    assert_eq!((again.answer, again.replayed), (first.answer.clone(), true));
    for refused in [bed.try_fire(keyed("b")).map(drop), keyed_insert(&bed.fixture, 2).map(drop)] {
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("within the last 2 hours"), "{told}");
    }
    bed.advance_seconds(1);
    assert!(!bed.try_fire(keyed("b")).unwrap().duplicate);
    let other = keyed_insert(&bed.fixture, 2).unwrap();
    assert!(!other.replayed && other.answer != first.answer);
    // Longer from now on: what is not forgotten yet lives on.
    bed.fixture.property(HOURS, "720");
    bed.advance_seconds(719 * 3_600);
    assert!(bed.try_fire(keyed("b")).unwrap().duplicate);
    assert!(keyed_insert(&bed.fixture, 2).unwrap().replayed);
}

#[test]
fn a_life_of_keys_that_cannot_be_is_refused_and_a_day_is_the_default() {
    let bed = Bed::quiet();
    let row = bed.fixture.house.rows("sys_properties", &[("name", HOURS)]).remove(0);
    assert_eq!((row.text("value"), row.text("type")), ("24", "integer"));
    for value in ["0", "721", "a day"] {
        let refused =
            bed.fixture.update("admin", "sys_properties", row.text("sys_id"), &[("value", value)]);
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("from 1 to 720"), "{told}");
    }
}
