//! Elements over real rows (scripting §20.1): coercion, comparison, truthiness, walking, assignment.

use crate::fixture::{BETH, Fixture};
use crate::script_bench::value;

#[test]
fn sa_01_an_element_kept_from_a_loop_shows_the_last_row() {
    let fixture = Fixture::new();
    let script = "var a = [], b = []; var gr = new GlideRecord('incident'); gr.orderBy('number'); gr.query();\
         while (gr.next()) { a.push(gr.number); b.push(gr.number.toString()) } String(a) + ' ' + b";
    assert_eq!(
        value(&fixture, script),
        "INC0000003,INC0000003,INC0000003 INC0000001,INC0000002,INC0000003"
    );
}

#[test]
fn sa_02_a_boolean_field_is_judged_by_its_value() {
    let fixture = Fixture::new();
    let script = "var r; if (gC.active) { r = 'y' } else { r = 'n' }\
         [r, !gC.active, (gC.active && 1) ? 'truthy' : 'falsy', !!(gA.active && 1)] + ''";
    assert_eq!(value(&fixture, script), "n,true,falsy,true");
}

#[test]
fn sa_03_a_nil_field_is_false_and_gives_way_to_a_default() {
    let fixture = Fixture::new();
    assert_eq!(
        value(
            &fixture,
            "[gB.assigned_to ? 1 : 2, gB.assigned_to || 'none', typeof (gB.assigned_to || 'none')] + ''"
        ),
        "2,none,string"
    );
}

#[test]
fn sa_04_a_boolean_field_equals_its_texts_and_its_numbers_and_is_identical_to_none() {
    let fixture = Fixture::new();
    let script = "[gA.active == true, gA.active == 'true', gA.active == 1, gA.active == '1', gA.active === true,\
         gC.active == false, gC.active == '0', gC.active != 'false'] + ''";
    assert_eq!(value(&fixture, script), "true,true,true,true,false,true,true,false");
}

#[test]
fn sa_05_a_boolean_field_has_a_stored_text_and_a_script_text() {
    let fixture = Fixture::new();
    let script = "[gA.getValue('active'), gA.active + '', typeof gA.getValue('active')] + ''";
    assert_eq!(value(&fixture, script), "1,true,string");
}

#[test]
fn sa_06_fields_of_two_objects_compare_by_value_and_are_two_things() {
    let fixture = Fixture::new();
    let script = "var other = on('INC0000001'); [gA.state == other.state, gA.state != other.state, gA.state === other.state,\
         gA.state === gA.state] + ''";
    assert_eq!(value(&fixture, script), "true,false,false,true");
}

#[test]
fn sa_07_a_number_field_adds_as_text_and_computes_as_number() {
    let fixture = Fixture::new();
    let script = "[gA.priority == 1, gA.priority == '1', gA.priority + 1, typeof (gA.priority + 1), gA.priority - 0, gA.priority * 2] + ''";
    assert_eq!(value(&fixture, script), "true,true,11,string,1,2");
}

#[test]
fn sa_09_a_nil_field_equals_whatever_means_nothing() {
    let fixture = Fixture::new();
    let script = "[gB.assigned_to == '', gB.assigned_to == null, gB.assigned_to == undefined, gB.assigned_to.nil(),\
         gB.getValue('assigned_to') === null, gB.getDisplayValue('assigned_to') === '', gB.assigned_to == 0] + ''";
    assert_eq!(value(&fixture, script), "true,true,true,true,true,true,false");
}

#[test]
fn sa_10_a_name_that_is_no_field_is_undefined() {
    let fixture = Fixture::new();
    let script = "[typeof gA.short_description, typeof gA.no_such, gA.no_such === undefined] + ''";
    assert_eq!(value(&fixture, script), "object,undefined,true");
}

#[test]
fn sa_13_a_field_called_next_hides_the_method() {
    let fixture = Fixture::new();
    fixture
        .house
        .define("- name: u_loop\n  label: Loop\n  fields:\n    - {name: next, length: 40}\n");
    for _ in 0..2 {
        fixture.house.add("u_loop", &[("next", "x")]);
    }
    let script = "var g = new GlideRecord('u_loop'); g.query(); var n = 0, seen = ''; while (g._next()) { n++; seen += g.next + '' }\
         var thrown = ''; try { g.next() } catch (e) { thrown = e.name } [n, seen, thrown] + ''";
    assert_eq!(value(&fixture, script), "2,xx,TypeError");
}

#[test]
fn sa_14_a_field_has_the_methods_of_its_text() {
    let fixture = Fixture::new();
    let script = "[gA.watch_list.split(',').length, gB.watch_list.indexOf('q'), gA.watch_list.indexOf('q'),\
         gA.short_description.toLowerCase()].map(String).join()";
    assert_eq!(value(&fixture, script), "2,undefined,-1,email down");
}

#[test]
fn sa_15_a_field_is_a_property_key_and_json_text() {
    let fixture = Fixture::new();
    let script = "var m = {}; m[gA.category] = 1; JSON.stringify({n: gA.number, m: m})";
    assert_eq!(value(&fixture, script), r#"{"n":"INC0000001","m":{"network":1}}"#);
}

#[test]
fn sa_16_number_fields_are_ordered_as_numbers() {
    let fixture = Fixture::new();
    fixture.house.change("incident", crate::fixture::A, &[("reassignment_count", "10")]);
    let script = "[gC.reassignment_count < gA.reassignment_count, gC.reassignment_count > gA.reassignment_count] + ''";
    assert_eq!(value(&fixture, script), "true,false");
}

#[test]
fn sa_17_a_date_field_is_compared_with_the_text_of_a_moment() {
    let fixture = Fixture::new();
    let script = "[gA.opened_at < gs.daysAgo(5), gA.opened_at < gs.daysAgo(30)] + ''";
    assert_eq!(value(&fixture, script), "true,false");
}

#[test]
fn sa_20_assigning_a_field_to_another_copies_its_value_of_that_moment() {
    let fixture = Fixture::new();
    let script = "gA.description = gA.short_description; gA.short_description = 'new'; gA.update(); gA.description + '|' + gA.short_description";
    assert_eq!(value(&fixture, script), "Email down|new");
    assert_eq!(fixture.a("description"), "Email down");
}

#[test]
fn sa_21_a_switch_never_matches_a_field() {
    let fixture = Fixture::new();
    let script = "var r = 'unset'; switch (gA.state) { case '1': r = 'hit'; } r";
    assert_eq!(value(&fixture, script), "unset");
}

#[test]
fn sa_22_enumerating_a_record_gives_its_fields_and_no_methods() {
    let fixture = Fixture::new();
    let script = "var names = []; for (var k in gA) names.push(k);\
         [names.indexOf('short_description') >= 0, names.indexOf('sys_id') >= 0, names.indexOf('addQuery')] + ''";
    assert_eq!(value(&fixture, script), "true,true,-1");
}

#[test]
fn a_boolean_is_set_from_the_opposite_of_another() {
    let fixture = Fixture::new();
    let script = format!(
        "gA.active = !gA.active; gA.assigned_to = '{BETH}'; gA.update(); [gA.active, gA.assigned_to.name] + ''"
    );
    assert_eq!(value(&fixture, &script), "false,Beth Anglin");
    assert_eq!(fixture.a("active"), "0");
}
