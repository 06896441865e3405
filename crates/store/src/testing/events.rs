//! An event, for tests that need one.

use std::sync::Arc;

use campanile_model::limits::IDEMPOTENCY_KEY_MS;
use campanile_model::{EventSource, Instant, NewEvent, SysId};

/// The present of most tests.
pub const NOW: Instant = Instant::from_millis(1_700_000_000_000);

/// An event of the default queue about a record, priority 100, due [`NOW`], without keys and counted on no other.
#[must_use]
pub fn event(name: &str) -> NewEvent {
    NewEvent {
        sys_id: SysId::generate(NOW),
        name: Arc::from(name),
        parm1: Arc::from(""),
        parm2: Arc::from(""),
        table: Arc::from("incident"),
        instance: Arc::from("00000000000000000000000000000001"),
        descriptive_name: Arc::from("INC0000001"),
        queue: Arc::from(""),
        queue_from_call: false,
        priority: 100.0,
        process_on: NOW,
        created: NOW,
        scheduled: false,
        registered: true,
        user_id: Arc::from("6816f79cc0a8016401c5a33be04be441"),
        user_name: Arc::from("admin"),
        uri: Arc::from("/api/now/table/incident"),
        snapshot: Arc::from(""),
        depth: 0,
        cause_event: None,
        cause_handler: Arc::from(""),
        dedupe_key: Arc::from(""),
        key_life_ms: IDEMPOTENCY_KEY_MS,
        content_hash: 0,
        source: EventSource::Api,
        coalesce_seconds: 0,
        max_attempts: 0,
    }
}
