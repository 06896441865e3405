//! What one execution may use (scripting §16): database statements, written rows, events, log lines.

use std::cell::{Cell, OnceCell};

use campanile_script::LimitKind;

use crate::engine::Engine;

/// Characters of one log message; the rest is cut.
const LOG_CHARS_MAX: i64 = 32_768;

#[derive(Debug, Clone, Copy)]
struct Bounds {
    statements: u64,
    rows_written: u64,
    events: u64,
    log_rows: u64,
    log_chars: usize,
    writer_ms: u64,
    nested_operations: usize,
}

/// Counters of one execution against its bounds. The bounds are read once, at first use.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    bounds: OnceCell<Bounds>,
    statements: Cell<u64>,
    rows_written: Cell<u64>,
    events: Cell<u64>,
    log_rows: Cell<u64>,
}

impl Budget {
    fn bounds(&self, engine: &Engine) -> Bounds {
        *self.bounds.get_or_init(|| {
            let bound = |name: &str, default: i64| -> u64 {
                u64::try_from(engine.int_property(name, default)).unwrap_or(0)
            };
            let size = |name: &str, default: i64| {
                usize::try_from(bound(name, default)).unwrap_or(usize::MAX)
            };
            Bounds {
                statements: bound("campanile.script.max_db_statements", 20_000),
                rows_written: bound("campanile.script.max_rows_written", 50_000),
                events: bound("campanile.script.max_events", 10_000),
                log_rows: bound("campanile.script.max_log_rows", 5_000),
                log_chars: size("campanile.script.max_log_chars", LOG_CHARS_MAX),
                writer_ms: bound("campanile.script.max_writer_ms", 5_000),
                nested_operations: size("campanile.script.max_nested_operations", 32),
            }
        })
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
