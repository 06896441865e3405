//! The Glide API: classes and objects that scripts see, over the [`Host`](crate::host::Host) of the run.
//!
//! The sandbox calls what is re-exported here and nothing else:
//!
//! * [`install`], once for each realm, before the realm is sealed. `hooks` is the object that the runtime of the
//!   sandbox made: `hooks.elementOps` becomes `{ isElement(x), truth(x), looseEquals(x, y), add(el, n) }`, which
//!   compiled scripts ask whenever an operand is an object: `truth` answers for any object, `looseEquals` gives
//!   `undefined` where the language decides.
//! * [`begin`] before each run of the realm's runtime, [`end`] after it. In between natives reach the host of the
//!   run; a runtime never runs two scripts at a time, nested runs have runtimes of their own.
//! * [`wrap_record`], to bind `previous` and its like; [`wrap_current`] for `current`.
//!
//! Natives ask [`RunControl::check`] before they serve, and turn `HostError::Terminated` into
//! [`RunControl::terminate`].
//!
//! All state is in Rust: a realm keeps its prototypes in one hidden object ([`realm_objects`]), a runtime keeps the
//! run's host and records ([`run_state`]), and JavaScript objects hold a record only through a cell that the end of
//! the run empties. Reading order: `install`, `record_object`, `element_object`, `coercion`, then the methods.

mod coercion;
mod condition;
mod crossing;
mod date_text;
mod date_time;
mod descriptor;
mod element_methods;
mod element_object;
mod element_text;
mod errors;
mod globals;
mod gs_log;
mod gs_session;
mod hidden;
mod install;
mod list;
mod native;
mod realm_objects;
mod record_methods;
mod record_object;
mod record_query;
mod record_write;
mod run_state;

pub use hidden::{HiddenMethod, method_hidden_by};
pub(crate) use install::{begin, end, install, wrap_current, wrap_record};
pub(crate) use run_state::RunControl;
