//! Ordinary code keeps its meaning: the same text in the plain engine and in the sandbox gives the same value,
//! exception and output.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use campanile_script::{Bindings, Host, Limits, Sandbox, ScriptKind};
use proptest::prelude::*;
use rquickjs::context::EvalOptions;
use rquickjs::function::Func;
use rquickjs::{Coerced, Context, Object, Runtime, Value};

use crate::bare_host::{BareHost, source};

/// What the sandbox says of a thrown value whose conversion throws.
const NO_TEXT: &str = "a value that has no text was thrown";

/// What a program shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    end: Result<String, String>,
    output: Vec<String>,
}

/// The plain engine: the text as a script of its own.
fn plainly(text: &str) -> rquickjs::Result<Seen> {
    let runtime = Runtime::new()?;
    let context = Context::full(&runtime)?;
    let output = Rc::new(RefCell::new(Vec::new()));
    let end = context.with(|ctx| -> rquickjs::Result<_> {
        let lines = Rc::clone(&output);
        let console = Object::new(ctx.clone())?;
        let log = Func::from(move |line: Coerced<String>| lines.borrow_mut().push(line.0));
        console.set("log", log)?;
        ctx.globals().set("console", console)?;
        let mut options = EvalOptions::default();
        options.strict = false;
        let value = ctx.eval_with_options::<Value<'_>, _>(text, options);
        while ctx.execute_pending_job() {}
        Ok(match value {
            Ok(value) => Ok(value.get::<Coerced<String>>().map_or_else(|_| String::new(), |t| t.0)),
            Err(_) => {
                let text = ctx.catch().get::<Coerced<String>>();
                Err(text.map_or_else(|_| NO_TEXT.to_owned(), |text| text.0))
            }
        })
    })?;
    let output = output.borrow().clone();
    Ok(Seen { end, output })
}

/// The sandbox.
fn sandboxed(sandbox: &Sandbox, text: &str) -> Seen {
    let host = Rc::new(BareHost::default());
    let dynamic: Rc<dyn Host> = host.clone();
    let limits = Limits { max_wall: Duration::from_secs(60), ..Limits::default() };
    let outcome =
        sandbox.run(&source(ScriptKind::Background, text), &Bindings::default(), limits, &dynamic);
    let output = host.lines.borrow().clone();
    Seen { end: outcome.result.map(|value| value.text).map_err(|error| error.message), output }
}

