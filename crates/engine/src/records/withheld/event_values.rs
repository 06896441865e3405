//! What an event tells of the record that it is about: its display value, its snapshot, the values that a condition
//! of a handler compared. Administrators of events see them (rest-api §17.2, events-and-jobs §11), and whoever may read
//! the record. Others see no rows of events; what they get back is the event that they fired.

use campanile_model::{Dictionary, FieldIndex, Record, TableDef};
use campanile_store::{ReadTx, StoreError};

use crate::records::gate;
use crate::session::Session;

const EVENTS: &str = "sysevent";
const RUNS: &str = "sysevent_handler_run";

/// Role of those who do everything with events.
pub const EVENTS_ADMIN: &str = "events_admin";

/// Whether the session may do everything with events.
#[must_use]
pub fn administers_events(session: &Session) -> bool {
    session.user.is_admin() || session.user.has_role(EVENTS_ADMIN)
}

/// Whether values of this column tell of the record that an event is about.
pub(in crate::records) fn tells_of_a_record(table: &TableDef, field: FieldIndex) -> bool {
    match &*table.name {
        EVENTS => matches!(&*table.fields[field].name, "descriptive_name" | "snapshot"),
        RUNS => &*table.fields[field].name == "sentence",
        _ => false,
    }
}

/// Columns that say which record a row of `table` tells of: they are read with it.
pub(in crate::records) fn deciding_columns(table: &TableDef) -> &'static [&'static str] {
    match &*table.name {
        EVENTS => &["table", "instance"],
        RUNS => &["event"],
        _ => &[],
    }
}

/// Whether the session may be told of the record `instance` of `table`, there or not: of what it may read, and of no
/// record at all. Administrators of events are told of everything, and they alone of a table that is gone.
#[must_use]
pub fn may_be_told_of(
    session: &Session,
    dictionary: &Dictionary,
    table: &str,
    instance: &str,
) -> bool {
    if table.is_empty() || instance.is_empty() || administers_events(session) {
        return true;
    }
    dictionary.table(table).is_some_and(|table| gate::may_see_key(session, table, instance))
}

/// Whether `row`, an event or a run that has its [`deciding_columns`], withholds from the session what it tells of a
/// record. What a run tells is withheld when its event is gone.
///
/// # Errors
/// What the store answers.
pub(in crate::records) fn hides(
    session: &Session,
    dictionary: &Dictionary,
    read: &dyn ReadTx,
    row: &Record,
) -> Result<bool, StoreError> {
    if administers_events(session) {
        return Ok(false);
    }
    let hidden = |event: &Record| {
        !may_be_told_of(session, dictionary, event.text("table"), event.text("instance"))
    };
    if &*row.table().name == EVENTS {
        return Ok(hidden(row));
    }
    let Some(events) = dictionary.table(EVENTS) else { return Ok(true) };
    Ok(read.get(events, row.text("event"))?.as_ref().is_none_or(hidden))
}
