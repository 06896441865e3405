//! Claims whose answer was lost: the database may have claimed events for a processor that does not know of them.
//!
//! Differs because on SQLite nothing comes between a claim and its answer.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::connection::Connection;
use super::text::stored;

/// A claim whose connection was lost may go on for so long.
const CLAIM_TAKES_MAX: Duration = Duration::from_secs(10);

/// Processors whose last claims were not answered, and when.
#[derive(Debug, Default)]
pub(super) struct Unanswered(Mutex<HashMap<String, Instant>>);

impl Unanswered {
    /// Notes that a claim of this processor was not answered.
    pub(super) fn note(&self, claimed_by: &str) {
        self.0.lock().insert(claimed_by.to_owned(), Instant::now());
    }

    /// Whether what is claimed for this processor may not be known.
    pub(super) fn has(&self, claimed_by: &str) -> bool {
        self.0.lock().contains_key(claimed_by)
    }

    /// The same, for who is about to look at it: once such a claim has ended for certain, it is looked at once more.
    pub(super) fn is_to_be_looked_at(&self, claimed_by: &str) -> bool {
        let mut unanswered = self.0.lock();
        let Some(since) = unanswered.get(claimed_by) else { return false };
        if since.elapsed() >= CLAIM_TAKES_MAX {
            unanswered.remove(claimed_by);
        }
        true
    }
}

/// Gives back what was claimed for a processor that was not told: nobody would ever handle it, while this node lives.
///
/// # Errors
/// What the client said.
pub(super) fn give_back_unknown(
    connection: &Connection,
    claimed_by: &str,
    token: i64,
    known: &[i64],
) -> Result<(), tokio_postgres::Error> {
    let given = connection.execute(
        "UPDATE sysevent_live SET state = 'ready', claimed_by = NULL, claim_token = NULL \
         WHERE claim_token = $1 AND claimed_by = $2 AND NOT (sequence = ANY ($3))",
        &[&token, &stored(claimed_by), &known],
    )?;
    if given > 0 {
        tracing::warn!(given, claimed_by, "claims whose answer was lost were given back");
    }
    Ok(())
}
