//! Answers that are kept under an idempotency key, so that a repeated call is answered as the first one was.

use std::sync::Arc;

use campanile_model::Instant;

/// What a call that wrote a row was answered. Kept in the transaction of the row: a crash leaves both or neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The key, with its caller in front. Events and answers share one space of keys.
    pub key: Arc<str>,
    /// Hash of what was sent.
    pub content_hash: u64,
    /// The row that was written.
    pub sys_id: Arc<str>,
    /// The answer, as whoever gives it reads it again.
    pub answer: String,
    /// When.
    pub at: Instant,
    /// How long ago a key was used that is free again: one that was used then, or before, is taken over.
    pub key_life_ms: i64,
}
