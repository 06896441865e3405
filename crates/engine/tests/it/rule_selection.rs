//! Business rules: which run and in which order (business-rules §19.1).

use crate::fixture::{A, B, Fixture, update_a};

#[test]
fn br_02_of_two_rules_with_one_order_the_older_runs_first() {
    let fixture = Fixture::new();
    // Saved first, with the smaller key, and yet the newer one.
    let newer = fixture.before("newer", "gs.print('newer')");
    let older = fixture.before("older", "gs.print('older')");
    fixture.house.change("sys_script", &newer, &[("sys_created_on", "2024-03-13 18:00:00")]);
    fixture.house.change("sys_script", &older, &[("sys_created_on", "2024-03-12 18:00:00")]);
    assert!(newer < older);
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert_eq!(ran.trace(), ["older", "newer"]);
}

#[test]
fn br_03_rules_of_the_class_run_when_a_row_is_updated_through_its_parent() {
    let fixture = Fixture::new();
    fixture
        .rule("T200", &[("collection", "task"), ("order", "200"), ("script", "gs.print('T200')")]);
    fixture.rule("I300", &[("order", "300"), ("script", "gs.print('I300 ' + current.category)")]);
    fixture.rule("I100", &[("script", "gs.print('I100')")]);
    let ran = fixture
        .script(&format!("var g = new GlideRecord('task'); g.get('{A}'); g.state = 2; g.update()"));
    assert_eq!(ran.trace(), ["I100", "T200", "I300 network"]);
    assert_eq!(fixture.a("state"), "2");
    assert_eq!(fixture.a("category"), "network", "fields that the parent does not have are kept");
}

#[test]
fn br_04_a_rule_of_another_class_does_not_run_and_one_of_the_parent_does() {
    let fixture = Fixture::new();
    fixture.before("incident", "gs.print('incident')");
    fixture.rule("task", &[("collection", "task"), ("script", "gs.print('task')")]);
    let ran = fixture.script(
        "var p = new GlideRecord('problem'); p.short_description = 'x'; p.insert(); p.state = 3; p.update()",
    );
    assert_eq!(ran.trace(), ["task"]);
}

#[test]
fn br_05_inactive_rules_rules_for_other_operations_and_scripts_without_advanced_do_not_run() {
    let fixture = Fixture::new();
    fixture.rule("inactive", &[("active", "false"), ("script", "gs.print('inactive')")]);
    fixture.rule(
        "insert only",
        &[("action_update", "false"), ("action_insert", "true"), ("script", "gs.print('insert')")],
    );
    fixture.rule("plain", &[("advanced", "false"), ("script", "gs.print('plain')")]);
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert!(ran.trace().is_empty(), "{:?}", ran.trace());
    assert_eq!(fixture.a("state"), "2");
}

#[test]
fn br_06_role_filter_and_script_must_all_hold() {
    let fixture = Fixture::new();
    fixture.rule(
        "all",
        &[
            ("filter_condition", "priority=1"),
            ("condition", "current.state.changes()"),
            ("role_conditions", "itil"),
            ("script", "gs.print('ran')"),
        ],
    );
    assert_eq!(fixture.script_as("abel", &update_a("gA.state = 2")).trace(), ["ran"]);
    assert!(fixture.script_as("abel", &update_a("gA.category = 'x'")).trace().is_empty());
    assert_eq!(fixture.a("category"), "x");
    assert!(fixture.script_as("joe", &update_a("gA.state = 3")).trace().is_empty());
    assert_eq!(fixture.a("state"), "3");
    assert_eq!(fixture.script_as("admin", &update_a("gA.state = 4")).trace(), ["ran"]);
    let b = format!("var g = new GlideRecord('incident'); g.get('{B}'); g.state = 6; g.update()");
    assert!(fixture.script_as("abel", &b).trace().is_empty(), "the filter says priority 1");
    assert_eq!(fixture.row("incident", B).unwrap().text("state"), "6");
}

#[test]
fn br_07_a_filter_knows_letter_case_and_a_query_does_not() {
    let fixture = Fixture::new();
    fixture.rule(
        "case",
        &[("filter_condition", "short_descriptionLIKEemail"), ("script", "gs.print('ran')")],
    );
    fixture.rule(
        "as written",
        &[("filter_condition", "short_descriptionLIKEEmail"), ("script", "gs.print('as written')")],
    );
    assert_eq!(fixture.script(&update_a("gA.state = 2")).trace(), ["as written"]);
    assert_eq!(fixture.a("state"), "2");
    let found = fixture.script(
        "var g = new GlideRecord('incident'); g.addEncodedQuery('short_descriptionLIKEemail'); g.query();\
         var out = []; while (g.next()) out.push(g.sys_id + ''); out + ''",
    );
    assert_eq!(found.text, A);
}

#[test]
fn br_08_change_operators_compare_with_the_stored_values() {
    let fixture = Fixture::new();
    for (name, filter) in
        [("changes", "stateVALCHANGES"), ("to", "stateCHANGESTO6"), ("from", "stateCHANGESFROM1")]
    {
        let script = format!("gs.print('{name}')");
        fixture.rule(
            name,
            &[("filter_condition", filter), ("action_insert", "true"), ("script", &script)],
        );
    }
    assert_eq!(fixture.script(&update_a("gA.state = 6")).trace(), ["changes", "to", "from"]);
    assert!(fixture.script(&update_a("gA.category = 'x'")).trace().is_empty());
    let insert = "var g = new GlideRecord('incident'); g.state = 6; g.insert()";
    assert_eq!(fixture.script(insert).trace(), ["changes", "to"]);
}

#[test]
fn br_09_a_rule_sees_what_an_earlier_one_changed() {
    let fixture = Fixture::new();
    fixture.before("sets", "current.category = 'x'");
    fixture.rule(
        "sees",
        &[("order", "200"), ("filter_condition", "category=x"), ("script", "gs.print('ran')")],
    );
    assert_eq!(fixture.script(&update_a("gA.state = 2")).trace(), ["ran"]);
    assert_eq!(fixture.a("category"), "x");
}

#[test]
fn br_10_a_condition_that_throws_skips_its_rule_and_is_logged_once() {
    let fixture = Fixture::new();
    fixture.rule(
        "broken condition",
        &[("condition", "current.nope.foo()"), ("script", "gs.print('ran')")],
    );
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert!(ran.trace().is_empty());
    assert_eq!(fixture.a("state"), "2");
    let errors = fixture.logged_errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("broken condition"), "{errors:?}");
}

#[test]
fn br_11_a_rule_without_conditions_runs() {
    let fixture = Fixture::new();
    fixture.before("plain", "gs.print('ran')");
    assert_eq!(fixture.script(&update_a("gA.state = 2")).trace(), ["ran"]);
}
