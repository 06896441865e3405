//! Queues: registry, processors, claims, retries.

pub mod save_check;

pub mod drain;
mod line;
pub mod metrics;
pub mod order;
pub mod pace;
pub mod processor;
mod roster;
pub mod service;
mod shortage;
pub mod signal;
pub mod supervisor;
