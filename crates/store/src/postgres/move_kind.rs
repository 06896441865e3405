//! Moving all waiting events of a kind to another queue (§4.8), some hundred at a time.

use std::sync::Arc;

use super::connection::Connection;
use super::distributed::{self, Spread};
use super::effects::Effects;
use super::held::Claimed;
use super::text::stored;
use crate::contract::StoreError;

/// Events that one transaction moves: some milliseconds, in which nobody claims them.
pub(super) const STEP_EVENTS_MAX: i64 = 500;

/// Moves some of the waiting events called `name` whose queue came from the registration and whose sequence is above
/// `after`; `spread` in distributed mode. Claimed ones stay, and so does what somebody else is about to change. Returns the last one that it moved.
///
/// There is no index on the name: every append would pay for it, and somebody presses this button now and then.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn step(
    connection: &Connection,
    (name, to_queue): (&str, &str),
    after: i64,
    spread: Option<&Arc<Spread>>,
) -> Result<(Step, Effects), StoreError> {
    if let Some(spread) = spread {
        return distributed::actions::move_kind_step(connection, (name, to_queue), after, spread);
    }
    let rows = connection.query(
        "UPDATE sysevent_live SET queue = $2, turn = campanile_turn($2, \"table\", instance, sys_id), \
         sys_mod_count = sys_mod_count + 1 WHERE sequence = ANY (ARRAY ( \
         SELECT sequence FROM sysevent_live WHERE sequence > $3 AND name = $1 AND NOT queue_from_call \
         AND queue <> $2 AND state = 'ready' ORDER BY sequence LIMIT $4 FOR UPDATE SKIP LOCKED)) \
         RETURNING sequence, process_on",
        &[&stored(name), &stored(to_queue), &after, &STEP_EVENTS_MAX],
    )?;
    let queue: Arc<str> = Arc::from(to_queue);
    let mut effects = Effects::default();
    let mut step = Step::default();
    for row in &rows {
        step.moved += 1;
        step.last = step.last.max(row.try_get(0)?);
        effects.wake(&queue, None, row.try_get(1)?);
    }
    Ok((step, effects))
}

/// Moves those of the events called `name` that `waiting` claims hold, under their leases, and lets go of them. Not in distributed
/// mode, where nothing waits in the hand of a program.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn move_waiting(
    connection: &Connection,
    (name, to_queue): (&str, &str),
    waiting: &[Claimed],
) -> Result<(Step, Effects), StoreError> {
    let queue: Arc<str> = Arc::from(to_queue);
    let mut effects = Effects::default();
    let mut step = Step::default();
    for of_one_lease in waiting.chunk_by(|l, r| l.held.token == r.held.token) {
        let sequences: Vec<i64> = of_one_lease.iter().map(|one| one.held.sequence).collect();
        let token = of_one_lease.first().map(|one| one.held.token);
        let rows = connection.query(
            "UPDATE sysevent_live SET queue = $2, turn = campanile_turn($2, \"table\", instance, sys_id), \
             state = 'ready', claimed_by = NULL, claim_token = NULL, sys_mod_count = sys_mod_count + 1 \
             WHERE sequence = ANY ($3) AND claim_token IS NOT DISTINCT FROM $4 AND name = $1 \
             AND NOT queue_from_call RETURNING process_on",
            &[&stored(name), &stored(to_queue), &sequences, &token],
        )?;
        for row in &rows {
            step.moved += 1;
            effects.wake(&queue, None, row.try_get(0)?);
        }
    }
    Ok((step, effects))
}

/// What one step came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Step {
    pub(super) moved: u64,
    /// Sequence of the last one; 0 when there was none.
    pub(super) last: i64,
}
