//! What a crash means for the events that were being handled (§2.2, T7 and T8).

use campanile_model::limits::EVENT_LAPSES_MAX;
use rusqlite::{Connection, params};

use super::append::forget_internal_keys;
use super::events::{COLUMNS, Place, find};
use super::handling::Begun;
use super::order;
use crate::contract::StoreError;

/// Code of §5.5 for an event whose handling ended with its process three times.
const PROCESSOR_LOST: &str = "processor_lost";

/// Counts a lapse for each attempt that was begun and did not end, in the transaction of `connection`; a third
/// one makes the event `error`. What ended meanwhile, or was counted already, is left alone. Returns how many were
/// counted.
///
/// # Errors
/// What SQLite said.
pub(super) fn count_lapses(connection: &Connection, begun: &[Begun]) -> Result<usize, StoreError> {
    let mut counted = 0;
    for attempt in begun {
        let Some(event) = find(connection, Place::Live, &attempt.event)? else { continue };
        let stands_at = (event.epoch, event.attempts, event.lapses);
        if stands_at != (attempt.epoch, attempt.attempts, attempt.lapses) {
            continue;
        }
        counted += 1;
        connection
            .prepare_cached(
                "UPDATE sysevent_live SET lapses = lapses + 1, sys_mod_count = sys_mod_count + 1 \
                 WHERE sequence = ?1",
            )?
            .execute([event.sequence])?;
        if event.lapses + 1 < EVENT_LAPSES_MAX {
            continue;
        }
        let message = format!(
            "the process ended {EVENT_LAPSES_MAX} times while this event was being handled"
        );
        connection
            .prepare_cached(&format!(
                "INSERT INTO sysevent_log ({COLUMNS}, sys_updated_on, sys_updated_by, sys_mod_count) \
                 SELECT {}, sys_updated_on, 'system', sys_mod_count FROM sysevent_live WHERE sequence = ?1",
                COLUMNS
                    .replace(" state,", " 'error',")
                    .replace(" error_code, error_message", " ?2, ?3")
            ))?
            .execute(params![event.sequence, PROCESSOR_LOST, message])?;
        connection.execute("DELETE FROM sysevent_live WHERE sequence = ?1", [event.sequence])?;
        forget_internal_keys(connection, &attempt.event)?;
        order::halt_at_opening(connection, &event)?;
    }
    Ok(counted)
}
