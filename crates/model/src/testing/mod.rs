//! For tests only (feature `testing`): a small dictionary, random rows for it and random queries on them.
//!
//! A store that claims to run a query as [`crate::query::matches`] does in the database mode takes a
//! [`World`], writes its rows, and compares both for every [`query_text`].

mod fixture;
mod queries;
mod worlds;

pub use fixture::{TableSpec, dictionary};
pub use queries::{any_text, broken_query_text, query_text};
pub use worlds::{World, key, world};
