//! What one handler did with one event in one attempt: a row of `sysevent_handler_run` (§1.2).

use serde::{Deserialize, Serialize};

use crate::sys_id::SysId;
use crate::time::Instant;

/// Kinds of handlers, in the order of dispatch (§5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandlerKind {
    /// `sysevent_script_action`.
    ScriptAction,
    /// `sysevent_email_action`.
    Notification,
    /// Flow triggers and waiting steps.
    Flow,
    /// `inactivity_monitor`.
    InactivityMonitor,
    /// Outgoing webhook.
    Webhook,
}

impl HandlerKind {
    /// All kinds, in the order of dispatch.
    pub const ALL: [Self; 5] = [
        Self::ScriptAction,
        Self::Notification,
        Self::Flow,
        Self::InactivityMonitor,
        Self::Webhook,
    ];

    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScriptAction => "script_action",
            Self::Notification => "notification",
            Self::Flow => "flow",
            Self::InactivityMonitor => "inactivity_monitor",
            Self::Webhook => "webhook",
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did its work.
    Succeeded,
    /// It met an error.
    Failed,
    /// It had nothing to do; the reason says why.
    Skipped,
}

impl Outcome {
    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// Reads the stored word; an unknown one is `Failed`.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "succeeded" => Self::Succeeded,
            "skipped" => Self::Skipped,
            _ => Self::Failed,
        }
    }
}

/// One handler run. Counts are totals; the lists hold the first 50 references of each.
#[derive(Debug, Clone, PartialEq)]
pub struct HandlerRun {
    /// Key of the row.
    pub sys_id: SysId,
    /// Event that was handled.
    pub event: SysId,
    /// Its logical event.
    pub origin_id: SysId,
    /// Its epoch.
    pub epoch: i64,
    /// Attempt within the epoch, from 1.
    pub attempt: i64,
    /// Kind of handler.
    pub kind: HandlerKind,
    /// sys_id of the definition.
    pub handler: SysId,
    /// Its name as text.
    pub handler_name: String,
    /// Position in this dispatch, from 1.
    pub order: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// Code of §5.6; empty when it succeeded without a note.
    pub reason: String,
    /// What was judged, in words: for a condition, the value and what it compared.
    pub sentence: String,
    /// When it began.
    pub started_at: Instant,
    /// How long it took.
    pub duration_ms: i64,
    /// First error; empty when none.
    pub error_message: String,
    /// Script line of the error, as the author sees it; 0 when unknown.
    pub error_line: i64,
    /// Script stack of the error.
    pub error_stack: String,
    /// Lines written with `gs.log/info/warn/error/debug`.
    pub log: String,
    /// Number of events fired, and the first references `name:sys_id`.
    pub fired_events: (i64, Vec<String>),
    /// Number of records written, and the first references `operation:table:sys_id`.
    pub written_records: (i64, Vec<String>),
    /// `sys_mod_count` of the definition when it ran.
    pub definition_version: i64,
}
