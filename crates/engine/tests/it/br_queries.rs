//! Encoded queries in the database, by script and through the record service, and the dictionary as scripts see it
//! (business-rules §19.4, §19.6).

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use campanile_engine::records::service::{self, ListRequest};
use campanile_engine::records::{lookup, syslog};
use campanile_engine::{Channel, Engine, Session};
use campanile_script::LogLevel;

use crate::fixture::{A, B, C, Fixture, JOE};
use crate::hook_clock::HookClock;

/// The numbers that a script finds with `query`, in its order.
fn by_script(fixture: &Fixture, table: &str, query: &str) -> Vec<String> {
    let script = format!(
        "var g = new GlideRecord('{table}'); g.addEncodedQuery('{query}'); g.query(); var n = []; while (g.next()) n.push(g.number + ''); n.join()"
    );
    let text = fixture.script(&script).text;
    text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The numbers that a request finds with `query`, in its order. An administrator asks: for others the gate closes walks
/// into `sys_user`, which is tested with the gate.
fn by_request(fixture: &Fixture, table: &str, query: &str) -> Vec<String> {
    let request = ListRequest {
        table: table.to_owned(),
        query: Some(query.to_owned()),
        ..ListRequest::default()
    };
    let session: Session = Fixture::session("admin", Channel::Http);
    let page = fixture.run(session, move |execution| service::list(execution, &request)).unwrap();
    page.records.iter().map(|record| record.text("number").to_owned()).collect()
}

/// The last digits of the numbers that `query` finds, smallest first; both ways must agree.
fn found_in(fixture: &Fixture, table: &str, query: &str) -> String {
    let mut script = by_script(fixture, table, query);
    let mut request = by_request(fixture, table, query);
    script.sort_unstable();
    request.sort_unstable();
    assert_eq!(script, request, "{query}");
    let mut last: Vec<char> = script.iter().filter_map(|number| number.chars().last()).collect();
    last.sort_unstable();
    last.into_iter().collect()
}

fn found(fixture: &Fixture, query: &str) -> String {
    found_in(fixture, "incident", query)
}

/// A table of five rows numbered 1 to 5 with that priority.
fn five_priorities() -> Fixture {
    let fixture = Fixture::new();
    fixture.house.define(
        "- name: u_ranked\n  label: Ranked\n  fields:\n    - {name: number, length: 40, display: true}\n    - {name: priority, type: integer}\n    - {name: reassignment_count, type: integer}\n    - {name: reopen_count, type: integer}\n",
    );
    for rank in ["1", "2", "3", "4", "5"] {
        fixture.house.add("u_ranked", &[("number", rank), ("priority", rank)]);
    }
    fixture
}

#[test]
fn br_74_or_binds_tighter_than_and_and_nq_begins_an_alternative() {
    let fixture = Fixture::new();
    assert_eq!(found(&fixture, "active=true^priority=1^ORpriority=3"), "12");
    assert_eq!(found(&fixture, "priority=3^NQactive=false"), "23");
}

#[test]
fn br_75_a_doubled_caret_is_a_caret_of_the_value_and_is_printed_so() {
    let fixture = Fixture::new();
    fixture.house.change("incident", B, &[("short_description", "a^b")]);
    assert_eq!(found(&fixture, "short_description=a^^b"), "2");
    let printed = fixture.script(
        "var g = new GlideRecord('incident'); g.addQuery('short_description', 'a^b'); g.query(); g.next(); g.number + ' ' + g.getEncodedQuery()",
    );
    assert_eq!(printed.text, "INC0000002 short_description=a^^b");
}

#[test]
fn br_76_negations_that_include_nil_and_those_that_do_not() {
    let fixture = Fixture::new();
    for (query, rows) in [
        ("category!=network", "23"),
        ("categoryNOT INnetwork,x", "23"),
        ("categoryNOT LIKEnet", "3"),
        ("category=", "2"),
        ("category!=", "13"),
        ("categoryISEMPTY", "2"),
        ("categoryISNOTEMPTY", "13"),
    ] {
        assert_eq!(found(&fixture, query), rows, "{query}");
    }
}

#[test]
fn br_79_between_takes_both_ends_and_in_nothing_finds_nothing() {
    let fixture = five_priorities();
    for (query, rows) in
        [("priorityBETWEEN2@4", "234"), ("priorityIN1,5", "15"), ("priorityIN", "")]
    {
        assert_eq!(found_in(&fixture, "u_ranked", query), rows, "{query}");
    }
}

#[test]
fn br_80_a_reference_equals_its_key_and_starts_with_its_display_value() {
    let fixture = Fixture::new();
    for (query, rows) in [
        ("caller_id=Joe Employee", ""),
        ("caller_idSTARTSWITHJoe", "1"),
        ("caller_id.name=joe employee", "1"),
    ] {
        assert_eq!(found(&fixture, query), rows, "{query}");
    }
    assert_eq!(found(&fixture, &format!("caller_id={JOE}")), "1");
}

#[test]
fn br_81_a_path_over_no_reference_is_a_nil_field() {
    let fixture = Fixture::new();
    assert_eq!(found(&fixture, "assigned_to.active=true"), "1");
    assert_eq!(found(&fixture, "assigned_to.active!=true"), "23");
}

#[test]
fn br_82_a_class_holds_the_classes_below_it_and_equality_does_not() {
    let fixture = Fixture::new();
    fixture.house.define("- name: change_request\n  label: Change\n  extends: task\n");
    fixture.house.add("problem", &[("number", "PRB4"), ("sys_class_name", "problem")]);
    fixture
        .house
        .add("change_request", &[("number", "CHG5"), ("sys_class_name", "change_request")]);
    assert_eq!(found_in(&fixture, "task", "sys_class_nameINSTANCEOFtask"), "12345");
    assert_eq!(found_in(&fixture, "task", "sys_class_name=task"), "");
    assert_eq!(found_in(&fixture, "task", "sys_class_nameINSTANCEOFproblem"), "4");
}

#[test]
fn br_84_order_terms_count_in_their_order() {
    let fixture = Fixture::new();
    fixture.house.add(
        "incident",
        &[
            ("number", "INC0000000"),
            ("active", "1"),
            ("priority", "3"),
            ("sys_class_name", "incident"),
        ],
    );
    let query = "active=true^ORDERBYDESCpriority^ORDERBYnumber";
    let expected = ["INC0000000", "INC0000002", "INC0000001"];
    assert_eq!(by_script(&fixture, "incident", query), expected);
    assert_eq!(by_request(&fixture, "incident", query), expected);
}

#[test]
fn br_85_two_fields_of_a_row_are_compared() {
    let fixture = five_priorities();
    let row = ("number", "6");
    fixture.house.add("u_ranked", &[row, ("reassignment_count", "2"), ("reopen_count", "1")]);
    assert_eq!(found_in(&fixture, "u_ranked", "reassignment_countGT_FIELDreopen_count"), "6");
    let same = "reassignment_countISNOTEMPTY^reassignment_countSAMEASreopen_count";
    assert_eq!(found_in(&fixture, "u_ranked", same), "");
    let row = ("number", "7");
    fixture.house.add("u_ranked", &[row, ("reassignment_count", "2"), ("reopen_count", "2")]);
    assert_eq!(found_in(&fixture, "u_ranked", same), "7", "equal ones are found");
}

#[test]
fn br_87_an_invalid_arm_is_left_out_with_a_warning() {
    let fixture = Fixture::new();
    assert_eq!(found(&fixture, "priority=1^ORnope=2"), "13");
    let ran = fixture.script(
        "var g = new GlideRecord('incident'); g.addEncodedQuery('priority=1^ORnope=2'); g.query(); g.getRowCount()",
    );
    assert_eq!(ran.text, "2");
    let warnings = ran.lines(LogLevel::Warn);
    assert!(warnings.len() == 1 && warnings[0].contains("nope"), "{warnings:?}");
    // Logged: somebody who looks later finds it in the system log.
    syslog::flush(&fixture.house.engine);
    let logged = fixture.house.rows("syslog", &[("level", "1")]);
    assert!(logged.iter().any(|row| row.text("message").contains("nope")), "{logged:?}");
}

#[test]
fn br_60_a_row_of_a_class_is_one_row_of_its_parent() {
    let fixture = Fixture::new();
    let script = format!(
        "var g = new GlideRecord('task'); g.addQuery('sys_id', '{A}'); g.query(); g.next(); [g.getRowCount(), g.sys_class_name, g.hasNext()] + ''"
    );
    assert_eq!(fixture.script(&script).text, "1,incident,false");
    let row = fixture.row("task", A).unwrap();
    assert_eq!(row.text("sys_class_name"), "incident");
}

#[test]
fn br_48_a_new_record_takes_the_default_of_its_class() {
    let fixture = Fixture::new();
    let overridden = fixture.insert(
        "admin",
        "sys_dictionary_override",
        &[
            ("name", "incident"),
            ("base_table", "task"),
            ("element", "priority"),
            ("default_value_override", "true"),
            ("default_value", "5"),
        ],
    );
    assert!(overridden.is_ok(), "{overridden:?}");
    let script = "function made(t) { var g = new GlideRecord(t); g.insert(); return g.state + '/' + g.priority } made('incident') + ' ' + made('problem')";
    assert_eq!(fixture.script(script).text, "1/5 1/4");
}

#[test]
fn br_57_a_label_comes_from_the_class_or_its_ancestor_or_is_the_value() {
    let fixture = Fixture::new();
    let problem = fixture
        .house
        .add("problem", &[("number", "PRB1"), ("state", "1"), ("sys_class_name", "problem")]);
    let choice = fixture.insert(
        "admin",
        "sys_choice",
        &[("name", "incident"), ("element", "state"), ("value", "1"), ("label", "New")],
    );
    assert!(choice.is_ok(), "{choice:?}");
    let script = format!(
        "function label(t, id) {{ var g = new GlideRecord(t); g.get(id); return g.getDisplayValue('state') }}\
         [label('incident', '{A}'), label('problem', '{problem}'), label('incident', '{C}'), label('task', '{A}')] + ''"
    );
    assert_eq!(fixture.script(&script).text, "New,Open,7,New");
}

#[test]
fn br_58_numbers_of_inserted_records_are_padded_and_never_given_twice() {
    let fixture = Fixture::new();
    let row = fixture.house.rows("sys_number", &[("category", "problem")]).remove(0);
    fixture.house.change(
        "sys_number",
        row.text("sys_id"),
        &[("prefix", "T"), ("number", "99"), ("maximum_digits", "2")],
    );
    let insert = "var p = new GlideRecord('problem'); p.insert(); p.number + ''";
    assert_eq!(fixture.script(insert).text, "T99");
    assert_eq!(fixture.script(insert).text, "T100");
    let workers = fixture.house.engine.workers().unwrap();
    let numbers: Vec<String> = std::thread::scope(|scope| {
        let inserts: Vec<_> = (0..20)
            .map(|_| {
                let workers = Arc::clone(&workers);
                scope.spawn(move || {
                    let request = Fixture::request("problem", None, &[("short_description", "x")]);
                    workers
                        .run(move |worker| {
                            let execution =
                                worker.execution(Fixture::session("abel", Channel::Http));
                            service::insert(&execution, &request)
                        })
                        .unwrap()
                        .unwrap()
                        .record
                        .text("number")
                        .to_owned()
                })
            })
            .collect();
        inserts.into_iter().map(|insert| insert.join().unwrap()).collect()
    });
    let taken = ["T99", "T100"].map(str::to_owned);
    assert_eq!(numbers.iter().chain(&taken).collect::<HashSet<_>>().len(), 22, "{numbers:?}");
}

#[test]
fn br_59_a_row_is_shown_by_its_name_when_no_column_is_its_display_value() {
    let fixture = Fixture::new();
    let id = fixture.house.add("u_plain", &[("u_name", "the name")]);
    let script = format!("var g = new GlideRecord('u_plain'); g.get('{id}'); g.getDisplayValue()");
    assert_eq!(fixture.script(&script).text, "the name");
}

#[test]
fn br_24_an_event_is_not_visible_to_others_before_the_commit() {
    let mut fixture = Fixture::new();
    let clock = fixture.hook_clock();
    fixture.after("fires", "gs.eventQueue('incident.updated', current, '', '')");
    // It runs later, and says from when to when; its loop is the time that the case gives to the reader.
    fixture.rule(
        "lets others look",
        &[
            ("when", "after"),
            ("order", "200"),
            (
                "script",
                "var first = Date.now(); for (var i = 0; i < 100; i++) gs.nowNoTZ(); \
                 gs.print(first + ' ' + Date.now())",
            ),
        ],
    );
    let (seen, told) = std::sync::mpsc::channel();
    look_at_every_look(clock, Arc::clone(&fixture.house.engine), seen);
    let ran = fixture.script(&format!(
        "var g = new GlideRecord('incident'); g.get('{A}'); g.state = 2; g.update()"
    ));
    let printed = ran.trace().concat();
    let (first, last) = printed.trim().split_once(' ').unwrap();
    let loop_of_rule: RangeInclusive<i64> = first.parse().unwrap()..=last.parse().unwrap();
    let looks: Vec<(i64, usize)> = told.try_iter().collect();
    let in_rule: Vec<usize> = looks
        .iter()
        .filter(|(at, _)| loop_of_rule.contains(at))
        .map(|(_, visible)| *visible)
        .collect();
    assert!(in_rule.len() >= 100, "{looks:?}");
    assert!(in_rule.iter().all(|visible| *visible == 0), "queued, and not committed: {in_rule:?}");
    assert_eq!(fixture.events(), ["incident.updated"], "and after the commit it is there");
    let id = fixture.house.rows("sysevent", &[]).remove(0).text("sys_id").parse().unwrap();
    let event = fixture.house.engine.store().event(&id).unwrap().unwrap();
    assert!(event.fired.created.as_millis() < *loop_of_rule.start(), "it was queued before");
}

/// Counts, as another reader, the visible events whenever a script thread asks for the time; and says at what time.
fn look_at_every_look(clock: Arc<HookClock>, engine: Arc<Engine>, seen: Sender<(i64, usize)>) {
    let again = Arc::clone(&clock);
    clock.at_next_look(move |now| {
        let reader = std::thread::Builder::new().name("reader".to_owned());
        let events = std::thread::scope(|scope| {
            let look = || {
                let dictionary = engine.dictionary().unwrap();
                let table = lookup::table(&dictionary, "sysevent").unwrap();
                let read = Arc::clone(engine.store()).read().unwrap();
                read.select(&lookup::equal(table, &[])).unwrap().len()
            };
            reader.spawn_scoped(scope, look).unwrap().join().unwrap()
        });
        if seen.send((now.as_millis(), events)).is_ok() {
            look_at_every_look(again, engine, seen);
        }
    });
}
