//! Record objects, journals, `gs` and events over real rows (scripting §20.3, §20.4): the cases that
//! `script_records` does not have.

use campanile_script::LogLevel;

use crate::fixture::{A, B, Fixture, update_a};
use crate::script_bench::{logged, value};

/// Ten rows of `u_plain`, `n0` to `n9`.
fn ten_rows() -> Fixture {
    let fixture = Fixture::new();
    for number in 0..10 {
        fixture.house.add("u_plain", &[("u_name", &format!("n{number}"))]);
    }
    fixture
}

#[test]
fn sa_44_a_query_ignores_letter_case() {
    let fixture = Fixture::new();
    let script = "var g = new GlideRecord('incident'); g.addQuery('short_description', 'email DOWN'); g.query(); var n = [];\
         while (g.next()) n.push(g.number + ''); n + ''";
    assert_eq!(value(&fixture, script), "INC0000001");
}

#[test]
fn sa_49_the_count_of_a_limited_query_is_known_before_the_first_row() {
    let fixture = ten_rows();
    let script = "var g = new GlideRecord('u_plain'); var before = g.getRowCount(); g.setLimit(4); g.query(); before + ' ' + g.getRowCount()";
    assert_eq!(value(&fixture, script), "0 4");
}

#[test]
fn sa_51_an_update_without_changes_writes_nothing_unless_it_is_forced() {
    let fixture = Fixture::new();
    fixture.before("rule", "gs.print('ran')");
    let before = fixture.a("sys_updated_on");
    fixture.house.clock.advance_millis(60_000);
    let plain = fixture.script(&update_a(""));
    assert_eq!((plain.text.as_str(), plain.trace().len()), (A, 0));
    assert_eq!((fixture.a("sys_mod_count"), fixture.a("sys_updated_on")), ("0".to_owned(), before));
    let forced = fixture.script(&update_a("gA.setForceUpdate(true)"));
    assert_eq!((forced.text.as_str(), forced.trace()), (A, vec!["ran"]));
    assert_eq!(fixture.a("sys_mod_count"), "1");
    assert_eq!(fixture.a("sys_updated_on"), "2024-03-13 18:31:00");
}

#[test]
fn sa_52_auto_sys_fields_off_stores_the_value_and_leaves_the_stamps() {
    let fixture = Fixture::new();
    let stamps =
        |f: &Fixture| ["sys_mod_count", "sys_updated_on", "sys_updated_by"].map(|n| f.a(n));
    let before = stamps(&fixture);
    fixture.house.clock.advance_millis(60_000);
    fixture.script(&update_a("gA.autoSysFields(false); gA.short_description = 'y'"));
    assert_eq!(fixture.a("short_description"), "y");
    assert_eq!(stamps(&fixture), before);
}

#[test]
fn sa_53_without_workflow_no_event_and_no_audit_is_made_but_the_journal_is_stored() {
    let fixture = Fixture::new();
    fixture.after("fires", "gs.eventQueue('incident.changed', current, '', '')");
    fixture.script(&update_a("gA.setWorkflow(false); gA.state = 2; gA.work_notes = 'quietly'"));
    assert_eq!(fixture.a("state"), "2");
    assert!(fixture.events().is_empty());
    assert!(fixture.house.rows("sys_audit", &[]).is_empty());
    let notes = fixture.house.rows("sys_journal_field", &[("element_id", A)]);
    assert_eq!(notes.len(), 1);
    assert_eq!((notes[0].text("element"), notes[0].text("value")), ("work_notes", "quietly"));
    fixture.script(&update_a("gA.setWorkflow(false); gA.setWorkflow(true); gA.state = 3"));
    assert_eq!(fixture.events(), ["incident.changed"], "it can be switched on again");
}

#[test]
fn sa_57_the_record_of_an_empty_reference_is_empty_and_not_null() {
    let fixture = Fixture::new();
    let script = "var r = gB.assigned_to.getRefRecord(); [r !== null, r.isValidRecord(), r.getTableName(), r.name.nil()] + ''";
    assert_eq!(value(&fixture, script), "true,false,sys_user,true");
}

#[test]
fn sa_58_past_the_end_the_last_row_can_still_be_read() {
    let fixture = Fixture::new();
    let script = "var g = new GlideRecord('incident'); g.orderBy('number'); g.query(); while (g.next()) {} [g.next(), g.isValidRecord(), g.number] + ''";
    assert_eq!(value(&fixture, script), "false,false,INC0000003");
}

#[test]
fn sa_61_a_misspelt_method_fails_where_it_is_called_and_is_undefined_where_it_is_named() {
    let fixture = Fixture::new();
    let script = "var gr = new GlideRecord('incident'); var thrown = '';\
         try { gr.setWorkFlow(false) } catch (e) { thrown = e.name } [thrown, typeof gr.addMinutes] + ''";
    assert_eq!(value(&fixture, script), "TypeError,undefined");
}

#[test]
fn sa_64_only_the_update_with_a_comment_fires() {
    let fixture = Fixture::new();
    fixture.after(
        "comments",
        "if (current.comments.changes()) gs.eventQueue('incident.commented', current, gs.getUserID(), gs.getUserName());",
    );
    fixture.script(&update_a("gA.state = 2"));
    fixture.script(&update_a("gA.comments = 'first'"));
    fixture.script(&update_a("gA.comments = 'first'"));
    fixture.script(&update_a("gA.comments = ''; gA.state = 3"));
    assert_eq!(
        fixture.events(),
        ["incident.commented"; 2],
        "each entry is one, an empty one is none"
    );
}

