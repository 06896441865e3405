//! Events: the registries of events and queues, firing, reading, acting on them.

pub mod queue_registry;
pub mod registry;
pub mod save_check;

pub mod fire;
pub mod global_events;

pub mod row;
pub mod service;
pub mod waiters;
