//! Who holds claimed events, as their rows say: passed on, and given back.

use std::collections::HashMap;
use std::time::Instant as Monotonic;

use super::claims::UNSYNCED;
use super::connection::Connection;
use super::distributed;
use super::effects::Effects;
use super::held::{Claimed, Held};
use super::store::Shared;
use super::text::stored;
use crate::contract::StoreError;

/// Writes down who handles these events, as far as they are still under their lease. It is only what is shown.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn pass_on(connection: &Connection, passed_on: &[Claimed]) -> Result<(), StoreError> {
    for claimed in passed_on {
        let Held { sequence, token, .. } = claimed.held;
        connection.execute_with(
            UNSYNCED,
            (
                "UPDATE sysevent_live SET claimed_by = $2 \
                 WHERE sequence = $1 AND claim_token IS NOT DISTINCT FROM $3",
                &[&sequence, &stored(&claimed.by), &token],
            ),
        )?;
    }
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
         WHERE sequence = ANY ($1) AND claim_token IS NOT DISTINCT FROM $2 RETURNING sequence",
        &[&sequences, &token],
    )?;
    let by_sequence: HashMap<i64, &Claimed> =
        given.iter().map(|claimed| (claimed.held.sequence, claimed)).collect();
    for row in rows {
        if let Some(claimed) = by_sequence.get(&row.try_get(0)?) {
            effects.wake(&claimed.queue, None, claimed.process_on);
        }
    }
    Ok(effects)
}

/// Gives back what was born for processors that turned out to be slow: somebody idle may be found for it, on another node too.
pub(super) fn give_back_of_slow(shared: &Shared, at: Monotonic) {
    for (by, born) in shared.claims.births.of_slow(at) {
        shared.give_back_later(&shared.claims.take_out(&by, &born));
    }
}
