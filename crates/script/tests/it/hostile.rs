//! Scripts that want to stay: each ends with a named limit, and the next one runs (scripting §16).

use std::rc::Rc;
use std::time::{Duration, Instant};

use campanile_script::{Bindings, Host, LimitKind, Limits, Sandbox, ScriptErrorKind, ScriptKind};

use crate::bare_host::{BareHost, run_limited, source, tight_limits, value};

/// What must come of a hostile script.
#[derive(Debug, Clone, Copy)]
enum End {
    Time,
    Memory,
    /// Time or memory, whichever comes first on this machine.
    AnyLimit,
    /// It may also fail by an exception, or finish: but soon.
    Soon,
}

/// Far above every limit, for a machine that is busy with other things; far below for ever.
const GIVE_UP: Duration = Duration::from_secs(20);

fn expect(sandbox: &Sandbox, text: &str, end: End) {
    let started = Instant::now();
    let limits = match end {
        // Memory is what must end it, however slow the machine is.
        End::Memory => Limits { max_wall: GIVE_UP, ..tight_limits() },
        _ => tight_limits(),
    };
    let outcome = run_limited(sandbox, text, limits);
    let took = started.elapsed();
    let kind = outcome.result.as_ref().err().map(|error| error.kind);
    let fits = match end {
        End::Time => kind == Some(ScriptErrorKind::Limit(LimitKind::Time)),
        End::Memory => kind == Some(ScriptErrorKind::Limit(LimitKind::Memory)),
        End::AnyLimit => matches!(kind, Some(ScriptErrorKind::Limit(_))),
        End::Soon => true,
    };
    assert!(fits, "{text}\nended with {:?} after {took:?}", outcome.result);
    assert!(took < GIVE_UP, "{text}\ntook {took:?}");
    assert_eq!(value(sandbox, "[1, 2].map(function(x){ return x + 1 }).join()"), "2,3", "{text}");
}

#[test]
fn loops_and_handlers_cannot_outlive_their_time() {
    let sandbox = Sandbox::new().unwrap();
    for text in [
        "for(;;){}",
        "while(true);",
        "do ; while (true)",
        "for(;;) new Promise(function(){for(;;){}})",
        "for(;;) new Promise(() => { for(;;); })",
        "for (var x of (function*(){ for(;;) yield 1 })()) new Promise(function(){ for(;;); })",
        "var a = [1]; for (var x of a) { a.push(1); if (a.length > 1000) a.length = 500; new Promise(function(){ for(;;); }) }",
        "try { for(;;){} } finally { for(;;){} }",
        "function f(){ try { for(;;){} } finally { f() } } f()",
        "a: for(;;) { for(;;) { continue a } }",
        "[2,1,3].sort(function(){ for(;;){} })",
        "'aaa'.replace(/a/g, function(){ for(;;){} })",
        "JSON.stringify({toJSON: function(){ for(;;){} }})",
        "JSON.parse('[1]', function(){ for(;;){} })",
        "({}) + {toString: function(){ for(;;){} }}",
        "with ({get x(){ for(;;){} }}) { x }",
        "var p = new Proxy({}, {get: function(){ for(;;){} }}); p.x",
        "Promise.resolve().then(function(){ for(;;){} })",
        "Promise.all([{get then(){ for(;;) new Promise(function(){ for(;;){} }) }}]); for(;;){}",
        "Promise.resolve({get then(){ for(;;){} }}); for(;;) Promise.resolve({get then(){ for(;;){} }})",
        "function spin(){ Promise.resolve().then(spin) } spin()",
        "(async function f(){ for(;;) { await 1 } })()",
        "(async function(){ try { for(;;){} } catch (e) { for(;;){} } finally { for(;;){} } })(); for(;;){}",
        "/(a+)+$/.test('a'.repeat(40) + 'b')",
        "for(;;) { try { /(a+)+$/.test('a'.repeat(40) + 'b') } catch (e) {} }",
        "function* g(){ try { yield 1 } finally { for(;;){} } } for (var x of g()) break",
        "var it = {next: function(){ return {} }, return: function(){ for(;;){} }}; it[Symbol.iterator] = function(){ return it }; for (var x of it) { for(;;){} }",
        "eval('for(;;){}')",
        "for(;;) { try { eval('for(;;){}') } catch (e) {} }",
        "(0, eval)('for(;;) new Promise(function(){ for(;;){} })')",
        "class A { static { for(;;){} } }",
        "class A { constructor(){ for(;;){} } } new Promise(function(){ new A() }); new A()",
        "var o = {get x(){ for(;;){} }}; for(;;) { try { o.x } catch (e) {} }",
        "for(;;) { try { throw 1 } catch (e) { continue } finally { continue } }",
        "var b = 2n ** 100000n; for(;;) b * b",
        "new Set({[Symbol.iterator]: function(){ return {next: function(){ return {value: 1} }} }})",
    ] {
        expect(&sandbox, text, End::Time);
    }
}

