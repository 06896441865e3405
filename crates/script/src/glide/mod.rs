//! The Glide API: classes and objects that scripts see, over the [`Host`] of the run.
//!
//! The sandbox calls these four functions and nothing else here:
//!
//! * [`install`], once for each realm, before the realm is sealed. `hooks` is the object that `runtime.js` made:
//!   set `hooks.elementOps = { isElement(x), truth(x), looseEquals(el, y), add(el, n) }` (called with objects only;
//!   `add` when the left side of `+=` is an element), and `hooks.console` if console output should go elsewhere
//!   than to `gs`. Everything reachable from the globals is frozen afterwards: keep state that changes in
//!   closures, in Rust or on instances.
//! * [`begin`] before each run of the realm's runtime, [`end`] after it. In between natives reach the host of the
//!   run; a runtime never runs two scripts at a time, nested runs have runtimes of their own.
//! * [`wrap_record`], to bind `current` and its like.
//!
//! Natives ask [`RunControl::check`] before they serve, and turn `HostError::Terminated` into
//! [`RunControl::terminate`].

use std::rc::Rc;

use rquickjs::{Ctx, Error, Object, Result, Value};

use crate::host::{Host, RecordRef};
use crate::run::LimitKind;

/// How the sandbox lets natives take part in its limits.
pub(crate) trait RunControl {
    /// Fails when the run is over already: no host call is served any more.
    fn check(&self, ctx: &Ctx<'_>) -> Result<()>;
    /// Ends the run; the error that comes back cannot be caught by the script.
    fn terminate(&self, ctx: &Ctx<'_>, limit: LimitKind) -> Error;
    /// Longest string that may cross to the host, in bytes.
    fn string_bytes_max(&self) -> usize;
}

/// Makes the Glide globals of a realm.
pub(crate) fn install<'js>(_ctx: &Ctx<'js>, _hooks: &Object<'js>) -> Result<()> {
    Ok(())
}

/// From now on natives of this runtime speak to `host`.
pub(crate) fn begin(
    _ctx: &Ctx<'_>,
    _host: &Rc<dyn Host>,
    _control: Rc<dyn RunControl>,
) -> Result<()> {
    Ok(())
}

/// The run is over: no native reaches its host any more.
pub(crate) fn end(_ctx: &Ctx<'_>) {}

/// The object that scripts see for `record`; the same object for the same record within a run.
pub(crate) fn wrap_record<'js>(ctx: &Ctx<'js>, _record: &RecordRef) -> Result<Value<'js>> {
    Ok(Value::new_null(ctx.clone()))
}
