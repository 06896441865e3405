//! Where everything is kept. One trait, [`Store`]; SQLite behind it.
//!
//! Knows tables, bound queries and events; knows nothing of rules, scripts or rights.

pub mod contract;

pub use contract::*;
