//! No run sees another's change; each sees its own (scripting §2.2).

use campanile_script::Sandbox;

use crate::bare_host::{run, value};

#[test]
fn sa_23_globals_of_one_script_are_not_seen_by_another() {
    let sandbox = Sandbox::new().unwrap();
    for text in [
        "leak = 42; var v2 = 1",
        "(function(){ leak = 42; this.v2 = 1 })()",
        "this.leak = 1; this['v2'] = 2",
        "for (leak in {a: 1}); [v2] = [1]",
        "({leak} = {leak: 1}); eval('var v2 = 1; leak = 2')",
        "{ let leak = 1 } leak = 2; v2 = 3",
        "Object.defineProperty(this, 'leak', {value: 1}); globalThis.v2 = 3",
        "(0, eval)('var leak = 1; v2 = 2; let lexicalLeak = 1')",
        "this['ev' + 'al']('var leak = 1; v2 = 2')",
        "(function(){ (function(){ var leak = 1 })(); leak = 2; v2 = 3 })()",
    ] {
        let outcome = run(&sandbox, text);
        assert!(outcome.result.is_ok(), "{text}: {outcome:?}");
        let next = "typeof leak + typeof v2 + typeof lexicalLeak";
        assert_eq!(value(&sandbox, next), "undefinedundefinedundefined", "{text}");
    }
}

/// Ways to alter a built-in object, and an expression that tells whether it was altered.
const CHANGES: &[(&str, &str)] = &[
    ("String.prototype.hack = 1", "'x'.hack"),
    ("[].push.hack = 1", "[].push.hack"),
    (
        "Array.prototype.push.call(Array.prototype, 7)",
        "[].length + String(Array.prototype.length) === '01' || undefined",
    ),
    ("var p = 'proto' + 'type'; var S = String; S[p].hack = 1", "'x'.hack"),
    ("var k = 'constructor'; ({})[k].hack = 1", "Object.hack"),
    ("for (String.prototype.hack of [1]);", "'x'.hack"),
    ("for (String.prototype.hack in {a: 1});", "'x'.hack"),
    ("[String.prototype.hack] = [1]", "'x'.hack"),
    ("({a: String.prototype.hack} = {a: 1})", "'x'.hack"),
    ("String.prototype.hack ||= 1", "'x'.hack"),
    ("JSON.stringify.hack = 1", "JSON.stringify.hack"),
    ("Math.random = function(){ return 7 }", "Math.random() === 7 || undefined"),
    ("Math.max = 1", "Math.max === 1 || undefined"),
    ("delete String.prototype.trim", "''.trim === undefined || undefined"),
    ("Object.defineProperty(Object.prototype, 'hack', {value: 1})", "({}).hack"),
    ("Object.assign(Array.prototype, {hack: 1})", "[].hack"),
    ("Reflect.set(Array.prototype, 'hack', 1)", "[].hack"),
    ("Object.setPrototypeOf(Array.prototype, {hack: 1})", "[].hack"),
    ("(function(){}).__proto__.hack = 1", "(function(){}).hack"),
    ("Object.getPrototypeOf([][Symbol.iterator]()).hack = 1", "[].values().hack"),
    ("(function*(){})().__proto__.__proto__.hack = 1", "(function*(){})().hack"),
    ("with (Math) { max = 1 }", "Math.max === 1 || undefined"),
    ("eval('String.prototype.hack = 1')", "'x'.hack"),
    ("(0, eval)('String.prototype.hack = 1')", "'x'.hack"),
    ("Date = function(){}; ", "Date.now === undefined || undefined"),
    ("Date.prototype.getTime = function(){ return 1 }", "new Date().getTime() === 1 || undefined"),
    ("undefined; String = 1", "String === 1 || undefined"),
    ("class A extends (function(){ return String.prototype }) { hack = 1 } new A()", "'x'.hack"),
    (
        "JSON.parse('{\"a\":1,\"b\":{}}', function(k, v){ if (k === 'a') { this.b = String.prototype } return v; }); String.prototype.hack = 1",
        "'x'.hack",
    ),
    ("Error.captureStackTrace && Error.captureStackTrace(Object.prototype)", "({}).stack"),
    ("Error.stackTraceLimit = 0", "Error.stackTraceLimit"),
    ("console.log = 1", "console.log === 1 || undefined"),
    ("Packages.hack = 1; String.prototype.hack = 1", "'x'.hack"),
    ("var m = [Object][0]; m.prototype.hack = 1", "({}).hack"),
    ("(function(o){ o.prototype.hack = 1 })(Object)", "({}).hack"),
    ("var o = {String}; o.String.hack = 1", "String.hack"),
    ("''.constructor.hack = 1", "String.hack"),
    ("Object.freeze(Object.prototype)", "Object.isExtensible({}) && undefined"),
    ("RegExp.prototype.exec = function(){ return null }", "/a/.exec('a') === null || undefined"),
    ("Promise.prototype.then = 1", "Promise.prototype.then === 1 || undefined"),
    ("Symbol.prototype.hack = 1", "Symbol().hack"),
    ("Iterator.prototype.hack = 1", "[].values().hack"),
    ("Array.from.call(function(){ return Array.prototype }, [1])", "Array.prototype[0]"),
];

