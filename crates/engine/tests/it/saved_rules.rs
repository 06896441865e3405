//! What is told when a rule, a script or a table is saved.

use campanile_engine::EngineError;

use crate::fixture::Fixture;

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
