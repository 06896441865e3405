//! Queues: registry, processors, claims, retries.

pub mod save_check;

pub mod metrics;
pub mod pace;
pub mod processor;
pub mod signal;
pub mod supervisor;
