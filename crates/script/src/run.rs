//! What is run, under which limits, and what came of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::host::RecordRef;

/// Kinds of scripts that exist so far; each decides the globals (scripting §1.1) and how the text is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScriptKind {
    /// `sys_script.script` of a before or after rule.
    BusinessRule,
    /// `sys_script.condition`.
    BusinessRuleCondition,
    /// `sysevent_script_action.script`.
    ScriptAction,
    /// `sysevent_script_action.condition_script`.
    ScriptActionCondition,
    /// `javascript:` default value of a column.
    DefaultValue,
    /// A background script: output is echoed.
    Background,
}

impl ScriptKind {
    /// Whether the result of §1.4 (`answer`, completion value) is wanted.
    #[must_use]
    pub const fn yields_value(self) -> bool {
        matches!(
            self,
            Self::BusinessRuleCondition
                | Self::ScriptActionCondition
                | Self::DefaultValue
                | Self::Background
        )
    }
}

/// One script text and where it stands, for caches and messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScriptSource {
    /// Kind.
    pub kind: ScriptKind,
    /// Table of the row that holds it, e.g. `sys_script`; empty for ad-hoc scripts.
    pub table: Arc<str>,
    /// sys_id of that row.
    pub sys_id: Arc<str>,
    /// Name shown in errors.
    pub name: Arc<str>,
    /// The text.
    pub text: Arc<str>,
}

/// The values of the globals of a kind (§1.1). What a kind does not declare is left `None`; what it declares
/// without a value becomes `null`.
#[derive(Clone, Default)]
pub struct Bindings {
    /// `current`.
    pub current: Option<RecordRef>,
    /// `previous`.
    pub previous: Option<RecordRef>,
    /// `event`.
    pub event: Option<RecordRef>,
    /// `g_scratchpad` as JSON text: copied in, and out again through [`RunOutcome::scratchpad`].
    pub scratchpad: Option<String>,
}

/// Bounds of one run (scripting §16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall time.
    pub max_wall: Duration,
    /// What sets the wall time: a property, or a field of the definition. Told when the time ends the run.
    pub max_wall_set_by: &'static str,
    /// Memory of the run.
    pub memory_bytes: usize,
    /// JavaScript stack.
    pub stack_bytes: usize,
    /// Longest string that crosses to the host, in bytes.
    pub string_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_wall: Duration::from_secs(10),
            max_wall_set_by: LimitKind::Time.property(),
            memory_bytes: 128 << 20,
            stack_bytes: 1 << 20,
            string_bytes: 16 << 20,
        }
    }
}

/// The limit that ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// `max_ms`.
    Time,
    /// `memory_mb`.
    Memory,
    /// `max_db_statements`.
    Statements,
    /// `max_rows_written`.
    RowsWritten,
    /// `max_events`.
    Events,
    /// The chain of events is too long (§3.8 of events-and-jobs).
    EventDepth,
    /// The enclosing operation or the server gave up on it (for example the writer was held too long).
    Cancelled,
}

impl LimitKind {
    /// The name that messages and the reference use.
    #[must_use]
    pub const fn error_name(self) -> &'static str {
        match self {
            Self::Time => "ScriptTimeout",
            Self::Memory => "ScriptMemoryExceeded",
            Self::Statements | Self::RowsWritten | Self::Events => "ScriptQuotaExceeded",
            Self::EventDepth => "EventDepthExceeded",
            Self::Cancelled => "ScriptCancelled",
        }
    }

    /// One word, for answers and labels.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Memory => "memory",
            Self::Statements => "statements",
            Self::RowsWritten => "rows_written",
            Self::Events => "events",
            Self::EventDepth => "event_depth",
            Self::Cancelled => "writer_time",
        }
    }

    /// The property that sets it, under `campanile.script.`.
    #[must_use]
    pub const fn property(self) -> &'static str {
        match self {
            Self::Time => "campanile.script.max_ms",
            Self::Memory => "campanile.script.memory_mb",
            Self::Statements => "campanile.script.max_db_statements",
            Self::RowsWritten => "campanile.script.max_rows_written",
            Self::Events => "campanile.script.max_events",
            Self::EventDepth => "campanile.events.max_depth",
            Self::Cancelled => "campanile.script.max_writer_ms",
        }
    }
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.error_name())
    }
}

/// Why a text does not compile. Line and column are 1-based and point into the stored text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (line {line}, column {column})")]
pub struct SyntaxError {
    /// In words.
    pub message: String,
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptErrorKind {
    /// It did not compile; nothing ran.
    Syntax,
    /// An uncaught exception or an unhandled rejection.
    Runtime,
    /// A limit ended it.
    Limit(LimitKind),
}

/// An uncaught failure of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScriptError {
    /// What kind.
    pub kind: ScriptErrorKind,
    /// `TypeError: x is not a function`, `ScriptTimeout: …`.
    pub message: String,
    /// 1-based line in the stored text; `None` when the engine does not know it.
    pub line: Option<u32>,
    /// 1-based column.
    pub column: Option<u32>,
    /// JavaScript stack with positions in the stored text; no host frames.
    pub stack: String,
    /// What sets the limit that ended the run: a property, or a field of the definition. Empty when no limit did.
    pub limit_set_by: &'static str,
}

/// The value of a script by §1.4: `answer` when it was assigned, else the completion value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completion {
    /// The value judged by §3.4, with the texts `false` and `0` false.
    pub truthy: bool,
    /// The value was a boolean.
    pub is_boolean: bool,
    /// The value was `undefined` or `null`.
    pub is_nullish: bool,
    /// `String(value)`; for elements the script text. Cut at 4 KiB.
    pub text: String,
}

/// What a run used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Wall time.
    pub wall: Duration,
    /// Highest memory seen, bytes; 0 when unknown.
    pub memory_bytes: usize,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOutcome {
    /// The value, or the failure.
    pub result: Result<Completion, ScriptError>,
    /// `g_scratchpad` afterwards as JSON, when it was bound.
    pub scratchpad: Option<String>,
    /// What it used.
    pub usage: Usage,
}
