//! An event registration: one row of `sysevent_register` (§1.3), as firing needs it.

use std::sync::Arc;

use crate::sys_id::SysId;

/// What the registry says about one event name.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// Key of the row.
    pub sys_id: SysId,
    /// The event's name, exact.
    pub event_name: Arc<str>,
    /// Table the event concerns; empty when none.
    pub table: Arc<str>,
    /// Queue its occurrences go to; empty for the default queue.
    pub queue: Arc<str>,
    /// Priority copied to events, lower first.
    pub priority: i64,
    /// Inactive: firing is logged, nothing is stored.
    pub active: bool,
    /// Store record values with each occurrence.
    pub capture_snapshot: bool,
    /// Attempts per epoch; 0 takes the queue's.
    pub max_attempts: i64,
    /// Seconds in which an equal waiting event absorbs a further one; 0 for never.
    pub coalesce_seconds: i64,
    /// Roles that may fire it from outside, besides those that may fire everything.
    pub publish_roles: Vec<Arc<str>>,
}
