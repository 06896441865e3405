//! Business rules: what they do, what becomes of an abort, how recursion ends (business-rules §19.2).

use std::sync::Arc;

use campanile_engine::EngineError;
use campanile_script::{LogLevel, MessageKind};

use crate::fixture::{A, ABEL, B, BETH, Fixture, update_a};

#[test]
fn br_12_what_a_before_rule_sets_is_stored_with_the_same_write() {
    let fixture = Fixture::new();
    fixture.before("describe", "current.description = 'd'");
    fixture.script(&update_a("gA.state = 2"));
    assert_eq!(fixture.a("description"), "d");
    assert_eq!(fixture.a("sys_mod_count"), "1");
}

#[test]
fn br_13_what_an_after_rule_sets_is_not_stored() {
    let fixture = Fixture::new();
    fixture.after("late", "current.description = 'late'");
    fixture.script(&update_a("gA.state = 2"));
    assert_eq!(fixture.a("description"), "");
    assert_eq!(fixture.a("state"), "2");
}

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
fn br_20_set_values_assigns_constants_and_other_fields() {
    let fixture = Fixture::new();
    fixture.rule("sets", &[("template", "category=software^impactSAMEASurgency^EQ")]);
    fixture.script(&update_a("gA.urgency = 2"));
    assert_eq!((fixture.a("category").as_str(), fixture.a("impact").as_str()), ("software", "2"));
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

/// That nobody sees it before the commit is tested by `br_24_an_event_is_not_visible_to_others_before_the_commit`.
#[test]
fn an_event_that_a_rule_fires_names_its_record_and_who_acted() {
    let fixture = Fixture::new();
    fixture.after("fires", "gs.eventQueue('incident.updated', current, '', '')");
    assert_eq!(fixture.script(&update_a("gA.state = 2")).text, A);
    assert_eq!(fixture.events(), ["incident.updated"]);
    let event = fixture.house.rows("sysevent", &[]).remove(0);
    assert_eq!((event.text("table"), event.text("instance")), ("incident", A));
    assert_eq!((event.text("source"), event.text("user_name")), ("rule", "abel"));
}

#[test]
fn br_25_changes_is_still_true_in_after_rules() {
    let fixture = Fixture::new();
    fixture.after(
        "compares",
        "gs.print(current.state.changes() && current.state != previous.state ? 'changed' : 'same')",
    );
    assert_eq!(fixture.script(&update_a("gA.state = 2")).trace(), ["changed"]);
    assert_eq!(fixture.script(&update_a("gA.category = 'x'")).trace(), ["same"]);
}

#[test]
fn br_26_changes_is_false_after_the_operation() {
    let fixture = Fixture::new();
    let ran = fixture.script(&format!(
        "var g = new GlideRecord('incident'); g.get('{A}'); g.state = 2; var before = g.state.changes(); g.update(); before + ' ' + g.state.changes()"
    ));
    assert_eq!(ran.text, "true false");
}

#[test]
fn br_27_previous_stays_what_it_was_before_the_first_write_of_the_context() {
    let fixture = Fixture::new();
    fixture.rule(
        "again",
        &[
            ("when", "after"),
            ("filter_condition", "state=2"),
            ("script", "gs.print('a ' + previous.state); current.setWorkflow(false); current.state = 3; current.update();"),
        ],
    );
    fixture.rule(
        "third",
        &[
            ("when", "after"),
            ("order", "200"),
            ("script", "gs.print('b ' + previous.state + ' ' + current.state)"),
        ],
    );
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert_eq!(ran.trace(), ["a 1", "b 1 3"]);
    assert_eq!(fixture.a("state"), "3");
}

#[test]
fn br_28_previous_of_an_insert_is_an_empty_record() {
    let fixture = Fixture::new();
    fixture.rule(
        "asks",
        &[
            ("action_insert", "true"),
            ("script", "gs.print([previous.assigned_to.nil(), previous == null, previous.isValidRecord()])"),
        ],
    );
    let ran = fixture.script("var g = new GlideRecord('incident'); g.insert()");
    assert_eq!(ran.trace(), ["true,false,false"]);
}

#[test]
fn br_31_a_rule_that_updates_its_own_record_ends_after_three_rounds() {
    let fixture = Fixture::new();
    fixture.before("recursive", "gs.print('body'); current.u_count++; current.update();");
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert_eq!(ran.text, A);
    assert_eq!(ran.trace(), ["body", "body", "body"]);
    let errors = fixture.logged_errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("recursive") && errors[0].contains("INC0000001"), "{errors:?}");
    assert_eq!((fixture.a("state").as_str(), fixture.a("u_count").as_str()), ("2", "3"));
}

#[test]
fn br_32_a_second_update_without_workflow_runs_no_rule() {
    let fixture = Fixture::new();
    fixture.after(
        "once",
        "gs.print('ran'); current.setWorkflow(false); current.description = 'z'; current.update();",
    );
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert_eq!(ran.trace(), ["ran"]);
    assert_eq!(
        (fixture.a("description").as_str(), fixture.a("sys_mod_count").as_str()),
        ("z", "2")
    );
}

