//! `GlideRecord` in scripts: querying, reading, writing, and what it is (scripting §5).

use std::rc::Rc;

use campanile_script::{Bindings, HostRecord, LogLevel, RecordRef, ScriptKind};

use crate::mock::{Fixture, ids};

const ALL: &str = "var gr = new GlideRecord('incident'); gr.orderBy('number');";
const NUMBERS: &str =
    "gr.query(); var n = []; while (gr.next()) n.push(gr.getValue('number').slice(-1)); n + ''";

#[track_caller]
fn numbers(fixture: &Fixture, build: &str, expected: &str) {
    assert_eq!(fixture.eval(&format!("{ALL} {build}; {NUMBERS}")), expected, "{build}");
}

#[test]
fn sa_40_get_fields_is_an_array_with_the_methods_of_a_list() {
    let fixture = Fixture::new();
    let text = "var f = gA.getFields(); var i = f.iterator(), n = 0; while (i.hasNext()) { i.next(); n++; }\
         [f.size() === f.length, f.get(0).getName(), Array.isArray(f), f.isEmpty(), n === f.length,\
          f.contains(gA.number), f.contains('nope'), f.toArray().size, f.get(999)] + ''";
    assert_eq!(fixture.eval(text), "true,number,true,false,true,true,false,,");
}

#[test]
fn sa_42_an_array_value_means_in() {
    let fixture = Fixture::new();
    numbers(&fixture, "gr.addQuery('number', ['INC0000001', 'INC0000003'])", "1,3");
    numbers(&fixture, "gr.addQuery('number', 'IN', 'INC0000001')", "1");
    numbers(&fixture, "gr.addQuery('number', [gB.number])", "2");
}

#[test]
fn sa_43_or_conditions_extend_their_own_group() {
    let fixture = Fixture::new();
    let build = "var q1 = gr.addQuery('priority', 1); q1.addOrCondition('priority', 3);\
         var q2 = gr.addQuery('state', 1); q2.addOrCondition('state', 2)";
    numbers(&fixture, build, "1,2");
    let text = format!(
        "var gr = new GlideRecord('incident'); {build}; gr.getEncodedQuery() + ' ' + Object.prototype.toString.call(q1)"
    );
    assert_eq!(
        fixture.eval(&text),
        "priority=1^ORpriority=3^state=1^ORstate=2 [object GlideQueryCondition]"
    );
    assert_eq!(
        fixture.eval(
            "var gr = new GlideRecord('incident');\
             gr.addQuery('a', '1').addOrCondition('b', '!=', 2).addOrCondition('c', 3); gr.getEncodedQuery()"
        ),
        "a=1^ORb!=2^ORc=3",
        "one chain is one group"
    );
}

#[test]
fn sa_44_a_query_ignores_case() {
    numbers(&Fixture::new(), "gr.addQuery('short_description', 'email DOWN')", "1");
}

#[test]
fn sa_45_get_finds_by_id_by_display_value_or_by_a_field() {
    let fixture = Fixture::new();
    for (text, expected) in [
        ("gr.get('INC0000002') + ' ' + gr.number", "true INC0000002"),
        ("gr.get(gB.sys_id) + ' ' + gr.number", "true INC0000002"),
        ("gr.get(undefined)", "false"),
        ("gr.get('')", "false"),
        ("gr.get(gB.assigned_to)", "false"),
        ("gr.get('priority', 1) + ' ' + gr.next() + ' ' + gr.next()", "true true false"),
        ("gr.get('nope') + ' ' + gr.isValid()", "false false"),
        ("gr.get('caller_id.name', 'Joe Employee') + ' ' + gr.number", "true INC0000001"),
    ] {
        assert_eq!(fixture.eval(&format!("{ALL} {text}")), expected, "{text}");
    }
}

