//! System fields, audit, journals, keys, lengths, cascades (business-rules §12, §13, §19.2–19.4).

use campanile_engine::EngineError;
use campanile_script::LogLevel;

use crate::fixture::{A, ABEL, B, BETH, C, Fixture, JOE, update_a};

#[test]
fn br_30_without_workflow_there_is_no_rule_and_no_audit_but_the_note_is_stored() {
    let fixture = Fixture::new();
    fixture.before("ran", "gs.print('ran')");
    let ran =
        fixture.script(&update_a("gA.setWorkflow(false); gA.state = 2; gA.work_notes = 'note'"));
    assert!(ran.trace().is_empty());
    assert!(fixture.house.rows("sys_audit", &[]).is_empty());
    let notes = fixture.house.rows("sys_journal_field", &[]);
    assert_eq!(notes.len(), 1);
    assert_eq!((notes[0].text("name"), notes[0].text("element_id")), ("incident", A));
    assert_eq!((notes[0].text("value"), notes[0].text("sys_created_by")), ("note", "abel"));
}

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
fn br_50_system_fields_name_logins_and_count_updates() {
    let fixture = Fixture::new();
    let id = fixture
        .script("var g = new GlideRecord('incident'); g.short_description = 'x'; g.insert()")
        .text;
    fixture.house.clock.advance_millis(60_000);
    let update =
        format!("var g = new GlideRecord('incident'); g.get('{id}'); g.state = 2; g.update()");
    fixture.script_as("beth", &update);
    let row = fixture.row("incident", &id).unwrap();
    assert_eq!((row.text("sys_created_by"), row.text("sys_updated_by")), ("abel", "beth"));
    assert_eq!(row.text("sys_mod_count"), "1");
    assert_eq!(row.text("sys_created_on"), "2024-03-13 18:30:00");
    assert_eq!(row.text("sys_updated_on"), "2024-03-13 18:31:00");
    assert_eq!(row.text("sys_class_name"), "incident");
    assert_eq!(id.len(), 32);
}

#[test]
fn br_51_a_taken_unique_value_is_refused_and_nil_never_is() {
    let fixture = Fixture::new();
    let insert = |code: &str| {
        fixture
            .script(&format!(
                "var g = new GlideRecord('incident'); g.u_code = '{code}'; var r = g.insert(); (r === null) + ' ' + g.getLastErrorMessage()"
            ))
            .text
    };
    assert_eq!(insert("K1"), "false null");
    let refused = insert("K1");
    assert!(refused.starts_with("true Unique key violation on u_code"), "{refused}");
    assert_eq!(insert(""), "false null");
    assert_eq!(insert(""), "false null");
    let error = fixture.insert("abel", "incident", &[("u_code", "K1")]).unwrap_err();
    let EngineError::Integrity { code, operation, table, .. } = error else { panic!("{error:?}") };
    assert_eq!((code, operation, table.as_str()), ("duplicate", "insert", "incident"));
}

#[test]
fn br_52_a_script_has_its_value_cut_and_a_request_is_refused() {
    let fixture = Fixture::new();
    let ran = fixture.script(&update_a("gA.u_code = '123456789012345'"));
    assert_eq!(fixture.a("u_code"), "1234567890");
    assert_eq!(ran.lines(LogLevel::Warn).len(), 1);
    let error =
        fixture.update("abel", "incident", A, &[("u_code", "123456789012345")]).unwrap_err();
    assert!(matches!(error, EngineError::Integrity { code: "too_long", .. }), "{error:?}");
    assert_eq!(fixture.a("sys_mod_count"), "1");
}

#[test]
fn values_of_registrations_are_refused_instead_of_cut() {
    let fixture = Fixture::new();
    let ran = fixture.script_as(
        "admin",
        "var r = new GlideRecord('sysevent_register'); r.event_name = new Array(102).join('x'); (r.insert() === null) + ' ' + r.getLastErrorMessage()",
    );
    assert!(ran.text.starts_with("true ") && ran.text.contains("101 characters"), "{}", ran.text);
    assert!(
        fixture
            .house
            .rows("sysevent_register", &[])
            .iter()
            .all(|row| !row.text("event_name").starts_with("xx"))
    );
}

