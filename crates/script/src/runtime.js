// What compiled scripts call, evaluated once for each realm before any script. `native` comes from `realm.rs`.
// Returns `hooks`, for the sandbox and the Glide classes; no script can reach it.
//
// The names of the helpers are those of `rewrite/names.rs`. All of them take primitives on the fast path: a realm
// without elements runs ordinary JavaScript.
(native) => {
  'use strict';
  const { apply, defineProperty, getOwnPropertyDescriptor, getPrototypeOf, ownKeys } = Reflect;
  const nativeEval = eval;
  const hooks = { elementOps: null, console: null };
  let ops = null;

  const isElement = (value) => ops !== null && ops.isElement(value);

  // $$_t: what a boolean context judges.
  const truth = (value) =>
    typeof value === 'object' && value !== null && ops !== null ? ops.truth(value) : value;

  // $$_o: the left side of `||`, or of `&&` whose value nobody uses.
  const orLeft = (value) =>
    typeof value === 'object' && value !== null && ops !== null && !ops.truth(value)
      ? undefined
      : value;

  // $$_p … $$_q: the left side of `&&`; nothing runs between the two when it is false.
  let kept;
  const keep = (value) => {
    kept = value;
    return truth(value);
  };
  const take = () => {
    const value = kept;
    kept = undefined;
    return value;
  };

  const identity = (value) => value;

  const equals = (a, b) => {
    if (ops !== null && ((typeof a === 'object' && a !== null) || (typeof b === 'object' && b !== null))) {
      const equal = ops.looseEquals(a, b);
      if (equal !== undefined) return equal;
    }
    return a == b;
  };
  const differs = (a, b) => !equals(a, b);

  const add = (a, b) =>
    typeof a === 'object' && a !== null && typeof b === 'number' && isElement(a) ? ops.add(a, b) : a + b;

  const keyOf = (key) => (typeof key === 'object' || typeof key === 'function' ? (typeof (key = toPrimitive(key)) === 'symbol' ? key : `${key}`) : key);
  const toPrimitive = (value) => {
    // A computed key of a literal is what the language converts to a property key, once.
    return ownKeys({ __proto__: null, [value]: 0 })[0];
  };

  // $$_b: a reference, read once.
  const reference = (object, key) => {
    if (object === null || object === undefined) return object[key];
    key = keyOf(key);
    return { __proto__: null, object, key, value: object[key] };
  };
  let keptReference;
  // $$_c
  const addTo = (reference, value, strict) => {
    const sum = add(reference.value, value);
    write(reference.object, reference.key, sum, strict);
    return sum;
  };
  // $$_d … $$_g $$_f: `&&=` and `||=` on members.
  const test = (object, key) => {
    const found = reference(object, key);
    keptReference = found;
    kept = found.value;
    return truth(found.value);
  };
  const takeReference = () => {
    const found = keptReference;
    keptReference = undefined;
    return found;
  };
  const assignTo = (reference, value, strict) => {
    write(reference.object, reference.key, value, strict);
    return value;
  };
  // $$_u
  const step = (object, key, by, prefix, strict) => {
    const found = reference(object, key);
    let value = found.value;
    const before = by > 0 ? value++ : value--;
    write(found.object, found.key, value, strict);
    return prefix ? value : before;
  };

  // Assignment that a frozen prototype must not swallow: ordinary objects inherit nothing read-only from
  // built-ins in an open realm, and must not notice that they do in a sealed one.
  let inherited = null; // names on frozen objects; null in an open realm
  let builtins = null; // the frozen objects of the language
  let readOnly = null; // object -> its names that were read-only before it was frozen
  let hosts = null; // the frozen objects of the Glide API: their instances handle assignment themselves
  const weakHas = WeakSet.prototype.has;
  const weakGet = WeakMap.prototype.get;
  const { hasOwn, isExtensible } = Object;
  const overrides = (object, key) => {
    if (object === null || (typeof object !== 'object' && typeof object !== 'function')) return false;
    if (hasOwn(object, key)) return false;
    let found = null;
    for (let at = getPrototypeOf(object); at !== null; at = getPrototypeOf(at)) {
      if (apply(weakHas, hosts, [at])) return false;
      if (found === null && hasOwn(at, key)) {
        if (!apply(weakHas, builtins, [at])) return false;
        found = at;
      }
    }
    if (found === null || !isExtensible(object)) return false;
    const names = apply(weakGet, readOnly, [found]);
    return 'value' in getOwnPropertyDescriptor(found, key) && !(names !== undefined && names[key] === true);
  };
  const writeStrict = (object, key, value) => {
    object[key] = value;
  };
  const write = (object, key, value, strict) => {
    if (inherited !== null && typeof key !== 'number') {
      if (object === null || object === undefined) {
        object[key] = value;
      }
      key = keyOf(key);
      if ((typeof key === 'symbol' || key in inherited) && overrides(object, key)) {
        defineProperty(object, key, { __proto__: null, value, writable: true, enumerable: true, configurable: true });
        return value;
      }
    }
    if (strict) writeStrict(object, key, value);
    else native.writeSloppy(object, key, value);
    return value;
  };

  // $$_x: the text of a direct `eval`. The callee may be the script's own function of that name.
  const evalText = (callee, spread, ...values) => {
    if (callee === nativeEval && typeof values[0] === 'string') values[0] = native.rewrite(values[0]);
    return spread ? values : values[0];
  };
  // $$_y: what `eval` is as a value, and what `globalThis.eval` is: it runs text in the global scope.
  const indirectEval = {
    eval(text) {
      native.taint();
      if (typeof text !== 'string') return text;
      const code = native.rewrite(text);
      for (const [name, helper] of hooks.helperEntries) {
        if (!hasOwn(globalThis, name)) defineProperty(globalThis, name, { __proto__: null, value: helper });
      }
      return (0, nativeEval)(code);
    },
  }.eval;
  // $$_m
  const importModule = () => {
    throw new Error('modules are not available in scripts');
  };

  // $$_r: a thrown value that carries no position itself.
  let thrown = null;
  const noteThrow = (value, at) => {
    thrown = { __proto__: null, value, at };
    return value;
  };

  const helpers = {
    __proto__: null,
    $$_k: new Uint8Array(native.flag),
    $$_s: native.raise,
    $$_t: truth,
    $$_o: orLeft,
    $$_p: keep,
    $$_q: take,
    $$_i: identity,
    $$_e: equals,
    $$_n: differs,
    $$_a: add,
    $$_b: reference,
    $$_c: addTo,
    $$_d: test,
    $$_g: takeReference,
    $$_f: assignTo,
    $$_w: write,
    $$_u: step,
    $$_x: evalText,
    $$_y: indirectEval,
    $$_m: importModule,
    $$_r: noteThrow,
  };
  hooks.helperEntries = Object.entries(helpers);
  hooks.bind = (names, factory) => apply(factory, undefined, [...names.map((name) => helpers[name]), nativeEval]);
  hooks.truth = (value) => !!truth(value);
  hooks.indirectEval = indirectEval;
  hooks.adopt = () => {
    ops = hooks.elementOps;
  };
  hooks.setSealed = (sealed) => {
    ({ inherited, builtins, readOnly, hosts } = sealed);
  };
  // The stored offset of the throw of this very value; -1 when it is not known.
  hooks.thrownAt = (value) => (thrown !== null && Object.is(thrown.value, value) ? thrown.at : -1);
  // Nothing of a run stays in the helpers.
  hooks.reset = (names) => {
    kept = keptReference = undefined;
    thrown = null;
    for (let i = 0; i < names.length; i++) Reflect.deleteProperty(globalThis, names[i]);
  };
  hooks.globalNames = () => ownKeys(globalThis).filter((key) => typeof key === 'string');
  // Deletes whatever was added to the global object; false when something cannot be deleted.
  hooks.sweepGlobals = (known) => {
    let clean = true;
    for (const key of ownKeys(globalThis)) {
      if (typeof key === 'string' && key in known) continue;
      if (typeof key === 'symbol' && known[key] === true) continue;
      clean = Reflect.deleteProperty(globalThis, key) && clean;
    }
    return clean;
  };
  hooks.knownGlobals = () => {
    const known = { __proto__: null };
    for (const key of ownKeys(globalThis)) known[key] = true;
    return known;
  };
  return hooks;
}
