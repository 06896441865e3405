//! Handlers: dispatch of an event to everything that reacts to it.
//!
//! A kind of handler is one implementation of [`Handler`], named in [`HandlerRegistry::standard`]; the
//! dispatcher knows no kind. `docs/dev/adding-a-handler-kind.md` has the steps.

pub mod handler;

pub mod dispatch;
pub mod run_log;

pub mod script_action;
pub mod script_condition;
pub mod target;

pub mod explain;
pub mod listeners;
pub mod save_check;

pub use handler::{Attempt, Candidate, Handler, HandlerRegistry, HandlerResult, NearMiss};
