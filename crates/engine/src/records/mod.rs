//! Tables and records: the one way to read and write a row.

pub mod definitions;
pub mod execution;
pub mod service;
