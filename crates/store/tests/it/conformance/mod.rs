//! What every store promises, whatever engine is behind it: each case takes an [`Engine`] and knows no more of it.
//!
//! A new engine writes an `Engine` and one line `conformance!(…)`; it passes all or is none.

pub(crate) mod answers;
pub(crate) mod engine;
mod postgres;
pub(crate) mod queries;
pub(crate) mod query_property;
pub(crate) mod records;
pub(crate) mod rows;
mod sqlite;
pub(crate) mod tables;
pub(crate) mod transactions;
