//! Elements in scripts: what they are, what they hold and how they are reached (scripting §3).

use crate::mock::{Fixture, ids};

/// Each expression gives its text.
fn all(fixture: &Fixture, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(fixture.eval(text), *expected, "{text}");
    }
}

#[test]
fn sa_01_an_element_kept_from_a_loop_follows_the_cursor() {
    let fixture = Fixture::new();
    let text = "var gr = new GlideRecord('incident'); gr.orderBy('number'); gr.query();\
         var a = [], b = []; while (gr.next()) { a.push(gr.number); b.push(gr.number.toString()); }\
         String(a) + ' ' + String(b)";
    assert_eq!(
        fixture.eval(text),
        "INC0000003,INC0000003,INC0000003 INC0000001,INC0000002,INC0000003"
    );
}

#[test]
fn sa_10_an_unknown_name_is_undefined() {
    all(
        &Fixture::new(),
        &[
            ("typeof gA.short_description", "object"),
            ("typeof gA.no_such", "undefined"),
            ("gA.no_such === undefined", "true"),
            ("typeof gA.short_description.no_such", "undefined"),
            ("typeof gA.assigned_to.no_such", "undefined"),
        ],
    );
}

#[test]
fn sa_11_walking_through_a_nil_reference_ends_in_nil() {
    all(
        &Fixture::new(),
        &[
            ("gB.assigned_to.manager.department.name + '#'", "#"),
            ("gA.caller_id.manager.department.name + '#'", "IT#"),
            ("gB.assigned_to.manager.department.name == null", "true"),
            ("gA.caller_id.manager === gA.caller_id.manager", "true"),
            ("gA.getValue('caller_id.manager.name')", "Beth Anglin"),
            ("gA.getElement('caller_id.manager') === gA.caller_id.manager", "true"),
            ("gA.getElement('caller_id.nope')", "null"),
        ],
    );
}

#[test]
fn sa_12_a_reference_that_was_assigned_leads_to_its_new_target() {
    let fixture = Fixture::new();
    let text = format!("gA.assigned_to = '{}'; gA.assigned_to.name + ''", ids::BETH);
    assert_eq!(fixture.eval(&text), "Beth Anglin");
}

#[test]
fn assigning_through_a_reference_stays_in_memory() {
    let fixture = Fixture::new();
    let text = "gA.caller_id.name = 'Other'; gA.update(); gA.caller_id.name + ''";
    assert_eq!(fixture.eval(text), "Other");
    assert_eq!(fixture.stored(ids::JOE, "name").as_deref(), Some("Joe Employee"));
}

#[test]
fn sa_13_a_field_shadows_a_method() {
    let fixture = Fixture::new();
    for sys_id in ["71", "72"] {
        fixture.row("u_loop", &[("sys_id", sys_id), ("next", "x"), ("replace", "r")]);
    }
    fixture.row("u_stamp", &[("sys_id", "73"), ("loop", "71")]);
    let text = "var l = new GlideRecord('u_loop'); l.query(); var n = 0, t = '';\
         while (l._next()) { n++; t = l.next + ''; } n + t";
    assert_eq!(fixture.eval(text), "2x");
    assert!(fixture.error("var l = new GlideRecord('u_loop'); l.next()").starts_with("TypeError"));
    assert_eq!(
        fixture.eval(
            "var s = new GlideRecord('u_stamp'); s.get('73');\
             s.loop.replace + typeof gA.short_description.replace"
        ),
        "rfunction",
        "a field of the target comes before the string method of the same name"
    );
}

#[test]
fn sa_14_string_methods_work_on_the_script_text() {
    all(
        &Fixture::new(),
        &[
            ("gA.watch_list.split(',').length", "2"),
            ("gB.watch_list.indexOf('q')", "undefined"),
            ("gA.watch_list.indexOf('q')", "-1"),
            ("gB.short_description.indexOf('q')", "-1"),
            ("gB.category.indexOf('q')", "-1"),
            ("gA.short_description.toLowerCase()", "email down"),
            ("gA.short_description.length", "10"),
            ("gB.category.length", "0"),
            ("gA.short_description.replace(/e/gi, '3')", "3mail down"),
            (
                "gA.short_description.replace('down', function(m) { return m + m; })",
                "Email downdown",
            ),
            ("gA.short_description.match(/(d)(o)/)[2]", "o"),
            ("gA.active.toUpperCase()", "TRUE"),
            ("gA.number.substring(3)", "0000001"),
            ("/down$/.test(gA.short_description)", "true"),
            ("parseInt(gA.number.substr(3)) + parseInt(gA.priority)", "2"),
            ("encodeURIComponent(gA.short_description)", "Email%20down"),
            ("isNaN(gA.short_description)", "true"),
        ],
    );
}

