//! What is told when a definition is saved, from every door: values that do not fit are refused, what will surprise
//! gives a warning.

use campanile_engine::EngineError;

use crate::fixture::Fixture;

/// The refusal of an insert, which leaves no row.
fn refused(fixture: &Fixture, table: &str, values: &[(&str, &str)]) -> String {
    let rows = fixture.house.rows(table, &[]).len();
    let told = match fixture.insert("admin", table, values) {
        Err(EngineError::Integrity { code: "definition_invalid", detail, .. }) => detail,
        other => panic!("{table} {values:?}: {other:?}"),
    };
    assert_eq!(fixture.house.rows(table, &[]).len(), rows, "nothing half done");
    told
}

/// The warnings of an insert, which succeeds.
fn warned(fixture: &Fixture, table: &str, values: &[(&str, &str)]) -> Vec<String> {
    match fixture.insert("admin", table, values) {
        Ok(written) => written.warnings,
        Err(error) => panic!("{table} {values:?}: {error:?}"),
    }
}

#[track_caller]
fn says(told: &str, words: &[&str]) {
    for word in words {
        assert!(told.contains(word), "'{word}' is missing in: {told}");
    }
}

#[test]
fn a_value_that_does_not_fit_its_property_is_refused() {
    let fixture = Fixture::new();
    for (name, value, expected) in [
        ("campanile.events.max_depth", "many", "from 1 to 10000, got 'many'"),
        ("campanile.events.max_depth", "0", "from 1 to 10000, got '0'"),
        ("campanile.queues.wake", "perhaps", "true or false, got 'perhaps'"),
        ("campanile.queues.unknown", "drop", "provision, default, hold, got 'drop'"),
        ("campanile.queues.provisional_max", "-1", "from 0 to 1000, got '-1'"),
        ("campanile.queues.provisional_max", "1001", "from 0 to 1000, got '1001'"),
        ("glide.sys.default.tz", "Mars/Olympus", "time zone"),
        ("glide.servlet.uri", "instance.example.com", "https://"),
    ] {
        let row = fixture.house.rows("sys_properties", &[("name", name)]).remove(0);
        let (key, before) = (row.text("sys_id"), row.text("value"));
        let update = fixture.update("admin", "sys_properties", key, &[("value", value)]);
        let Err(EngineError::Integrity { code, detail, .. }) = update else {
            panic!("{name} became {value}: {update:?}");
        };
        assert_eq!(code, "definition_invalid");
        says(&detail, &["'value'", name, expected]);
        let after = fixture.row("sys_properties", key).unwrap();
        assert_eq!(after.text("value"), before, "{name}");
    }
    for (name, value) in [
        ("campanile.script.background.memory_mb", "lots"),
        ("com.glide.event_manager.default.claim_limit", "0"),
    ] {
        says(&refused(&fixture, "sys_properties", &[("name", name), ("value", value)]), &[name]);
    }
}

#[test]
fn an_own_property_is_held_to_the_type_that_its_row_names() {
    let fixture = Fixture::new();
    for (of_type, value, choices) in
        [("boolean", "x", ""), ("integer", "1.5", ""), ("choicelist", "c", "a, Bee=b")]
    {
        let values =
            [("name", "shop.x"), ("type", of_type), ("value", value), ("choices", choices)];
        says(&refused(&fixture, "sys_properties", &values), &["shop.x", value]);
    }
    for (name, of_type, value, choices) in [
        ("shop.a", "boolean", "false", ""),
        ("shop.b", "integer", "-7", ""),
        ("shop.c", "choicelist", "b", "a, Bee=b"),
        ("shop.d", "choicelist", "anything", ""),
        ("shop.e", "string", "x", ""),
    ] {
        let values = [("name", name), ("type", of_type), ("value", value), ("choices", choices)];
        assert!(warned(&fixture, "sys_properties", &values).is_empty(), "{name}");
    }
}

#[test]
fn an_unknown_property_of_the_products_own_is_saved_with_the_name_that_was_meant() {
    let fixture = Fixture::new();
    let values = [("name", "campanile.event.max_depth"), ("value", "7")];
    let warnings = warned(&fixture, "sys_properties", &values);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    says(
        &warnings[0],
        &["campanile.event.max_depth", "did you mean 'campanile.events.max_depth'?"],
    );
    let row = fixture.house.rows("sys_properties", &[("name", values[0].1)]).remove(0);
    let again =
        fixture.update("admin", "sys_properties", row.text("sys_id"), &[("value", "8")]).unwrap();
    assert!(again.warnings.is_empty(), "told once: {:?}", again.warnings);
    assert!(warned(&fixture, "sys_properties", &[("name", "glide.some.other")]).is_empty());
}

