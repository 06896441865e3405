//! The script engine behind real rules and script actions (scripting §20.2).

use campanile_script::LimitKind;

use crate::fixture::{A, B, Fixture, update_a};
use crate::script_bench::{action, background, event_row, handle_all, logged, runs, value};

/// A before rule with this condition: whether it ran for incident A.
fn condition_holds(fixture: &Fixture, condition: &str) -> bool {
    let rule = fixture.rule("judged", &[("condition", condition), ("script", "gs.print('ran')")]);
    let ran = fixture.script(&update_a("gA.setForceUpdate(true)"));
    fixture.house.remove("sys_script", &rule);
    match ran.trace()[..] {
        ["ran"] => true,
        [] => false,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn sa_23_globals_of_one_rule_are_not_seen_by_the_next_of_the_same_operation() {
    let fixture = Fixture::new();
    fixture.before("leaks", "leak = 42; var v2 = 1; function f() {}");
    fixture.rule(
        "looks",
        &[("order", "200"), ("script", "gs.print(typeof leak + typeof v2 + typeof f)")],
    );
    fixture.after("looks later", "gs.print(typeof leak + typeof v2)");
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert_eq!(ran.trace(), ["undefinedundefinedundefined", "undefinedundefined"]);
}

#[test]
fn sa_24_a_cursor_outlives_a_rule_that_uses_the_same_name() {
    let fixture = Fixture::new();
    for number in ["T1", "T2", "T3"] {
        let class = ("sys_class_name", "task");
        fixture.house.add("task", &[("number", number), ("parent", A), class]);
    }
    fixture.before(
        "loops",
        "var gr = new GlideRecord('task'); gr.addQuery('parent', current.sys_id); gr.orderBy('number'); gr.query();\
         var n = 0; while (gr.next()) { gr.description = 'seen'; gr.update(); n++; } gs.print('ended after ' + n);",
    );
    fixture.rule(
        "nested",
        &[
            ("collection", "task"),
            ("script", "var gr = new GlideRecord('sys_user'); gr.query(); gr.next(); gs.print('task ' + current.number);"),
            ("filter_condition", "numberSTARTSWITHT"),
        ],
    );
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert_eq!(ran.trace(), ["task T1", "task T2", "task T3", "ended after 3"]);
    let rows = fixture.house.rows("task", &[("parent", A)]);
    assert!(rows.len() == 3 && rows.iter().all(|row| row.text("description") == "seen"));
}

#[test]
fn sa_25_a_changed_built_in_is_seen_by_its_own_run_only() {
    let fixture = Fixture::new();
    fixture.before(
        "changes",
        "String.prototype.hack = 1; Array.prototype.push = null; gs.print('own ' + 'x'.hack)",
    );
    fixture.rule(
        "looks",
        &[
            ("order", "200"),
            ("script", "var a = []; a.push(1); gs.print('x'.hack + ' ' + a.length)"),
        ],
    );
    let ran = fixture.script(&update_a("gA.state = 2"));
    assert_eq!(ran.trace(), ["own 1", "undefined 1"]);
}

#[test]
fn sa_26_strict_code_that_assigns_an_undeclared_name_fails_its_event_and_is_logged() {
    let fixture = Fixture::new();
    let id = action(&fixture, "strict one", "t.strict", "\"use strict\"; undeclared = 1;", &[]);
    action(&fixture, "sloppy one", "t.sloppy", "undeclared = 1; gs.print(undeclared);", &[]);
    fixture
        .script("gs.eventQueue('t.strict', null, '', ''); gs.eventQueue('t.sloppy', null, '', '')");
    handle_all(&fixture);
    let failed = runs(&fixture, "t.strict").remove(0);
    assert_eq!((failed.outcome.as_str(), failed.error_line), ("failed", 1));
    assert!(failed.error_message.starts_with("ReferenceError"), "{}", failed.error_message);
    let event = event_row(&fixture, "t.strict");
    assert_eq!((event.text("state"), event.text("error_code")), ("error", "handler_failed"));
    let rows = logged(&fixture, "2", "ReferenceError");
    assert_eq!(rows.len(), 1, "one row for one failure");
    assert!(rows[0].text("message").contains("'strict one'"), "{}", rows[0].text("message"));
    assert!(rows[0].text("message").contains("line 1"), "{}", rows[0].text("message"));
    assert_eq!(
        (rows[0].text("script_table"), rows[0].text("script_sys_id")),
        ("sysevent_script_action", &*id)
    );
    assert_eq!(event_row(&fixture, "t.sloppy").text("state"), "processed");
}

#[test]
fn sa_27_a_condition_is_its_answer_or_its_last_expression() {
    let fixture = Fixture::new();
    for (condition, holds) in [
        ("current.priority == 1", true),
        ("answer = current.priority == 1; false", true),
        ("(function(){ return current.priority == 1; })()", true),
        ("var x = 1; x == 2;", false),
        ("", true),
        ("answer = false; true", false),
        ("'false'", false),
        ("0", false),
        ("current.assigned_to", true),
        ("current.problem_id", false),
        ("return current.priority == 1", true),
    ] {
        assert_eq!(condition_holds(&fixture, condition), holds, "{condition}");
    }
    assert!(logged(&fixture, "2", "").is_empty(), "none of them is false because it failed");
}

#[test]
fn sa_28_a_condition_that_throws_is_false_and_leaves_one_error_row() {
    let fixture = Fixture::new();
    assert!(!condition_holds(&fixture, "current.nope.foo()"));
    let rows = logged(&fixture, "2", "");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0].text("message").contains("TypeError"), "{}", rows[0].text("message"));
}

