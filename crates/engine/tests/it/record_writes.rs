//! System fields, audit, journals, keys, lengths (business-rules §12, §13, §19.2–19.4).

use campanile_engine::EngineError;
use campanile_script::LogLevel;

use crate::fixture::{A, ABEL, B, BETH, Fixture, update_a};

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
fn br_50_system_fields_name_logins_and_count_updates() {
    let fixture = Fixture::new();
    let by_script = fixture
        .script("var g = new GlideRecord('incident'); g.short_description = 'x'; g.insert()")
        .text;
    let by_request = fixture.insert("abel", "incident", &[("short_description", "x")]).unwrap();
    let by_request = by_request.record.text("sys_id").to_owned();
    fixture.house.clock.advance_millis(60_000);
    let update = format!(
        "var g = new GlideRecord('incident'); g.get('{by_script}'); g.state = 2; g.update()"
    );
    fixture.script_as("beth", &update);
    fixture.update("beth", "incident", &by_request, &[("state", "2")]).unwrap();
    for (id, path) in [(&by_script, "script"), (&by_request, "request")] {
        let row = fixture.row("incident", id).unwrap();
        let said = (row.text("sys_created_by"), row.text("sys_updated_by"));
        assert_eq!(said, ("abel", "beth"), "{path}: logins, not names or keys");
        assert_eq!(row.text("sys_mod_count"), "1", "{path}");
        assert_eq!(row.text("sys_created_on"), "2024-03-13 18:30:00", "{path}");
        assert_eq!(row.text("sys_updated_on"), "2024-03-13 18:31:00", "{path}");
        assert_eq!(row.text("sys_class_name"), "incident", "{path}");
        assert_eq!(id.len(), 32, "{path}");
        // Read as scripts read.
        let read = format!(
            "var g = new GlideRecord('incident'); g.get('{id}'); \
             [g.sys_created_by, g.sys_updated_by, g.sys_mod_count, g.sys_created_on != g.sys_updated_on].join()"
        );
        assert_eq!(fixture.script(&read).text, "abel,beth,1,true", "{path}");
    }
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