#[test]
fn a_script_cannot_set_a_property_to_what_does_not_fit() {
    let fixture = Fixture::new();
    let ran = fixture.script_as(
        "admin",
        "gs.setProperty('campanile.events.max_depth', 'many'); gs.getProperty('campanile.events.max_depth')",
    );
    assert_eq!(ran.text, "50");
    let warnings = ran.lines(campanile_script::LogLevel::Warn);
    assert!(warnings.iter().any(|line| line.contains("got 'many'")), "{warnings:?}");
    let set = "gs.setProperty('campanile.script.background.max_ms', '5000'); gs.getProperty('campanile.script.background.max_ms')";
    assert_eq!(fixture.script_as("admin", set).text, "5000");
    let named = [("name", "campanile.script.background.max_ms")];
    let row = fixture.house.rows("sys_properties", &named).remove(0);
    assert_eq!(row.text("type"), "integer", "a known property has its own type");
}

#[test]
fn a_column_that_cannot_be_is_refused() {
    let fixture = Fixture::new();
    let column = |extra: &[(&'static str, &'static str)]| {
        let mut values =
            vec![("name", "u_plain"), ("element", "u_new"), ("internal_type", "string")];
        for (name, value) in extra {
            values.retain(|(known, _)| known != name);
            values.push((name, value));
        }
        values
    };
    for (extra, words) in [
        (vec![("internal_type", "strin")], vec!["'strin'", "did you mean 'string'?"]),
        (vec![("max_length", "-1")], vec!["'max_length'", "got -1"]),
        (vec![("max_length", "0")], vec!["got 0"]),
        (vec![("max_length", "99999999999")], vec!["got 99999999999"]),
        (vec![("internal_type", "reference"), ("reference", "nosuch")], vec!["'nosuch'"]),
        (vec![("internal_type", "reference")], vec!["without a target"]),
        (vec![("element", "U New")], vec!["'U New' is no column name"]),
        (vec![("element", "u__new")], vec!["'u__new' is no column name"]),
        (vec![("name", "nosuch")], vec!["'nosuch'", "does not exist"]),
        (vec![("choice", "9")], vec!["'choice'"]),
        (vec![("reference_cascade_rule", "cler")], vec!["'reference_cascade_rule'", "'cler'"]),
        (vec![("read_only_option", "never")], vec!["'read_only_option'", "'never'"]),
        (vec![("default_value", "javascript:if (")], vec!["'default_value'", "line 1"]),
    ] {
        says(&refused(&fixture, "sys_dictionary", &column(&extra)), &words);
    }
    let odd = column(&[("internal_type", "integer"), ("default_value", "many")]);
    says(&warned(&fixture, "sys_dictionary", &odd)[0], &["u_plain.u_new", "'many' is no integer"]);
}

#[test]
fn a_table_that_cannot_be_is_refused() {
    let fixture = Fixture::new();
    let long = "u".repeat(81);
    for name in ["U_X", "u x", "1u", "u-x", "u_", "sqlite_x", "campanile_x"] {
        says(&refused(&fixture, "sys_db_object", &[("name", name)]), &["no table name"]);
    }
    assert!(fixture.insert("admin", "sys_db_object", &[("name", &long)]).is_err());
    let taken = fixture.insert("admin", "sys_db_object", &[("name", "incident")]).unwrap_err();
    assert!(matches!(taken, EngineError::Integrity { code: "duplicate", .. }), "{taken:?}");
}

#[test]
fn a_numbering_that_cannot_count_is_refused() {
    let fixture = Fixture::new();
    fixture.insert("admin", "sys_db_object", &[("name", "u_thing")]).unwrap();
    for (table, digits, base, words) in [
        ("u_thing", "-1", "1", ["'maximum_digits'", "got -1"]),
        ("u_thing", "0", "1", ["'maximum_digits'", "got 0"]),
        ("u_thing", "41", "1", ["1 to 40", "got 41"]),
        ("u_thing", "7", "-1", ["'number'", "got -1"]),
        ("u_thin", "7", "1", ["'u_thin'", "did you mean 'u_thing'?"]),
    ] {
        let values = [("category", table), ("maximum_digits", digits), ("number", base)];
        says(&refused(&fixture, "sys_number", &values), &words);
    }
    let values = [("category", "u_thing"), ("prefix", "T"), ("maximum_digits", "3")];
    assert!(warned(&fixture, "sys_number", &values).is_empty());
}