#[test]
fn sa_31_an_endless_rule_ends_near_its_limit_with_its_name_and_the_next_script_runs() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.business_rule.max_ms", "300");
    fixture.before("endless", "\n\nfor(;;){}");
    let error = fixture.update("abel", "incident", A, &[("state", "2")]).unwrap_err();
    assert!(error.to_string().contains("ScriptTimeout"), "{error}");
    assert_eq!(fixture.a("state"), "1");
    let rows = logged(&fixture, "2", "ScriptTimeout");
    assert_eq!(rows.len(), 1);
    assert!(rows[0].text("message").contains("'endless'"), "{}", rows[0].text("message"));
    let b = format!(
        "var g = new GlideRecord('incident'); g.get('{B}'); g.setWorkflow(false); g.state = 6; g.update()"
    );
    assert_eq!(fixture.script(&b).text, B);
    // One worker, from the rule that is ended to the scripts that come next.
    let began = std::time::Instant::now();
    let ran = fixture.script(&format!(
        "var ended = (function() {{ {} }})(); ended + ' ' + (function() {{ {b} }})()",
        update_a("gA.state = 3").replace("; gA.update()", "; return gA.update()"),
        b = b.replace("; g.update()", "; return g.update()")
    ));
    assert_eq!(ran.text, format!("null {B}"), "the worker runs the next script");
    assert!(began.elapsed() >= std::time::Duration::from_millis(300), "it had all its time");
}

#[test]
fn sa_32_no_handler_of_the_script_sees_its_termination() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.background.max_ms", "200");
    let (result, report) = background(
        &fixture,
        "try { for(;;){} } catch (e) { gs.print('caught') } finally { gs.print('finally') }",
    );
    assert_eq!(result, Err(LimitKind::Time));
    assert!(report.log.is_empty(), "{:?}", report.log);
}

#[test]
fn sa_33_a_rule_that_takes_all_memory_ends_as_such_and_the_worker_stays_healthy() {
    let fixture = Fixture::new();
    fixture.property("campanile.script.memory_mb", "16");
    fixture.before("bomb", "var a=[]; for(;;) a.push(new Array(1e5).join('x'))");
    let ran = fixture.script(&format!(
        "{}; new GlideRecord('u_plain').insert() !== null",
        update_a("gA.state = 2")
    ));
    assert_eq!(ran.text, "true");
    assert_eq!(fixture.a("state"), "1");
    assert_eq!(logged(&fixture, "2", "ScriptMemoryExceeded").len(), 1);
}

#[test]
fn sa_34_modern_syntax_works_on_fields() {
    let fixture = Fixture::new();
    let script =
        "const f = x => x ?? 1; [`n=${gA.number}`, gA?.number === gA.number, f(null)] + ''";
    assert_eq!(value(&fixture, script), "n=INC0000001,true,1");
}

#[test]
fn sa_35_json_is_an_object_and_a_class() {
    let fixture = Fixture::new();
    let script = "[new JSON().encode({a:1}), JSON.stringify({a:1}), new JSON().decode('{\"b\":[2]}').b[0]].join('|')";
    assert_eq!(value(&fixture, script), "{\"a\":1}|{\"a\":1}|2");
}

#[test]
fn sa_36_a_java_path_throws_an_error_that_names_it() {
    let fixture = Fixture::new();
    let script = "var m; try { Packages.java.lang.System.exit(0) } catch (e) { m = e.message } m";
    let message = value(&fixture, script);
    assert!(message.contains("java.lang.System.exit"), "{message}");
}

#[test]
fn sa_41_the_row_of_a_failed_rule_names_its_table_key_name_and_line() {
    let fixture = Fixture::new();
    let text = "(function(current, previous) {\n  var a = 1;\n  var b = 2;\n  if (a == 1) {\n    b = a;\n  }\n  missing.call();\n})(current, previous);";
    let id = fixture.before("line seven", text);
    fixture.script(&update_a("gA.state = 2"));
    let rows = logged(&fixture, "2", "");
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = &rows[0];
    assert_eq!((row.text("script_table"), row.text("script_sys_id")), ("sys_script", &*id));
    let message = row.text("message");
    for part in ["line seven", "line 7", &id, "ReferenceError", "INC0000001"] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert_eq!(row.text("sys_created_by"), "abel");
    assert!(!row.text("execution_id").is_empty());
}