#[test]
fn sa_48_a_window_and_a_limit_replace_each_other() {
    let fixture = Fixture::new();
    for number in 4..=10 {
        let (id, number) = (format!("9{number:031}"), format!("INC000000{number}"));
        fixture.row("incident", &[("sys_id", &id), ("number", &number)]);
    }
    let count = |build: &str| {
        fixture.eval(&format!(
            "var gr = new GlideRecord('incident'); {build}; gr.query(); var n = 0; while (gr.next()) n++; n"
        ))
    };
    assert_eq!(count("gr.chooseWindow(2, 4)"), "2");
    assert_eq!(count("gr.chooseWindow(2, 4); gr.setLimit(5)"), "5");
    assert_eq!(count("gr.setLimit(5); gr.chooseWindow(2, 4)"), "2");
    assert_eq!(count("gr.setLimit(0)"), "10");
    assert_eq!(count("gr.setLimit('3')"), "3");
}

#[test]
fn sa_49_the_row_count_knows_the_limit() {
    let fixture = Fixture::new();
    assert_eq!(fixture.eval(&format!("{ALL} gr.setLimit(2); gr.query(); gr.getRowCount()")), "2");
    assert_eq!(fixture.eval(&format!("{ALL} gr.getRowCount()")), "0");
    assert_eq!(
        fixture.eval(&format!("{ALL} gr.query(); [gr.hasNext(), gr.next(), gr.hasNext()] + ''")),
        "true,true,true"
    );
}

#[test]
fn sa_50_insert_gives_the_new_id() {
    let fixture = Fixture::new();
    let text = "var n = new GlideRecord('incident'); n.short_description = 'x'; var id = n.insert();\
         [/^[0-9a-f]{32}$/.test(id), n.state == 1, n.number + '', n.deleteRecord(), n.get(id),\
          n.deleteRecord(), n.get(id)] + ''";
    assert_eq!(fixture.eval(text), "true,true,INC0000042,false,true,true,false");
}

#[test]
fn sa_51_an_update_without_changes_writes_only_when_forced() {
    let fixture = Fixture::new();
    assert_eq!(fixture.eval("gA.update()"), ids::INCIDENT_A);
    assert_eq!(fixture.stored(ids::INCIDENT_A, "sys_mod_count").as_deref(), Some("0"));
    fixture.eval("gA.setForceUpdate(true); gA.update();");
    assert_eq!(fixture.stored(ids::INCIDENT_A, "sys_mod_count").as_deref(), Some("1"));
}

#[test]
fn sa_52_auto_sys_fields_off_leaves_the_system_fields() {
    let fixture = Fixture::new();
    fixture.eval("gA.autoSysFields(false); gA.short_description = 'y'; gA.update('why');");
    assert_eq!(fixture.stored(ids::INCIDENT_A, "short_description").as_deref(), Some("y"));
    assert_eq!(fixture.stored(ids::INCIDENT_A, "sys_mod_count").as_deref(), Some("0"));
}

#[test]
fn sa_53_set_workflow_reaches_the_record() {
    let fixture = Fixture::new();
    let current = fixture.record("incident", ids::INCIDENT_A);
    fixture.eval_on(&current, "current.setWorkflow(false)");
    assert!(!current.workflow.get());
    fixture.eval_on(&current, "current.setWorkflow(current.active)");
    assert!(current.workflow.get(), "an element is judged by its value");
}

#[test]
fn sa_54_update_multiple_clears_with_null_in_capitals() {
    let fixture = Fixture::new();
    fixture.eval(
        "var gr = new GlideRecord('incident'); gr.addActiveQuery(); gr.setLimit(1);\
         gr.setValue('category', 'NULL'); gr.updateMultiple();",
    );
    assert_eq!(fixture.stored(ids::INCIDENT_A, "category"), None);
}

#[test]
fn sa_55_delete_multiple_ignores_the_limit() {
    let fixture = Fixture::new();
    fixture.eval(
        "var gr = new GlideRecord('incident'); gr.addQuery('priority', 1); gr.setLimit(1);\
         gr.query(); gr.deleteMultiple();",
    );
    assert_eq!(fixture.stored(ids::INCIDENT_A, "number"), None);
    assert_eq!(fixture.stored(ids::INCIDENT_C, "number"), None);
    assert!(fixture.stored(ids::INCIDENT_B, "number").is_some());
}

