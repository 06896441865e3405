//! An event as a row of `sysevent`: what scripts see as `event`, made without asking the database.

use std::iter::repeat_n;
use std::sync::{Arc, OnceLock};

use campanile_model::{Event, EventState, FieldIndex, Record, TableDef, Value};

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
        let mut shared: Arc<[Value]> = repeat_n(Value::Nil, self.table.fields.len()).collect();
        let values = Arc::make_mut(&mut shared);
        for (field, read) in &self.columns {
            values[*field] = read(event);
        }
        Record::from_values(Arc::clone(&self.table), shared)
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

/// Small numbers stand in most columns of most events: their texts are made once.
fn number(n: i64) -> Value {
    const SMALL: usize = 128;
    static TEXTS: OnceLock<Vec<Value>> = OnceLock::new();
    let texts = TEXTS.get_or_init(|| (0_i64..).take(SMALL).map(Value::int).collect());
    usize::try_from(n).ok().and_then(|n| texts.get(n)).cloned().unwrap_or_else(|| Value::int(n))
}

fn flag(flag: bool) -> Value {
    number(i64::from(flag))
}

fn priority(priority: f64) -> Value {
    let whole = priority.trunc();
    #[expect(clippy::cast_possible_truncation, reason = "registrations hold 0 to 1,000,000")]
    if priority.to_bits() == whole.to_bits() && (0.0..=1e6).contains(&priority) {
        number(whole as i64)
    } else {
        priority.to_string().into()
    }
}

fn state(state: EventState) -> Value {
    static WORDS: OnceLock<[Value; EventState::ALL.len()]> = OnceLock::new();
    let words = WORDS.get_or_init(|| EventState::ALL.map(|state| state.as_str().into()));
    let at = EventState::ALL.iter().position(|known| *known == state);
    at.and_then(|at| words.get(at)).cloned().unwrap_or_default()
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
    ("state", |e| state(e.state)),
    ("process_on", |e| e.fired.process_on.to_glide_text().into()),
    ("processed", |e| e.processed.map_or(Value::Nil, |at| at.to_glide_text().into())),
    ("processing_duration", |e| e.processing_duration_ms.map_or(Value::Nil, number)),
    ("claimed_by", |e| shared(&e.claimed_by)),
    ("derived_priority", |e| priority(e.fired.priority)),
    ("user_id", |e| shared(&e.fired.user_id)),
    ("user_name", |e| shared(&e.fired.user_name)),
    ("uri", |e| shared(&e.fired.uri)),
    ("partition", |e| number(e.fired.partition())),
    ("sequence", |e| number(e.sequence)),
    ("origin_id", |e| Value::text(e.origin_id.as_str())),
    ("epoch", |e| number(e.epoch)),
    ("attempts", |e| number(e.attempts)),
    ("lapses", |e| number(e.lapses)),
    ("registered", |e| flag(e.fired.registered)),
    ("scheduled", |e| flag(e.fired.scheduled)),
    ("snapshot", |e| shared(&e.fired.snapshot)),
    ("depth", |e| number(e.fired.depth)),
    ("cause_event", |e| e.fired.cause_event.map_or(Value::Nil, |id| Value::text(id.as_str()))),
    ("cause_handler", |e| shared(&e.fired.cause_handler)),
    ("dedupe_key", |e| shared(&e.fired.dedupe_key)),
    ("source", |e| e.fired.source.as_str().into()),
    ("error_code", |e| shared(&e.error_code)),
    ("error_message", |e| shared(&e.error_message)),
    ("coalesced", |e| number(e.coalesced)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_text_whether_they_are_small_or_not() {
        for n in [0, 1, 100, 127, 128, -1, i64::MAX] {
            assert_eq!(number(n).as_str(), n.to_string());
        }
        for (given, text) in [(100.0, "100"), (0.5, "0.5"), (1e6, "1000000"), (-3.0, "-3")] {
            assert_eq!(priority(given).as_str(), text);
        }
        assert!(EventState::ALL.into_iter().all(|s| state(s).as_str() == s.as_str()));
    }
}