const PROGRAMS: &[&str] = &[
    // truth and logic
    "var o = {n: 0, get x(){ this.n++; return 0 }}; (o.x || o.x && 1) + ',' + o.n",
    "var a = 0 || '' || null || 'x' && 'y'; a",
    "null ?? (0 || 5) ?? 6",
    "var r = []; if ('' || 0) r.push(1); else if ([] && {}) r.push(2); r.join()",
    "!(1 && 0) + !!('a' || b)",
    "var n = 0; var v = (n++, n) && (n++, n) || n; v + ':' + n",
    "var x = 1; x && (x = 2) || (x = 3); x",
    "var i = 0; while (i < 3 && i != 2) i++; i",
    "var s = ''; for (var i = 0; s += i, i < 3; i++); s",
    "(a => a && a.b)({b: 7})",
    "var f = (a, b = a && 2) => a || b; [f(0), f(1)].join()",
    "1 && 2\n&& 3",
    "1 /* && */ && /* || */ 2 // ||\n || 3",
    "var a = 1\na && console.log('asi')\n;[1].forEach(x => x && console.log(x))",
    "var t = 5\nt && t\n/2/1",
    "var z = 1\n!z || console.log('q')\n++z\nz",
    "var f = function(){ return 1 }\nf() && f()\nvar g = f() && f\ng()",
    "var x = 3, y = x\ny && x == y\n",
    "typeof undefinedName && typeof undefinedName == 'undefined'",
    "void 0 == null && undefined != 0",
    "var re = /[/]&&/.test('/&&') && /a||b/.test('a'); re",
    "`a${1 && 2}b${`c${0 || 'd'}`}`",
    "var tag = (s, ...v) => s.raw.join('|') + v.join(); tag`x${1 && 2}\\n${0 || 3}y`",
    "[1, , 2].length && [...'ab' || ''].join()",
    "({a: 1 && 2, ['b' && 'c']: 0 || 3}).c",
    "delete {}.x && 1",
    "new (function(){ this.q = 1 && 4 })().q",
    "(function(){ return\n1 && 2 })()",
    "(function(){ return/x/.test('x')&&1 })()",
    "(function*(){ var x = yield 1 && 2; return x || 3 })().next().value",
    "[...(function*(){ yield 0 || (yield 5) })()].join()",
    // equality
    "[1 == '1', null == undefined, null == 0, '' == 0, NaN == NaN, [1] == 1, ({}) == '[object Object]'].join()",
    "[1 != '1', null != undefined, NaN != NaN].join()",
    "var c = 0; var o = {valueOf(){ c++; return 1 }}; o == 1; o != 2; c",
    "1 == 1 == true != false",
    "'b' in {b: 1} == true",
    "(1 == 1, 2 == 3)",
    "var a = b = 1 == 1; a + '' + b",
    "for (var k in {a: 1 == 1}) ; k",
    "for (var i = ('a' in {a: 1} == true) ? 1 : 0; i != 3; i++); i",
    "Symbol.iterator == Symbol.iterator",
    "try { Symbol() == {valueOf(){ throw new Error('v') }} } catch (e) { e.message }",
    // assignment
    "var o = {get p(){ console.log('get'); return 1 }, set p(v){ console.log('set' + v) }}; o.p += 2",
    "var o = {a: 1}; var k = {toString(){ console.log('key'); return 'a' }}; o[k] += 2; o.a",
    "var o = {a: 1}; var k = {toString(){ console.log('key'); return 'a' }}; o[k]++ + o[k]-- + ++o[k] + --o[k]",
    "var o = {a: 0, b: 1}; o.a ||= 5; o.b &&= 6; o.c ??= 7; [o.a, o.b, o.c].join()",
    "function g(){ console.log('g'); return {x: 1} } g().x += (console.log('r'), 2)",
    "function g(){ console.log('g'); return {x: 0} } g()['x'] ||= (console.log('r'), 2)",
    "function g(){ console.log('g'); return {x: 0} } g().x &&= (console.log('r'), 2)",
    "var x = 1; x += x++ + ++x; x",
    "var a = [1, 2, 3], i = 0; a[i++] += 10; a[i++] = a[i++]; a.join() + i",
    "var s = 'a'; s += 1; s += null; s += [1, 2]; s",
    "var n = 1; n += 2; n += '3'; n -= 1; n *= 2; n **= 2; n",
    "var b = 1n; b += 2n; String(b)",
    "var u; u += 1; u",
    "x ||= 1",
    "var x; x ||= function(){}; x.name",
    "var x; x ??= () => {}; x.name",
    "var o = {}; o.f = function(){}; o.f.name",
    "const c = 1; try { c += 1 } catch (e) { e.name }",
    "const c = 1; try { c ||= 2; c &&= 2 } catch (e) { e.name }",
    "'use strict'; try { und += 1 } catch (e) { e.name }",
    "'use strict'; try { Object.freeze([1])[0] = 2 } catch (e) { e.name }",
    "try { null.x = (console.log('rhs'), 1) } catch (e) { e.name }",
    "try { null.x += (console.log('rhs'), 1) } catch (e) { e.name }",
    "try { undefined['toString'] = (console.log('rhs'), 1) } catch (e) { e.name }",
    "var [a = 1 && 2, {b = 0 || 3, ...c} = {x: 1}, ...d] = [undefined, undefined, 5]; [a, b, c.x, d].join()",
    "var a, b; [a, b] = [1, 2]; [a, b] = [b, a]; ({a, b: [b]} = {a: a + 1, b: [b]}); a + ',' + b",
    "var o = {}; [o.a, o['b'], ...o.c] = [1, 2, 3, 4]; JSON.stringify(o)",
    "for (var o = {} , [o.k] of [[1], [2]]) ;",
    "var o = {}; for ([o.k] of [[1], [2]]); for (o.j in {z: 1}); JSON.stringify(o)",
    "var arr = []; arr[arr.length] = 1; arr[arr.length] = 2; arr.join()",
    "class A { #p = 1; inc(){ this.#p += 2; this.#p++; return this.#p } } new A().inc()",
    "class A { get v(){ return 1 } } class B extends A { m(){ return super.v && super['v'] == 1 } } new B().m()",
    "class A { set v(x){ this.w = x } } class B extends A { m(){ super.v = 4; return this.w } } new B().m()",
    "(a => { a.b = 1, a['c'] = 2; return a.b + a.c })({})",
    "var o = {a: {b: {c: 1}}}; o.a.b.c += 1; o?.a?.['b'].c",
    "var o = null; o?.a.b.c && 1",
    "var p = {x: 1}; (p).x = 2; (p.x) = 3; (p.x)++; ++(p.x); (p.x) += 1; p.x",
    // statements
    "a: for (var i = 0; i < 3; i++) { for (;;) { if (i == 1) continue a; break } console.log(i) } i",
    "a: { console.log(1); if (1) break a; console.log(2) } 3",
    "a: b: for (;;) { break a }",
    "var r = ''; for (var k in {a: 1, b: 2}) r += k; for (var v of [1, 2]) r += v; r",
    "var r = []; for (let i = 0; i < 3; i++) r.push(() => i); r.map(f => f()).join()",
    "var r = []; for (const x of new Set([1, 2])) r.push(x && x + 1); r.join()",
    "if (0) ; else if (0) ; else console.log('e')",
    "if (1) if (0) console.log(1); else console.log(2)",
    "if (1) for (var i = 0; i < 1; i++) if (0) 1; else console.log('x')",
    "do console.log('once')\nwhile (false) console.log('after')",
    "switch (3) { case 1 && 3: console.log('a'); case 4: console.log('b'); break; default: console.log('c') }",
    "switch ('x') { default: console.log('d'); case 'y': console.log('y') }",
    "try { throw {a: 1} } catch ({a}) { a } finally { console.log('f') }",
    "try { try { null.x } finally { console.log(1) } } catch (e) { e instanceof TypeError }",
    "(function(){ try { return 1 } finally { console.log('f') } })()",
    "(function(){ for (;;) { try { return 1 } finally { break } } return 2 })()",
    "(function(){ try { throw 1 } catch { return 'c' } })()",
    "var r = (function(){ l: try { return 1 } finally { break l } return 3 })(); r",
    "throw 'text'",
    "throw new RangeError('r')",
    "(function named(){ throw new Error(named.name) })()",
    "var f = function(){ 'use strict'; return this }; f() === undefined",
    "(function(){ return typeof this })()",
    "f(); function f(){ console.log('hoisted') }",
    "typeof g; { function g(){} } typeof g",
    "var undefined1 = x1; var x1 = 2; undefined1",
    "try { y1; let y1 = 1 } catch (e) { e.name }",
    "{ let a = 1; { let a = 2; console.log(a) } console.log(a) }",
    "with ({p: 5}) { p && console.log(p) }",
    "var o = {p: 1}; with (o) { p += 2; p ||= 9 } o.p",
    "010 + 0o10 + 0b11 + 0xf + 1_000",
    "var let1 = 1; <!-- a comment\nlet1",
    "eval('var ev = 1 && 2; ev == 2')",
    "var local = 3; (function(local){ return eval('local && local + 1') })(4)",
    "(function(){ eval('var inner = 5'); return inner })()",
    "eval('while (true) { 6; break }')",
    "eval('for (var i = 0; i < 2; i++) { i }')",
    "eval('do { 4; if (1) break } while (0)')",
    "eval('1; function q(){}')",
    "eval('try { 1 } finally { 2 }')",
    "eval('({a: 1})').a",
    "eval(5) + typeof eval()",
    "try { eval('(') } catch (e) { e.name }",
    "eval('\"use strict\"; typeof this')",
    "eval('eval(\"1 && 2\")')",
    "eval(...['1 && 3'])",
    // functions, classes, generators, async
    "class A { static s = 1 && 2; x = 0 || 3; ['m' && 'n'](){ return this.x } static { A.t = A.s && 4 } } [A.s, A.t, new A().n()].join()",
    "class A { constructor(){ this.a = 1 } } class B extends A { constructor(){ console.log('b'); super(); this.b = this.a && 2 } } new B().b",
    "class B extends Array { first(){ return this[0] } } B.from([7]).first()",
    "class E extends Error { constructor(m){ super(m); this.name = 'E' } } try { throw new E('m') } catch (e) { String(e) }",
    "var o = {get a(){ return 1 && 2 }, set a(v){ console.log(v && 3) }, async m(){ return 0 || 1 }, *g(){ yield 1 && 2 }}; o.a = 1; o.a + [...o.g()][0]",
    "(async () => { for (var i = 0; i < 2; i++) { await null; console.log(i && 'one' || 'zero') } })(); console.log('sync')",
    "(async () => { try { await Promise.reject(1) } catch (e) { console.log('c' + e) } finally { console.log('f') } })()",
    "(async () => { for await (var x of [1, Promise.resolve(2)]) console.log(x) })()",
    "Promise.all([1, Promise.resolve(2)]).then(v => console.log(v.join()))",
    "function* g(){ try { var x = yield 1; console.log(x && 'got'); yield* [2, 3] } finally { console.log('closed') } } var it = g(); it.next(); it.next('v'); it.return(9).value",
    "(function(){ return arguments.length && arguments[0] })(4, 5)",
    "(function(a){ a = 2; return arguments[0] })(1)",
    "((...r) => r.length)(1, 2) && (({a}) => a)({a: 6})",
    "(x => ({a: x && 1}))(2).a",
    "(() => {})() || 'undefined'",
    "new.target === undefined",
    "var f = function(a, b){ }; f.length + f.name",
    "var f = async x => x; f.constructor === (async () => {}).constructor",
    "function F(){ if (!(this instanceof F)) return new F(); this.z = 1 } F().z",
    "function Ctor(){} Ctor.prototype = {m: function(){ return 5 }}; Ctor.prototype.constructor = Ctor; new Ctor().m()",
    "var Class = {create: function(){ return function(){ this.initialize.apply(this, arguments) } }}; var U = Class.create(); U.prototype = {initialize: function(a){ this.a = a }, type: 'U'}; new U(3).a + new U(1).type",
    // built-ins that the sandbox replaces
    "[3, 1, 2].filter(Boolean).sort().reverse().join()",
    "[0, 1, '', 'a', null, NaN].filter(Boolean).length + '' + Boolean('') + new Boolean(0).valueOf() + (new Boolean(1) instanceof Boolean)",
    "[[1, [2, [3]]].flat().length, [[1, [2]]].flat(Infinity).join(), [1, 2].flatMap(x => [x, [x]]).length, [1, , 2].flat().length].join()",
    "[1, 2, 3].some(x => x == 2) + ',' + [1, 2].every(x => x) + ',' + [1, 2].find(x => x > 1) + [5].findIndex(x => x == 5) + [1, 2].findLast(x => x < 9)",
    "[].filter.length + [].filter.name + 'x'.replace.length + 'x'.indexOf.name + Date.length",
    "try { [].filter(1) } catch (e) { e.name }",
    "try { [].reduce(x => x) } catch (e) { e.name }",
    "Array.prototype.slice.call({0: 'a', 1: 'b', length: 2}).join()",
    "Array.prototype.map.call('abc', c => c + c).join()",
    "(function(){ return Array.prototype.slice.call(arguments, 1).join() })(1, 2, 3)",
    "Array.prototype.push.call({length: 1}, 'x')",
    "[1, 2, 3].concat(4, [5, [6]]).length + [1, 2, 3, 4].splice(1, 2).join() + [1, 2, 3].indexOf(2, -1)",
    "[1, 2, 3].reduce((a, b) => a + b) + [1, 2].reduceRight((a, b) => a + '-' + b, 'x') + [3, 4].lastIndexOf(4)",
    "'a,b'.split(',').length + 'abab'.replace('b', 'c') + 'abab'.replaceAll('b', '$&!') + 'abc'.split('').join('-') + 'x'.split().length",
    "'aXbX'.replace(/x/gi, (m, i) => i) + 'a1b2'.split(/\\d/).join() + 'abc'.includes('b') + 'abc'.indexOf('c', -5) + 'abc'.lastIndexOf('')",
    "try { 'a'.includes(/a/) } catch (e) { e.name }",
    "'a-b'.replace({[Symbol.replace]: (s, r) => s + r}, 'z')",
    "'undefined'.indexOf() + 'undefinedx'.split(undefined, 1)[0] + 'null'.replace(null, 'x')",
    "String.raw`a\\n${1}b` + String.raw({raw: ['x', 'y']}, 0)",
    "new Date(0).getTime() + new Date(2020, 1, 3).getMonth() + Date.UTC(2020, 0, 1) + new Date('2020-01-01').toISOString() + new Date(NaN).getTime()",
    "class D extends Date { m(){ return this.getTime() + 1 } } new D(5).m()",
    "Object.prototype.toString.call([]) + Object.prototype.toString.call(null) + Object.prototype.toString.call(new Date(0))",
    "JSON.stringify({a: [1, {b: undefined}], d: new Date(0)}) + JSON.stringify('x', null, 2) + JSON.parse('{\"a\":[1]}', (k, v) => v).a",
    "var m = new Map([[1, 'a']]); m.set(2, 'b'); [...m.keys()].join() + m.size + [...new Set([1, 1])].length",
    "new Proxy({}, {get: (t, k) => k}).foo + Reflect.ownKeys({a: 1}).join()",
    "Object.entries({a: 1, b: 2}).map(([k, v]) => k + v).join() + Object.assign({}, {z: 1}).z",
    "[10, 9, 1].sort().join() + [10, 9, 1].sort((a, b) => a - b).join() + [3, 1].toSorted().join()",
    "parseInt('12px') + Number('0x1f') + (0.1 + 0.2).toFixed(2) + isNaN('x') + encodeURIComponent('a b&')",
    "[1, 2, 3].keys().next().value + [...[7, 8].entries()][1].join() + Array.from('ab', c => c + 1).join() + Array.of(1, 2).length",
    "[...[1, 2, 3, 4].values().filter(x => x % 2 == 0).map(x => x * 2)].join()",
    "typeof structuredClone + typeof globalThis + typeof escape('ü')",
    "new Int8Array([1, 2, 3]).filter(x => x > 1).join() + new Uint8Array(2).every(x => x == 0)",
    "var e = new Error('m', {cause: 1}); e.cause + e.message + Object.keys(e).length",
    "function f(a) { for (;;) { if (a == 1 && a) return a } } f + '' + (x => x && x.y) + class { m() { while (1); } }",
    "String(function(){ return 1 == 1 }) + (() => { })",
    "Number.MAX_SAFE_INTEGER === 2 ** 53 - 1 && Math.PI > 3",
    "[undefined, 3, null].indexOf(null) + [NaN].includes(NaN)",
];

