//! Processors on PostgreSQL, where what is fired may be theirs before they ask, and what they handle be given to them anew.

use std::time::Instant;

use campanile_engine::events::service::FireCall;
use campanile_model::{EventState, NewEvent};
use campanile_store::AppendMode;
use campanile_store::testing::event;

use crate::events_bed::{Bed, PATIENCE, RECORDER, call};
use crate::house::on_postgres;

/// A bed whose default queue has so many processors, each of which claims one event at a time and looks by itself every hour.
fn bed(processors: &str) -> Bed {
    let mut bed = Bed::new();
    let queue = [
        ("job_config_value", processors),
        ("claim_limit", "1"),
        ("poll_interval", "1970-01-01 01:00:00"),
    ];
    bed.set_queue("default", &queue);
    bed.with_processors();
    bed
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

fn wait_settled(bed: &Bed) {
    wait_until("all processors wait", || bed.engine().queues().is_settled());
}

#[test]
fn a_processor_that_cannot_read_its_queue_gives_back_what_was_born_for_it() {
    if !on_postgres() {
        // Differs because nothing is claimed there before it is asked for.
        return;
    }
    let bed = bed("1");
    let first = bed.fire("t.ping", "first");
    bed.end_of(&first).recv_timeout(PATIENCE).unwrap();
    wait_settled(&bed);
    let rename = |from: &str, to: &str| {
        bed.fixture.house.run_sql(&format!("ALTER TABLE {from} RENAME TO {to}"));
        bed.engine().tables_changed(["sysevent_queue"]);
    };
    rename("sysevent_queue", "not_to_be_read");
    // As a fire that found its queue a moment ago.
    let second = NewEvent { parm1: "second".into(), ..event("t.ping") };
    let id = second.sys_id;
    let mode = AppendMode { durable: false, atomic: false };
    bed.engine().store().append_blocking(vec![second], mode).unwrap();
    wait_until("others may have it", || bed.state(&id) == EventState::Ready);
    rename("not_to_be_read", "sysevent_queue");
    bed.end_of(&id).recv_timeout(PATIENCE).unwrap();
    assert_eq!(bed.recorded(), ["first", "second"]);
}

/// A crash of the server may undo a claim that waited for no disk: the event is claimed again before its handler has ended, and
/// must not be begun. What is due behind it is not to wait for that, nor for a poll.
#[test]
fn a_processor_goes_on_with_what_waits_behind_an_event_that_it_must_not_begin() {
    if !on_postgres() {
        // Differs because no claim is undone there while its program lives.
        return;
    }
    let bed = bed("2");
    let slow = "for (;;) { var r = new GlideRecord('u_plain'); r.addQuery('u_name', 'end'); r.query(); \
         if (r.next()) break; gs.sleep(20); }";
    bed.action("slow", "t.slow", slow, &[("timeout", "1970-01-01 00:01:00")]);
    bed.action("quick", "t.quick", RECORDER, &[]);
    let slow = bed.fire("t.slow", "");
    wait_until("it is claimed", || bed.state(&slow) == EventState::Queued);
    wait_until("the other processor waits", || {
        let processors = bed.engine().queues().processors();
        processors.iter().any(|(queue, busy, idle)| queue.is_empty() && (*busy, *idle) == (1, 1))
    });
    bed.fixture
        .house
        .run_sql("UPDATE sysevent_live SET state = 'ready', claimed_by = NULL, claim_token = NULL");
    // With a key it is not born for anybody: who is woken looks for it, and finds what was undone before it.
    let keyed = FireCall { dedupe_key: Some("key".to_owned()), ..call("t.quick", "quick") };
    let quick = bed.try_fire(keyed).unwrap().sys_id;
    let ended = bed.end_of(&quick).recv_timeout(PATIENCE);
    bed.fixture.house.add("u_plain", &[("u_name", "end")]);
    ended.unwrap();
    // What its first handler did counts for nothing.
    wait_until("it has been handled again", || bed.state(&slow) == EventState::Processed);
}
