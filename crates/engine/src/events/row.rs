//! An event as a row of `sysevent`: what scripts see as `event`, made without asking the database.

use std::sync::Arc;

use campanile_model::{Event, FieldIndex, Record, TableDef, Value};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::records::definitions::Load;
use crate::records::lookup;

/// Table of events.
pub const EVENT_TABLE: &str = "sysevent";

type Read = fn(&Event) -> Value;

/// Which column of `sysevent` takes what of an event, worked out once per dictionary.
pub struct EventLayout {
    table: Arc<TableDef>,
    columns: Vec<(FieldIndex, Read)>,
}

impl EventLayout {
    /// The layout for this definition of `sysevent`. Columns that an event knows nothing of stay nil.
    #[must_use]
    pub fn new(table: &Arc<TableDef>) -> Self {
        let columns = COLUMNS.iter().filter_map(|(name, read)| Some((table.index(name)?, *read)));
        Self { columns: columns.collect(), table: Arc::clone(table) }
    }

    /// The definition of `sysevent`.
    #[must_use]
    pub fn table(&self) -> &Arc<TableDef> {
        &self.table
    }

    /// The event as a row.
    #[must_use]
    pub fn row(&self, event: &Event) -> Record {
        let mut record = Record::empty(Arc::clone(&self.table));
        for (field, read) in &self.columns {
            record.set_at(*field, read(event));
        }
        record
    }
}

impl Load for EventLayout {
    const TABLES: &'static [&'static str] = &["sys_db_object", "sys_dictionary"];

    fn load(engine: &Engine) -> Result<Self, EngineError> {
        let dictionary = engine.dictionary()?;
        Ok(Self::new(lookup::table(&dictionary, EVENT_TABLE)?))
    }
}

fn shared(text: &Arc<str>) -> Value {
    if text.is_empty() { Value::Nil } else { Value::Text(Arc::clone(text)) }
}

const COLUMNS: [(&str, Read); 36] = [
    ("sys_id", |e| Value::text(e.fired.sys_id.as_str())),
    ("sys_created_on", |e| e.fired.created.to_glide_text().into()),
    ("sys_created_by", |e| shared(&e.fired.user_name)),
    ("name", |e| shared(&e.fired.name)),
    ("parm1", |e| shared(&e.fired.parm1)),
    ("parm2", |e| shared(&e.fired.parm2)),
    ("table", |e| shared(&e.fired.table)),
    ("instance", |e| shared(&e.fired.instance)),
    ("descriptive_name", |e| shared(&e.fired.descriptive_name)),
    ("queue", |e| shared(&e.fired.queue)),
    ("state", |e| e.state.as_str().into()),
    ("process_on", |e| e.fired.process_on.to_glide_text().into()),
    ("processed", |e| e.processed.map_or(Value::Nil, |at| at.to_glide_text().into())),
    ("processing_duration", |e| e.processing_duration_ms.map_or(Value::Nil, Value::int)),
    ("claimed_by", |e| shared(&e.claimed_by)),
    ("derived_priority", |e| e.fired.priority.to_string().into()),
    ("user_id", |e| shared(&e.fired.user_id)),
    ("user_name", |e| shared(&e.fired.user_name)),
    ("uri", |e| shared(&e.fired.uri)),
    ("partition", |e| Value::int(e.fired.partition())),
    ("sequence", |e| Value::int(e.sequence)),
    ("origin_id", |e| Value::text(e.origin_id.as_str())),
    ("epoch", |e| Value::int(e.epoch)),
    ("attempts", |e| Value::int(e.attempts)),
    ("lapses", |e| Value::int(e.lapses)),
    ("registered", |e| Value::bool(e.fired.registered)),
    ("scheduled", |e| Value::bool(e.fired.scheduled)),
    ("snapshot", |e| shared(&e.fired.snapshot)),
    ("depth", |e| Value::int(e.fired.depth)),
    ("cause_event", |e| e.fired.cause_event.map_or(Value::Nil, |id| Value::text(id.as_str()))),
    ("cause_handler", |e| shared(&e.fired.cause_handler)),
    ("dedupe_key", |e| shared(&e.fired.dedupe_key)),
    ("source", |e| e.fired.source.as_str().into()),
    ("error_code", |e| shared(&e.error_code)),
    ("error_message", |e| shared(&e.error_message)),
    ("coalesced", |e| Value::int(e.coalesced)),
];
