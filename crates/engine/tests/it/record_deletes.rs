//! Deleting: cascades, restrictions, many rows at once (business-rules §12, §19.3).

use crate::fixture::{A, B, C, Fixture, JOE, update_a};

#[test]
fn br_45_references_to_a_deleted_row_are_emptied() {
    let fixture = Fixture::new();
    fixture.after("must not run", "gs.print('ran')");
    let ran = fixture.script_as(
        "admin",
        &format!("var u = new GlideRecord('sys_user'); u.get('{JOE}'); u.deleteRecord()"),
    );
    assert_eq!((ran.text.as_str(), ran.trace().len()), ("true", 0));
    assert_eq!(fixture.a("caller_id"), "");
    assert!(fixture.row("sys_user", JOE).is_none());
}

#[test]
fn br_45_a_cascade_deletes_through_the_delete_rules_of_the_rows() {
    let fixture = Fixture::new();
    cascade(&fixture, "delete");
    fixture.rule(
        "delete rule",
        &[
            ("action_update", "false"),
            ("action_delete", "true"),
            ("script", "gs.print(current.number)"),
        ],
    );
    let ran = fixture.script_as(
        "admin",
        &format!("var u = new GlideRecord('sys_user'); u.get('{JOE}'); u.deleteRecord()"),
    );
    assert_eq!((ran.text.as_str(), ran.trace()), ("true", vec!["INC0000001"]));
    assert!(fixture.row("incident", A).is_none());
}

#[test]
fn br_45_a_refused_cascade_refuses_the_whole_delete() {
    let fixture = Fixture::new();
    cascade(&fixture, "delete");
    fixture.house.change("incident", B, &[("caller_id", JOE)]);
    fixture.rule(
        "keeps B",
        &[
            ("action_update", "false"),
            ("action_delete", "true"),
            ("script", "gs.eventQueue('deleted', current, '', ''); if (current.number == 'INC0000002') current.setAbortAction(true)"),
        ],
    );
    let ran = fixture.script_as(
        "admin",
        &format!("var u = new GlideRecord('sys_user'); u.get('{JOE}'); u.deleteRecord()"),
    );
    assert_eq!(ran.text, "false");
    assert!(fixture.row("incident", A).is_some() && fixture.row("sys_user", JOE).is_some());
    assert!(fixture.events().is_empty(), "what the cascade fired went with it");
    assert!(fixture.house.rows("sys_audit_delete", &[]).is_empty());
}

#[test]
fn br_45_restrict_refuses_and_none_leaves_the_key() {
    let fixture = Fixture::new();
    cascade(&fixture, "restrict");
    let delete = format!(
        "var u = new GlideRecord('sys_user'); u.get('{JOE}'); var r = u.deleteRecord(); r + ' ' + u.getLastErrorMessage()"
    );
    let refused = fixture.script_as("admin", &delete).text;
    assert!(refused.starts_with("false ") && refused.contains("incident"), "{refused}");
    assert!(fixture.row("sys_user", JOE).is_some());

    let fixture = Fixture::new();
    cascade(&fixture, "none");
    assert!(fixture.script_as("admin", &delete).text.starts_with("true"));
    assert_eq!(fixture.a("caller_id"), JOE);
    let ran = fixture.script(&format!(
        "var g = new GlideRecord('incident'); g.get('{A}'); g.caller_id.name + '#'"
    ));
    assert_eq!(ran.text, "#");
}

fn cascade(fixture: &Fixture, rule: &str) {
    let column = fixture
        .house
        .rows("sys_dictionary", &[("name", "incident"), ("element", "caller_id")])
        .remove(0);
    fixture.house.change(
        "sys_dictionary",
        column.text("sys_id"),
        &[("reference_cascade_rule", rule)],
    );
}

#[test]
fn br_46_delete_multiple_leaves_rows_whose_rules_refuse() {
    let fixture = Fixture::new();
    fixture.rule(
        "active rows stay",
        &[
            ("action_update", "false"),
            ("action_delete", "true"),
            ("filter_condition", "active=true"),
            ("script", "current.setAbortAction(true)"),
        ],
    );
    fixture.script("var g = new GlideRecord('incident'); g.deleteMultiple()");
    assert!(fixture.row("incident", A).is_some() && fixture.row("incident", B).is_some());
    assert!(fixture.row("incident", C).is_none());
}

#[test]
fn br_56_a_deleted_row_can_be_rebuilt() {
    let fixture = Fixture::new();
    fixture.script(&update_a("gA.work_notes = 'gone too'"));
    let ran = fixture
        .script(&format!("var g = new GlideRecord('incident'); g.get('{A}'); g.deleteRecord()"));
    assert_eq!(ran.text, "true");
    let copy = fixture.house.rows("sys_audit_delete", &[("documentkey", A)]).remove(0);
    assert_eq!((copy.text("tablename"), copy.text("display_value")), ("incident", "INC0000001"));
    let payload: serde_json::Value = serde_json::from_str(copy.text("payload")).unwrap();
    assert_eq!(payload["short_description"], "Email down");
    assert_eq!(payload["sys_id"], A);
    assert!(fixture.house.rows("sys_journal_field", &[]).is_empty());
    let written = &ran.report.written;
    assert_eq!(
        (written.len(), written[0].operation, &*written[0].table),
        (1, "delete", "incident")
    );
}
