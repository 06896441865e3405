//! What is left when a run is over: nothing of its records, and a realm that works for the next one.

use std::rc::Rc;

use campanile_script::{HostRecord, RecordRef, ScriptKind};

use crate::mock::{Fixture, ids};

impl Fixture {
    /// Record objects that are still alive.
    fn alive(&self) -> usize {
        self.host.made.borrow().iter().filter(|record| record.strong_count() > 0).count()
    }
}

#[test]
fn no_record_outlives_its_run() {
    let fixture = Fixture::new();
    let current = fixture.record("incident", ids::INCIDENT_A);
    let text = "var keep = []; for (var i = 0; i < 300; i++) { var r = new GlideRecord('incident');\
         r.get('INC0000002'); keep.push(r, r.number, r.assigned_to.getRefRecord(), r.addQuery('a', 1)); }\
         keep.self = keep; current.number + current.caller_id.manager.name";
    for _ in 0..3 {
        assert_eq!(fixture.eval_on(&current, text), "INC0000001Beth Anglin");
        assert_eq!(fixture.alive(), 1, "only the test's own record is alive");
        assert_eq!(Rc::strong_count(&current), 1);
    }
}

#[test]
fn records_that_a_script_drops_are_let_go_during_the_run() {
    let fixture = Fixture::new();
    let text = "for (var i = 0; i < 2000; i++) { var r = new GlideRecord('incident'); r.get('INC0000001');\
         r.number + r.caller_id.name; } gs.setProperty('done', '1');";
    fixture.run(text);
    let made = fixture.host.made.borrow().len();
    assert!(made >= 2000);
    assert_eq!(fixture.alive(), 0);
}

#[test]
fn an_object_kept_from_an_earlier_run_is_dead_and_harmless() {
    let fixture = Fixture::new();
    let current = fixture.record("incident", ids::INCIDENT_A);
    let keep = "try { Object.defineProperty(globalThis, 'kept', {value: [current, current.number,\
         current.addQuery('a', 1), gs]}); 'kept' } catch (e) { 'refused' }";
    fixture.eval_on(&current, keep);
    let text = "var out = []; try { for (var k of (typeof kept === 'undefined' ? [] : kept)) {\
         out.push(k == null, !!k); try { out.push(String(k.getUniqueValue())) } catch (e) {\
         out.push(e.name) } } } catch (e) { out.push(e.name) } out + ''";
    let seen = fixture.run(text).text;
    assert!(!seen.contains(ids::INCIDENT_A), "{seen}");
    assert_eq!(Rc::strong_count(&current), 1);
}

#[test]
fn a_set_value_is_neither_freed_twice_nor_leaked() {
    let fixture = Fixture::new();
    // A large fresh string for each assignment: freed twice it corrupts the heap at once, leaked it passes 128 MB.
    let text = "var r = new GlideRecord('incident'); var big = 'x'.repeat(100000);\
         for (var i = 0; i < 3000; i++) { r.short_description = big + i; r.caller_id = {i: i}; }\
         r.short_description.length";
    assert_eq!(fixture.run(text).text, "100004");
}

#[test]
fn a_field_is_looked_up_once_for_each_record_object() {
    let fixture = Fixture::new();
    let current = fixture.record("incident", ids::INCIDENT_A);
    let text = "var n = 0; for (var i = 0; i < 50; i++) { n += current.number.length + current.caller_id.name.length;\
         current.query; current.nope; } n";
    assert_eq!(fixture.eval_on(&current, text), "1100");
    assert_eq!(current.lookups.get(), 5, "number, caller_id, its name, query, nope");
}

#[test]
fn a_record_in_two_nested_runs_is_one_record() {
    let fixture = Fixture::new();
    let record = fixture.record("incident", ids::INCIDENT_A);
    fixture.eval_on(&record, "current.short_description = 'outer'");
    assert_eq!(fixture.eval_on(&record, "current.short_description + ''"), "outer");
}

#[test]
fn natives_refuse_what_is_not_theirs() {
    let fixture = Fixture::new();
    for text in [
        "GlideRecord.prototype.query()",
        "GlideRecord.prototype.query.call(gA.number)",
        "GlideDateTime.prototype.getValue.call(gA)",
        "gA.addQuery('a', 1).addOrCondition.call(gA, 'a', 1)",
        "gA.getFields().size.call({})",
        "gA.getFields().iterator().next.call({})",
        "gA.number.getED().getName.call(1)",
        "Object.create(GlideRecord.prototype).query()",
        "GlideElement.prototype[Symbol.toPrimitive]('number')",
        "GlideDateTime()",
    ] {
        assert!(fixture.error(text).starts_with("TypeError"), "{text}");
    }
}

#[test]
fn odd_names_and_keys_do_no_harm() {
    let fixture = Fixture::new();
    for (text, expected) in [
        ("gA['\\ud800']", "undefined"),
        ("gA['short_description\\u0000']", "undefined"),
        ("gA[0]", "undefined"),
        ("gA[Symbol.iterator]", "undefined"),
        ("gA[''] ", "undefined"),
        ("gA[gA]", "undefined"),
        ("gA.__proto__ === GlideRecord.prototype", "true"),
        ("Object.create(gA).number + ''", "INC0000001"),
        ("var o = Object.create(gA); o.category = 'x'; gA.category + ''", "x"),
        ("Object.getOwnPropertyNames(gA).length === Object.keys(gA).length", "true"),
        ("gA.getValue('a.b.c')", "null"),
        ("gA.getValue('')", "null"),
        ("gA.getValue('.')", "null"),
        ("gA.getElement('caller_id..name')", "null"),
    ] {
        assert_eq!(fixture.eval(text), expected, "{text}");
    }
}

#[test]
fn a_thousand_runs_share_a_realm_and_leave_nothing() {
    let fixture = Fixture::new();
    let current = fixture.record("incident", ids::INCIDENT_A);
    for _ in 0..1000 {
        let bindings = campanile_script::Bindings {
            current: Some(Rc::clone(&current) as RecordRef),
            event: Some(Rc::clone(&current) as RecordRef),
            ..campanile_script::Bindings::default()
        };
        let outcome = fixture.run_with(
            ScriptKind::ScriptAction,
            "current.category = event.number + '/' + current.caller_id.name;",
            &bindings,
        );
        outcome.result.unwrap();
    }
    assert_eq!(Rc::strong_count(&current), 1);
    let category = current.field("category").unwrap();
    assert_eq!(&*current.script_text(category), "INC0000001/Joe Employee");
}