#[test]
fn sa_56_a_row_knows_its_real_class() {
    let fixture = Fixture::new();
    fixture.row("problem", &[("sys_id", "p1"), ("number", "PRB0000001")]);
    let text = "var t = new GlideRecord('task'); t.addQuery('number', ['INC0000001', 'PRB0000001']);\
         t.query(); var r = []; while (t.next()) r.push(t.getTableName(), t.getRecordClassName(),\
         t.instanceOf('incident')); r + ''";
    assert_eq!(fixture.eval(text), "task,incident,true,task,problem,false");
}

#[test]
fn sa_57_a_nil_reference_has_an_empty_record() {
    let fixture = Fixture::new();
    for (text, expected) in [
        ("gB.assigned_to.getRefRecord() !== null", "true"),
        ("gB.assigned_to.getRefRecord().isValidRecord()", "false"),
        ("gA.assigned_to.getRefRecord().name + ''", "Abel Tuter"),
        ("gA.caller_id.manager.getRefRecord().getUniqueValue()", ids::BETH),
        ("gA.number.getRefRecord()", "null"),
    ] {
        assert_eq!(fixture.eval(text), expected, "{text}");
    }
}

#[test]
fn sa_58_past_the_end_the_last_row_stays_readable() {
    let fixture = Fixture::new();
    let text =
        format!("{ALL} gr.query(); while (gr.next()) {{}} gr.isValidRecord() + ' ' + gr.number");
    assert_eq!(fixture.eval(&text), "false INC0000003");
}

#[test]
fn sa_59_inserting_a_row_that_was_read_makes_a_copy() {
    let fixture = Fixture::new();
    let id = fixture.eval("gA.insert()");
    assert_ne!(id, ids::INCIDENT_A);
    assert_eq!(fixture.stored(&id, "short_description").as_deref(), Some("Email down"));
    assert!(fixture.stored(ids::INCIDENT_A, "short_description").is_some());
}

#[test]
fn sa_60_an_unknown_table_has_no_rows_and_takes_none() {
    let fixture = Fixture::new();
    let text = "var x = new GlideRecord('no_table'); x.query();\
         [x.isValid(), x.next(), x.insert() === null, x.isValidField('sys_id')] + ''";
    assert_eq!(fixture.eval(text), "false,false,true,false");
    assert_eq!(fixture.host.logged(LogLevel::Warn), ["there is no table 'no_table'"]);
}

#[test]
fn sa_61_misspelt_methods_are_not_there() {
    let fixture = Fixture::new();
    for typo in ["setWorkFlow(false)", "addOrderBy('x')", "getUniquevalue()", "setlimit(1)"] {
        assert!(fixture.error(&format!("gA.{typo}")).starts_with("TypeError"), "{typo}");
    }
    assert_eq!(fixture.eval("gA.addMinutes"), "undefined");
}