#[test]
fn a_loop_that_outlives_its_time_is_named_with_its_line_wherever_it_is_ended() {
    let sandbox = Sandbox::new().unwrap();
    let host: Rc<dyn Host> = Rc::new(BareHost::default());
    for kind in [ScriptKind::Background, ScriptKind::BusinessRule, ScriptKind::ScriptAction] {
        for (text, line) in [
            ("var a = 1;\nfor (;;) {}", 2),
            ("var a = 1;\nwhile (true);", 2),
            ("var a = 1;\ndo ; while (true)", 2),
            // The function's entry is a place to end too, so it stands in the loop's line.
            ("var a = 1;\nfunction f() { for (;;) { var b = 'abc'.indexOf('c') } } f()", 2),
        ] {
            // The end may come at any instruction of the loop: some tries meet them all.
            for memory_bytes in [4 << 20, 24 << 20] {
                for tick in 0..20 {
                    let max_wall = Duration::from_micros(20_000 + 137 * tick);
                    let limits = Limits { max_wall, memory_bytes, ..tight_limits() };
                    let outcome =
                        sandbox.run(&source(kind, text), &Bindings::default(), limits, &host);
                    let error = outcome.result.unwrap_err();
                    assert_eq!(error.kind, ScriptErrorKind::Limit(LimitKind::Time), "{text}");
                    assert_eq!(
                        error.line,
                        Some(line),
                        "{kind:?} {memory_bytes} {text}\ntry {tick}: {error:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn sa_32_neither_catch_nor_finally_sees_a_termination() {
    let sandbox = Sandbox::new().unwrap();
    let host = std::rc::Rc::new(crate::bare_host::BareHost::default());
    let dynamic: std::rc::Rc<dyn campanile_script::Host> = host.clone();
    let text =
        "try { for(;;){} } catch (e) { console.log('caught') } finally { console.log('finally') }";
    let source = crate::bare_host::source(campanile_script::ScriptKind::ScriptAction, text);
    let outcome = sandbox.run(&source, &Default::default(), tight_limits(), &dynamic);
    assert_eq!(outcome.result.unwrap_err().kind, ScriptErrorKind::Limit(LimitKind::Time));
    assert!(host.lines.borrow().is_empty(), "{:?}", host.lines);
}

#[test]
fn sa_33_memory_is_bounded_whatever_the_script_catches() {
    let sandbox = Sandbox::new().unwrap();
    for text in [
        "var a=[]; for(;;) a.push(new Array(1e6).join('x'))",
        "var a=[]; for(;;) { try { a.push('x'.repeat(100000) + a.length) } catch (e) {} }",
        "var a=[]; function f(){ try { for(;;) a.push({}) } catch (e) { f() } finally { f() } } f()",
        "Array.from({length: 1e9})",
        "[...Array(1e8)]",
        "var o = {}; for (var i = 0;; i++) o['k' + i] = {}",
        "new Uint8Array(2**31 - 8)",
        "var m = new Map(); for (var i = 0;; i++) m.set(i, [i])",
        "JSON.parse('[' + '[],'.repeat(2000000) + '[]]')",
        "(async function(){ var a = []; for(;;) { a.push(new Array(1000).fill(1)); await 1 } })()",
        "var a=[]; for(;;) new Promise(function(){ for(;;) a.push([1,2,3]) })",
        "var a = []; for(;;) a.push(Symbol('x' + a.length))",
        "var a = []; for(;;) { a.push(async function(){ await 1 }()) }",
    ] {
        expect(&sandbox, text, End::AnyLimit);
    }
    expect(&sandbox, "var a=[]; for(;;) a.push(new Array(1e5).join('x'))", End::Memory);
    expect(&sandbox, "var a=[]; for(;;) a.push(new Array(1e6).join('x'))", End::Memory);
}

#[test]
fn natives_on_huge_lengths_refuse_or_end() {
    let sandbox = Sandbox::new().unwrap();
    for text in [
        "[].reverse.call({length: 2**53-1})",
        "[].reverse.call({get length(){ return 2**53-1 }})",
        "var n = 0; [].reverse.call({get length(){ return n++ ? 2**53-1 : 1 }})",
        "[].indexOf.call(new Proxy([], {get: function(t, k){ return k === 'length' ? 2**53-1 : undefined }}), 1)",
        "[].forEach.call({length: 2**53-1}, function(){})",
        "[].fill.call({length: 2**53-1}, 1)",
        "[].concat({length: 2**53-1, [Symbol.isConcatSpreadable]: true})",
        "[].concat({get length(){ return 2**33 }, [Symbol.isConcatSpreadable]: true})",
        "[new Array(2**32-1)].flat()",
        "new Array(2**32-1).join('x')",
        "new Array(2**32-1).indexOf(1)",
        "var a = []; a.length = 2**32-1; a.sort()",
        "Array(1e9).fill()",
        "[].splice.call({length: 2**53-1}, 0, 1)",
        "[].unshift.call({length: 2**53-2}, 1)",
        "[].toString.call({join: [].join, length: 2**53-1})",
        "Object.prototype.toString.call(Array.prototype.copyWithin.call({length: 2**53-1}, 0, 3))",
        "'a'.padEnd(2**30)",
        "for(;;) { try { 'x'.repeat(2**29) } catch (e) {} }",
        "('a'.repeat(4000000)).indexOf('a'.repeat(2000000) + 'b')",
        "('a'.repeat(4000000)).split('a'.repeat(2000000) + 'b')",
        "('a'.repeat(4000000)).replace({toString: function(){ return 'a'.repeat(2000000) + 'b' }}, '')",
        "''.lastIndexOf.call({toString: function(){ return 'a'.repeat(4000000) }}, 'b' + 'a'.repeat(2000000))",
        "2n ** (2n ** 20n); var b = 3n ** 600000n; String(b)",
        "for(;;) 2n ** (2n ** 20n)",
        "new Array(2**32-1).map(function(x){ return x })",
        "Array.prototype.flatMap.call({length: 2**53-1}, function(){})",
        "String.raw({raw: {length: 2**53-1}})",
        "Math.max.apply(null, {length: 1e9})",
        "Math.max(...Array(1e7))",
        "Reflect.ownKeys(new Proxy({}, {ownKeys: function(){ return {length: 1e9} }}))",
        "new Set([].values.call({length: 2**53-1}))",
        "var a = [1]; var it = a.values(); a.length = 2**32-1; new Set(it)",
        "Object.fromEntries({length: 1e9, [Symbol.iterator]: [].values})",
        "JSON.stringify(new Array(2**32-1))",
        "new RegExp('(?:'.repeat(100000))",
        "/(?:a{0,1000}){0,1000}b/.test('a'.repeat(10000))",
        "var s = new String('x'); [].lastIndexOf.call(s, 'y', 2**53)",
        "'ab'.split('').sort().join(new Array(1e7).join('x'))",
        "'x'.repeat(1e6).replace(/x/g, 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy')",
        "Array.prototype.includes.call({length: 2**53-1, 5: 1}, 9)",
        "var s='x'; for(;;) s += s + 'y'",
        "for(;;) { try { var s='x'; for(;;) s += s + 'y' } catch (e) {} }",
    ] {
        expect(&sandbox, text, End::Soon);
    }
}

#[test]
fn a_refusal_of_a_length_is_a_range_error_that_can_be_caught() {
    let sandbox = Sandbox::new().unwrap();
    for text in [
        "try { [].reverse.call({length: 2**53-1}) } catch (e) { e.name }",
        "try { new Array(2**32-1).join('x') } catch (e) { e.name }",
        "try { Array(1e9).fill() } catch (e) { e.name }",
        "function f(){ f() } try { f() } catch (e) { e.name }",
        "var o = {toString: function(){ return '' + o }}; try { '' + o } catch (e) { e.name }",
        "var o = {get x(){ return this.x }}; try { o.x } catch (e) { e.name }",
        "var p = new Proxy({}, {get: function(t, k, r){ return r[k] }}); try { p.x } catch (e) { e.name }",
    ] {
        assert_eq!(value(&sandbox, text), "RangeError", "{text}");
    }
}

#[test]
fn deep_data_ends() {
    let sandbox = Sandbox::new().unwrap();
    for text in [
        "JSON.parse('['.repeat(100000) + ']'.repeat(100000))",
        "var a = []; for (var i = 0; i < 100000; i++) a = [a]; JSON.stringify(a)",
        "var a = []; for (var i = 0; i < 100000; i++) a = [a]; String(a)",
        "var a = []; for (var i = 0; i < 100000; i++) a = [a]; a.flat(Infinity)",
        "var o = {}; for (var i = 0; i < 200000; i++) o = {o: o}; o = null; 1",
        "var f = function(){}; for (var i = 0; i < 100000; i++) f = f.bind(null); f()",
        "var o = {}; for (var i = 0; i < 100000; i++) o = Object.create(o); o.missing",
        "eval('('.repeat(100000))",
        "eval('1' + '+1'.repeat(200000))",
        "var s = ''; for (var i = 0; i < 20; i++) s = 'eval(' + JSON.stringify(s) + ')'; eval(s)",
    ] {
        expect(&sandbox, text, End::Soon);
    }
}
