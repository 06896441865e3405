//! Where everything is kept. One trait, [`Store`]; SQLite behind it.
//!
//! Knows tables, bound queries and events; knows nothing of rules, scripts or rights.

pub mod contract;
mod migrate;
mod sql;
mod sqlite;

pub use contract::*;
pub use sqlite::{SqliteOptions, SqliteStore};
