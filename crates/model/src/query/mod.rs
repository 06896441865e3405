//! Encoded queries (business-rules §11): parsed once to a tree, printed back, bound to the dictionary, run in
//! memory; the store runs the same bound tree as SQL.
//!
//! [`parse`] knows the grammar and no dictionary; [`bind`] resolves paths, converts literals to stored text by
//! field type and decides what an invalid term does; [`memory`] evaluates a bound query on a record, and
//! [`explain`] says in words why one does not hold. [`Term::build`] and [`Query::and`] make queries without text.

pub mod tree;

pub mod build;
pub mod operator;
pub mod parse;
pub mod parse_limits;
pub mod print;

pub mod bind;
pub mod bound;
mod literal;
pub mod path;
mod value_tests;

mod compare;
pub mod explain;
pub mod memory;

#[cfg(test)]
mod acceptance;
#[cfg(test)]
mod meaning;
#[cfg(test)]
mod properties;

pub use bind::{BindMode, BindOptions, bind};
pub use bound::{
    BoundOrder, BoundPath, BoundQuery, BoundTerm, Comparison, PathStep, Test, TextMatch,
};
pub use build::Operand;
pub use explain::explain_mismatch;
pub use memory::{EvaluationMode, References, Subject, matches};
pub use parse::{parse, parse_counting};
pub use parse_limits::{ParseLimits, QueryTooLarge};
pub use path::{names_a_field, resolve};
pub use print::print;
pub use tree::{Alternative, Group, InvalidTerm, Operator, Order, Query, Term};
