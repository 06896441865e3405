//! Elements in expressions: how they convert, compare and judge (scripting §§3.3–3.5).

use crate::mock::{Fixture, ids};

/// Each expression gives its text.
fn all(fixture: &Fixture, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(fixture.eval(text), *expected, "{text}");
    }
}

#[test]
fn sa_02_a_boolean_element_is_judged_by_its_value() {
    all(
        &Fixture::new(),
        &[
            ("var r; if (gC.active) r = 'y'; else r = 'n'; r", "n"),
            ("!gC.active", "true"),
            ("(gC.active && 1) ? 'truthy' : 'falsy'", "falsy"),
            ("gA.active ? 1 : 2", "1"),
        ],
    );
}

#[test]
fn sa_03_a_nil_element_is_false_and_or_gives_the_default() {
    all(
        &Fixture::new(),
        &[
            ("gB.assigned_to ? 1 : 2", "2"),
            ("gB.assigned_to || 'none'", "none"),
            ("(gA.assigned_to || 'none') === gA.assigned_to", "true"),
            ("(gB.assigned_to ?? 'none') === gB.assigned_to", "true"),
        ],
    );
}

#[test]
fn sa_04_a_boolean_element_equals_both_its_texts_and_its_numbers() {
    all(
        &Fixture::new(),
        &[
            ("gA.active == true", "true"),
            ("gA.active == 'true'", "true"),
            ("gA.active == 1", "true"),
            ("gA.active == '1'", "true"),
            ("gA.active === true", "false"),
            ("gC.active == false", "true"),
            ("gC.active == 0", "true"),
            ("gC.active == '0'", "true"),
            ("gC.active == 'false'", "true"),
            ("gC.active == ''", "false"),
            ("gC.active != true", "true"),
            ("true == gA.active", "true"),
            ("gB.active == gA.active", "true"),
            ("gC.active == gA.active", "false"),
        ],
    );
}

#[test]
fn sa_05_a_boolean_has_a_stored_and_a_script_text() {
    all(
        &Fixture::new(),
        &[
            ("gA.getValue('active')", "1"),
            ("gA.active + ''", "true"),
            ("typeof gA.getValue('active')", "string"),
            ("gA.active.getValue()", "1"),
        ],
    );
}

#[test]
fn sa_06_two_elements_compare_by_text_and_are_two_objects() {
    all(
        &Fixture::new(),
        &[
            ("var o = g('INC0000001'); gA.state == o.state", "true"),
            ("var o = g('INC0000001'); gA.state != o.state", "false"),
            ("var o = g('INC0000001'); gA.state === o.state", "false"),
            ("gA.state === gA.state", "true"),
            ("gA.state == gB.state", "false"),
            ("gB.assigned_to == gC.assigned_to", "true"),
        ],
    );
}

#[test]
fn sa_07_a_number_adds_as_text_and_computes_as_number() {
    all(
        &Fixture::new(),
        &[
            ("gA.priority == 1", "true"),
            ("gA.priority == '1'", "true"),
            ("gA.priority == '1.0'", "false"),
            ("gA.priority + 1", "11"),
            ("gA.priority - 0", "1"),
            ("gA.priority * 2", "2"),
            ("+gA.active + 1", "2"),
            ("+gA.priority", "1"),
        ],
    );
}

#[test]
fn sa_08_increment_stores_a_number_and_gives_the_old_one() {
    let fixture = Fixture::new();
    let text = "var old = gC.reassignment_count++; gC.update(); old + ' ' + gC.reassignment_count";
    assert_eq!(fixture.eval(text), "9 10");
    assert_eq!(fixture.stored(ids::INCIDENT_C, "reassignment_count").as_deref(), Some("10"));
}

#[test]
fn plus_equals_adds_only_a_number_to_a_numeric_field() {
    all(
        &Fixture::new(),
        &[
            ("gC.reassignment_count += 1; gC.reassignment_count + ''", "10"),
            ("gC.reassignment_count += '1'; gC.reassignment_count + ''", "91"),
            ("gA.short_description += 1; gA.short_description + ''", "Email down1"),
            ("gC.reassignment_count -= 2; gC.reassignment_count + ''", "7"),
        ],
    );
}

