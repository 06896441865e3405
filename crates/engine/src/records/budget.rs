//! What one execution may use (scripting §16): database statements, written rows, events, log lines.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::time::Duration;

use campanile_script::{LimitKind, Limits, ScriptKind};

use super::definitions::Load;
use crate::engine::Engine;
use crate::error::EngineError;

/// Characters of one log message; the rest is cut.
const LOG_CHARS_MAX: i64 = 32_768;

/// Bounds of all runs, read from properties once until one of them changes.
#[derive(Debug)]
pub(crate) struct Bounds {
    statements: u64,
    rows_written: u64,
    events: u64,
    log_rows: u64,
    log_chars: usize,
    writer_ms: u64,
    nested_operations: usize,
    rule_recursion: usize,
    debugging: bool,
    limits: [(ScriptKind, Limits); 6],
}

impl Bounds {
    /// The bounds of one run of this kind.
    pub(crate) fn limits(&self, kind: ScriptKind) -> Limits {
        self.limits
            .iter()
            .find(|(of, _)| *of == kind)
            .map_or_else(Limits::default, |(_, limits)| *limits)
    }

    /// How often one rule may stand on the stack for one record.
    pub(crate) fn rule_recursion(&self) -> usize {
        self.rule_recursion
    }

    /// Whether debug lines are stored.
    pub(crate) fn debugging(&self) -> bool {
        self.debugging
    }
}

impl Bounds {
    fn shipped() -> Self {
        Self {
            statements: 20_000,
            rows_written: 50_000,
            events: 10_000,
            log_rows: 5_000,
            log_chars: 32_768,
            writer_ms: 5_000,
            nested_operations: 32,
            rule_recursion: 3,
            debugging: false,
            limits: KINDS.map(|(kind, _, _)| (kind, Limits::default())),
        }
    }
}

impl Load for Bounds {
    const TABLES: &'static [&'static str] = &["sys_properties"];

    fn load(engine: &Engine) -> Result<Self, EngineError> {
        let bound = |name: &str, default: i64| -> u64 {
            u64::try_from(engine.int_property(name, default)).unwrap_or(0)
        };
        let size =
            |name: &str, default: i64| usize::try_from(bound(name, default)).unwrap_or(usize::MAX);
        Ok(Self {
            statements: bound("campanile.script.max_db_statements", 20_000),
            rows_written: bound("campanile.script.max_rows_written", 50_000),
            events: bound("campanile.script.max_events", 10_000),
            log_rows: bound("campanile.script.max_log_rows", 5_000),
            log_chars: size("campanile.script.max_log_chars", LOG_CHARS_MAX),
            writer_ms: bound("campanile.script.max_writer_ms", 5_000),
            nested_operations: size("campanile.script.max_nested_operations", 32),
            rule_recursion: size("campanile.script.max_rule_recursion", 3),
            debugging: engine.property("campanile.log.level").is_some_and(|level| level == "debug"),
            limits: KINDS.map(|(kind, word, max_ms)| (kind, limits_of(engine, word, max_ms))),
        })
    }
}

/// Kinds of scripts, the word in their properties, and their wall time in milliseconds.
const KINDS: [(ScriptKind, &str, i64); 6] = [
    (ScriptKind::BusinessRule, "business_rule", 10_000),
    (ScriptKind::BusinessRuleCondition, "business_rule_condition", 1_000),
    (ScriptKind::DefaultValue, "default_value", 1_000),
    (ScriptKind::ScriptAction, "script_action", 300_000),
    (ScriptKind::ScriptActionCondition, "script_action_condition", 1_000),
    (ScriptKind::Background, "background", 14_400_000),
];

fn limits_of(engine: &Engine, word: &str, max_ms: i64) -> Limits {
    let number = |name: &str, default: i64| {
        let general = engine.int_property(&format!("campanile.script.{name}"), default);
        let value = engine.int_property(&format!("campanile.script.{word}.{name}"), general);
        u64::try_from(value).unwrap_or(0)
    };
    let size =
        |name: &str, default: i64| usize::try_from(number(name, default)).unwrap_or(usize::MAX);
    Limits {
        max_wall: Duration::from_millis(number("max_ms", max_ms)),
        memory_bytes: size("memory_mb", 128) << 20,
        stack_bytes: size("stack_kb", 1_024) << 10,
        string_bytes: size("max_string_mb", 16) << 20,
    }
}

/// The present bounds; the shipped ones when the properties cannot be read.
pub(crate) fn bounds_of(engine: &Engine) -> Arc<Bounds> {
    engine.definitions::<Bounds>().unwrap_or_else(|error| {
        tracing::error!(%error, "the bounds of scripts could not be read");
        Arc::new(Bounds::shipped())
    })
}

/// Counters of one execution against its bounds. The bounds are looked up once, at first use.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    bounds: OnceCell<Arc<Bounds>>,
    statements: Cell<u64>,
    rows_written: Cell<u64>,
    events: Cell<u64>,
    log_rows: Cell<u64>,
}

impl Budget {
    /// The bounds.
    pub(crate) fn bounds(&self, engine: &Engine) -> &Arc<Bounds> {
        self.bounds.get_or_init(|| bounds_of(engine))
    }

    /// Counts one database statement.
    pub(crate) fn count_statement(&self) {
        self.statements.set(self.statements.get() + 1);
    }

    /// Counts one row that an operation wrote.
    pub(crate) fn count_row_written(&self) {
        self.rows_written.set(self.rows_written.get() + 1);
    }

    /// Statements so far.
    pub(crate) fn statements(&self) -> u64 {
        self.statements.get()
    }

    /// The bound that a script has passed, if any.
    pub(crate) fn exceeded(&self, engine: &Engine) -> Option<LimitKind> {
        let bounds = self.bounds(engine);
        if self.statements.get() > bounds.statements {
            Some(LimitKind::Statements)
        } else if self.rows_written.get() > bounds.rows_written {
            Some(LimitKind::RowsWritten)
        } else {
            None
        }
    }

    /// Counts one event.
    ///
    /// # Errors
    /// [`LimitKind::Events`] when it is one too many.
    pub(crate) fn count_event(&self, engine: &Engine) -> Result<(), LimitKind> {
        self.events.set(self.events.get() + 1);
        if self.events.get() > self.bounds(engine).events { Err(LimitKind::Events) } else { Ok(()) }
    }

    /// Counts one log line: whether it is kept, and whether it is the first that is not.
    pub(crate) fn count_log_row(&self, engine: &Engine) -> LogRow {
        let rows = self.log_rows.get() + 1;
        self.log_rows.set(rows);
        let allowed = self.bounds(engine).log_rows;
        if rows <= allowed {
            LogRow::Kept
        } else if rows == allowed + 1 {
            LogRow::FirstDropped
        } else {
            LogRow::Dropped
        }
    }

    /// Longest log message in characters.
    pub(crate) fn log_chars(&self, engine: &Engine) -> usize {
        self.bounds(engine).log_chars
    }

    /// How long scripts may run while the writer is held.
    pub(crate) fn writer_ms(&self, engine: &Engine) -> u64 {
        self.bounds(engine).writer_ms
    }

    /// How deep operations may nest.
    pub(crate) fn nested_operations(&self, engine: &Engine) -> usize {
        self.bounds(engine).nested_operations
    }
}

/// What becomes of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogRow {
    /// It is kept.
    Kept,
    /// It is dropped, and this is told once.
    FirstDropped,
    /// It is dropped.
    Dropped,
}