#[test]
fn br_53_an_audited_table_keeps_one_row_for_each_changed_field() {
    let fixture = Fixture::new();
    fixture.script(&update_a("gA.state = 2; gA.category = 'x'; gA.comments = 'hello'"));
    let rows = fixture.house.rows("sys_audit", &[]);
    let mut fields: Vec<(&str, &str, &str)> = rows
        .iter()
        .map(|row| (row.text("fieldname"), row.text("oldvalue"), row.text("newvalue")))
        .collect();
    fields.sort_unstable();
    assert_eq!(fields, [("comments", "", "hello"), ("state", "1", "2")]);
    assert_eq!((rows[0].text("tablename"), rows[0].text("documentkey")), ("incident", A));
    assert_eq!((rows[0].text("user"), rows[0].text("record_checkpoint")), ("abel", "1"));
}

#[test]
fn br_54_the_audit_flag_is_not_inherited() {
    let fixture = Fixture::new();
    let id = fixture.script("var p = new GlideRecord('problem'); p.insert()").text;
    fixture.script(&format!(
        "var p = new GlideRecord('problem'); p.get('{id}'); p.state = 3; p.update()"
    ));
    assert!(fixture.house.rows("sys_audit", &[]).is_empty());
}

#[test]
fn br_55_a_reference_is_audited_by_key_and_an_insert_from_nothing() {
    let fixture = Fixture::new();
    fixture.script(&update_a(&format!("gA.assigned_to = '{BETH}'")));
    let row = fixture.house.rows("sys_audit", &[]).remove(0);
    assert_eq!((row.text("oldvalue"), row.text("newvalue")), (ABEL, BETH));
    fixture.script("var g = new GlideRecord('incident'); g.short_description = 'x'; g.insert()");
    let rows = fixture.house.rows("sys_audit", &[("fieldname", "short_description")]);
    assert_eq!((rows[0].text("oldvalue"), rows[0].text("newvalue")), ("", "x"));
    assert!(fixture.house.rows("sys_audit", &[("fieldname", "sys_created_on")]).is_empty());
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

#[test]
fn a_script_that_does_not_parse_is_refused_from_every_door() {
    let fixture = Fixture::new();
    let values =
        [("name", "broken"), ("collection", "incident"), ("script", "var x = 1;\nif (x { }")];
    let error = fixture.insert("admin", "sys_script", &values).unwrap_err();
    let EngineError::Integrity { code, detail, .. } = error else { panic!("{error:?}") };
    assert_eq!(code, "definition_invalid");
    assert!(detail.contains("'script'") && detail.contains("line 2"), "{detail}");
    let ran = fixture.script_as(
        "admin",
        "var r = new GlideRecord('sys_script'); r.name = 'broken'; r.collection = 'incident'; r.script = 'if ('; (r.insert() === null) + ''",
    );
    assert_eq!(ran.text, "true");
    assert!(fixture.house.rows("sys_script", &[("name", "broken")]).is_empty());
}

#[test]
fn a_rule_that_does_not_run_here_is_saved_with_a_warning() {
    let fixture = Fixture::new();
    let values = [
        ("name", "later"),
        ("collection", "incident"),
        ("when", "async"),
        ("action_insert", "true"),
    ];
    let written = fixture.insert("admin", "sys_script", &values).unwrap();
    assert_eq!(written.warnings.len(), 1, "{:?}", written.warnings);
    assert!(written.warnings[0].contains("async"), "{:?}", written.warnings);
}

#[test]
fn a_rule_that_can_never_run_is_saved_with_the_reason() {
    let fixture = Fixture::new();
    for (collection, filter, named) in
        [("nosuch", "", "no table 'nosuch'"), ("incident", "priority=1^nosuch=2", "'nosuch=2'")]
    {
        let values = [
            ("name", "never"),
            ("collection", collection),
            ("filter_condition", filter),
            ("action_insert", "true"),
        ];
        let written = fixture.insert("admin", "sys_script", &values).unwrap();
        assert_eq!(written.warnings.len(), 1, "{:?}", written.warnings);
        assert!(written.warnings[0].contains(named), "{:?}", written.warnings);
    }
    for (collection, filter) in [("incident", "priority=1^stateVALCHANGES"), ("global", "")] {
        let values = [
            ("name", "runs"),
            ("collection", collection),
            ("filter_condition", filter),
            ("action_insert", "true"),
        ];
        let written = fixture.insert("admin", "sys_script", &values).unwrap();
        assert!(written.warnings.is_empty(), "{:?}", written.warnings);
    }
}

#[test]
fn a_plain_password_is_stored_as_a_hash() {
    let fixture = Fixture::new();
    let update = format!(
        "var u = new GlideRecord('sys_user'); u.get('{ABEL}'); u.user_password = 'secret'; u.update()"
    );
    fixture.script_as("admin", &update);
    let stored = fixture.row("sys_user", ABEL).unwrap().text("user_password").to_owned();
    assert!(stored.starts_with("$argon2"), "{stored}");
    let count = fixture.row("sys_user", ABEL).unwrap().text("sys_mod_count").to_owned();
    let again =
        format!("var u = new GlideRecord('sys_user'); u.get('{ABEL}'); u.title = 'x'; u.update()");
    fixture.script_as("admin", &again);
    let row = fixture.row("sys_user", ABEL).unwrap();
    assert_eq!(row.text("user_password"), stored, "a hash is not hashed again");
    assert_ne!(row.text("sys_mod_count"), count);
}

#[test]
fn a_new_table_is_there_with_its_first_row_and_a_wrong_one_is_refused() {
    let fixture = Fixture::new();
    fixture.insert("admin", "sys_db_object", &[("name", "u_thing"), ("label", "Thing")]).unwrap();
    let column = [("name", "u_thing"), ("element", "u_size"), ("internal_type", "integer")];
    fixture.insert("admin", "sys_dictionary", &column).unwrap();
    let ran = fixture.script_as(
        "admin",
        "var t = new GlideRecord('u_thing'); t.u_size = 4; t.insert(); var q = new GlideRecord('u_thing'); q.addQuery('u_size', '>', 3); q.query(); q.getRowCount()",
    );
    assert_eq!(ran.text, "1");
    let error = fixture.insert("admin", "sys_dictionary", &column).unwrap_err();
    assert!(
        matches!(error, EngineError::Integrity { code: "definition_invalid", .. }),
        "{error:?}"
    );
    assert_eq!(
        fixture.house.rows("sys_dictionary", &[("name", "u_thing"), ("element", "u_size")]).len(),
        1
    );
}

#[test]
fn auto_sys_fields_off_leaves_the_stamps_alone() {
    let fixture = Fixture::new();
    fixture.house.clock.advance_millis(5_000);
    fixture.script(&update_a("gA.autoSysFields(false); gA.short_description = 'y'"));
    assert_eq!(
        (fixture.a("short_description").as_str(), fixture.a("sys_mod_count").as_str()),
        ("y", "0")
    );
    assert_eq!(fixture.a("sys_updated_by"), "system");
}

#[test]
fn a_run_that_writes_too_much_is_ended_and_leaves_nothing_of_its_operation() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.max_rows_written", "5");
    fixture.rule(
        "greedy",
        &[("when", "after"), ("script", "for (var i = 0; i < 20; i++) { var p = new GlideRecord('u_plain'); p.u_name = 'n' + i; p.insert(); }")],
    );
    let (result, report) = fixture.try_script("abel", &update_a("gA.state = 2"));
    assert_eq!(result, Err(Some(campanile_script::LimitKind::RowsWritten)));
    assert!(fixture.house.rows("u_plain", &[]).is_empty());
    assert_eq!(fixture.a("state"), "1");
    assert!(report.written.is_empty());
}

