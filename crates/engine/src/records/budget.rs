//! What one execution may use (scripting §16): database statements, written rows, events, log lines.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::time::Duration;

use campanile_model::limits::SCRIPT_OUTPUT_BYTES_MAX;
use campanile_script::{LimitKind, Limits, ScriptKind};

use super::definitions::Load;
use crate::engine::Engine;
use crate::error::EngineError;

/// Characters of one log message; the rest is cut.
const LOG_CHARS_MAX: i64 = 32_768;

/// What one execution may use up; the kind of its outermost script decides.
#[derive(Debug, Clone, Copy)]
struct Quotas {
    statements: u64,
    rows_written: u64,
    events: u64,
    log_rows: u64,
}

impl Quotas {
    const SHIPPED: Self =
        Self { statements: 20_000, rows_written: 50_000, events: 10_000, log_rows: 5_000 };

    /// As `number` finds them by name.
    fn read(number: impl Fn(&str, u64) -> u64) -> Self {
        Self {
            statements: number("max_db_statements", Self::SHIPPED.statements),
            rows_written: number("max_rows_written", Self::SHIPPED.rows_written),
            events: number("max_events", Self::SHIPPED.events),
            log_rows: number("max_log_rows", Self::SHIPPED.log_rows),
        }
    }
}

/// Bounds of all runs, read from properties once until one of them changes.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// For work without a script.
    quotas: Quotas,
    quotas_by_kind: [(ScriptKind, Quotas); 6],
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

    fn quotas(&self, kind: Option<ScriptKind>) -> &Quotas {
        let found = kind.and_then(|kind| self.quotas_by_kind.iter().find(|(of, _)| *of == kind));
        found.map_or(&self.quotas, |(_, quotas)| quotas)
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
            quotas: Quotas::SHIPPED,
            quotas_by_kind: KINDS.map(|(kind, _, _)| (kind, Quotas::SHIPPED)),
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
            quotas: Quotas::read(|name, default| of_kind(engine, None, name, default)),
            quotas_by_kind: KINDS.map(|(kind, word, _)| {
                (kind, Quotas::read(|name, default| of_kind(engine, Some(word), name, default)))
            }),
            log_chars: size("campanile.script.max_log_chars", LOG_CHARS_MAX),
            writer_ms: bound("campanile.script.max_writer_ms", 5_000),
            nested_operations: size("campanile.script.max_nested_operations", 32),
            rule_recursion: size("campanile.script.max_rule_recursion", 3),
            debugging: engine.property("campanile.log.level").is_some_and(|level| level == "debug"),
            limits: KINDS.map(|(kind, word, max_ms)| (kind, limits_of(engine, kind, word, max_ms))),
        })
    }
}

/// Kinds of scripts, the word in their properties, and their wall time in milliseconds. Script actions have the
/// time-out of their queue or their own; what stands here is the longest that one of these may be.
const KINDS: [(ScriptKind, &str, u64); 6] = [
    (ScriptKind::BusinessRule, "business_rule", 10_000),
    (ScriptKind::BusinessRuleCondition, "business_rule_condition", 1_000),
    (ScriptKind::DefaultValue, "default_value", 1_000),
    (ScriptKind::ScriptAction, "script_action", 14_400_000),
    (ScriptKind::ScriptActionCondition, "script_action_condition", 14_400_000),
    (ScriptKind::Background, "background", 14_400_000),
];

/// The words for kinds of scripts in the names of properties.
pub(crate) fn script_kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(_, word, _)| *word)
}

/// `campanile.script.<word>.<name>`, else `campanile.script.<name>`, else the default.
fn of_kind(engine: &Engine, word: Option<&str>, name: &str, default: u64) -> u64 {
    let shipped = i64::try_from(default).unwrap_or(i64::MAX);
    let general = engine.int_property(&format!("campanile.script.{name}"), shipped);
    let value = word.map_or(general, |word| {
        engine.int_property(&format!("campanile.script.{word}.{name}"), general)
    });
    u64::try_from(value).unwrap_or(0)
}