#[test]
fn hand_written_programs_mean_the_same_in_the_sandbox() {
    let sandbox = Sandbox::new().unwrap();
    let mut wrong = Vec::new();
    for text in PROGRAMS {
        let (expected, seen) = (plainly(text).unwrap(), sandboxed(&sandbox, text));
        if expected != seen {
            wrong.push(format!("{text}\n  plain:   {expected:?}\n  sandbox: {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A text that stands for an expression of any value.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        Just("o.x".to_owned()),
        Just("o[k]".to_owned()),
        Just("o.g".to_owned()),
        Just("null".to_owned()),
        Just("''".to_owned()),
        Just("'1'".to_owned()),
        Just("undefined".to_owned()),
        Just("[]".to_owned()),
        (0u8..3).prop_map(|n| n.to_string()),
        (0u8..4).prop_map(|n| format!("f({n})")),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        let binary = prop::sample::select(vec![
            "&&",
            "||",
            "==",
            "!=",
            "===",
            "+",
            "-",
            "<",
            ",",
            "&&\n",
            "|| /* x */",
        ]);
        let target = prop::sample::select(vec![
            "a",
            "b",
            "o.x",
            "o[k]",
            "o.g",
            "o['y']",
            "h().x",
            "o.toString",
            "a.p",
        ]);
        let operator = prop::sample::select(vec!["=", "+=", "||=", "&&=", "??=", "-="]);
        prop_oneof![
            (two.clone(), binary).prop_map(|((l, r), op)| format!("({l}) {op} ({r})")),
            (two.clone(), inner.clone()).prop_map(|((c, t), e)| format!("(({c}) ? ({t}) : ({e}))")),
            two.prop_map(|(l, r)| format!("(({l}) ?? ({r}))")),
            inner.clone().prop_map(|e| format!("!({e})")),
            inner.clone().prop_map(|e| format!("(() => {e})()")),
            inner.clone().prop_map(|e| format!("(function(){{ return {e} }})()")),
            inner.clone().prop_map(|e| format!("`${{{e}}}`")),
            inner.clone().prop_map(|e| format!("eval({:?})", format!("({e})"))),
            (target.clone(), operator, inner).prop_map(|(t, op, e)| format!("({t} {op} ({e}))")),
            (target.clone(), prop::bool::ANY)
                .prop_map(|(t, up)| { if up { format!("({t}++)") } else { format!("(--{t})") } }),
        ]
    })
}

/// A text that stands for a statement; loops in it end.
fn statement() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        expression().prop_map(|e| format!("{e};")),
        expression().prop_map(|e| format!("log({e})\n")),
        expression().prop_map(|e| format!("var a = {e};")),
        expression().prop_map(|e| format!("if ({e}) throw {e};")),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        let block = prop::collection::vec(inner.clone(), 0..3).prop_map(|all| all.join(" "));
        prop_oneof![
            (expression(), inner.clone(), inner.clone())
                .prop_map(|(c, t, e)| format!("if ({c}) {t} else {e}")),
            (expression(), inner.clone()).prop_map(|(c, t)| format!("if ({c}) {{ {t} }}")),
            (expression(), block.clone())
                .prop_map(|(c, b)| format!("for (let i = 0; i < 3 && !({c}); i++) {{ {b} }}")),
            (expression(), inner.clone())
                .prop_map(|(c, s)| format!("while (n++ < 5 && ({c})) {s}")),
            block
                .clone()
                .prop_map(|b| format!("for (var v of [1, 0, 'x']) {{ {b} if (v) continue; }}")),
            block.clone().prop_map(|b| format!("for (k in {{x: 1, y: 2}}) {{ {b} }}")),
            (block.clone(), block.clone(), block.clone()).prop_map(|(t, c, f)| format!(
                "try {{ {t} }} catch (e) {{ log('caught'); {c} }} finally {{ {f} }}"
            )),
            (expression(), block.clone(), block.clone()).prop_map(|(d, x, y)| format!(
                "switch ({d}) {{ case 1: {x} break; default: {y} }}"
            )),
            block
                .clone()
                .prop_map(|b| format!("lab: do {{ {b} if (n++ > 3) break lab; }} while (n < 4)")),
            block.prop_map(|b| format!("(function(){{ {b} return 1 }})();")),
        ]
    })
}

