//! Rows that the engine itself writes beside an event: a queue that nobody registered, a registration.
//!
//! They go into the transaction of the event, so that both are there or neither. No rule runs for them: they
//! are the engine's own bookkeeping, as the event's row is.

use std::sync::Arc;

use campanile_model::{Record, SysId, TableDef};
use campanile_store::{Select, StoreError, WriteTx};

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
    /// A provisional queue: parallel, one processor, polled every 30 s (§3.3).
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
    const fn place(&self) -> (&'static str, &'static str) {
        match self {
            Self::Queue { .. } => (QUEUE_TABLE, "queue"),
            Self::Registration { .. } => (REGISTER_TABLE, "event_name"),
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

/// Writes the provisions in the caller's transaction; what exists already is left alone. Returns the tables that
/// were written: after the commit the caller tells them to `Engine::tables_changed`.
///
/// # Errors
/// What the store answers.
pub fn write(
    engine: &Engine,
    tx: &mut dyn WriteTx,
    provisions: &[Provision],
) -> Result<Vec<&'static str>, EngineError> {
    const { assert!(PRIORITY_DEFAULT == 100, "the values above say so") };
    if provisions.is_empty() {
        return Ok(Vec::new());
    }
    let dictionary = engine.dictionary()?;
    let mut written = Vec::new();
    for provision in provisions {
        let (table_name, key) = provision.place();
        let table = lookup::table(&dictionary, table_name)?;
        let known: Select = lookup::equal(table, &[(key, provision.name())]);
        if tx.count(&known.query)? > 0 {
            continue;
        }
        match tx.insert(&row(engine, table, provision)) {
            Ok(()) => written.push(table_name),
            // Somebody was quicker: the row is there, and that was the wish.
            Err(StoreError::Duplicate { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    written.dedup();
    Ok(written)
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
