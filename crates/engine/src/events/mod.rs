//! Events: registry, firing, reading, move, reprocess, explain.

pub mod registry;
pub mod save_check;

pub mod content;
pub mod fire;
pub mod global_events;
mod log;
pub mod ordinals;
pub mod provision;

pub mod explain;
pub mod row;
pub mod service;
pub mod waiters;

pub use fire::{FireRequest, Resolved, resolve};
pub use ordinals::FireOrdinals;
pub use provision::Provision;
