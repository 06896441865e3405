//! The value of a script: `answer`, completion value, `return` (scripting §1.4).

use std::rc::Rc;

use campanile_script::{Bindings, Completion, Host, Limits, Sandbox, ScriptKind};

use crate::bare_host::{BareHost, source, value};

fn condition(sandbox: &Sandbox, text: &str) -> Completion {
    let host: Rc<dyn Host> = Rc::new(BareHost::default());
    let source = source(ScriptKind::BusinessRuleCondition, text);
    match sandbox.run(&source, &Bindings::default(), Limits::default(), &host).result {
        Ok(completion) => completion,
        Err(error) => panic!("{text}\nfailed: {error:?}"),
    }
}

#[test]
fn sa_27_a_condition_is_its_answer_or_its_last_expression_and_an_empty_one_is_true() {
    let sandbox = Sandbox::new().unwrap();
    for (text, expected) in [
        ("1 == 1", true),
        ("answer = 1 == 1; false", true),
        ("var answer = 1 == 1; false", true),
        ("(function(){ return 1 == 1; })()", true),
        ("var x = 1; x == 2;", false),
        ("", true),
        ("  \n", true),
        ("'false'", false),
        ("'0'", false),
        ("0", false),
        ("'no'", true),
        ("true; var x = 1;", true),
        ("if (true) { 1 } else { 0 }", true),
        ("true; if (false) 1", false),
        ("let answer = 5; 0", true),
        ("var r = true; try { r } finally { false }", true),
        ("if (1) return true; false", true),
        ("return;", false),
        ("null", false),
        ("({})", true),
        ("NaN", false),
    ] {
        assert_eq!(condition(&sandbox, text).truthy, expected, "{text}");
    }
}

#[test]
fn the_completion_tells_what_was_judged() {
    let sandbox = Sandbox::new().unwrap();
    let judged = condition(&sandbox, "'abc'");
    assert_eq!((judged.text.as_str(), judged.is_boolean, judged.is_nullish), ("abc", false, false));
    assert!(condition(&sandbox, "undefined").is_nullish);
    assert!(condition(&sandbox, "!1").is_boolean);
    let without_text = condition(&sandbox, "({toString: function(){ throw 1 }})");
    assert_eq!((without_text.truthy, without_text.text.as_str()), (true, ""));
    assert_eq!(condition(&sandbox, "'x'.repeat(10000)").text.len(), 4096);
}

#[test]
fn a_completion_value_is_that_of_the_last_statement_that_has_one() {
    let sandbox = Sandbox::new().unwrap();
    for (text, expected) in [
        ("1; 2; var x = 3", "2"),
        ("for (var i = 0; i < 3; i++) i", "2"),
        ("a: for (;;) { 7; break a }", "7"),
        ("switch (1) { case 1: 'one'; break; default: 'no' }", "one"),
        ("try { 1; throw 2 } catch (e) { e + 1 }", "3"),
        ("do { 5 } while (false)", "5"),
        ("while (false) { 1 }", "undefined"),
        ("4; function f() { return 9 }", "4"),
        ("{ 8 }", "8"),
        ("x = 1, 2", "2"),
        ("'use strict'", "use strict"),
        ("var o = {a: 1}; o.a", "1"),
        ("if (0) 1; else if (1) 6; else 7", "6"),
    ] {
        assert_eq!(value(&sandbox, text), expected, "{text}");
    }
}
