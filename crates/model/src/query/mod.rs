//! Encoded queries (business-rules §11): parsed once to a tree, printed back, bound to the dictionary, run in
//! memory; the store runs the same bound tree as SQL.
//!
//! [`parse`] knows the grammar and no dictionary; [`bind`] resolves paths, converts literals to stored text by
//! field type and decides what an invalid term does; [`memory`] evaluates a bound query on a record.

pub mod bind;
pub mod bound;
pub mod memory;
pub mod parse;
pub mod print;
pub mod tree;

pub use bind::{BindMode, BindOptions, bind};
pub use bound::{BoundOrder, BoundPath, BoundQuery, BoundTerm, Comparison, PathStep, Test, TextMatch};
pub use parse::{ParseLimits, QueryTooLarge, parse};
pub use tree::{Alternative, Group, InvalidTerm, Operator, Order, Query, Term};