#[test]
fn a_choice_that_belongs_to_no_column_is_saved_with_a_warning() {
    let fixture = Fixture::new();
    for (table, element, value, words) in [
        ("incidnt", "state", "1", ["no table 'incidnt'", "did you mean 'incident'?"]),
        ("incident", "stat", "1", ["no column 'stat'", "did you mean 'state'?"]),
        ("incident", "state", "one", ["has no effect", "'one'"]),
    ] {
        let values = [("name", table), ("element", element), ("value", value), ("label", "L")];
        says(&warned(&fixture, "sys_choice", &values)[0], &words);
    }
    let inherited = [("name", "incident"), ("element", "state"), ("value", "9"), ("label", "Nine")];
    assert!(warned(&fixture, "sys_choice", &inherited).is_empty());
}

#[test]
fn a_registration_for_an_unknown_table_or_queue_is_saved_with_a_warning() {
    let fixture = Fixture::new();
    let values = [("event_name", "t.a"), ("table", "incidnt"), ("queue", "nosuch")];
    let warnings = warned(&fixture, "sysevent_register", &values);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    says(&warnings[0], &["no queue 'nosuch'", "provisional"]);
    says(&warnings[1], &["'t.a'", "'incidnt'", "did you mean 'incident'?"]);
    for name in ["a b", ".a", "ä"] {
        refused(&fixture, "sysevent_register", &[("event_name", name)]);
    }
    fixture.property("campanile.queues.unknown", "hold");
    let values = [("event_name", "t.b"), ("queue", "other")];
    says(&refused(&fixture, "sysevent_register", &values), &["'other'", "sysevent_queue"]);
}

#[test]
fn a_script_action_for_an_unregistered_event_is_saved_with_the_name_that_was_meant() {
    let fixture = Fixture::new();
    fixture.insert("admin", "sysevent_register", &[("event_name", "incident.paged")]).unwrap();
    let values = [("name", "Page"), ("event_name", "incident.pagd"), ("script", "1")];
    let warnings = warned(&fixture, "sysevent_script_action", &values);
    says(&warnings[0], &["'incident.pagd' is not registered", "did you mean 'incident.paged'?"]);
    let values = [("name", "Page 2"), ("event_name", "incident.paged"), ("max_attempts", "21")];
    says(&refused(&fixture, "sysevent_script_action", &values), &["'max_attempts'", "got 21"]);
}

#[test]
fn a_rule_is_saved_with_everything_in_it_that_will_have_no_effect() {
    let fixture = Fixture::new();
    let rule = |extra: &[(&'static str, &'static str)]| {
        let mut values = vec![("name", "R"), ("collection", "incident"), ("action_update", "true")];
        for (name, value) in extra {
            values.retain(|(known, _)| known != name);
            values.push((name, value));
        }
        warned(&fixture, "sys_script", &values)
    };
    for (extra, words) in [
        (vec![("script", "1")], vec!["'R' has a script that does not run", "'advanced'"]),
        (vec![("condition", "true")], vec!["a condition that does not run"]),
        (vec![("action_update", "false")], vec!["never runs", "action_insert"]),
        (vec![("collection", "incidnt")], vec!["'incidnt'", "did you mean 'incident'?"]),
        (vec![("filter_condition", "stat=1")], vec!["never runs", "'stat=1'"]),
        (vec![("role_conditions", "itil, itl")], vec!["role 'itl'"]),
        (vec![("template", "categry=x^EQ")], vec!["'categry'", "did you mean 'category'?"]),
        (vec![("template", "prioritySAMEASurgncy^EQ")], vec!["did you mean 'urgency'?"]),
        (vec![("template", "priority=high^EQ")], vec!["'high'"]),
        (vec![("template", "priority=1^EQ"), ("when", "after")], vec!["before rules only"]),
    ] {
        let warnings = rule(&extra);
        assert_eq!(warnings.len(), 1, "{extra:?}: {warnings:?}");
        says(&warnings[0], &words);
    }
    let sound = [
        ("script", "1"),
        ("advanced", "true"),
        ("filter_condition", "stateVALCHANGES^caller_id.active=true"),
        ("role_conditions", "itil,admin"),
        ("template", "category=x^impactSAMEASurgency^EQ"),
    ];
    assert!(rule(&sound).is_empty(), "{:?}", rule(&sound));
}

