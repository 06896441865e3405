//! Queues that are made because events named them: how many, by whichever door, and what becomes of the other events.

use std::sync::{Arc, Barrier};

use campanile_engine::Channel;
use campanile_engine::EngineError;
use campanile_engine::events::fire::FireRequest;
use campanile_engine::events::service::{FireAnswer, FireCall, fire_batch_blocking};
use campanile_engine::records::execution::Execution;
use campanile_engine::records::service::{self, WriteRequest};
use campanile_engine::records::syslog;
use campanile_engine::records::unit_of_work::Finish;
use campanile_model::EventState;

use crate::events_bed::{Bed, PATIENCE, call, call_after, call_to};
use crate::fixture::{Fixture, update_a};

const LIMIT: &str = "campanile.queues.provisional_max";

fn provisional(bed: &Bed) -> Vec<String> {
    let rows = bed.fixture.house.rows("sysevent_queue", &[("provisional", "1")]);
    let mut names: Vec<String> = rows.iter().map(|row| row.text("queue").to_owned()).collect();
    names.sort();
    names
}

/// Where events with these first values went, in the order of arrival.
fn queues(bed: &Bed, query: &str) -> Vec<String> {
    bed.events(query).iter().map(|event| event.fired.queue.to_string()).collect()
}

/// What the log says of queues that were not made.
fn not_made(bed: &Bed) -> Vec<String> {
    syslog::flush(bed.engine());
    let rows = bed.fixture.house.rows("syslog", &[("source", "events"), ("level", "1")]);
    let lines = rows.iter().map(|row| row.text("message").to_owned());
    lines.filter(|line| line.contains("the default queue takes its events")).collect()
}

fn fire_to(bed: &Bed, queue: &str) -> String {
    bed.try_fire(call_to(queue, "t.ping", queue)).unwrap().queue.to_string()
}

fn batch(bed: &Bed, calls: Vec<FireCall>) -> Vec<FireAnswer> {
    let answers = fire_batch_blocking(bed.engine(), &Bed::admin(), calls, true).unwrap();
    answers.into_iter().map(Result::unwrap).collect()
}

#[test]
fn a_batch_of_a_thousand_names_makes_a_hundred_queues_and_the_default_queue_takes_the_rest() {
    let bed = Bed::quiet();
    let name = |n: usize| format!("many_{n}");
    let answers = batch(&bed, (0..1_000).map(|n| call_to(&name(n), "t.ping", "")).collect());
    let own = answers.iter().take_while(|answer| !answer.queue.is_empty()).count();
    assert_eq!(own, 100);
    assert!(answers[..own].iter().enumerate().all(|(n, answer)| *answer.queue == *name(n)));
    assert!(answers[own..].iter().all(|answer| answer.queue.is_empty()), "they are told");
    let mut expected: Vec<String> = (0..own).map(name).collect();
    expected.sort();
    assert_eq!(provisional(&bed), expected);
    assert_eq!(bed.drain().processed, 1_000);
    for answer in &answers {
        let event = bed.event(&answer.sys_id);
        assert_eq!((event.state, &event.fired.queue), (EventState::Processed, &answer.queue));
    }
    let told = not_made(&bed);
    assert_eq!(told.len(), 900);
    for n in own..1_000 {
        let queue = format!("named queue '{}', which does not exist", name(n));
        let line = told.iter().find(|line| line.contains(&queue)).unwrap();
        for fix in [&*format!("({LIMIT}=100)"), "register", "delete", "raise"] {
            assert!(line.contains(fix), "{line}");
        }
    }
}

#[test]
fn the_limit_holds_from_one_transaction_to_the_next_and_after_a_restart() {
    let mut bed = Bed::quiet();
    bed.fixture.property(LIMIT, "3");
    let first: Vec<_> = ["q_a", "q_b", "q_a", "q_c", "q_d"].map(|q| fire_to(&bed, q)).into();
    assert_eq!(first, ["q_a", "q_b", "q_a", "q_c", ""]);
    bed.fixture = Fixture { house: bed.fixture.house.restart() };
    let then: Vec<_> = ["q_e", "q_c", "q_d"].map(|q| fire_to(&bed, q)).into();
    assert_eq!(then, ["", "q_c", ""]);
    assert_eq!(provisional(&bed), ["q_a", "q_b", "q_c"]);
    assert_eq!(bed.drain().processed, 8);
}