#[test]
fn sa_67_placeholders_are_filled_in_the_system_log() {
    let fixture = Fixture::new();
    fixture.script("gs.info('a {0} b {1}', 'x', 2); gs.info('{0}-{1}', ['p','q']); gs.info('{0}'); gs.log('said', 'me')");
    let rows = logged(&fixture, "0", "");
    let mut texts: Vec<(&str, &str)> =
        rows.iter().map(|row| (row.text("message"), row.text("source"))).collect();
    texts.sort_unstable();
    assert_eq!(
        texts,
        [("a x b 2", "*** Script"), ("p-q", "*** Script"), ("said", "me"), ("{0}", "*** Script")]
    );
}

#[test]
fn sa_73_a_boolean_property_is_a_text_and_a_missing_one_null() {
    let fixture = Fixture::new();
    fixture
        .house
        .add("sys_properties", &[("name", "x.flag"), ("type", "boolean"), ("value", "true")]);
    fixture.house.add("sys_properties", &[("name", "x.empty"), ("value", "")]);
    let script = "[gs.getProperty('x.flag') === 'true', gs.getProperty('x.none') === null, gs.getProperty('x.none', 'd'),\
         gs.getProperty('x.empty', 'd') === ''] + ''";
    assert_eq!(value(&fixture, script), "true,true,d,true");
}

#[test]
fn sa_74_a_rule_on_sysevent_does_not_run_for_a_fired_event() {
    let fixture = Fixture::new();
    fixture.after(
        "fires",
        "gs.eventQueue('any.name', previous, current.assigned_to, previous.assigned_to)",
    );
    for when in ["before", "after"] {
        let saved = fixture.insert(
            "admin",
            "sys_script",
            &[
                ("name", "watches events"),
                ("collection", "sysevent"),
                ("when", when),
                ("action_insert", "true"),
                ("advanced", "true"),
                ("active", "true"),
                ("script", "gs.print('never')"),
            ],
        );
        assert!(saved.is_ok(), "{saved:?}");
    }
    let beth = crate::fixture::BETH;
    let ran = fixture.script(&update_a(&format!("gA.assigned_to = '{beth}'")));
    assert!(ran.trace().is_empty(), "{:?}", ran.trace());
    let mut events = fixture.house.rows("sysevent", &[]);
    assert_eq!(events.len(), 1);
    let event = events.remove(0);
    assert_eq!((event.text("parm1"), event.text("parm2")), (beth, crate::fixture::ABEL));
    assert_eq!((event.text("table"), event.text("instance")), ("incident", A));
}

#[test]
fn what_becomes_of_each_kind_of_value_in_an_event() {
    let fixture = Fixture::new();
    for (value, stored) in [
        ("gA.caller_id", crate::fixture::JOE),
        ("gA.active", "1"),
        ("gA.caller_id.name", "Joe Employee"),
        ("gB.assigned_to", ""),
        ("null", ""),
        ("undefined", ""),
        ("true", "true"),
        ("7", "7"),
        ("1.5", "1.5"),
        ("['a', 1, gA.number]", "[\"a\",1,\"INC0000001\"]"),
        ("{n: gA.number}", "{\"n\":\"INC0000001\"}"),
        ("new GlideDateTime('2024-03-20 00:00:00')", "2024-03-20 00:00:00"),
        ("gA.opened_at", "2024-03-01 10:00:00"),
        ("'NULL'", "NULL"),
    ] {
        let script = format!("gs.eventQueue('t.value', gA, {value})");
        super::script_bench::value(&fixture, &script);
        let rows = fixture.house.rows("sysevent", &[]);
        let newest = rows.iter().max_by_key(|row| row.get("sequence").as_i64()).unwrap();
        assert_eq!(newest.text("parm1"), stored, "{value}");
        assert_eq!(newest.text("parm2"), "", "a value that is left out is nil");
    }
}

#[test]
fn a_value_that_is_too_long_for_an_event_is_an_error_of_the_script() {
    let fixture = Fixture::new();
    let script = "var thrown = ''; try { gs.eventQueue('t.long', null, 'x'.repeat(70000)) } catch (e) { thrown = [e.name, e instanceof Error, e instanceof TypeError, e.message].join() } thrown";
    let thrown = value(&fixture, script);
    assert!(thrown.starts_with("Error,true,false,") && thrown.contains("parm1"), "{thrown}");
    assert!(fixture.events().is_empty());
}

#[test]
fn what_a_script_says_before_it_fails_stays_in_the_log() {
    let fixture = Fixture::new();
    fixture.before("says", "gs.warn('about to fail'); throw new Error('now')");
    let ran = fixture.script(&format!(
        "var g = new GlideRecord('incident'); g.get('{B}'); g.state = 6; g.update()"
    ));
    assert_eq!(ran.lines(LogLevel::Warn), ["about to fail"]);
    assert_eq!(logged(&fixture, "1", "about to fail").len(), 1);
}