#[test]
fn a_default_that_makes_rows_of_its_own_table_ends_with_its_name_and_leaves_nothing() {
    let fixture = Fixture::new();
    let values = [
        ("name", "u_plain"),
        ("element", "u_seed"),
        ("internal_type", "string"),
        ("default_value", "javascript:var p = new GlideRecord('u_plain'); p.insert(); 'v'"),
    ];
    let column = fixture.insert("admin", "sys_dictionary", &values).unwrap().record;
    let insert = || fixture.insert("admin", "u_plain", &[("u_name", "n")]);
    let error = insert().unwrap_err();
    let EngineError::Integrity { code, detail, .. } = error else { panic!("{error:?}") };
    assert_eq!(code, "nested_too_deep");
    assert!(detail.contains("default of u_plain.u_seed"), "{detail}");
    assert!(detail.contains("max_rule_recursion"), "{detail}");
    assert!(fixture.house.rows("u_plain", &[]).is_empty(), "nothing half done");
    let logged = fixture.logged_errors();
    assert_eq!(
        logged.iter().filter(|line| line.contains("u_plain.u_seed")).count(),
        1,
        "{logged:?}"
    );

    let by_script = "var p = new GlideRecord('u_plain'); p.u_name = 'n'; String(p.insert())";
    assert_eq!(fixture.script_as("admin", by_script).text, "null");
    let begun = "var p = new GlideRecord('u_plain'); p.newRecord(); p.u_name + '|' + p.u_seed";
    fixture.try_script("admin", begun).0.unwrap();
    assert!(fixture.house.rows("u_plain", &[]).is_empty());

    // A chain that ends by itself within the bound is an ordinary default.
    let ends = "javascript:if (current.u_next.nil()) { var p = new GlideRecord('u_plain'); p.u_next = 'x'; p.insert(); } 'v'";
    fixture
        .update("admin", "sys_dictionary", column.text("sys_id"), &[("default_value", ends)])
        .unwrap();
    insert().unwrap();
    assert_eq!(fixture.house.rows("u_plain", &[("u_seed", "v")]).len(), 2);
}

