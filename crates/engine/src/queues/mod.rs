//! Queues: registry, processors, claims, retries.

pub mod registry;

pub mod pace;
pub mod signal;
