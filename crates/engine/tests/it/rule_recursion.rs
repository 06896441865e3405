//! Business rules that cause each other: how recursion ends (business-rules §19.2).

use campanile_script::LogLevel;

use crate::fixture::{A, Fixture, update_a};

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
