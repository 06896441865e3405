// What compiled scripts and the sandbox need inside a realm. Evaluated once for each realm, before any script;
// its value is the hooks object, which no script can reach.
(() => {
  'use strict';
  const hooks = { elementOps: null };

  hooks.truth = (value) =>
    typeof value === 'object' && value !== null && hooks.elementOps !== null && hooks.elementOps.isElement(value)
      ? hooks.elementOps.truth(value)
      : !!value;

  return hooks;
})()
