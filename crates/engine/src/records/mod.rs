//! Tables and records: the one way to read and write a row.

pub mod definitions;
pub mod dictionary;
pub mod execution;
pub mod gate;
pub mod lookup;
pub mod numbers;
pub mod properties;
pub mod seed;
pub mod service;
pub mod syslog;
pub mod users;
