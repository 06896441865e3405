//! Events: registry, firing, reading, move, reprocess, explain.

pub mod fire;
pub mod global_events;
