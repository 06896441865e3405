// Freezes a realm, so that scripts can run in it one after the other. Evaluated once, before any script.
//
// What scripts may still do: make globals of their own (they are deleted after the run). What they cannot do: change
// an object that was there before them. `hooks.setSealed` tells the helpers which names frozen prototypes hold.
(hooks) => {
  'use strict';
  const { ownKeys, getPrototypeOf, getOwnPropertyDescriptor, defineProperty } = Reflect;
  const seen = new WeakSet();
  const builtins = new WeakSet();
  const hosts = new WeakSet();
  const readOnly = new WeakMap();
  const inherited = { __proto__: null };
  for (const value of hooks.unsealed) seen.add(value);

  const isObject = (value) => (typeof value === 'object' && value !== null) || typeof value === 'function';
  const collect = (roots, into) => {
    const found = [];
    const pending = [...roots];
    while (pending.length > 0) {
      const object = pending.pop();
      if (!isObject(object) || seen.has(object)) continue;
      seen.add(object);
      found.push(object);
      into.add(object);
      pending.push(getPrototypeOf(object));
      for (const key of ownKeys(object)) {
        const property = getOwnPropertyDescriptor(object, key);
        if ('value' in property) pending.push(property.value);
        else pending.push(property.get, property.set);
      }
    }
    return found;
  };

  // Built-ins that no global leads to.
  const hidden = [
    [][Symbol.iterator](), ''[Symbol.iterator](), new Map().entries(), new Set().values(), 'a'.matchAll(/a/g),
    function* () {}, async function () {}, async function* () {}, (function* () {})(), (async function* () {})(),
    [].values().map((x) => x), Iterator.from({ next() {} }), Int8Array, Promise.resolve(),
  ].map(getPrototypeOf);

  let language;
  hooks.markLanguage = () => {
    language = collect([globalThis, ...hidden], builtins);
  };
  hooks.seal = () => {
    const objects = language.concat(collect(ownKeys(globalThis).map((key) => globalThis[key]), hosts));
    for (const object of objects) {
      if (object === globalThis) continue;
      for (const key of ownKeys(object)) {
        if (typeof key === 'string') inherited[key] = true;
        const property = getOwnPropertyDescriptor(object, key);
        if ('value' in property && !property.writable) {
          if (!readOnly.has(object)) readOnly.set(object, { __proto__: null });
          readOnly.get(object)[key] = true;
        }
      }
      Object.freeze(object);
    }
    for (const key of ownKeys(globalThis)) {
      const property = getOwnPropertyDescriptor(globalThis, key);
      if (!property.configurable) continue;
      defineProperty(globalThis, key,
        'value' in property
          ? { __proto__: null, writable: false, configurable: false }
          : { __proto__: null, configurable: false });
    }
    hooks.setSealed({ inherited, builtins, readOnly, hosts });
  };
}
