//! The queue registry: what `sysevent_queue` says about a queue, as processors need it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use campanile_model::queue_def::{DEFAULT_QUEUE_ROW, normalise_queue_name};
use campanile_model::{Instant, Placement, QueueDef, QueueOrder, Record};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::records::definitions::Load;
use crate::records::lookup;

/// Table of queues.
pub const QUEUE_TABLE: &str = "sysevent_queue";

/// `job_config`: so many processors over all nodes.
pub const CONSTANT: &str = "job_count";
/// `job_config`: so many processors on each node.
pub const PER_NODE: &str = "jobs_per_node";
/// `processing_order`: one event at a time in the whole cluster.
pub const SEQUENTIAL: &str = "sequential";
/// `on_error`: the queue stops.
pub const HALT: &str = "halt";

/// Most events in one claim (§1.4).
pub const CLAIM_LIMIT_RANGE: std::ops::RangeInclusive<i64> = 1..=10_000;
/// Seconds between two looks at the queue (§1.4).
pub const POLL_SECONDS_RANGE: std::ops::RangeInclusive<i64> = 1..=86_400;
/// Attempts per epoch (§1.4).
pub const ATTEMPTS_RANGE: std::ops::RangeInclusive<i64> = 1..=20;
/// Seconds that one handler may take (§1.4).
pub const TIMEOUT_SECONDS_RANGE: std::ops::RangeInclusive<i64> = 1..=14_400;

const CLAIM_LIMIT_DEFAULT: i64 = 100;
const POLL_DEFAULT: Duration = Duration::from_secs(30);
const BACKOFF_DEFAULT: Duration = Duration::from_secs(30);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(300);

/// A snapshot of the queues.
#[derive(Debug, Default)]
pub struct QueueRegistry {
    by_name: HashMap<Arc<str>, Arc<QueueDef>>,
    provisional: usize,
}

impl QueueRegistry {
    /// A registry of these queues. Of two with one name the first counts.
    #[must_use]
    pub fn new(queues: impl IntoIterator<Item = QueueDef>) -> Self {
        let mut by_name: HashMap<_, Arc<QueueDef>> = HashMap::new();
        for queue in queues {
            by_name.entry(Arc::clone(&queue.name)).or_insert_with(|| Arc::new(queue));
        }
        let provisional = by_name.values().filter(|queue| queue.provisional).count();
        Self { by_name, provisional }
    }

    /// The queue called `name` as on events: empty for the default queue.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<QueueDef>> {
        self.by_name.get(name)
    }

    /// How many were made because an event named them, and were not registered since.
    #[must_use]
    pub fn provisional(&self) -> usize {
        self.provisional
    }

    /// All queues, in no order.
    pub fn queues(&self) -> impl Iterator<Item = &Arc<QueueDef>> {
        self.by_name.values()
    }
}

impl Load for QueueRegistry {
    const TABLES: &'static [&'static str] = &[QUEUE_TABLE, "sys_properties"];

    fn load(engine: &Engine) -> Result<Self, EngineError> {
        let dictionary = engine.dictionary()?;
        let table = lookup::table(&dictionary, QUEUE_TABLE)?;
        let rows = Arc::clone(engine.store()).read()?.select(&lookup::equal(table, &[]))?;
        let named = |row: &Record| {
            let queue = queue_def(row);
            if queue.is_none() {
                let name = row.text("queue");
                tracing::warn!(queue.name = name, "a row is no queue: its name is refused");
            }
            queue
        };
        let limited = |mut queue: QueueDef| {
            let property = format!("com.glide.event_manager.{}.claim_limit", shown(&queue.name));
            let limit = engine.int_property(&property, 0);
            if CLAIM_LIMIT_RANGE.contains(&limit) {
                queue.claim_limit = usize::try_from(limit).unwrap_or(queue.claim_limit);
            }
            queue
        };
        Ok(Self::new(rows.iter().filter_map(named).map(limited)))
    }
}

/// What a row means; values that are missing or out of range take the default of §1.4. `None` when its name is none.
#[must_use]
pub fn queue_def(row: &Record) -> Option<QueueDef> {
    let stored = row.get("queue").as_option()?;
    let name = normalise_queue_name(stored).ok()?;
    let in_range = |field: &str, range: &std::ops::RangeInclusive<i64>, default: i64| {
        row.get(field).as_i64().filter(|n| range.contains(n)).unwrap_or(default)
    };
    let claim_limit = in_range("claim_limit", &CLAIM_LIMIT_RANGE, CLAIM_LIMIT_DEFAULT);
    let factor = row.get("job_config_value").as_i64().unwrap_or(1).max(1);
    let factor = usize::try_from(factor).unwrap_or(1);
    let order = queue_order(row);
    let placement = match order {
        QueueOrder::Sequential => Placement::Constant(1),
        _ if row.text("job_config") == CONSTANT => Placement::Constant(factor),
        _ => Placement::PerNode(factor),
    };
    Some(QueueDef {
        name: Arc::from(name),
        active: row.get("active").is_nil() || row.get("active").is_true(),
        placement,
        order,
        halts_on_error: halts_on_error(row),
        poll_interval: duration(row.text("poll_interval")).unwrap_or(POLL_DEFAULT),
        claim_limit: usize::try_from(claim_limit).unwrap_or(1),
        max_attempts: in_range("max_attempts", &ATTEMPTS_RANGE, 1),
        retry_backoff: duration(row.text("retry_backoff")).unwrap_or(BACKOFF_DEFAULT),
        handler_timeout: duration(row.text("handler_timeout")).unwrap_or(TIMEOUT_DEFAULT),
        provisional: row.get("provisional").is_true(),
        revision: (row.sys_id(), row.get("sys_mod_count").as_i64().unwrap_or(0)),
    })
}

/// Whether the events of the queue in this row follow each other.
#[must_use]
pub fn queue_order(row: &Record) -> QueueOrder {
    if row.text("processing_order") == SEQUENTIAL {
        QueueOrder::Sequential
    } else if row.get("ordering").is_true() {
        QueueOrder::ByRecord
    } else {
        QueueOrder::Parallel
    }
}

/// Whether an event that ends in error stops the queue in this row.
#[must_use]
pub fn halts_on_error(row: &Record) -> bool {
    queue_order(row) == QueueOrder::Sequential && row.text("on_error") == HALT
}

/// A stored duration (`1970-01-01 00:00:00` plus the span); `None` when it is empty, none, or zero.
#[must_use]
pub fn duration(stored: &str) -> Option<Duration> {
    let millis = Instant::parse_glide_text(stored)?.as_millis();
    u64::try_from(millis).ok().filter(|millis| *millis > 0).map(Duration::from_millis)
}

/// A queue's name as people read it: the default queue has the empty name on events.
#[must_use]
pub fn shown(name: &str) -> &str {
    if name.is_empty() { DEFAULT_QUEUE_ROW } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spans_from_the_epoch() {
        assert_eq!(duration("1970-01-01 00:00:30"), Some(Duration::from_secs(30)));
        assert_eq!(duration("1970-01-02 01:00:00"), Some(Duration::from_secs(90_000)));
        for text in ["", "1970-01-01 00:00:00", "30", "1969-12-31 23:59:59"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