#[test]
fn who_may_not_change_a_read_only_field_is_what_its_option_says() {
    let fixture = Fixture::new();
    for option in ["", "display_read_only", "client_script_modifiable", "strict_read_only"] {
        let element = format!("u_{}", if option.is_empty() { "plain" } else { option });
        let values = [
            ("name", "incident"),
            ("element", &element),
            ("internal_type", "string"),
            ("read_only", "true"),
            ("read_only_option", option),
        ];
        fixture.insert("admin", "sys_dictionary", &values).unwrap();
        let by_caller = [(element.as_str(), "caller"), ("u_must", option)];
        fixture.update("abel", "incident", A, &by_caller).unwrap();
        let caller_wrote = fixture.a(&element) == "caller";
        assert_eq!(fixture.a("u_must"), option, "the rest of the write goes on");
        fixture.script(&update_a(&format!("gA.{element} = 'script'")));
        let script_wrote = fixture.a(&element) == "script";
        let rule = fixture.before("R", &format!(
            "var g = new GlideRecord('incident'); g.get('{B}'); g.{element} = 'rule'; g.setWorkflow(false); g.update();"
        ));
        fixture.script(&update_a("gA.u_count = (gA.u_count - 0) + 1"));
        fixture.house.remove("sys_script", &rule);
        let rule_wrote = fixture.row("incident", B).unwrap().text(&element) == "rule";
        let expected = match option {
            "display_read_only" => (true, true, true),
            "client_script_modifiable" => (false, false, true),
            "strict_read_only" => (false, false, false),
            _ => (false, true, true),
        };
        assert_eq!((caller_wrote, script_wrote, rule_wrote), expected, "{option}");
    }
}