#[test]
fn sa_09_nil_equals_everything_that_means_nothing() {
    all(
        &Fixture::new(),
        &[
            ("gB.assigned_to == ''", "true"),
            ("gB.assigned_to == null", "true"),
            ("gB.assigned_to == undefined", "true"),
            ("gB.assigned_to.nil()", "true"),
            ("gB.assigned_to.hasValue()", "false"),
            ("gB.getValue('assigned_to')", "null"),
            ("gB.getDisplayValue('assigned_to') === ''", "true"),
            ("gB.assigned_to == 0", "false"),
            ("gB.assigned_to == false", "false"),
            ("gB.assigned_to != null", "false"),
            ("gA.assigned_to == null", "false"),
            ("null == gB.assigned_to", "true"),
        ],
    );
}

#[test]
fn sa_16_numeric_elements_are_ordered_as_numbers() {
    let fixture = Fixture::new();
    let text = "var x = g('INC0000003'); gC.reassignment_count = 10;\
         [x.reassignment_count < gC.reassignment_count, x.reassignment_count > gC.reassignment_count]\
         + ''";
    assert_eq!(fixture.eval(text), "true,false");
}

#[test]
fn sa_17_a_time_is_ordered_by_its_utc_text() {
    all(
        &Fixture::new(),
        &[
            ("gA.opened_at < gs.daysAgo(5)", "true"),
            ("gA.opened_at < gs.daysAgo(30)", "false"),
            ("gA.opened_at <= gs.daysAgo(-90)", "true"),
        ],
    );
}

#[test]
fn sa_21_switch_never_matches_an_element() {
    let fixture = Fixture::new();
    let text = "var r = 'unset'; switch (gA.state) { case '1': r = 'hit'; } r";
    assert_eq!(fixture.eval(text), "unset");
}

#[test]
fn sa_34_templates_optional_chaining_and_nullish_defaults_work_on_elements() {
    all(
        &Fixture::new(),
        &[
            ("`n=${gA.number}`", "n=INC0000001"),
            ("gA?.number === gA.number", "true"),
            ("const f = x => x ?? 1; f(null)", "1"),
        ],
    );
}

#[test]
fn elements_compare_with_objects_by_identity_of_what_they_stand_for() {
    let fixture = Fixture::new();
    let user = "var u = new GlideRecord('sys_user'); u.get('user_name', 'joe');";
    for (text, expected) in [
        ("gA.caller_id == u", "true"),
        ("gB.caller_id == u", "false"),
        ("gA.number == u", "false"),
        ("gA.opened_at == new GlideDateTime('2024-03-01 10:00:00')", "true"),
        ("gA.opened_at == new GlideDateTime('2024-03-01 10:00:01')", "false"),
        ("gA.number == {toString: function() { return 'INC0000001'; }}", "true"),
        ("gA.number == ['INC0000001']", "true"),
        ("gA.number == Symbol.iterator", "false"),
        ("gA.priority == 1n", "true"),
    ] {
        assert_eq!(fixture.eval(&format!("{user} {text}")), expected, "{text}");
    }
}

#[test]
fn numbers_are_judged_by_value_and_texts_by_presence() {
    all(
        &Fixture::new(),
        &[
            ("gA.reassignment_count = 0; gA.reassignment_count ? 1 : 2", "2"),
            ("gA.reassignment_count = '0.00'; gA.reassignment_count ? 1 : 2", "2"),
            ("gA.reassignment_count = 2; gA.reassignment_count ? 1 : 2", "1"),
            ("gA.short_description = '0'; gA.short_description ? 1 : 2", "1"),
            ("gA.short_description = 'false'; gA.short_description ? 1 : 2", "1"),
            ("gA.short_description = '\\u0000'; gA.short_description ? 1 : 2", "1"),
            ("Boolean(gC.active)", "false"),
            ("gC.locked = !gA.active; gC.active = !gC.active; gC.active + ''", "true"),
        ],
    );
}
