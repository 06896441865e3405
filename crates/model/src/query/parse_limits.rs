//! How large an encoded query may be.

use crate::limits;

/// How large a query may be.
#[derive(Debug, Clone, Copy)]
pub struct ParseLimits {
    /// Bytes of text.
    pub bytes_max: usize,
    /// Terms.
    pub terms_max: usize,
    /// `^NQ` alternatives.
    pub alternatives_max: usize,
}

impl ParseLimits {
    /// For stored conditions and scripts.
    pub const STORED: Self = Self {
        bytes_max: limits::QUERY_BYTES_MAX,
        terms_max: limits::QUERY_TERMS_MAX,
        alternatives_max: limits::QUERY_ALTERNATIVES_MAX,
    };
    /// For queries that arrive over HTTP.
    pub const HTTP: Self = Self {
        bytes_max: limits::HTTP_QUERY_BYTES_MAX,
        terms_max: limits::HTTP_QUERY_TERMS_MAX,
        alternatives_max: limits::QUERY_ALTERNATIVES_MAX,
    };
}

/// The text is larger than its limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("encoded query has {got} {what}, the limit is {limit}")]
pub struct QueryTooLarge {
    /// `bytes`, `terms` or `alternatives`.
    pub what: &'static str,
    /// What it has.
    pub got: usize,
    /// What it may have.
    pub limit: usize,
}