#[test]
fn br_33_two_rules_that_call_each_other_end_by_the_recursion_rule() {
    let fixture = Fixture::new();
    let problem =
        fixture.house.add("problem", &[("number", "PRB1"), ("sys_class_name", "problem")]);
    fixture.house.change("incident", A, &[("problem_id", &problem)]);
    let rule = fixture.rule(
        "incident to problem",
        &[
            ("when", "after"),
            ("script", "var p = new GlideRecord('problem'); if (p.get(current.problem_id)) { p.u_count++; p.update(); }"),
        ],
    );
    fixture.rule(
        "problem to incident",
        &[
            ("collection", "problem"),
            ("when", "after"),
            (
                "script",
                "var g = new GlideRecord('incident'); g.addQuery('problem_id', current.sys_id); g.query();\
                 while (g.next()) { g.u_count++; g.update(); }",
            ),
        ],
    );
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert_eq!(ran.text, A);
    assert_eq!(fixture.a("state"), "2");
    assert_eq!(
        fixture.logged_errors(),
        [format!(
            "business rule 'incident to problem' (sys_script {rule}) was skipped for incident INC0000001: it runs for \
             this record 3 times already, each time from its own write; use setWorkflow(false) or change the field \
             without update()"
        )]
    );
    assert_eq!(fixture.a("u_count"), "3");
    assert_eq!(fixture.row("problem", &problem).unwrap().text("u_count"), "3");
    assert_eq!(fixture.script("6 * 7").text, "42", "the server is healthy");
}

#[test]
fn a_chain_of_new_records_ends_at_the_depth_limit() {
    let fixture = Fixture::new();
    fixture.rule(
        "breeds",
        &[
            ("collection", "problem"),
            ("when", "after"),
            ("action_insert", "true"),
            ("script", "var p = new GlideRecord('problem'); if (p.insert() === null) gs.print('refused: ' + p.getLastErrorMessage().substring(0, 20));"),
        ],
    );
    let ran = fixture.script("new GlideRecord('problem').insert() !== null");
    assert_eq!(ran.text, "true");
    assert_eq!(ran.trace(), ["refused: insert of problem wa"]);
    assert_eq!(fixture.house.rows("problem", &[]).len(), 32);
    assert_eq!(ran.lines(LogLevel::Error).len(), 1);
}

#[test]
fn an_update_that_changes_nothing_runs_no_rule() {
    let fixture = Fixture::new();
    fixture.before("ran", "gs.print('ran')");
    let ran = fixture.script(&update_a("gA.state = '1'"));
    assert_eq!((ran.text.as_str(), ran.trace().len()), (A, 0));
    assert_eq!(fixture.a("sys_mod_count"), "0");
    let forced = fixture.script(&update_a("gA.setForceUpdate(true)"));
    assert_eq!(forced.trace(), ["ran"]);
    assert_eq!(fixture.a("sys_mod_count"), "1");
}

#[test]
fn defaults_fill_what_is_nil_and_leave_what_was_given() {
    let fixture = Fixture::new();
    let ran = fixture.script(&format!(
        "function make(by) {{ var g = new GlideRecord('incident'); if (by) g.opened_by = by; g.insert(); return [g.state, g.priority, g.opened_by] + '' }}\
         make() + ' ' + make('{BETH}')"
    ));
    assert_eq!(ran.text, format!("1,4,{ABEL} 1,4,{BETH}"));
}

#[test]
fn a_row_that_moved_while_its_rules_ran_is_read_again() {
    let mut fixture = Fixture::new();
    let hook = fixture.hook_clock();
    // The rule asks for the time; at that moment somebody else writes the row.
    fixture.before(
        "slow",
        "new GlideDateTime(); gs.print('category ' + current.category); gs.addInfoMessage('seen');\
         gs.eventQueue('x.fired', current, '', '');",
    );
    let engine = Arc::clone(&fixture.house.engine);
    hook.at_next_look(move || {
        let dictionary = engine.dictionary().unwrap();
        let table = dictionary.table("incident").unwrap();
        let mut tx = Arc::clone(engine.store()).write().unwrap();
        let mut row = tx.get(table, A).unwrap().unwrap();
        row.set("description", "moved");
        tx.update(&row, &[table.index("description").unwrap()]).unwrap();
        tx.commit().unwrap();
    });
    let ran = fixture.script(&format!(
        "var g = new GlideRecord('incident'); g.get('{A}'); g.state = 2; g.update()"
    ));
    assert_eq!(ran.trace(), ["category network", "category network"], "the rule ran once more");
    assert_eq!(ran.report.messages.len(), 1, "messages of the first attempt are forgotten");
    assert_eq!(fixture.events(), ["x.fired"]);
    assert_eq!((fixture.a("state").as_str(), fixture.a("description").as_str()), ("2", "moved"));
}
