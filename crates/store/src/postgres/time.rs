//! The database's time: it decides what is due and when something happened, never this machine's clock.
//!
//! Differs because many machines share the database, and their clocks differ. Asking the server each time would cost a
//! round trip; so this machine's clock is put right by what the server shows, again at each look for lapsed leases.

use campanile_model::CorrectedClock;

use super::connection::Connection;
use crate::contract::StoreError;

/// Times that the server is asked; the answer that came quickest counts.
const ASKED: usize = 3;
/// A smaller difference is left: it may be the network's, and time is not to go back for it.
const TOLERATED_MS: i64 = 20;
/// From this difference on it is told.
const TOLD_MS: i64 = 1_000;

/// Puts `clock` right. Returns what is added to it.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn put_right(
    connection: &Connection,
    clock: &CorrectedClock,
) -> Result<i64, StoreError> {
    let mut best: Option<(i64, i64)> = None;
    for _ in 0..ASKED {
        let asked = clock.uncorrected().as_millis();
        let row = connection
            .query_first("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", &[])?;
        let Some(row) = row else { break };
        let shown: i64 = row.try_get(0)?;
        let answered = clock.uncorrected().as_millis();
        let (took, ahead) = (answered - asked, shown - (asked + answered) / 2);
        // A clock that was set in between tells nothing.
        if took >= 0 && best.is_none_or(|(quickest, _)| took < quickest) {
            best = Some((took, ahead));
        }
    }
    let before = clock.correction();
    let Some((took, ahead)) =
        best.filter(|(took, ahead)| (ahead - before).abs() > TOLERATED_MS.max(*took))
    else {
        return Ok(before);
    };
    clock.correct(ahead);
    if (ahead - before).abs() >= TOLD_MS {
        tracing::warn!(
            ahead_ms = ahead,
            answered_in_ms = took,
            "the clock of this machine and that of the database differ; the database's time counts"
        );
    }
    Ok(ahead)
}
