//! Values of secret properties: who may not read them does not find them out, by query, order, condition or copy.

use campanile_script::LogLevel;

use crate::fixture::{Fixture, Ran};

/// Properties `x.closed` (administrators), `x.open` (`itil`) and `x.plain` (everybody); the key of the first.
fn with_secrets() -> (Fixture, String) {
    let fixture = Fixture::new();
    let add = |name: &str, kind: &str, readers: &str| {
        let values = [("name", name), ("type", kind), ("value", "hush"), ("read_roles", readers)];
        let row = fixture.insert("admin", "sys_properties", &values).unwrap();
        row.record.text("sys_id").to_owned()
    };
    add("x.open", "password2", "user_admin, itil");
    add("x.plain", "string", "");
    let closed = add("x.closed", "password2", "");
    (fixture, closed)
}

/// The names that a query on the three properties finds, in the order that it gives.
fn found(fixture: &Fixture, login: &str, condition: &str) -> Ran {
    let script = format!(
        "var p = new GlideRecord('sys_properties'); p.addQuery('name', 'STARTSWITH', 'x.'); {condition}; p.query();
         var names = []; while (p.next()) names.push(String(p.name)); names.join()"
    );
    fixture.script_as(login, &script)
}

#[test]
fn a_query_finds_a_secret_by_its_value_for_its_readers_only() {
    let (fixture, _) = with_secrets();
    let conditions = [
        "p.addQuery('value', 'hush')",
        "p.addQuery('value', 'STARTSWITH', 'hu')",
        "p.addQuery('value', 'IN', 'hush,x')",
        "p.addQuery('value', '>', 'a')",
        "p.addQuery('value', '!=', 'nothing')",
        "p.addEncodedQuery('valueNOT LIKEnothing')",
        "p.addEncodedQuery('valueLIKEush')",
        "p.addEncodedQuery('valueNOT INa,b')",
        "p.addEncodedQuery('valueNSAMEASname')",
        "p.addEncodedQuery('nameNSAMEASvalue')",
        "p.addQuery('name', 'none').addOrCondition('value', 'hush')",
        "p.addEncodedQuery('name=none^NQvalue=hush')",
    ];
    for condition in conditions {
        let sorted = format!("p.orderBy('name'); {condition}");
        for (login, expected) in
            [("admin", "x.closed,x.open,x.plain"), ("abel", "x.open,x.plain"), ("joe", "x.plain")]
        {
            assert_eq!(found(&fixture, login, &sorted).text, expected, "{login}: {condition}");
        }
    }
    let wrong = found(&fixture, "abel", "p.addQuery('value', 'STARTSWITH', 'no')");
    assert_eq!(wrong.text, "");
    // As with a password: whether there is a value may be known, and other terms find the row.
    let little = "p.orderBy('name'); p.addNotNullQuery('value'); p.addQuery('name', 'x.closed').addOrCondition('value', 'no')";
    assert_eq!(found(&fixture, "joe", little).text, "x.closed");
    for login in ["admin", "joe"] {
        let by = "var p = new GlideRecord('sys_properties'); p.get('value', 'hush'); p.type + ''";
        let kind = fixture.script_as(login, by).text;
        assert_eq!(kind == "password2", login == "admin", "{kind}");
    }
    let many = "var p = new GlideRecord('sys_properties'); p.addQuery('value', 'hush'); p.deleteMultiple()";
    fixture.script_as("joe", many);
    assert_eq!(found(&fixture, "admin", "p.orderBy('name')").text, "x.closed,x.open");
}

#[test]
fn a_secret_orders_nothing_and_is_not_reached_by_a_reference() {
    let (fixture, closed) = with_secrets();
    let changed = [("value", "a")];
    fixture.update("admin", "sys_properties", &closed, &changed).unwrap();
    let up = found(&fixture, "joe", "p.orderBy('value')");
    assert_eq!(up.text, found(&fixture, "joe", "p.orderByDesc('value')").text);
    let warned = up.lines(LogLevel::Warn);
    assert!(warned.iter().any(|line| line.contains("withhold")), "{warned:?}");
    let ordered = |word: &str| found(&fixture, "admin", &format!("p.{word}('value')")).text;
    assert!(
        ordered("orderBy").starts_with("x.closed") && ordered("orderByDesc").ends_with("x.closed")
    );
    fixture.house.define(
        "[{name: u_box, fields: [{name: u_prop, type: reference, reference: sys_properties}]}]",
    );
    fixture.house.add("u_box", &[("u_prop", &closed)]);
    let count = |login: &str, guess: &str| {
        let script = format!(
            "var b = new GlideRecord('u_box'); b.addQuery('u_prop.value', 'STARTSWITH', '{guess}'); b.query(); b.getRowCount() + ''"
        );
        fixture.script_as(login, &script).text
    };
    assert_eq!((count("admin", "a"), count("admin", "b")), ("1".to_owned(), "0".to_owned()));
    assert_eq!((count("joe", "a"), count("joe", "b")), ("1".to_owned(), "1".to_owned()));
    fixture.property("glide.invalid_query.returns_no_rows", "true");
    assert_eq!((count("joe", "a"), count("joe", "b")), ("0".to_owned(), "0".to_owned()));
}

