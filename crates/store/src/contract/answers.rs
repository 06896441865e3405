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
    /// When; the key is free again 24 hours later.
    pub at: Instant,
}
