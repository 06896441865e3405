//! Rows that the engine itself writes beside an event: a queue that nobody registered, a registration.
//!
//! They go into the transaction of the event, so that both are there or neither. No rule runs for them: they
//! are the engine's own bookkeeping, as the event's row is.

use std::sync::Arc;

use campanile_model::{NewEvent, Record, SysId, TableDef};
use campanile_store::{Select, StoreError, WriteTx};

use super::provisional;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::queue_registry::QUEUE_TABLE;
use crate::events::registry::{PRIORITY_DEFAULT, REGISTER_TABLE};
use crate::records::lookup;

/// Poll interval of a provisional queue as a stored duration.
const POLL_INTERVAL: &str = "1970-01-01 00:00:30";

/// A row to be written beside an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provision {
    /// A provisional queue: parallel, one processor, polled every 30 s (§3.3). Not made when there are too many.
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
        /// Note for people.
        fired_by: &'static str,
    },
}

impl Provision {
    const fn table(&self) -> &'static str {
        match self {
            Self::Queue { .. } => QUEUE_TABLE,
            Self::Registration { .. } => REGISTER_TABLE,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Queue { name } | Self::Registration { name, .. } => name,
        }
    }

    fn values(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Queue { name } => vec![
                ("queue", name),
                ("active", "1"),
                ("automatic_processing", "1"),
                ("processing_order", "parallel"),
                ("job_config", "job_count"),
                ("job_config_value", "1"),
                ("poll_interval", POLL_INTERVAL),
                ("provider", "event"),
                ("claim_limit", "100"),
                ("job_priority", "100"),
                ("max_attempts", "1"),
                ("retry_backoff", "1970-01-01 00:00:30"),
                ("on_error", "continue"),
                ("handler_timeout", "1970-01-01 00:05:00"),
                ("provisional", "1"),
                ("description", "Made because an event named it; check it and clear Provisional"),
            ],
            Self::Registration { name, table, fired_by } => vec![
                ("event_name", name),
                ("table", table),
                ("priority", "100"),
                ("derived_priority", "100"),
                ("active", "1"),
                ("fired_by", fired_by),
                ("parm1_type", "string"),
                ("parm2_type", "string"),
                ("max_attempts", "0"),
                ("coalesce_seconds", "0"),
            ],
        }
    }
}

/// Events that are about to be stored, and what is missing for them.
#[derive(Debug)]
pub struct Waiting<'a> {
    /// What is missing; the same thing may be named more than once.
    pub provisions: &'a [Provision],
    /// The events that need it.
    pub events: &'a mut [NewEvent],
}

/// Writes the provisions in the caller's transaction; what exists already is left alone. Events whose queue may not be
/// made any more are given to the default queue. Returns the tables that were written: after the commit the caller
/// tells them to `Engine::tables_changed`.
///
/// # Errors
/// What the store answers.
pub fn write(
    engine: &Engine,
    tx: &mut dyn WriteTx,
    waiting: Waiting<'_>,
) -> Result<Vec<&'static str>, EngineError> {
    const { assert!(PRIORITY_DEFAULT == 100, "the values above say so") };
    let Waiting { provisions, events } = waiting;
    if provisions.is_empty() {
        return Ok(Vec::new());
    }
    let mut written = Vec::new();
    if provisional::make(engine, tx, provisions, events)? {
        written.push(QUEUE_TABLE);
    }
    let dictionary = engine.dictionary()?;
    let table = lookup::table(&dictionary, REGISTER_TABLE)?;
    for provision in provisions.iter().filter(|p| matches!(p, Provision::Registration { .. })) {
        let known: Select = lookup::equal(table, &[("event_name", provision.name())]);
        if tx.count(&known.query)? == 0 && insert(engine, tx, provision)? {
            written.push(REGISTER_TABLE);
        }
    }
    written.dedup();
    Ok(written)
}

/// Inserts the row; whether it was missing.
pub(super) fn insert(
    engine: &Engine,
    tx: &mut dyn WriteTx,
    provision: &Provision,
) -> Result<bool, EngineError> {
    let dictionary = engine.dictionary()?;
    let table = lookup::table(&dictionary, provision.table())?;
    match tx.insert(&row(engine, table, provision)) {
        Ok(()) => Ok(true),
        // Somebody was quicker: the row is there, and that was the wish.
        Err(StoreError::Duplicate { .. }) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

fn row(engine: &Engine, table: &Arc<TableDef>, provision: &Provision) -> Record {
    let now = engine.clock().now();
    let at = now.to_glide_text();
    let mut record = Record::empty(Arc::clone(table));
    let id = SysId::generate(now);
    let system = [
        ("sys_id", id.as_str()),
        ("sys_created_on", &at),
        ("sys_updated_on", &at),
        ("sys_created_by", "system"),
        ("sys_updated_by", "system"),
        ("sys_mod_count", "0"),
        ("sys_name", provision.name()),
        ("sys_class_name", &*table.name),
    ];
    for (field, value) in system.into_iter().chain(provision.values()) {
        record.set(field, value);
    }
    record
}
