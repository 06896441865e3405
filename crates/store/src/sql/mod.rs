//! Bound queries and tables as SQL text with bound parameters.
//!
//! Identifiers come from the dictionary alone and are quoted; every value is a parameter. What differs between
//! engines is behind functions that every engine has under the same name (`campanile_fold` …).

pub(crate) mod values;