#[test]
fn sa_15_an_element_is_a_property_key_and_json_text() {
    all(
        &Fixture::new(),
        &[
            (
                "var m = {}; m[gA.category] = 1; JSON.stringify({n: gA.number, m: m})",
                r#"{"n":"INC0000001","m":{"network":1}}"#,
            ),
            ("JSON.stringify(gA.active)", r#""true""#),
            ("JSON.parse(JSON.stringify(gA)).short_description", "Email down"),
            ("[gA.number, gB.number].join()", "INC0000001,INC0000002"),
        ],
    );
}

#[test]
fn sa_18_the_text_null_in_capitals_clears() {
    let fixture = Fixture::new();
    fixture.eval(
        "gA.short_description = 'NULL'; gB.short_description = 'null'; gA.update(); gB.update();",
    );
    assert_eq!(fixture.stored(ids::INCIDENT_A, "short_description"), None);
    assert_eq!(fixture.stored(ids::INCIDENT_B, "short_description").as_deref(), Some("null"));
}

#[test]
fn sa_19_set_value_ignores_null_and_assignment_clears() {
    all(
        &Fixture::new(),
        &[
            ("gA.setValue('category', null); gA.category + ''", "network"),
            ("gA.category.setValue(null); gA.category + ''", "network"),
            ("gA.category = null; gA.category.nil()", "true"),
            ("gA.category = undefined; gA.category.nil()", "true"),
        ],
    );
}

#[test]
fn sa_20_assigning_an_element_copies_its_value_at_that_moment() {
    let fixture = Fixture::new();
    let text = "gA.description = gA.short_description; gA.short_description = 'new';\
         gA.description + ''";
    assert_eq!(fixture.eval(text), "Email down");
}

#[test]
fn sa_22_only_fields_are_enumerated() {
    all(
        &Fixture::new(),
        &[
            (
                "var k, n = []; for (k in gA) n.push(k);\
                 [n.indexOf('short_description') >= 0, n.indexOf('sys_id') >= 0, n.indexOf('addQuery')]\
                 + ''",
                "true,true,-1",
            ),
            (
                "var k, n = []; for (k in gA) n.push(k); n[0] + ' ' + n[n.length - 1]",
                "number caller_id",
            ),
            ("Object.keys(gA).length === gA.getElements().length", "true"),
            ("'short_description' in gA", "true"),
            ("'addQuery' in gA", "true"),
            ("'nope' in gA", "false"),
            ("gA.hasOwnProperty('category')", "true"),
            ("gA.hasOwnProperty('addQuery')", "false"),
            ("delete gA.category; gA.category + ''", "network"),
            ("var k, n = 0; for (k in gA.category) n++; n", "0"),
            ("'name' in gA.caller_id", "true"),
        ],
    );
}

#[test]
fn an_element_says_what_it_is() {
    all(
        &Fixture::new(),
        &[
            ("Object.prototype.toString.call(gA.number)", "[object GlideElement]"),
            ("gA.number instanceof GlideElement", "true"),
            ("gA instanceof GlideElement", "false"),
            ("gA.number.getName() + gA.caller_id.manager.getName()", "numbermanager"),
            ("gA.short_description.getLabel()", "short description"),
            ("gA.number.getTableName() + gA.category.getTableName()", "taskincident"),
            ("gA.category.getBaseTableName()", "task"),
            ("gA.caller_id.getReferenceTable()", "sys_user"),
            ("gA.number.getReferenceTable()", "null"),
            ("gA.state.getChoices().toString()", "[1, 2, 7]"),
            ("gA.state.getChoiceValue()", "New"),
            ("gA.caller_id.getDisplayValue()", "Joe Employee"),
            ("gA.caller_id.getDisplayValue(3)", "Joe"),
            ("gA.number.getED().isMandatory() + gA.number.getED().getName()", "truenumber"),
            ("gA.number.getAttribute('width')", "12"),
            ("gA.number.getAttribute('nope')", "null"),
            ("gA.number.hasAttribute('no_sort')", "true"),
            ("gA.number.getBooleanAttribute('no_sort')", "true"),
            ("gA.number.getBooleanAttribute('width')", "false"),
            ("gA.number.canWrite() + ' ' + gA.number.canCreate()", "true false"),
        ],
    );
    let fixture = Fixture::new();
    assert!(fixture.error("new GlideElement()").starts_with("TypeError"));
    assert!(fixture.error("gA.number.getValu()").starts_with("TypeError"));
    assert!(fixture.error("gA.number.nil.call({})").starts_with("TypeError"));
}

#[test]
fn a_journal_reads_as_its_new_text_and_knows_that_it_changed() {
    all(
        &Fixture::new(),
        &[
            ("gA.comments.changes()", "false"),
            ("gA.comments = 'hello'; gA.comments + ' ' + gA.comments.changes()", "hello true"),
            ("gA.comments.getJournalEntry(1)", "1 entries of comments"),
            ("gA.comments.setJournalEntry('x', 'beth'); gA.comments + ''", "beth: x"),
        ],
    );
}

#[test]
fn changes_compare_with_what_was_read() {
    all(
        &Fixture::new(),
        &[
            ("gA.state.changes() + ' ' + gA.changes()", "false false"),
            (
                "gA.state = 2; [gA.state.changes(), gA.changes(), gA.priority.changes()] + ''",
                "true,true,false",
            ),
            ("gA.state = 2; gA.state.changesFrom(1) + ' ' + gA.state.changesFrom(2)", "true false"),
            ("gA.state = 2; gA.state.changesTo('2') + ' ' + gA.state.changesTo(1)", "true false"),
            ("gA.state.changesTo(1)", "false"),
            (
                "gA.active = false; [gA.active.changesTo(false), gA.active.changesTo('0'), gA.active.changesFrom(true)] + ''",
                "true,true,true",
            ),
            (
                "gA.assigned_to = ''; gA.assigned_to.changesTo('') + ' ' + gA.assigned_to.changesTo(null)",
                "true true",
            ),
            (
                "gB.category = 'x'; gB.category.changesFrom('') + ' ' + gB.category.changesFrom(null)",
                "true true",
            ),
        ],
    );
}

#[test]
fn dates_and_durations_have_numbers_and_live_objects() {
    let fixture = Fixture::new();
    all(
        &fixture,
        &[
            ("gA.opened_at.dateNumericValue()", "1709287200000"),
            ("gB.opened_at.dateNumericValue()", "0"),
            ("gA.opened_at.getGlideObject().getValue()", "2024-03-01 10:00:00"),
            ("gA.number.getGlideObject()", "null"),
            ("gB.opened_at.getGlideObject().hasDate()", "false"),
            (
                "var d = gA.opened_at.getGlideObject(); d.setValue('2024-05-05 05:05:05');\
                 gA.opened_at + ' ' + d",
                "2024-05-05 05:05:05 2024-05-05 05:05:05",
            ),
            ("gA.opened_at.setDateNumericValue(0); gA.opened_at + ''", "1970-01-01 00:00:00"),
            (
                "gA.opened_at = new GlideDateTime('2024-01-02 03:04:05'); gA.opened_at + ''",
                "2024-01-02 03:04:05",
            ),
        ],
    );
}

#[test]
fn values_reach_the_host_as_what_they_are() {
    all(
        &Fixture::new(),
        &[
            ("gA.watch_list = ['a', gB.number]; gA.watch_list + ''", "a,INC0000002"),
            ("gA.caller_id = gA.assigned_to; gA.caller_id.name + ''", "Abel Tuter"),
            (
                "var u = new GlideRecord('sys_user'); u.get('user_name', 'beth');\
                 gA.caller_id = u; gA.caller_id.name + ''",
                "Beth Anglin",
            ),
            ("gA.category = {a: 1}; gA.category + ''", "[object Object]"),
            ("gA.priority = 'high'; gA.priority + ''", "1"),
            ("gA.caller_id.setDisplayValue('Beth Anglin'); gA.caller_id.name + ''", "Beth Anglin"),
            ("gA.short_description = '\\ud83d'; gA.short_description.length", "1"),
            ("gA.short_description = 'a\\u0000b'; gA.short_description.length", "3"),
            ("gA.short_description = '😀'; gA.short_description.length", "2"),
        ],
    );
}

#[test]
fn a_field_carries_the_error_that_a_rule_sets() {
    let fixture = Fixture::new();
    assert_eq!(fixture.eval("gA.category.setError('bad'); gA.category.getError()"), "bad");
    assert_eq!(fixture.eval("gA.category.getError()"), "");
}
