//! Groups of appends of which the writer could not learn what became of them: what was born with one is claimed for a processor that
//! knows nothing of it, and is given back once the server tells.

use std::collections::VecDeque;

use super::births::InDoubt;
use super::connection::Connection;
use super::events::key;
use super::group_fate;
use super::store::Shared;
use super::text::stored;
use crate::contract::StoreError;

/// Finds out about those that are left, as far as the server answers.
pub(super) fn resolve(shared: &Shared) {
    let mut left = VecDeque::from(shared.claims.births.in_doubt());
    if left.is_empty() {
        return;
    }
    if let Err(error) = resolve_in_turn(shared, &mut left) {
        tracing::debug!(%error, "what was born with a group of appends is not known yet");
        // The others do not wait for it for ever.
        left.rotate_left(1);
    }
    left.into_iter().for_each(|group| shared.claims.births.still_in_doubt(group));
}

/// Takes out those that are settled. The first one that is left is not, because of the error.
fn resolve_in_turn(shared: &Shared, left: &mut VecDeque<InDoubt>) -> Result<(), StoreError> {
    let connection = shared.open_settled()?;
    while let Some(group) = left.front() {
        give_back(shared, &connection, group)?;
        shared.claims.births.withdraw(&group.to);
        // Whatever was given back just now: it may have been by a statement whose answer was lost.
        shared.carry_out(&group.wakes);
        left.pop_front();
    }
    Ok(())
}

/// Gives back what was born with it and nobody knows of. What another processor has claimed since is not that.
fn give_back(shared: &Shared, connection: &Connection, group: &InDoubt) -> Result<(), StoreError> {
    // From here on it cannot be committed any more, if it was not.
    let in_use = || shared.line.writes_by();
    group_fate::wait_ended(connection, (group.token, group.number), &in_use)?;
    let keys: Vec<String> = group.events.iter().map(|(event, _)| key(event)).collect();
    let holders: Vec<_> = group.events.iter().map(|(_, by)| stored(by)).collect();
    // Nobody claims them meanwhile without being known.
    let _alone = shared.claims.claiming.write();
    let known = shared.claims.all_known();
    let given = connection.execute(
        "UPDATE sysevent_live SET state = 'ready', claimed_by = NULL, claim_token = NULL \
         WHERE lower(sys_id) = ANY ($1) AND claim_token IS NOT DISTINCT FROM $2 AND NOT (sequence = ANY ($3)) \
         AND claimed_by = ($4::text[])[array_position($1::text[], lower(sys_id))]",
        &[&keys, &group.token, &known, &holders],
    )?;
    if given > 0 {
        tracing::warn!(given, "events whose append was not answered were given back");
    }
    Ok(())
}
