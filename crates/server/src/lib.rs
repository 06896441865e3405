//! HTTP: the Table API, the events API, evaluate, health and metrics.
//!
//! Translates between HTTP and the engine's services and decides nothing: no rule and no SQL stands here. All
//! addresses are on one screen in [`routes`].

mod api;
mod app;
mod connections;
mod door;
mod errors;
mod evaluations;
mod extract;
mod layers;
mod respond;
mod routes;
mod serve;
mod starting;
mod timing;
mod warning;

pub use door::Door;
pub use serve::{Listener, ServeError, serve};
