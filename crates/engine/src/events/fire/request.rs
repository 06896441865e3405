//! A call that fires an event, and what became of it.

use campanile_model::{EventSource, Instant, NewEvent, Record};

use super::provision::Provision;

/// One call that fires an event. Values are stored texts; empty means none.
#[derive(Debug, Clone, Default)]
pub struct FireRequest {
    /// Event name.
    pub name: String,
    /// Table of the record it is about.
    pub table: String,
    /// sys_id of that record.
    pub instance: String,
    /// With an empty `table`, take the registration's (`eventQueueScheduled` with a sys_id text).
    pub table_from_registration: bool,
    /// Display value of the record; `None` leaves the descriptive name empty.
    pub record_display: Option<String>,
    /// First value.
    pub parm1: String,
    /// Second value.
    pub parm2: String,
    /// Queue named by the call; `None` or empty takes the registration's.
    pub queue: Option<String>,
    /// Not before; the past or `None` means now.
    pub process_on: Option<Instant>,
    /// Not before this long from now; `process_on` counts before it.
    pub process_after_ms: Option<i64>,
    /// Overrides the registration's priority.
    pub priority: Option<f64>,
    /// Idempotency key as the caller gave it.
    pub dedupe_key: Option<String>,
    /// What fired it; `None` takes the session's.
    pub source: Option<EventSource>,
    /// The record's values at this moment. Kept with the event when its registration asks for it, or while
    /// that record is being deleted.
    pub record: Option<Record>,
    /// The call happens while `record` is being deleted.
    pub deleting: bool,
    /// A missing registration is made, with this note in `fired_by` (`global_events`).
    pub register_as: Option<&'static str>,
}

/// What became of a call.
#[derive(Debug, Clone)]
pub enum Resolved {
    /// To be stored, together with the provisions.
    Event(Box<NewEvent>, Vec<Provision>),
    /// Nothing is stored; the reason is already in the log. `registration_inactive` is the only one so far.
    NotStored {
        /// Code.
        reason: &'static str,
    },
}
