// What a realm has beyond, or other than, the engine's own built-ins (scripting §2.1, §15.4, §15.6, §16).
// Evaluated after `runtime.js`.
(native, hooks) => {
  'use strict';
  const { apply, construct, defineProperty, getOwnPropertyDescriptor, getPrototypeOf } = Reflect;
  const { isArray } = Array;
  const NativeProxy = Proxy;
  const global = globalThis;
  const own = new WeakSet();
  const { add: addOwn, has: hasOwn } = WeakSet.prototype;
  const define = (object, name, value) => {
    if (typeof value === 'function') apply(addOwn, own, [value]);
    return defineProperty(object, name, { __proto__: null, value, writable: true, enumerable: false, configurable: true });
  };

  // --- the text of a function is the stored one --------------------------------------------------------------------
  const functionText = Function.prototype.toString;
  define(Function.prototype, 'toString', {
    toString() {
      const text = apply(functionText, this, []);
      if (apply(hasOwn, own, [this])) return `function ${this.name}() {\n    [native code]\n}`;
      return text.includes('$$_') ? native.storedText(text) : text;
    },
  }.toString);

  // --- what is not there ---------------------------------------------------------------------------------------
  for (const name of [
    'WeakRef', 'FinalizationRegistry', 'SharedArrayBuffer', 'Atomics', 'performance', 'navigator', 'queueMicrotask',
    'DOMException',
  ]) {
    delete global[name];
  }
  delete Error.prepareStackTrace;
  delete Error.stackTraceLimit;
  define(global, 'eval', hooks.indirectEval);

  const forbidConstructor = (prototype, name) => {
    const stand = {
      [name]: function () {
        throw new EvalError('making functions from text is not available in scripts');
      },
    }[name];
    defineProperty(stand, 'prototype', { __proto__: null, value: prototype, writable: false });
    defineProperty(prototype, 'constructor', { __proto__: null, value: stand });
    return stand;
  };
  define(global, 'Function', forbidConstructor(Function.prototype, 'Function'));
  forbidConstructor(getPrototypeOf(function* () {}), 'GeneratorFunction');
  forbidConstructor(getPrototypeOf(async function () {}), 'AsyncFunction');
  forbidConstructor(getPrototypeOf(async function* () {}), 'AsyncGeneratorFunction');

  // --- proxies are remembered, because nothing about them can be trusted -----------------------------------------
  let proxies = false;
  const isProxy = (value) => proxies && native.isProxy(value);
  const ProxyStand = function Proxy(target, handler) {
    if (new.target === undefined) throw new TypeError('constructor requires \'new\'');
    proxies = true;
    return new NativeProxy(target, handler);
  };
  const { revocable } = NativeProxy;
  define(ProxyStand, 'revocable', {
    revocable(target, handler) {
      proxies = true;
      return revocable(target, handler);
    },
  }.revocable);
  define(global, 'Proxy', ProxyStand);

  // --- truth of callbacks' results --------------------------------------------------------------------------------
  const truth = hooks.truth;
  const judged = (prototype, names) => {
    for (const name of names) {
      const original = prototype[name];
      if (typeof original !== 'function') continue;
      define(prototype, name, {
        [name](callback, thisArgument) {
          if (typeof callback !== 'function') return apply(original, this, arguments);
          return apply(original, this, [
            (a, b, c) => truth(apply(callback, thisArgument, [a, b, c])),
          ]);
        },
      }[name]);
      defineProperty(prototype[name], 'length', { __proto__: null, value: 1 });
    }
  };
  const callbacks = ['filter', 'some', 'every', 'find', 'findIndex', 'findLast', 'findLastIndex'];
  judged(Array.prototype, callbacks);
  judged(getPrototypeOf(Int8Array.prototype), callbacks);
  if (typeof Iterator === 'function') judged(Iterator.prototype, ['filter', 'some', 'every', 'find']);

  const NativeBoolean = Boolean;
  const BooleanStand = function Boolean(value) {
    const judged = truth(value);
    return new.target === undefined ? judged : construct(NativeBoolean, [judged], new.target);
  };
  BooleanStand.prototype = NativeBoolean.prototype;
  defineProperty(BooleanStand, 'prototype', { __proto__: null, writable: false, enumerable: false });
  define(NativeBoolean.prototype, 'constructor', BooleanStand);
  define(global, 'Boolean', BooleanStand);

  // --- array natives do not look at the clock: they refuse lengths that would take too long -----------------------
  const LENGTH_MAX = native.arrayLengthMax;
  const UNGUARDED = ['constructor', 'at', 'push', 'pop', 'keys', 'values', 'entries', 'flat', 'flatMap'];
  const refuse = (length) => {
    if (length > LENGTH_MAX) {
      throw new RangeError(`the array is longer than scripts may handle at once (${LENGTH_MAX})`);
    }
  };
  const isSafe = (object) => {
    if (typeof object !== 'object' && typeof object !== 'function') return true;
    if (object === null) return true;
    if (isProxy(object)) return false;
    const length = getOwnPropertyDescriptor(object, 'length');
    if (length === undefined || !('value' in length) || typeof length.value !== 'number') {
      return ArrayBuffer.isView(object);
    }
    refuse(length.value);
    return true;
  };
  const refuseSpread = (values) => {
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      if (isArray(value) && !isProxy(value)) refuse(value.length);
      else if (!isSafe(value) && value[Symbol.isConcatSpreadable]) refuse(Infinity);
    }
  };
  const flatten = (into, source, depth) => {
    refuse(source.length);
    for (let i = 0; i < source.length; i++) {
      if (!(i in source)) continue;
      const value = source[i];
      if (depth > 0 && isArray(value)) flatten(into, value, depth - 1);
      else into[into.length] = value;
    }
    return into;
  };
  define(Array.prototype, 'flat', {
    flat(depth) {
      return flatten([], Object(this), depth === undefined ? 1 : Math.trunc(depth) || 0);
    },
  }.flat);
  defineProperty(Array.prototype.flat, 'length', { __proto__: null, value: 0 });
  define(Array.prototype, 'flatMap', {
    flatMap(callback, thisArgument) {
      return flatten([], Array.prototype.map.call(this, callback, thisArgument), 1);
    },
  }.flatMap);
  defineProperty(Array.prototype.flatMap, 'length', { __proto__: null, value: 1 });

  for (const name of Object.getOwnPropertyNames(Array.prototype)) {
    const original = Array.prototype[name];
    if (typeof original !== 'function' || UNGUARDED.includes(name)) {
      continue;
    }
    const guarded = {
      [name]() {
        if (isArray(this) && !isProxy(this)) {
          if (this.length > LENGTH_MAX) refuse(this.length);
          if (name === 'concat') refuseSpread(arguments);
          return apply(original, this, arguments);
        }
        if (isSafe(this)) return apply(original, this, arguments);
        // Its length may come from code: it is asked once, and the native sees the answer.
        let length = this.length;
        if (typeof length === 'object' || typeof length === 'function') length = +length;
        refuse(+length);
        const view = new NativeProxy(this, {
          __proto__: null,
          get: (target, key) => (key === 'length' ? length : target[key]),
        });
        const result = apply(original, view, arguments);
        return result === view ? this : result;
      },
    }[name];
    defineProperty(guarded, 'length', { __proto__: null, value: original.length });
    define(Array.prototype, name, guarded);
  }
  define(Array.prototype, Symbol.iterator, Array.prototype.values);

  // --- searching a text in a text takes the product of both lengths -----------------------------------------------
  const WORK_MAX = native.textSearchMax;
  const refuseSearch = (text, part) => {
    if (part.length > 16 && text.length * part.length > WORK_MAX) {
      throw new RangeError('the texts are too long to be searched in one another');
    }
  };
  const textOf = (value) => {
    if (value === null || value === undefined) throw new TypeError('null or undefined are forbidden');
    return `${value}`;
  };
  const searching = (name, symbol) => {
    const original = String.prototype[name];
    const guarded = {
      [name](search) {
        if (typeof this !== 'string' || typeof search !== 'string') {
          if (this === null || this === undefined) return apply(original, this, arguments);
          if (symbol !== null && search !== null && typeof search === 'object') {
            if (name === 'replaceAll') {
              if (search instanceof RegExp) return apply(original, this, arguments);
            }
            const method = search[symbol];
            if (method !== undefined && method !== null) {
              return apply(method, search, [this, ...Array.prototype.slice.call(arguments, 1)]);
            }
          } else if (symbol === null && name === 'includes' && search instanceof RegExp) {
            return apply(original, this, arguments);
          }
          const text = textOf(this);
          if (search === undefined && name === 'split') return apply(original, text, arguments);
          const part = `${search}`;
          refuseSearch(text, part);
          arguments[0] = part;
          return arguments.length === 0 ? apply(original, text, [part]) : apply(original, text, arguments);
        }
        if (search.length > 16) refuseSearch(this, search);
        return apply(original, this, arguments);
      },
    }[name];
    defineProperty(guarded, 'length', { __proto__: null, value: original.length });
    define(String.prototype, name, guarded);
  };
  for (const name of ['indexOf', 'lastIndexOf', 'includes']) searching(name, null);
  searching('split', Symbol.split);
  searching('replace', Symbol.replace);
  searching('replaceAll', Symbol.replace);

  // The engine's own goes on when it cannot grow its result.
  define(String, 'raw', {
    raw(template, ...values) {
      const { raw } = Object(template);
      const { length } = Object(raw);
      let text = '';
      for (let i = 0; i < length; i++) {
        text += `${raw[i]}`;
        if (i + 1 < length && i < values.length) text += `${values[i]}`;
      }
      return text;
    },
  }.raw);
  defineProperty(String.raw, 'length', { __proto__: null, value: 1 });

  // --- the clock is the host's, the zone is UTC ---------------------------------------------------------------------
  const NativeDate = Date;
  const proto = NativeDate.prototype;
  const { parse, UTC } = NativeDate;
  const offset = proto.getTimezoneOffset;
  const parseUtc = (text) => {
    const local = parse(text);
    if (local !== local || apply(offset, new NativeDate(local), []) === 0) return local;
    for (const zone of ['Z', ' UTC']) {
      const utc = parse(text + zone);
      if (utc === utc) return utc;
    }
    return local;
  };
  const DateStand = function Date(...values) {
    if (new.target === undefined) return new DateStand(native.now()).toString();
    if (values.length === 0) values = [native.now()];
    else if (values.length > 1) values = [UTC(...values)];
    else if (!(typeof values[0] === 'object' && values[0] instanceof NativeDate)) {
      const value = hooks.primitive(values[0]);
      values = [typeof value === 'string' ? parseUtc(value) : value];
    }
    return construct(NativeDate, values, new.target);
  };
  hooks.primitive = (value) => {
    if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return value;
    let result = value;
    // `+` with an empty text converts with the default hint; numbers and texts are told apart by a tagged sum.
    const convert = value[Symbol.toPrimitive];
    if (convert !== undefined && convert !== null) {
      result = apply(convert, value, ['default']);
    } else {
      result = value.valueOf();
      if (typeof result === 'object' && result !== null) result = value.toString();
    }
    return result;
  };
  DateStand.prototype = proto;
  defineProperty(DateStand, 'prototype', { __proto__: null, writable: false, enumerable: false });
  defineProperty(DateStand, 'length', { __proto__: null, value: 7 });
  for (const [name, method] of Object.entries({
    now() {
      return native.now();
    },
    parse(text) {
      return parseUtc(`${text}`);
    },
    UTC,
  })) {
    define(DateStand, name, method);
  }
  define(proto, 'constructor', DateStand);
  define(global, 'Date', DateStand);
  for (const part of ['Date', 'Day', 'FullYear', 'Hours', 'Milliseconds', 'Minutes', 'Month', 'Seconds']) {
    for (const verb of ['get', 'set']) {
      const utc = proto[`${verb}UTC${part}`];
      if (utc === undefined) continue;
      const name = verb + part;
      define(proto, name, {
        [name]() {
          return apply(utc, this, arguments);
        },
      }[name]);
      defineProperty(proto[name], 'length', { __proto__: null, value: utc.length });
    }
  }
  const iso = proto.toISOString;
  const valueOf = proto.valueOf;
  const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
  const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
  const two = (value) => (value < 10 ? `0${value}` : `${value}`);
  const year = (date) => {
    const value = proto.getUTCFullYear.call(date);
    const digits = `${value < 0 ? -value : value}`;
    return (value < 0 ? '-' : '') + '0000'.slice(digits.length) + digits;
  };
  const dateText = (d) => `${DAYS[d.getUTCDay()]} ${MONTHS[d.getUTCMonth()]} ${two(d.getUTCDate())} ${year(d)}`;
  const timeText = (d) => `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())} GMT+0000 (UTC)`;
  const localeDate = (d) => `${two(d.getUTCMonth() + 1)}/${two(d.getUTCDate())}/${year(d)}`;
  const localeTime = (d) => {
    const hours = d.getUTCHours();
    return `${two(hours % 12 === 0 ? 12 : hours % 12)}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())} ${hours < 12 ? 'AM' : 'PM'}`;
  };
  const texts = {
    toString: (d) => `${dateText(d)} ${timeText(d)}`,
    toDateString: dateText,
    toTimeString: timeText,
    toLocaleString: (d) => `${localeDate(d)}, ${localeTime(d)}`,
    toLocaleDateString: localeDate,
    toLocaleTimeString: localeTime,
  };
  for (const name of Object.keys(texts)) {
    define(proto, name, {
      [name]() {
        const at = apply(valueOf, this, []);
        return at !== at ? 'Invalid Date' : texts[name](new NativeDate(at));
      },
    }[name]);
  }
  define(proto, 'getTimezoneOffset', {
    getTimezoneOffset() {
      const at = apply(valueOf, this, []);
      return at !== at ? NaN : 0;
    },
  }.getTimezoneOffset);
  define(proto, 'getYear', {
    getYear() {
      return this.getUTCFullYear() - 1900;
    },
  }.getYear);

  // --- JSON is a class too -----------------------------------------------------------------------------------------
  const NativeJson = JSON;
  const JsonStand = function JSON() {
    if (new.target === undefined) throw new TypeError('JSON is called with new, or by its methods');
  };
  for (const name of Object.getOwnPropertyNames(NativeJson)) define(JsonStand, name, NativeJson[name]);
  defineProperty(JsonStand, Symbol.toStringTag, { __proto__: null, value: 'JSON', configurable: true });
  const { stringify, parse: parseJson } = NativeJson;
  define(JsonStand.prototype, 'encode', {
    encode(value) {
      return stringify(value);
    },
  }.encode);
  define(JsonStand.prototype, 'decode', {
    decode(text) {
      return parseJson(text);
    },
  }.decode);
  define(global, 'JSON', JsonStand);

  // --- the console writes to the log -----------------------------------------------------------------------------
  const shown = (value) => {
    if (typeof value === 'string') return value;
    if (typeof value !== 'object' || value === null || value instanceof Error) return String(value);
    if (hooks.elementOps !== null && hooks.elementOps.isElement(value)) return String(value);
    try {
      return stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  };
  const consoleStand = {};
  for (const [name, level] of [
    ['log', 'info'], ['info', 'info'], ['debug', 'debug'], ['trace', 'debug'], ['warn', 'warn'], ['error', 'error'],
  ]) {
    define(consoleStand, name, {
      [name](...values) {
        const text = values.map(shown).join(' ');
        if (hooks.console !== null) hooks.console(level, text);
        else native.log(level, text);
      },
    }[name]);
  }
  define(global, 'console', consoleStand);

  // --- Java is not here, and says so when it is used ----------------------------------------------------------------
  const java = (path) => {
    const fail = () => {
      throw new Error(`Java packages are not available: ${path}`);
    };
    const no = () => false;
    // A bound function can be called and constructed, and has no property that a proxy may not hide.
    const target = function () {}.bind();
    delete target.name;
    delete target.length;
    return new NativeProxy(target, {
      __proto__: null,
      get: (_, key) => {
        if (key === Symbol.toPrimitive) return fail;
        return typeof key === 'symbol' ? undefined : java(path === '' ? key : `${path}.${key}`);
      },
      apply: fail,
      construct: fail,
      set: no,
      defineProperty: no,
      deleteProperty: no,
      setPrototypeOf: no,
      preventExtensions: no,
    });
  };
  hooks.unsealed = [java(''), java('java')];
  define(global, 'Packages', hooks.unsealed[0]);
  define(global, 'java', hooks.unsealed[1]);
}
