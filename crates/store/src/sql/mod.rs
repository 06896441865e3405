//! Bound queries and tables as SQL text with bound parameters.
//!
//! Identifiers come from the dictionary alone and are quoted; every value is a parameter. What differs between
//! engines is behind functions that every engine has under the same name (`campanile_fold` …).

mod comparison;
mod dialect;
pub(crate) mod dump;
mod joins;
mod keyed;
mod query;
mod schema;
mod statement;
mod terms;
mod text_terms;
pub(crate) mod values;
mod write;

pub(crate) use dialect::Dialect;
pub(crate) use keyed::{KeyedRead, Keys, Part, keyed};
pub(crate) use query::{count, count_within, select, select_within};
pub(crate) use schema::{EVENT_TABLES, columns, other_type};
pub(crate) use statement::{Statement, quoted};
pub(crate) use text_terms::is_one_of as text_is_one_of;
pub(crate) use write::{delete, insert, update};
