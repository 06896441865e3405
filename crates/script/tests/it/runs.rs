//! One run: its value, its failure, and the next run.

use std::cell::RefCell;
use std::rc::Rc;

use campanile_script::{
    Bindings, Host, LimitKind, Limits, Sandbox, ScriptErrorKind, ScriptKind, check,
};

use crate::bare_host::{BareHost, error, run, run_limited, source, tight_limits, value};

#[test]
fn sa_26_strict_code_refuses_undeclared_names_and_sloppy_code_makes_globals() {
    let sandbox = Sandbox::new().unwrap();
    let failed = run(&sandbox, "\"use strict\"; undeclared = 1;").result.unwrap_err();
    assert!(failed.message.starts_with("ReferenceError: "), "{failed:?}");
    assert_eq!(failed.line, Some(1));
    assert_eq!(value(&sandbox, "undeclared = 1; undeclared + 1"), "2");
}

#[test]
fn sa_28_a_condition_that_throws_is_an_error() {
    let sandbox = Sandbox::new().unwrap();
    let (kind, message) = error(&sandbox, "current.nope.foo()");
    assert_eq!(kind, ScriptErrorKind::Runtime);
    assert!(message.starts_with("TypeError: "), "{message}");
}

#[test]
fn sa_29_a_return_at_top_level_runs() {
    let sandbox = Sandbox::new().unwrap();
    assert_eq!(value(&sandbox, "var x = 1; if (x) return 5; 6"), "5");
    assert!(check(ScriptKind::BusinessRule, "if (current) return;\ncurrent = 1;").is_ok());
}

#[test]
fn sa_31_an_endless_loop_ends_near_its_limit_and_the_next_script_runs() {
    let sandbox = Sandbox::new().unwrap();
    let outcome = run_limited(&sandbox, "var a = 1;\n\nfor(;;){}", tight_limits());
    let failed = outcome.result.unwrap_err();
    assert_eq!(failed.kind, ScriptErrorKind::Limit(LimitKind::Time));
    assert!(failed.message.starts_with("ScriptTimeout: "), "{failed:?}");
    assert_eq!(failed.line, Some(3), "{failed:?}");
    assert_eq!(value(&sandbox, "1 + 1"), "2");
}

#[test]
fn sa_34_modern_syntax_runs() {
    let sandbox = Sandbox::new().unwrap();
    assert_eq!(value(&sandbox, "const f = x => x ?? 1; f(null)"), "1");
    assert_eq!(value(&sandbox, "const o = {a: {b: 2}}; `n=${o?.a?.b}`"), "n=2");
}