#[test]
fn a_rule_does_not_tell_a_secret_to_whose_work_it_runs_in() {
    let (fixture, closed) = with_secrets();
    let rule = |name: &str, values: &[(&str, &str)]| {
        let script = format!("gs.print('{name}')");
        let base = [("collection", "sys_properties"), ("script", script.as_str())];
        fixture.rule(name, &[&base[..], values].concat());
    };
    rule("starts", &[("filter_condition", "valueSTARTSWITHhu^EQ")]);
    rule("same", &[("filter_condition", "valueNSAMEASname^EQ")]);
    rule("any", &[("filter_condition", "valueISNOTEMPTY^EQ")]);
    rule("changes", &[("filter_condition", "valueVALCHANGES^EQ")]);
    rule("from", &[("condition", "current.value.changesFrom('hush')")]);
    let title = [
        ("template", "read_rolesSAMEASvalue^EQ"),
        ("filter_condition", "descriptionVALCHANGES^EQ"),
    ];
    rule("copies", &title);
    let change = |login: &str, what: &str| {
        let script = format!(
            "var p = new GlideRecord('sys_properties'); p.get('{closed}'); p.{what}; p.update(); p.read_roles + ''"
        );
        fixture.script_as(login, &script)
    };
    let mut ran = change("abel", "description = 'one'");
    let mut trace = ran.trace();
    trace.sort_unstable();
    assert_eq!(trace, ["any", "copies"]);
    assert_eq!(ran.text, "");
    let warned = ran.lines(LogLevel::Warn);
    assert!(warned.iter().any(|line| line.contains("secret")), "{warned:?}");
    ran = change("abel", "value = 'mine'");
    trace = ran.trace();
    trace.sort_unstable();
    assert_eq!(trace, ["any", "changes"], "that it changes may be known");
    ran = change("admin", "description = 'two'");
    trace = ran.trace();
    trace.sort_unstable();
    assert_eq!(trace, ["any", "copies", "same"]);
    assert_eq!(ran.text, "mine");
}

#[test]
fn a_filter_behind_a_reference_reads_a_secret_as_empty() {
    let (fixture, closed) = with_secrets();
    fixture.house.define("[{name: u_box, fields: [{name: u_name}, {name: u_prop, type: reference, reference: sys_properties}]}]");
    let row = fixture.house.add("u_box", &[("u_prop", &closed)]);
    fixture.rule(
        "behind",
        &[
            ("collection", "u_box"),
            ("filter_condition", "u_prop.valueSTARTSWITHhu^EQ"),
            ("script", "gs.print('ran')"),
        ],
    );
    let change = |login: &str| {
        let script = format!(
            "var b = new GlideRecord('u_box'); b.get('{row}'); b.u_name = '{login}'; b.update()"
        );
        fixture.script_as(login, &script).trace().len()
    };
    assert_eq!((change("abel"), change("admin")), (0, 1));
}

#[test]
fn a_snapshot_and_the_audit_hold_no_secret() {
    let (fixture, closed) = with_secrets();
    let table =
        fixture.house.rows("sys_dictionary", &[("name", "sys_properties"), ("element", "")]);
    fixture.house.change("sys_dictionary", table[0].text("sys_id"), &[("audit", "1")]);
    fixture.property("glide.ui.audit_deleted_tables", "sys_properties");
    let event = [("event_name", "t.s"), ("capture_snapshot", "true")];
    fixture.insert("admin", "sysevent_register", &event).unwrap();
    let script = format!(
        "var p = new GlideRecord('sys_properties'); p.get('{closed}'); gs.eventQueue('t.s', p, '', '');
         p.value = 'hush hush'; p.description = 'D'; p.update(); p.deleteRecord();
         p.get('name', 'x.plain'); p.value = 'told'; p.update()"
    );
    fixture.script_as("admin", &script);
    let event = fixture.house.rows("sysevent", &[("name", "t.s")]).remove(0);
    assert!(event.text("snapshot").contains("x.closed"), "{}", event.text("snapshot"));
    assert!(!event.text("snapshot").contains("hush"));
    let audited = fixture.house.rows("sys_audit", &[("tablename", "sys_properties")]);
    let mut kept: Vec<&str> = audited.iter().map(|row| row.text("newvalue")).collect();
    kept.sort_unstable();
    assert_eq!(kept, ["D", "told"]);
    let deleted = fixture.house.rows("sys_audit_delete", &[("documentkey", &closed)]).remove(0);
    assert!(deleted.text("payload").contains("x.closed"), "{}", deleted.text("payload"));
    assert!(!deleted.text("payload").contains("hush"));
}
