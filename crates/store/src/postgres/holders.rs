//! Who holds claimed events, as their rows say: passed on, and given back.

use std::time::Instant as Monotonic;

use campanile_model::Event;

use super::claims::{Claimed, UNSYNCED};
use super::connection::Connection;
use super::distributed;
use super::effects::Effects;
use super::pending::Pending;
use super::store::Shared;
use super::text::stored;
use crate::contract::StoreError;

/// Writes down who holds these events by now, as far as they are still under the lease `token`. It is only what is shown: who
/// has them waits for no disk before it begins.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn pass_on(
    connection: &Connection,
    events: &[Event],
    claimed_by: &str,
    token: i64,
) -> Result<(), StoreError> {
    let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
    connection.execute_with(
        UNSYNCED,
        (
            "UPDATE sysevent_live SET claimed_by = $2 \
             WHERE sequence = ANY ($1) AND claim_token = $3",
            &[&sequences, &stored(claimed_by), &token],
        ),
    )?;
    Ok(())
}

/// Gives claims back in the database (T6), as far as they are still this node's.
///
/// # Errors
/// What PostgreSQL said; then nothing was given back.
pub(super) fn give_back(
    connection: &Connection,
    given: &[Claimed],
    token: i64,
) -> Result<Effects, StoreError> {
    if given.iter().any(|claimed| claimed.partition.is_some()) {
        return distributed::claims::give_back(connection, given, token);
    }
    let mut effects = Effects::default();
    let sequences: Vec<i64> = given.iter().map(|claimed| claimed.held.sequence).collect();
    let rows = connection.query(
        "UPDATE sysevent_live SET state = 'ready', claimed_by = NULL, claim_token = NULL \
         WHERE sequence = ANY ($1) AND claim_token = $2 RETURNING sequence",
        &[&sequences, &token],
    )?;
    for row in rows {
        let sequence: i64 = row.try_get(0)?;
        if let Some(claimed) = given.iter().find(|claimed| claimed.held.sequence == sequence) {
            effects.wake(&claimed.queue, None, claimed.process_on);
        }
    }
    Ok(effects)
}

/// Gives back what was born for processors that turned out to be slow: somebody idle may be found for it, on another node too.
pub(super) fn give_back_of_slow(shared: &Shared, at: Monotonic) {
    for (by, born) in shared.claims.births.of_slow(at) {
        let given = shared.claims.take_out(&by, &born);
        for of_one_lease in given.chunk_by(|l, r| l.held.token == r.held.token) {
            shared.pending.push(Pending::GiveBack(of_one_lease.to_vec()));
        }
    }
}