#[test]
fn sa_25_a_change_of_a_built_in_is_never_seen_by_another_run() {
    let sandbox = Sandbox::new().unwrap();
    for (change, probe) in CHANGES {
        drop(run(&sandbox, change));
        assert_eq!(value(&sandbox, probe), "undefined", "{change}");
        assert_eq!(
            value(
                &sandbox,
                "[3,1,2].sort().map(String).join() + JSON.stringify({a: 1}) + Math.max(1, 2) + ' a '.trim()"
            ),
            "1,2,3{\"a\":1}2a",
            "{change}"
        );
    }
}

#[test]
fn a_script_sees_its_own_changes_until_it_ends() {
    let sandbox = Sandbox::new().unwrap();
    for (text, expected) in [
        ("String.prototype.hack = 1; 'x'.hack", "1"),
        ("Math.random = function(){ return 7 }; Math.random()", "7"),
        ("Array.prototype.last = function(){ return this[this.length - 1] }; [1, 2].last()", "2"),
        ("[].push.hack = 1; [].push.hack", "1"),
        ("var S = String; S['proto' + 'type'].hack = 2; ''.hack", "2"),
        ("Object.defineProperty(Object.prototype, 'h', {value: 3}); ({}).h", "3"),
        ("delete String.prototype.trim; typeof ''.trim", "undefined"),
        ("String = 5; String", "5"),
        ("JSON = {parse: 1}; JSON.parse", "1"),
        ("Date = 7; Date", "7"),
        ("[String.prototype.hack] = [4]; ''.hack", "4"),
        ("eval('String.prototype.hack = 8'); ''.hack", "8"),
    ] {
        assert_eq!(value(&sandbox, text), expected, "{text}");
    }
}

#[test]
fn assignments_to_a_scripts_own_objects_work_as_if_nothing_were_frozen() {
    let sandbox = Sandbox::new().unwrap();
    for (text, expected) in [
        ("function F(){} F.prototype.toString = function(){ return 'F!' }; '' + new F()", "F!"),
        ("var e = new Error('a'); e.name = 'X'; e.message = 'b'; String(e)", "X: b"),
        ("var map = {}; map['constructor'] = 1; map.constructor", "1"),
        ("var map = {}, k = 'toString'; map[k] = 5; map.toString", "5"),
        (
            "var words = {}; 'constructor a constructor'.split(' ').forEach(function(w){ words[w] = (words.hasOwnProperty(w) ? words[w] : 0) + 1 }); words.constructor",
            "2",
        ),
        ("var c = {valueOf: 1}; c.valueOf++; c['valueOf']++; c.valueOf", "3"),
        ("var o = {}; o.hasOwnProperty = 1; Object.keys(o).join()", "hasOwnProperty"),
        ("'use strict'; var o = {}; o.toString = 1; o.toString", "1"),
        ("var a = []; a.push = 3; a.push + a.length", "3"),
        ("var f = function(){}; f.call = 4; f.call", "4"),
        ("class A { m(){ return 1 } } A.prototype.m = function(){ return 2 }; new A().m()", "2"),
        ("class E extends Error {} E.prototype.name = 'E2'; String(new E('m'))", "E2: m"),
        ("var o = {}; (o.constructor = 1) + 1", "2"),
        ("var o = Object.freeze({}); o.toString = 1; typeof o.toString", "function"),
        (
            "'use strict'; var r; try { Object.freeze({}).toString = 1 } catch (e) { r = e.name } r",
            "TypeError",
        ),
        ("var o = Object.create(Math); o.PI = 3; o.PI > 3", "true"),
        ("function f(){} f.name = 'g'; f.name", "f"),
        ("var o = {set toString(v){ this.got = v }}; o.toString = 6; o.got", "6"),
        (
            "function Base(){} Base.prototype = {type: 'Base', initialize: function(){}}; new Base().type",
            "Base",
        ),
        ("var s = new Map(); s.size = 4; s.get = 5; s.get", "5"),
        ("var o = {}; o.x ||= 1; o.toString &&= 2; o.x + o.toString", "3"),
        ("var o = {n: 1}; o.n += 2; o['n'] += 3; o.n", "6"),
    ] {
        assert_eq!(value(&sandbox, text), expected, "{text}");
    }
}