#[test]
fn doctor_names_properties_whose_stored_value_does_not_fit() {
    let fixture = Fixture::new();
    assert!(fixture.house.engine.examine().unwrap().is_empty(), "what is shipped fits");
    // As an older version, or another program, stored them.
    fixture.property("campanile.events.max_depth", "many");
    let choice = fixture.house.add(
        "sys_properties",
        &[
            ("name", "x.size"),
            ("type", "choicelist"),
            ("choices", "Small=s,Large=l"),
            ("value", "m"),
        ],
    );
    let found: Vec<(bool, String)> =
        fixture.house.engine.examine().unwrap().into_iter().map(|f| (f.serious, f.what)).collect();
    let depth = fixture
        .house
        .rows("sys_properties", &[("name", "campanile.events.max_depth")])
        .remove(0)
        .text("sys_id")
        .to_owned();
    let expected = [
        format!(
            "the value of property 'campanile.events.max_depth' (sys_properties {depth}) does not fit: expected a whole \
             number from 1 to 10000, got 'many'"
        ),
        format!(
            "the value of property 'x.size' (sys_properties {choice}) does not fit: expected s, l, got 'm'"
        ),
    ];
    assert_eq!(found.len(), 2, "{found:?}");
    for what in expected {
        assert!(found.contains(&(false, what.clone())), "{what} is not in {found:?}");
    }
}

#[test]
fn a_rule_for_a_moment_that_does_not_exist_is_told_when_saved_and_by_doctor() {
    let fixture = Fixture::new();
    let values = [
        ("name", "R"),
        ("collection", "incident"),
        ("when", "sometimes"),
        ("action_update", "true"),
        ("advanced", "true"),
        ("active", "true"),
        ("script", "gs.print('ran')"),
    ];
    let told = warned(&fixture, "sys_script", &values);
    assert_eq!(
        told,
        ["business rule 'R' never runs: 'when' is 'sometimes'; expected before or after"]
    );
    assert!(fixture.script(&crate::fixture::update_a("gA.state = 2")).trace().is_empty());
    let found = fixture.house.engine.examine().unwrap();
    let what: Vec<&str> = found.iter().map(|finding| finding.what.as_str()).collect();
    let key = fixture.house.rows("sys_script", &[("name", "R")]).remove(0);
    let key = key.text("sys_id");
    assert_eq!(
        what,
        [format!(
            "business rule 'R' (sys_script {key}) on incident never runs: its `when` is 'sometimes'"
        )]
    );
}

#[test]
fn doctor_names_active_rules_that_never_run_with_the_fix() {
    let fixture = Fixture::new();
    let rule = |name: &'static str, extra: &[(&'static str, &'static str)]| {
        let mut values = vec![("name", name), ("collection", "incident"), ("active", "true")];
        values.extend(extra);
        warned(&fixture, "sys_script", &values).len()
    };
    assert_eq!(rule("sound", &[("action_update", "true")]), 0);
    for (name, extra) in [
        ("no flag", &[][..]),
        ("no field", &[("action_update", "true"), ("filter_condition", "stat=1")]),
        ("no table", &[("action_update", "true"), ("collection", "incidnt")]),
    ] {
        assert_eq!(rule(name, extra), 1, "{name}");
    }
    assert_eq!(rule("asleep", &[("active", "false")]), 1);
    let mut found: Vec<(String, String)> =
        fixture.house.engine.examine().unwrap().into_iter().map(|f| (f.what, f.fix)).collect();
    found.sort();
    assert_eq!(found.len(), 3, "{found:?}");
    for ((what, fix), words) in found.iter().zip([
        ["'no field'", "on incident never runs", "'stat=1'", "mend 'filter_condition'"],
        ["'no flag'", "on incident never runs", "watches no operation", "set one of action_insert"],
        ["'no table'", "on incidnt never runs", "no table 'incidnt'", "did you mean 'incident'?"],
    ]) {
        says(&format!("{what}. {fix}"), &words);
    }
}
