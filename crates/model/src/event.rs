//! An event: one row of `sysevent` (events-and-jobs §1.1).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event_state::EventState;
use crate::partition::{PARTITIONS, partition};
use crate::sys_id::SysId;
use crate::time::Instant;

/// What fired an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventSource {
    /// A script outside a business rule.
    Script,
    /// A business rule.
    Rule,
    /// The events API or the Table API.
    Api,
    /// A CloudEvent.
    CloudEvent,
    /// An incoming webhook.
    Webhook,
    /// A flow step.
    Flow,
    /// A scheduled job.
    Job,
    /// An inactivity monitor.
    Monitor,
    /// An inbound mail.
    Mail,
    /// The command line.
    Cli,
    /// Rotation.
    Transfer,
}

impl EventSource {
    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Rule => "rule",
            Self::Api => "api",
            Self::CloudEvent => "cloudevent",
            Self::Webhook => "webhook",
            Self::Flow => "flow",
            Self::Job => "job",
            Self::Monitor => "monitor",
            Self::Mail => "mail",
            Self::Cli => "cli",
            Self::Transfer => "transfer",
        }
    }

    /// Reads the stored word; an unknown one is `Script`.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        const ALL: [EventSource; 11] = [
            EventSource::Script,
            EventSource::Rule,
            EventSource::Api,
            EventSource::CloudEvent,
            EventSource::Webhook,
            EventSource::Flow,
            EventSource::Job,
            EventSource::Monitor,
            EventSource::Mail,
            EventSource::Cli,
            EventSource::Transfer,
        ];
        ALL.into_iter().find(|s| s.as_str() == word).unwrap_or(Self::Script)
    }
}

/// An event that is resolved (queue, priority, user …) and checked, ready to be appended.
///
/// The store gives it its `sequence`; state is `ready`, epoch, attempts and lapses are 0.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Key, made by the caller so that it is known before the row is stored.
    pub sys_id: SysId,
    /// Event name, at most 100 characters.
    pub name: Arc<str>,
    /// First value; empty means none.
    pub parm1: Arc<str>,
    /// Second value; empty means none.
    pub parm2: Arc<str>,
    /// Table of the record it is about; may be empty.
    pub table: Arc<str>,
    /// sys_id of that record; may be empty.
    pub instance: Arc<str>,
    /// Display value of that record when it was fired.
    pub descriptive_name: Arc<str>,
    /// Queue; empty is the default queue.
    pub queue: Arc<str>,
    /// Whether the queue was named by the call (§4.8: such an event does not move with its registration).
    pub queue_from_call: bool,
    /// Effective priority, lower first.
    pub priority: f64,
    /// Earliest moment of processing.
    pub process_on: Instant,
    /// When it was fired.
    pub created: Instant,
    /// Fired for a later time.
    pub scheduled: bool,
    /// A registration with this name existed.
    pub registered: bool,
    /// User whose action fired it, if any.
    pub user_id: Arc<str>,
    /// Login of that user, else `system`.
    pub user_name: Arc<str>,
    /// Request (path and query, secrets masked) that fired it.
    pub uri: Arc<str>,
    /// Record values at fire time as JSON; empty when none were kept.
    pub snapshot: Arc<str>,
    /// Length of the chain of events that led here.
    pub depth: i64,
    /// Event whose handler fired it.
    pub cause_event: Option<SysId>,
    /// Handler that fired it, `kind:sys_id`; empty when none.
    pub cause_handler: Arc<str>,
    /// Caller's idempotency key with the caller's identity in front; empty when none.
    pub dedupe_key: Arc<str>,
    /// How long ago a key was used that is free again. Of the call, and not kept with the event.
    pub key_life_ms: i64,
    /// Hash of the content, to tell `key_reused` from a repetition.
    pub content_hash: u64,
    /// What fired it.
    pub source: EventSource,
    /// Seconds in which an equal waiting event absorbs this one; 0 for never (§1.3 `coalesce_seconds`).
    pub coalesce_seconds: i64,
    /// Attempts per epoch from the registration; 0 takes the queue's.
    pub max_attempts: i64,
}

impl NewEvent {
    /// FNV-1a (64 bit) of `instance`, or of `sys_id` when that is empty, mod 1024 (§1.1 `partition`).
    #[must_use]
    pub fn partition(&self) -> i64 {
        let key = if self.instance.is_empty() { self.sys_id.as_str() } else { &*self.instance };
        partition(key, PARTITIONS)
    }
}

/// An event as it stands in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What was fired.
    pub fired: NewEvent,
    /// Order of arrival, unique and increasing.
    pub sequence: i64,
    /// First sys_id of the logical event.
    pub origin_id: SysId,
    /// Present state.
    pub state: EventState,
    /// When handling began (last attempt).
    pub processed: Option<Instant>,
    /// Time spent handling, last attempt.
    pub processing_duration_ms: Option<i64>,
    /// Processor that holds the claim; empty unless `queued`.
    pub claimed_by: Arc<str>,
    /// +1 for each reprocess.
    pub epoch: i64,
    /// Attempts that came to an end in this epoch.
    pub attempts: i64,
    /// Claims that lapsed in this epoch.
    pub lapses: i64,
    /// In this epoch only handlers whose last outcome in the previous epoch was `failed` run (§6.1 rule 3).
    pub only_failed: bool,
    /// Further equal events that were counted on this one.
    pub coalesced: i64,
    /// Why it is in `error`, or why it was cancelled; empty otherwise.
    pub error_code: Arc<str>,
    /// The same in words.
    pub error_message: Arc<str>,
}
