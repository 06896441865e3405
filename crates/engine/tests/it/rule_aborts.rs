//! Business rules that abort, throw or are ended: what stays and what is rolled back (business-rules §19.2).

use campanile_engine::EngineError;
use campanile_script::MessageKind;

use crate::fixture::{A, B, Fixture, update_a};

/// Async jobs and record mail wait for their issues.
#[test]
fn br_14_an_abort_refuses_the_row_while_later_before_rules_still_run() {
    let fixture = Fixture::new();
    fixture.before(
        "refuses",
        "gs.addErrorMessage('not today'); current.work_notes = 'never'; current.setAbortAction(true);",
    );
    fixture.rule(
        "looks",
        &[("order", "200"), ("script", "gs.print('aborted ' + current.isActionAborted())")],
    );
    fixture.after("after", "gs.print('after')");
    let ran = fixture.script(&update_a("gA.state = 2; gA.comments = 'c'"));
    assert_eq!(ran.trace(), ["aborted true"]);
    assert_eq!(ran.text, "null");
    assert_eq!(ran.report.messages, [(MessageKind::Error, "not today".to_owned())]);
    assert_eq!((fixture.a("state").as_str(), fixture.a("sys_mod_count").as_str()), ("1", "0"));
    assert!(fixture.house.rows("sys_audit", &[]).is_empty());
    assert!(fixture.house.rows("sys_journal_field", &[]).is_empty());
    assert!(ran.report.written.is_empty());
}

#[test]
fn br_14_a_request_learns_which_rule_aborted_it() {
    let fixture = Fixture::new();
    let id =
        fixture.before("refuses", "gs.addErrorMessage('not today'); current.setAbortAction(true);");
    let refused = fixture.update("abel", "incident", A, &[("state", "2")]).unwrap_err();
    let EngineError::Aborted { table, rule, rule_id, stack, messages } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((table.as_str(), rule.as_str(), rule_id), ("incident", "refuses", id));
    assert_eq!((stack, messages), (vec!["refuses".to_owned()], vec!["not today".to_owned()]));
}

#[test]
fn br_18_a_request_is_told_the_message_of_the_abort_action() {
    let fixture = Fixture::new();
    fixture.before("saves", "gs.addInfoMessage('saving')");
    let no = [("abort_action", "true"), ("add_message", "true"), ("message", "No ${number}")];
    fixture.rule("no", &[("order", "200"), no[0], no[1], no[2]]);
    let more = "gs.addErrorMessage('not today'); current.setAbortAction(true);";
    fixture.rule("more", &[("order", "300"), ("script", more)]);
    let refused = fixture.update("abel", "incident", A, &[("state", "2")]).unwrap_err();
    let EngineError::Aborted { rule, messages, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(rule, "more");
    assert_eq!(messages, ["No INC0000001", "not today"]);
}

#[test]
fn br_15_a_later_rule_may_take_the_abort_back() {
    let fixture = Fixture::new();
    fixture.before("refuses", "current.setAbortAction(true)");
    fixture.rule("relents", &[("order", "200"), ("script", "current.setAbortAction(false)")]);
    assert_eq!(fixture.script(&update_a("gA.state = 2")).text, A);
    assert_eq!(fixture.a("state"), "2");
}

#[test]
fn br_16_an_abort_concerns_one_row_of_a_loop() {
    let fixture = Fixture::new();
    fixture.rule(
        "refuses",
        &[("filter_condition", "priority=1"), ("script", "current.setAbortAction(true)")],
    );
    let ran = fixture.script(
        "var out = []; var g = new GlideRecord('incident'); g.addQuery('active', true); g.orderBy('number'); g.query();\
         while (g.next()) { g.description = 'z'; out.push(g.update() === null) } out + ''",
    );
    assert_eq!(ran.text, "true,false");
    assert_eq!(fixture.a("description"), "");
    assert_eq!(fixture.row("incident", B).unwrap().text("description"), "z");
}

#[test]
fn br_17_an_abort_in_an_after_rule_has_no_effect() {
    let fixture = Fixture::new();
    fixture.after("too late", "current.setAbortAction(true)");
    fixture.rule("next", &[("when", "after"), ("order", "200"), ("script", "gs.print('next')")]);
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert_eq!((ran.text.as_str(), ran.trace()), (A, vec!["next"]));
    assert_eq!(fixture.a("state"), "2");
}

#[test]
fn br_18_the_abort_action_keeps_its_message_and_skips_values_and_script() {
    let fixture = Fixture::new();
    fixture.rule(
        "no",
        &[
            ("action_insert", "true"),
            ("add_message", "true"),
            ("message", "No ${short_description}"),
            ("abort_action", "true"),
            ("template", "category=software^EQ"),
            ("script", "gs.print('script')"),
        ],
    );
    let before = fixture.house.rows("incident", &[]).len();
    let ran = fixture.script(
        "var g = new GlideRecord('incident'); g.short_description = 'way'; var r = g.insert(); r + ' ' + g.category",
    );
    assert_eq!(ran.text, "null ");
    assert!(ran.trace().is_empty());
    assert_eq!(ran.report.messages, [(MessageKind::Info, "No way".to_owned())]);
    assert_eq!(fixture.house.rows("incident", &[]).len(), before);
}

#[test]
fn br_19_an_aborted_insert_consumes_its_number() {
    let fixture = Fixture::new();
    fixture.rule(
        "refuses",
        &[
            ("action_insert", "true"),
            ("action_update", "false"),
            ("filter_condition", "short_description=bad"),
            ("script", "current.setAbortAction(true)"),
        ],
    );
    let ran = fixture.script(
        "function make(text) { var g = new GlideRecord('incident'); g.short_description = text; g.insert(); return g.number + '' }\
         var first = make('good'); make('bad'); first + ' ' + make('good')",
    );
    assert_eq!(ran.text, "INC0001000 INC0001002");
}

#[test]
fn br_21_a_rule_that_throws_keeps_what_it_set_and_the_write_goes_on() {
    let fixture = Fixture::new();
    fixture.before("throws", "current.category = 'y';\n\nthrow new Error('boom');");
    fixture.rule("next", &[("order", "200"), ("script", "gs.print('next')")]);
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert_eq!(ran.trace(), ["next"]);
    assert_eq!((fixture.a("category").as_str(), fixture.a("state").as_str()), ("y", "2"));
    let errors = fixture.logged_errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("throws") && errors[0].contains("boom"), "{errors:?}");
    assert!(errors[0].contains("line 3"), "{errors:?}");
}

