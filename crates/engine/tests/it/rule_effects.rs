//! Business rules: what they do (business-rules §19.2).

use std::sync::Arc;

use crate::fixture::{A, ABEL, BETH, Fixture, update_a};

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

#[test]
fn br_20_set_values_assigns_constants_and_other_fields() {
    let fixture = Fixture::new();
    fixture.rule("sets", &[("template", "category=software^impactSAMEASurgency^EQ")]);
    fixture.script(&update_a("gA.urgency = 2"));
    assert_eq!((fixture.a("category").as_str(), fixture.a("impact").as_str()), ("software", "2"));
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
    hook.at_next_look(move |_now| {
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