#[test]
fn a_queue_that_is_not_made_is_told_once_a_day() {
    let bed = Bed::quiet();
    bed.fixture.property(LIMIT, "0");
    for _ in 0..3 {
        fire_to(&bed, "q_a");
        batch(&bed, vec![call_to("q_b", "t.ping", ""), call_to("q_b", "t.ping", "")]);
    }
    let mut told = not_made(&bed);
    told.sort();
    assert_eq!(told.len(), 2);
    assert!(told[0].contains("'q_a'") && told[1].contains("'q_b'"), "{told:?}");
    bed.advance_seconds(86_400);
    fire_to(&bed, "q_a");
    assert_eq!(not_made(&bed).len(), 3);
}

#[test]
fn with_default_an_unknown_queue_is_told_once_a_day_too() {
    let bed = Bed::quiet();
    bed.fixture.property("campanile.queues.unknown", "default");
    for _ in 0..3 {
        assert_eq!(fire_to(&bed, "q_a"), "");
    }
    syslog::flush(bed.engine());
    let rows = bed.fixture.house.rows("syslog", &[("source", "events")]);
    let lines: Vec<&str> = rows.iter().map(|row| row.text("message")).collect();
    assert_eq!(
        lines,
        ["event 't.ping' named queue 'q_a', which does not exist: the default queue takes it \
          (campanile.queues.unknown=default)"]
    );
}

#[test]
fn a_higher_limit_a_deleted_queue_and_a_registered_one_make_room() {
    let bed = Bed::quiet();
    bed.fixture.property(LIMIT, "1");
    assert_eq!([fire_to(&bed, "q_a"), fire_to(&bed, "q_b")], ["q_a", ""]);
    bed.fixture.property(LIMIT, "2");
    assert_eq!([fire_to(&bed, "q_b"), fire_to(&bed, "q_c")], ["q_b", ""]);
    bed.drain();
    let row = bed.fixture.house.rows("sysevent_queue", &[("queue", "q_a")]).remove(0);
    bed.fixture.script_as(
        "admin",
        &format!(
            "var g = new GlideRecord('sysevent_queue'); g.get('{}'); g.deleteRecord();",
            row.text("sys_id")
        ),
    );
    assert_eq!([fire_to(&bed, "q_c"), fire_to(&bed, "q_d")], ["q_c", ""]);
    bed.set_queue("q_b", &[("provisional", "false")]);
    assert_eq!([fire_to(&bed, "q_d"), fire_to(&bed, "q_e")], ["q_d", ""]);
    assert_eq!(fire_to(&bed, "q_b"), "q_b", "a registered queue is one as before");
    assert_eq!(provisional(&bed), ["q_c", "q_d"]);
}

#[test]
fn scripts_rules_and_registrations_are_held_to_the_limit_too() {
    let bed = Bed::quiet();
    bed.fixture.property(LIMIT, "2");
    bed.fixture.after(
        "fires",
        "for (var n = 0; n < 4; n++) gs.eventQueue('t.ping', current, 'rule', '', 'rule_' + n % 3);",
    );
    bed.fixture.script(&update_a("gA.short_description = 'x'"));
    assert_eq!(queues(&bed, "parm1=rule"), ["rule_0", "rule_1", "", "rule_0"], "of one operation");
    bed.fixture.script("gs.eventQueue('t.ping', null, 'script', '', 'scripted');");
    assert_eq!(queues(&bed, "parm1=script"), [""]);
    bed.register("t.registered", &[("queue", "named_by_registration")]);
    bed.fixture.script("gs.eventQueue('t.registered', null, 'plain', '');");
    bed.fixture.script(
        "gs.eventQueueScheduled('t.registered', null, 'later', '', new GlideDateTime('2024-03-13 18:40:00'));",
    );
    bed.try_fire(call_after(60, "t.registered", "later")).unwrap();
    assert_eq!(queues(&bed, "name=t.registered"), ["", "", ""]);
    assert_eq!(provisional(&bed), ["rule_0", "rule_1"]);
    bed.advance_seconds(3_600);
    assert_eq!(bed.drain().processed, 8);
}

#[test]
fn a_registration_with_an_unknown_queue_is_told_that_none_is_made() {
    let bed = Bed::quiet();
    bed.fixture.property(LIMIT, "0");
    let values = [("event_name", "t.lost"), ("queue", "nowhere")];
    let written = bed.fixture.insert("admin", "sysevent_register", &values).unwrap();
    let [warning] = &*written.warnings else { panic!("{:?}", written.warnings) };
    for word in ["'nowhere'", LIMIT, "the default queue", "registered"] {
        assert!(warning.contains(word), "{warning}");
    }
}

