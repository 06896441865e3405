//! Events: registry, firing, reading, move, reprocess, explain.

pub mod registry;

pub mod content;
pub mod fire;
pub mod global_events;
mod log;
pub mod ordinals;
pub mod provision;

pub mod row;
pub mod waiters;

pub use fire::{FireRequest, Resolved, resolve};
pub use ordinals::FireOrdinals;
pub use provision::Provision;