/// The property that sets the wall time of scripts of this kind: its own when that has a value, else the general one.
fn max_ms_set_by(engine: &Engine, kind: ScriptKind) -> &'static str {
    let own = match kind {
        ScriptKind::BusinessRule => "campanile.script.business_rule.max_ms",
        ScriptKind::BusinessRuleCondition => "campanile.script.business_rule_condition.max_ms",
        ScriptKind::DefaultValue => "campanile.script.default_value.max_ms",
        ScriptKind::ScriptAction => "campanile.script.script_action.max_ms",
        ScriptKind::ScriptActionCondition => "campanile.script.script_action_condition.max_ms",
        ScriptKind::Background => "campanile.script.background.max_ms",
    };
    // The least that fits is 1: without a value that fits the default comes back.
    let is_set = engine.int_property(own, 0) != 0;
    if is_set { own } else { LimitKind::Time.property() }
}

fn limits_of(engine: &Engine, kind: ScriptKind, word: &str, max_ms: u64) -> Limits {
    let number = |name: &str, default: u64| of_kind(engine, Some(word), name, default);
    let size =
        |name: &str, default: u64| usize::try_from(number(name, default)).unwrap_or(usize::MAX);
    Limits {
        max_wall: Duration::from_millis(number("max_ms", max_ms)),
        max_wall_set_by: max_ms_set_by(engine, kind),
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
    /// What record objects and waiting events hold, outside the memory that the sandbox meters.
    held_bytes: Cell<usize>,
    output_bytes: Cell<usize>,
    suppresses: Cell<bool>,
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

    /// Something of so many bytes is held for scripts.
    pub(crate) fn hold(&self, bytes: usize) {
        self.held_bytes.set(self.held_bytes.get().saturating_add(bytes));
    }

    /// It is held no longer.
    pub(crate) fn release(&self, bytes: usize) {
        self.held_bytes.set(self.held_bytes.get().saturating_sub(bytes));
    }

    /// Whether more is held for scripts than they may have memory.
    pub(crate) fn holds_too_much(&self, engine: &Engine, kind: Option<ScriptKind>) -> bool {
        let limits = kind.map(|kind| self.bounds(engine).limits(kind)).unwrap_or_default();
        self.held_bytes.get() > limits.memory_bytes
    }

    /// The bound that a script has passed, if any.
    pub(crate) fn exceeded(&self, engine: &Engine, kind: Option<ScriptKind>) -> Option<LimitKind> {
        if self.holds_too_much(engine, kind) {
            return Some(LimitKind::Memory);
        }
        let quotas = self.bounds(engine).quotas(kind);
        if self.statements.get() > quotas.statements {
            Some(LimitKind::Statements)
        } else if self.rows_written.get() > quotas.rows_written {
            Some(LimitKind::RowsWritten)
        } else {
            None
        }
    }

    /// Counts one event.
    ///
    /// # Errors
    /// [`LimitKind::Events`] when it is one too many.
    pub(crate) fn count_event(
        &self,
        engine: &Engine,
        kind: Option<ScriptKind>,
    ) -> Result<(), LimitKind> {
        self.events.set(self.events.get() + 1);
        let allowed = self.bounds(engine).quotas(kind).events;
        if self.events.get() > allowed { Err(LimitKind::Events) } else { Ok(()) }
    }

    /// Counts one log line or message of so many bytes: whether it is kept, and whether it is the first that is not.
    pub(crate) fn count_log_row(
        &self,
        engine: &Engine,
        kind: Option<ScriptKind>,
        bytes: usize,
    ) -> LogRow {
        let rows = self.log_rows.get() + 1;
        self.log_rows.set(rows);
        let output = self.output_bytes.get().saturating_add(bytes);
        let allowed = self.bounds(engine).quotas(kind).log_rows;
        if rows <= allowed && output <= SCRIPT_OUTPUT_BYTES_MAX {
            self.output_bytes.set(output);
            LogRow::Kept
        } else if self.suppresses.replace(true) {
            LogRow::Dropped
        } else {
            LogRow::FirstDropped
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