#[test]
fn br_22_what_a_nested_operation_wrote_survives_the_abort() {
    let fixture = Fixture::new();
    fixture.rule(
        "task first",
        &[
            ("action_insert", "true"),
            ("script", "var t = new GlideRecord('task'); t.short_description = 'kept'; t.insert(); current.setAbortAction(true);"),
        ],
    );
    let before = fixture.house.rows("incident", &[]).len();
    fixture.script("var g = new GlideRecord('incident'); g.short_description = 'lost'; g.insert()");
    assert_eq!(fixture.house.rows("incident", &[]).len(), before);
    assert_eq!(fixture.house.rows("task", &[("short_description", "kept")]).len(), 1);
}

#[test]
fn br_23_events_of_an_aborted_operation_are_dropped_and_those_of_nested_ones_stay() {
    let fixture = Fixture::new();
    fixture.rule(
        "task fires",
        &[
            ("collection", "problem"),
            ("when", "after"),
            ("action_insert", "true"),
            ("script", "gs.eventQueue('problem.kept', current, '', '')"),
        ],
    );
    fixture.before(
        "fires and refuses",
        "gs.eventQueue('incident.lost', current, '', ''); new GlideRecord('problem').insert(); current.setAbortAction(true);",
    );
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert_eq!(fixture.events(), ["problem.kept"]);
    let fired: Vec<&str> = ran.report.fired.iter().map(|event| &*event.name).collect();
    assert_eq!(fired, ["problem.kept"]);
}

#[test]
fn br_23_a_nested_write_that_the_database_refuses_rolls_everything_back() {
    let fixture = Fixture::new();
    // A column that is defined, and that the database does not have.
    fixture.house.add(
        "sys_dictionary",
        &[("name", "problem"), ("element", "u_ghost"), ("internal_type", "string")],
    );
    fixture.before(
        "fires",
        "gs.eventQueue('incident.lost', current, '', ''); var t = new GlideRecord('task');\
         t.short_description = 'nested'; t.insert();",
    );
    fixture.after(
        "writes what cannot be written",
        "var p = new GlideRecord('problem'); p.u_ghost = 'x'; p.insert(); gs.print('went on');",
    );
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert_eq!((ran.text.as_str(), ran.trace().len()), ("null", 0));
    let errors = fixture.logged_errors();
    assert!(!errors.is_empty() && errors.iter().all(|e| e.contains("u_ghost")), "{errors:?}");
    assert!(fixture.events().is_empty());
    assert!(fixture.house.rows("task", &[("short_description", "nested")]).is_empty());
    assert_eq!((fixture.a("state").as_str(), fixture.a("sys_mod_count").as_str()), ("1", "0"));
    assert!(ran.report.written.is_empty() && ran.report.fired.is_empty());
    assert_eq!(fixture.script("1 + 1").text, "2", "the worker is healthy");
}

#[test]
fn br_23_a_terminated_rule_rolls_everything_back() {
    let fixture = Fixture::new();
    fixture.before(
        "fires",
        "gs.eventQueue('incident.lost', current, '', ''); new GlideRecord('problem').insert();",
    );
    fixture.property("campanile.script.business_rule.max_ms", "200");
    fixture.rule("endless", &[("when", "after"), ("script", "for (;;) {}")]);
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert_eq!(ran.text, "null");
    assert!(fixture.events().is_empty());
    assert!(fixture.house.rows("problem", &[]).is_empty());
    assert_eq!((fixture.a("state").as_str(), fixture.a("sys_mod_count").as_str()), ("1", "0"));
    assert!(ran.report.written.is_empty() && ran.report.fired.is_empty());
    let next = fixture.script("1 + 1");
    assert_eq!(next.text, "2", "the worker is healthy");
}