/// What generated programs stand on.
const GROUND: &str = "var a = 1, b = '2', k = 'x', n = 0; \
    var log = function(v){ console.log(typeof v + ':' + String(v)) }; \
    var o = {x: 0, y: 'q', get g(){ log('get g'); return n % 2 }, set g(v){ log('set g') }, \
      toString: function(){ return 'O' }}; \
    var h = function(){ log('h'); return o }; \
    var f = function(v){ log('f' + v); return [0, 1, '', o][v] };";

fn close_enough(expected: &Seen, seen: &Seen) -> bool {
    // The engine names what was read in a message; the helpers read with another expression.
    let class = |text: &String| text.split(':').next().unwrap_or_default().to_owned();
    expected.output == seen.output
        && match (&expected.end, &seen.end) {
            (Ok(expected), Ok(seen)) => expected == seen,
            (Err(expected), Err(seen)) => class(expected) == class(seen),
            _ => false,
        }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300, failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default()
    })]

    #[test]
    fn generated_programs_mean_the_same_in_the_sandbox(
        statements in prop::collection::vec(statement(), 1..5),
        last in expression(),
    ) {
        thread_local! {
            static SANDBOX: Sandbox = Sandbox::new().unwrap();
        }
        let text = format!("{GROUND}\n{}\n{last}", statements.join("\n"));
        let expected = plainly(&text).unwrap();
        let seen = SANDBOX.with(|sandbox| sandboxed(sandbox, &text));
        prop_assert!(
            close_enough(&expected, &seen),
            "{}\n  plain:   {:?}\n  sandbox: {:?}", text, expected, seen
        );
    }
}