#[test]
fn a_record_says_what_it_is() {
    let fixture = Fixture::new();
    for (text, expected) in [
        ("String(gA)", "[object GlideRecord]"),
        ("gA + ''", "[object GlideRecord]"),
        ("new GlideRecordSecure('incident') + ''", "[object GlideRecordSecure]"),
        ("new GlideRecordSecure('incident') instanceof GlideRecord", "true"),
        ("gA == null", "false"),
        ("gA ? 1 : 2", "1"),
        ("gA == gA", "true"),
        ("gA == g('INC0000001')", "false"),
        ("gA.getTableName() + gA.getLabel() + gA.getPlural()", "incidentincidentincidents"),
        ("gA.getLink(true)", "incident.do?sys_id=10000000000000000000000000000001"),
        ("/&sysparm_stack=/.test(gA.getLink())", "true"),
        ("gA.getDisplayValue()", "INC0000001"),
        ("gA.getDisplayValue('state')", "New"),
        ("gA.getDisplayValue('nope')", "null"),
        ("gA.getValue('nope')", "null"),
        ("gA.getElement('nope')", "null"),
        ("gA.getElement('state') === gA.state", "true"),
        ("gA.isValidField('category') + ' ' + gA.isValidField('nope')", "true false"),
        ("gA.canRead() + ' ' + gA.canDelete()", "true false"),
        ("gA.getAttribute('number')", "edge_encryption_enabled=true,no_sort,width=12"),
        ("gA.hasAttachments()", "false"),
        ("new GlideRecord('incident').getUniqueValue()", "null"),
        ("gA.operation()", "null"),
        ("gA.category = 'x'; gA.update(); gA.operation()", "update"),
        ("gA.number.getGlideRecord().getUniqueValue()", ids::INCIDENT_A),
        ("new GlideRecord('incident').isNewRecord()", "false"),
        ("var n = new GlideRecord('incident'); n.newRecord(); n.isNewRecord()", "true"),
        ("gr = new GlideRecord('incident'); gr.isValidEncodedQuery('state=1^nope=2')", "false"),
        ("gA.current", "undefined"),
        ("gA.variables", "undefined"),
    ] {
        assert_eq!(fixture.eval(text), expected, "{text}");
    }
    assert!(fixture.error("GlideRecord('incident')").starts_with("TypeError"));
    assert!(fixture.error("gA.query.call({})").starts_with("TypeError"));
    assert!(fixture.error("new GlideAggregate('incident')").starts_with("ReferenceError"));
}

#[test]
fn a_script_may_derive_its_own_record_class() {
    let fixture = Fixture::new();
    let text = "class Mine extends GlideRecord { constructor() { super('incident'); }\
         first() { this.query(); return this.next(); } get title() { return this.number + '!'; } }\
         var m = new Mine(); [m.first(), m.number + '', m.title, m instanceof Mine] + ''";
    assert_eq!(fixture.eval(text), "true,INC0000001,INC0000001!,true");
}

#[test]
fn unknown_names_are_ignored_and_noted_even_in_strict_scripts() {
    let fixture = Fixture::new();
    let current = fixture.record("incident", ids::INCIDENT_A);
    let text = "(function() { 'use strict'; current.nope = 1; delete current.number;\
         current.caller_id.nope = 2; current.setValue('nope2', 3); return current.nope; })()";
    assert_eq!(fixture.eval_on(&current, text), "undefined");
    assert_eq!(*current.unknown_names.borrow(), ["nope", "nope", "nope2"]);
}

#[test]
fn the_null_like_current_equals_null_and_is_false() {
    let fixture = Fixture::new();
    let current = fixture.empty_record("incident");
    current.make_null_like();
    for (text, expected) in [
        ("current == null", "true"),
        ("current == undefined", "true"),
        ("current != null", "false"),
        ("null == current", "true"),
        ("current ? 1 : 2", "2"),
        ("!current", "true"),
        ("(current && 1) == null", "true"),
        ("current.isValidRecord()", "false"),
        ("current.short_description + '#'", "#"),
        ("gs.nil(current)", "true"),
        ("current === null", "false"),
    ] {
        assert_eq!(fixture.eval_on(&current, text), expected, "{text}");
    }
}

#[test]
fn current_previous_and_event_are_the_same_objects_all_through_a_run() {
    let fixture = Fixture::new();
    let record = fixture.record("incident", ids::INCIDENT_A);
    let bindings = Bindings {
        current: Some(Rc::clone(&record) as RecordRef),
        previous: Some(Rc::clone(&record) as RecordRef),
        ..Bindings::default()
    };
    let outcome = fixture.run_with(
        ScriptKind::BusinessRuleCondition,
        "[current === previous, current.number === previous.number,\
          current.number.getGlideRecord() === current] + ''",
        &bindings,
    );
    assert_eq!(outcome.result.unwrap().text, "true,true,true");
}

#[test]
fn what_a_script_sets_on_current_is_there_afterwards() {
    let fixture = Fixture::new();
    let current = fixture.record("incident", ids::INCIDENT_A);
    fixture.eval_on(&current, "current.short_description = 'set'; current.setAbortAction(true)");
    let path = current.field("short_description").unwrap();
    assert_eq!(&*current.script_text(path), "set");
    assert!(current.is_action_aborted());
}
