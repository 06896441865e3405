//! How an event stands in a row: the columns that the live table and the log share, and the way in and out.

use std::sync::Arc;

use campanile_model::limits::IDEMPOTENCY_KEY_MS;
use campanile_model::{Event, EventSource, EventState, Instant, NewEvent, SysId};
use tokio_postgres::Row;

use super::connection::Connection;
use super::text::read;
use crate::contract::StoreError;

/// The columns that both tables have, in the order in which [`read_event`] takes them: as a literal, for statements that are
/// written with them.
macro_rules! columns {
    () => {
        "sequence, sys_id, state, queue, derived_priority, process_on, sys_created_on, \
         name, \"table\", instance, parm1, parm2, descriptive_name, user_id, user_name, uri, snapshot, \"partition\", \
         depth, cause_event, cause_handler, dedupe_key, source, queue_from_call, registered, scheduled, max_attempts, \
         coalesce_seconds, origin_id, epoch, attempts, lapses, only_failed, coalesced, processed, \
         processing_duration, error_code, error_message"
    };
}
pub(super) use columns;

/// See [`columns!`].
pub(super) const COLUMNS: &str = columns!();

/// Place of `claimed_by` where the live table is read as `COLUMNS, claimed_by`.
const CLAIMED_BY: usize = 38;

/// A text column; empty for NULL.
pub(super) fn text(row: &Row, index: usize) -> Result<Arc<str>, StoreError> {
    let text: Option<&str> = row.try_get(index)?;
    Ok(Arc::from(&*read(text.unwrap_or_default())))
}

/// A `sys_id` column that may be NULL.
pub(super) fn sys_id_or_none(row: &Row, index: usize) -> Result<Option<SysId>, StoreError> {
    let text: Option<&str> = row.try_get(index)?;
    text.map(parsed).transpose()
}

/// A `sys_id` column.
pub(super) fn sys_id(row: &Row, index: usize) -> Result<SysId, StoreError> {
    parsed(row.try_get(index)?)
}

fn parsed(text: &str) -> Result<SysId, StoreError> {
    text.parse().map_err(|error: campanile_model::InvalidSysId| StoreError::Statement {
        reason: error.to_string(),
    })
}

/// A key as the unique indexes have it.
pub(super) fn key(sys_id: &SysId) -> String {
    sys_id.as_str().to_ascii_lowercase()
}

/// The event in a row of [`COLUMNS`], followed by `claimed_by` when it comes from the live table. A content hash is
/// not kept with the event and reads 0.
pub(super) fn read_event(row: &Row) -> Result<Event, StoreError> {
    let key = sys_id(row, 1)?;
    // The table checks the word.
    let state = row.try_get::<_, &str>(2)?.parse().unwrap_or(EventState::Error);
    let claimed_by = if row.len() > CLAIMED_BY { text(row, CLAIMED_BY)? } else { Arc::from("") };
    let fired = NewEvent {
        sys_id: key,
        name: text(row, 7)?,
        parm1: text(row, 10)?,
        parm2: text(row, 11)?,
        table: text(row, 8)?,
        instance: text(row, 9)?,
        descriptive_name: text(row, 12)?,
        queue: text(row, 3)?,
        queue_from_call: row.try_get(23)?,
        priority: row.try_get(4)?,
        process_on: Instant::from_millis(row.try_get(5)?),
        created: Instant::from_millis(row.try_get(6)?),
        scheduled: row.try_get(25)?,
        registered: row.try_get(24)?,
        user_id: text(row, 13)?,
        user_name: text(row, 14)?,
        uri: text(row, 15)?,
        snapshot: text(row, 16)?,
        depth: row.try_get(18)?,
        cause_event: sys_id_or_none(row, 19)?,
        cause_handler: text(row, 20)?,
        dedupe_key: text(row, 21)?,
        key_life_ms: IDEMPOTENCY_KEY_MS,
        content_hash: 0,
        source: EventSource::from_word(row.try_get(22)?),
        coalesce_seconds: row.try_get(27)?,
        max_attempts: row.try_get(26)?,
    };
    Ok(Event {
        fired,
        sequence: row.try_get(0)?,
        origin_id: sys_id_or_none(row, 28)?.unwrap_or(key),
        state,
        processed: row.try_get::<_, Option<i64>>(34)?.map(Instant::from_millis),
        processing_duration_ms: row.try_get(35)?,
        claimed_by,
        epoch: row.try_get(29)?,
        attempts: row.try_get(30)?,
        lapses: row.try_get(31)?,
        only_failed: row.try_get(32)?,
        coalesced: row.try_get(33)?,
        error_code: text(row, 36)?,
        error_message: text(row, 37)?,
    })
}

/// Which of the two places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Waiting and claimed.
    Live,
    /// Done.
    Log,
}

/// Whether a row that is found is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// It is only looked at.
    No,
    /// Nobody else changes or claims it until the transaction ends.
    ToTheEnd,
}

/// The event with key `sys_id` in `place`, as the transaction of `connection` sees it.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn find(
    connection: &Connection,
    place: Place,
    sys_id: &SysId,
    hold: Hold,
) -> Result<Option<Event>, StoreError> {
    let mut sql = match place {
        Place::Live => {
            format!("SELECT {COLUMNS}, claimed_by FROM sysevent_live WHERE lower(sys_id) = $1")
        }
        Place::Log => format!("SELECT {COLUMNS} FROM sysevent_log WHERE lower(sys_id) = $1"),
    };
    if hold == Hold::ToTheEnd {
        sql.push_str(" FOR UPDATE");
    }
    connection.query_first(&sql, &[&key(sys_id)])?.as_ref().map(read_event).transpose()
}