#[test]
fn a_unit_of_work_finds_the_queue_that_it_registered_itself() {
    let bed = Bed::quiet();
    bed.fixture.property(LIMIT, "1");
    assert_eq!(fire_to(&bed, "q_a"), "q_a");
    let fire = |execution: &std::rc::Rc<Execution>, queue: &str| {
        let queue = Some(queue.to_owned());
        let request = FireRequest {
            name: "t.ping".to_owned(),
            queue,
            parm1: "unit".to_owned(),
            ..FireRequest::default()
        };
        execution.fire(request).map(|_| ())
    };
    bed.fixture
        .run(Fixture::session("admin", Channel::Script), move |execution| {
            execution.unit_of_work(Finish::Commit, || -> Result<(), EngineError> {
                let values = vec![("queue".to_owned(), "own".into())];
                let table = "sysevent_queue".to_owned();
                service::insert(
                    execution,
                    &WriteRequest { table, values, ..WriteRequest::default() },
                )?;
                fire(execution, "own")?;
                fire(execution, "q_b")
            })
        })
        .unwrap();
    assert_eq!(queues(&bed, "parm1=unit"), ["own", ""]);
    assert_eq!(provisional(&bed), ["q_a"]);
}

#[test]
fn the_limit_is_exact_when_many_name_queues_at_once() {
    let bed = Bed::quiet();
    bed.fixture.property(LIMIT, "10");
    let (callers, start) = (8, Arc::new(Barrier::new(8)));
    let caller = |caller: usize| {
        let (engine, start) = (Arc::clone(bed.engine()), Arc::clone(&start));
        let calls: Vec<_> =
            (0..5).map(|n| call_to(&format!("c{caller}_{n}"), "t.ping", "")).collect();
        campanile_engine::worker::spawn_named("caller", None, move || {
            start.wait();
            fire_batch_blocking(&engine, &Bed::admin(), calls, true).unwrap().len()
        })
    };
    let threads: Vec<_> = (0..callers).map(|n| caller(n).unwrap()).collect();
    let fired: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(fired, 40);
    assert_eq!(provisional(&bed).len(), 10);
    assert_eq!(bed.drain().processed, 40);
}

/// Threads of this process whose names begin with `prefix`.
fn threads(prefix: &str) -> usize {
    let all = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread may end while it is looked at.
    let names = all.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with(prefix)).count()
}

#[test]
fn names_beyond_the_limit_start_no_threads_and_their_events_are_handled() {
    let mut bed = Bed::quiet();
    bed.fixture.property(LIMIT, "5");
    bed.with_processors();
    let calls = (0..300).map(|n| call_to(&format!("thr_{n}"), "t.ping", "")).collect();
    for answer in batch(&bed, calls) {
        bed.end_of(&answer.sys_id).recv_timeout(PATIENCE).unwrap();
        assert_eq!(bed.state(&answer.sys_id), EventState::Processed);
    }
    assert_eq!(threads("q-thr_"), 5);
    let queues: Vec<_> = bed.engine().queues().processors();
    assert_eq!(queues.iter().filter(|(name, ..)| name.starts_with("thr_")).count(), 5);
    assert_eq!(queues.len(), 5 + 3, "the others are those that are shipped");
}

#[test]
fn doctor_tells_that_the_limit_is_reached() {
    let bed = Bed::quiet();
    bed.fixture.property(LIMIT, "2");
    fire_to(&bed, "q_a");
    bed.drain();
    assert_eq!(bed.engine().examine().unwrap(), []);
    fire_to(&bed, "q_b");
    bed.drain();
    let found = bed.engine().examine().unwrap();
    let [finding] = &*found else { panic!("{found:?}") };
    assert!(!finding.serious);
    assert!(finding.what.starts_with("2 provisional queues are there"), "{finding:?}");
    assert!(finding.what.contains(&format!("{LIMIT} allows 2")), "{finding:?}");
    assert!(finding.fix.contains("delete") && finding.fix.contains(LIMIT), "{finding:?}");
}

#[test]
fn a_limit_of_none_makes_no_queue() {
    let bed = Bed::quiet();
    bed.fixture.property(LIMIT, "0");
    let event = bed.try_fire(call("t.ping", "")).unwrap();
    assert!(event.queue.is_empty());
    assert_eq!(fire_to(&bed, "q_a"), "");
    assert!(provisional(&bed).is_empty());
}