#[test]
fn sa_35_json_is_a_class_and_keeps_its_functions() {
    let sandbox = Sandbox::new().unwrap();
    assert_eq!(value(&sandbox, "new JSON().encode({a:1})"), r#"{"a":1}"#);
    assert_eq!(value(&sandbox, "JSON.stringify({a:1})"), r#"{"a":1}"#);
    assert_eq!(value(&sandbox, "new JSON().decode('[1,2]').length + JSON.parse('3')"), "5");
}

#[test]
fn sa_36_java_paths_fail_where_they_are_used_and_name_the_path() {
    let sandbox = Sandbox::new().unwrap();
    let text = "var p = Packages.java.lang.System; var m = ''; \
                try { Packages.java.lang.System.exit(0) } catch (e) { m = e.message } m";
    assert_eq!(value(&sandbox, text), "Java packages are not available: java.lang.System.exit");
    assert_eq!(
        value(&sandbox, "try { new java.util.Date() } catch (e) { e.message }"),
        "Java packages are not available: java.util.Date"
    );
    assert_eq!(
        value(&sandbox, "try { '' + java.util } catch (e) { e.message }"),
        "Java packages are not available: java.util"
    );
    value(&sandbox, "try { Packages.prototype.leak = 1 } catch (e) { 0 }");
    assert!(error(&sandbox, "'' + Packages.prototype.leak").1.contains("prototype.leak"));
}

#[test]
fn sa_41_an_error_has_the_line_and_column_of_the_stored_text_and_named_frames() {
    let sandbox = Sandbox::new().unwrap();
    let text = "var a = 1;\n\n\n\n\nfunction outer(x) {\n  return x && x.missing.field;\n}\nif (a == 1) outer(a);";
    let failed = run(&sandbox, text).result.unwrap_err();
    assert_eq!(failed.line, Some(7), "{failed:?}");
    assert_eq!(failed.column, Some(15), "{failed:?}");
    let frames: Vec<&str> = failed.stack.lines().map(str::trim).collect();
    assert!(frames[0].starts_with("at outer (line 7, column 15"), "{failed:?}");
    assert!(frames[1].contains("(line 9, column "), "{failed:?}");
    assert_eq!(frames.len(), 2, "{failed:?}");
}

#[test]
fn a_thrown_plain_value_has_the_position_of_its_throw() {
    let sandbox = Sandbox::new().unwrap();
    let failed = run(&sandbox, "var x = 1;\nif (x)\n  throw 'no ' + x;").result.unwrap_err();
    assert_eq!((failed.message.as_str(), failed.line, failed.column), ("no 1", Some(3), Some(3)));
    let failed = run(&sandbox, "\nfunction F(){} throw new F()").result.unwrap_err();
    assert_eq!(failed.line, Some(2));
}

#[test]
fn an_unhandled_rejection_is_a_script_error_and_promise_jobs_run_before_the_end() {
    let sandbox = Sandbox::new().unwrap();
    let failed = run(&sandbox, "Promise.reject(new TypeError('late'))").result.unwrap_err();
    assert_eq!(failed.message, "TypeError: late");
    assert!(run(&sandbox, "Promise.reject(1).catch(function(){}); 1").result.is_ok());
    let host = Rc::new(BareHost::default());
    let dynamic: Rc<dyn Host> = host.clone();
    let text = "(async () => { await 1; console.log('a', {b: 1}); })(); console.warn('first')";
    let source = source(ScriptKind::Background, text);
    let outcome = sandbox.run(&source, &Bindings::default(), Limits::default(), &dynamic);
    assert!(outcome.result.is_ok(), "{outcome:?}");
    assert_eq!(*host.lines.borrow(), ["first", "a {\"b\":1}"]);
}

#[test]
fn a_text_that_does_not_parse_is_told_with_its_place() {
    for (text, line, column) in [
        ("var a = ;", 1, 9),
        ("var a = 1;\nif (a {", 2, 7),
        ("let x = 1;\nlet x = 2;", 2, 7),
        ("'ü' + ;", 1, 7),
        ("return 1;\nvar = 2", 2, 5),
    ] {
        let failed = check(ScriptKind::BusinessRule, text).unwrap_err();
        assert_eq!(failed.line, line, "{text}: {failed:?}");
        assert!(failed.column.abs_diff(column) <= 1, "{text}: {failed:?}");
    }
    for text in ["$$_t = 1", "async function* f() {}", "var a = '\0'"] {
        assert!(check(ScriptKind::BusinessRule, text).is_err(), "{text}");
    }
    assert!(check(ScriptKind::BusinessRule, "").is_ok());
}

#[test]
fn deep_nesting_is_refused_or_runs_but_breaks_nothing() {
    let sandbox = Sandbox::new().unwrap();
    for text in [
        "(".repeat(50_000),
        "[".repeat(50_000) + &"]".repeat(50_000),
        "!".repeat(100_000) + "1",
        "if(1)".repeat(30_000) + "1",
        "1".to_owned() + &"+1".repeat(100_000),
        "a".to_owned() + &".a".repeat(100_000),
        "{".repeat(30_000) + &"}".repeat(30_000),
        "x=>".repeat(30_000) + "1",
        "1?".repeat(30_000) + "1" + &":1".repeat(30_000),
    ] {
        drop(run_limited(&sandbox, &text, tight_limits()));
    }
    assert_eq!(value(&sandbox, &("0".to_owned() + &"+1".repeat(900))), "900");
}

#[test]
fn a_run_inside_a_run_is_independent_of_it() {
    struct Nesting {
        sandbox: Sandbox,
        seen: RefCell<Vec<String>>,
    }
    let nesting = Rc::new(Nesting { sandbox: Sandbox::new().unwrap(), seen: RefCell::default() });
    let inner = Rc::clone(&nesting);
    let host = BareHost::calling(move |message| {
        let text = format!("var gr = 'inner {message}'; leak = 1; gr");
        if message.len() < 8 {
            let host: Rc<dyn Host> = Rc::new(BareHost::default());
            let source = source(ScriptKind::Background, &text);
            let outcome =
                inner.sandbox.run(&source, &Bindings::default(), Limits::default(), &host);
            inner.seen.borrow_mut().push(outcome.result.unwrap().text);
        }
    });
    let host: Rc<dyn Host> = Rc::new(host);
    let text = "var gr = 'outer', out = []; for (var i = 0; i < 3; i++) { console.log('n' + i); out.push(gr + typeof leak) } out.join()";
    let outcome = nesting.sandbox.run(
        &source(ScriptKind::Background, text),
        &Bindings::default(),
        Limits::default(),
        &host,
    );
    assert_eq!(outcome.result.unwrap().text, "outerundefined,outerundefined,outerundefined");
    assert_eq!(*nesting.seen.borrow(), ["inner n0", "inner n1", "inner n2"]);
}

#[test]
fn a_text_that_is_too_long_does_not_leave_the_script() {
    let sandbox = Sandbox::new().unwrap();
    let text = "try { console.log('x'.repeat(2000000)) } catch (e) { e.name }";
    let outcome = run_limited(&sandbox, text, tight_limits());
    assert_eq!(outcome.result.unwrap().text, "RangeError");
}

#[test]
fn the_scratchpad_is_copied_in_and_out() {
    let sandbox = Sandbox::new().unwrap();
    let host: Rc<dyn Host> = Rc::new(BareHost::default());
    let bindings = Bindings { scratchpad: Some(r#"{"a":1}"#.to_owned()), ..Bindings::default() };
    let source = source(ScriptKind::BusinessRule, "g_scratchpad.b = g_scratchpad.a + 1");
    let outcome = sandbox.run(&source, &bindings, Limits::default(), &host);
    assert_eq!(outcome.scratchpad.as_deref(), Some(r#"{"a":1,"b":2}"#));
}

#[test]
fn the_clock_is_the_hosts_and_the_zone_is_utc() {
    let sandbox = Sandbox::new().unwrap();
    assert_eq!(value(&sandbox, "new Date().toISOString()"), "2024-03-13T18:30:00.000Z");
    assert_eq!(value(&sandbox, "Date.now() === +new Date()"), "true");
    assert_eq!(value(&sandbox, "String(new Date()) === Date()"), "true");
    assert_eq!(value(&sandbox, "new Date(2024, 0, 31, 5).getHours()"), "5");
    assert_eq!(
        value(&sandbox, "new Date(2024, 0, 31, 5).toISOString()"),
        "2024-01-31T05:00:00.000Z"
    );
    assert_eq!(
        value(&sandbox, "new Date('2024-01-31T05:00:00').toISOString()"),
        "2024-01-31T05:00:00.000Z"
    );
    assert_eq!(
        value(&sandbox, "new Date(0).toString()"),
        "Thu Jan 01 1970 00:00:00 GMT+0000 (UTC)"
    );
    assert_eq!(
        value(&sandbox, "new Date(NaN).toString() + new Date(0).getTimezoneOffset()"),
        "Invalid Date0"
    );
    assert_eq!(
        value(&sandbox, "new Date(new Date(5)).getTime() + (new Date(7) - new Date(2))"),
        "10"
    );
    assert_eq!(
        value(
            &sandbox,
            "Object.prototype.toString.call(new Date()) + (new Date() instanceof Date)"
        ),
        "[object Date]true"
    );
}

#[test]
fn what_the_language_level_leaves_out_is_not_there() {
    let sandbox = Sandbox::new().unwrap();
    for name in
        ["WeakRef", "FinalizationRegistry", "SharedArrayBuffer", "Atomics", "setTimeout", "require"]
    {
        assert_eq!(value(&sandbox, &format!("typeof {name}")), "undefined", "{name}");
    }
    for text in [
        "Function('return 1')",
        "new Function('return 1')",
        "(function(){}).constructor('return 1')",
        "Object.getPrototypeOf(function*(){}).constructor('yield 1')",
        "Object.getPrototypeOf(async function(){}).constructor('1')",
        "import('x').then",
    ] {
        assert_eq!(error(&sandbox, text).0, ScriptErrorKind::Runtime, "{text}");
    }
    assert_eq!(value(&sandbox, "(function(){}) instanceof Function"), "true");
    assert_eq!(value(&sandbox, "typeof Error.prepareStackTrace"), "undefined");
    assert!(error(&sandbox, "arguments").1.starts_with("ReferenceError"));
}
