//! The thread that keeps this program's lease, and takes over from whoever does not beat any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_model::CorrectedClock;

use super::connection::Connection;
use super::lapses::take_over;
use super::nodes::{Node, working};
use super::store::Shared;
use super::time;
use crate::contract::StoreError;

/// Beats `every` so often, and as often as `watch` says puts `clock` right and looks for others, until the store is closed.
pub(super) fn run(
    shared: &Arc<Shared>,
    every: Duration,
    watch: Duration,
    clock: Option<&CorrectedClock>,
) {
    let mut connection: Option<Connection> = None;
    let mut beaten = Instant::now();
    let mut last_gone = None;
    // A table that is locked by somebody must not cost the lease.
    let patience = every.min(watch) / 2;
    while shared.node.wait(every.min(watch)) {
        let is_due = beaten.elapsed() + watch / 2 >= every;
        let mut beat_once = || -> Result<(), StoreError> {
            if connection.as_ref().is_none_or(Connection::is_closed) {
                connection = None;
                connection = Some(shared.open_direct()?);
            }
            let Some(open) = &connection else { return Ok(()) };
            if is_due {
                let token = shared.node.token();
                if !shared.node.beat(open)? {
                    shared.node.replace(open, token, || shared.claims.forget_all(token))?;
                }
                beaten = Instant::now();
            }
            if let Some(clock) = clock {
                time::put_right(open, clock)?;
            }
            let spread = shared.claims.spread().map(AsRef::as_ref);
            match take_over(open, spread, patience) {
                Ok(taken) => shared.taken_over(&taken),
                Err(error @ StoreError::HeldUp { .. }) => {
                    tracing::warn!(%error, "the events of programs that are gone cannot be taken over yet");
                }
                Err(error) => return Err(error),
            }
            if !working(open, shared.node.token())?.is_empty() {
                shared.notices.has_company();
            }
            // Whoever leaves tells nobody of what it gives back: before the others are seen to be fewer.
            let gone = Node::last_gone(open)?;
            if gone != last_gone {
                shared.claims.may_have_missed_some();
            }
            shared.node.look_around(open)?;
            shared.orders.forget();
            if gone != last_gone {
                last_gone = gone;
                shared.notices.changed_elsewhere(None);
            }
            Ok(())
        };
        if let Err(error) = beat_once() {
            tracing::warn!(%error, "the lease could not be renewed");
            connection = None;
        }
    }
}
