//! Groups of appends of which the writer could not learn what became of them: what was born with one is claimed for a processor that
//! knows nothing of it, and is given back once the server tells.

use super::effects::Effects;
use super::events::{key, text};
use super::group_fate;
use super::promises::InDoubt;
use super::store::Shared;
use crate::contract::StoreError;

/// Finds out about those that are left, as far as the server answers.
pub(super) fn resolve(shared: &Shared) {
    for group in shared.claims.births.in_doubt() {
        match give_back(shared, &group) {
            Ok(effects) => {
                shared.claims.births.withdraw(&group.to);
                shared.carry_out(&effects);
            }
            Err(error) => {
                tracing::debug!(%error, "what was born with a group of appends is not known yet");
                shared.claims.births.still_in_doubt(group);
            }
        }
    }
}

/// Gives back what was born with it and nobody knows of.
fn give_back(shared: &Shared, group: &InDoubt) -> Result<Effects, StoreError> {
    let connection = shared.open_settled()?;
    // Once this is answered it cannot be committed any more, if it was not.
    group_fate::was_committed(&connection, group.token, group.number)?;
    let keys: Vec<String> = group.events.iter().map(key).collect();
    let known = shared.claims.all_known();
    let given = connection.query(
        "UPDATE sysevent_live SET state = 'ready', claimed_by = NULL, claim_token = NULL \
         WHERE lower(sys_id) = ANY ($1) AND claim_token = $2 AND NOT (sequence = ANY ($3)) \
         RETURNING queue, process_on",
        &[&keys, &group.token, &known],
    )?;
    let mut effects = Effects::default();
    for row in &given {
        effects.wake(&text(row, 0)?, None, row.try_get(1)?);
    }
    if !given.is_empty() {
        let given = given.len();
        tracing::warn!(given, "events whose append was not answered were given back");
    }
    Ok(effects)
}
