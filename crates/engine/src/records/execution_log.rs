//! What an execution writes to the system log: lines of scripts, failures, refusals.

use campanile_script::{LogLevel, MessageKind, ScriptError, ScriptSource};

use super::budget::LogRow;
use super::execution::{Execution, LogLine};
use super::syslog::{self, Level, LogEntry};

/// Source of lines that name none.
const SCRIPT_SOURCE: &str = "*** Script";

impl Execution {
    /// A line that a script wrote: kept for the run's own log and, unless it is a `print`, for `syslog`.
    pub(crate) fn log_line(&self, level: LogLevel, source: &str, message: &str) {
        let text = self.cut(message);
        if !self.has_room_for(&text) {
            return;
        }
        let stored = match level {
            LogLevel::Print => None,
            LogLevel::Debug => Some(Level::Debug).filter(|_| self.is_debugging()),
            LogLevel::Info => Some(Level::Info),
            LogLevel::Warn => Some(Level::Warning),
            LogLevel::Error => Some(Level::Error),
        };
        if let Some(level) = stored {
            self.store_line(level, if source.is_empty() { SCRIPT_SOURCE } else { source }, &text);
        }
        if level != LogLevel::Debug || self.is_debugging() {
            self.keep_log_line(LogLine { level, text });
        }
    }

    /// Whether one more line or message is kept; that further ones are not is told once.
    fn has_room_for(&self, text: &str) -> bool {
        match self.budget().count_log_row(self.engine(), self.outermost_kind(), text.len()) {
            LogRow::Kept => return true,
            LogRow::FirstDropped => self.store_line(
                Level::Warning,
                SCRIPT_SOURCE,
                "further lines of this run are suppressed",
            ),
            LogRow::Dropped => {}
        }
        self.count_dropped_line();
        false
    }

    /// A message for whoever waits, cut and bounded as log lines are.
    pub(crate) fn add_message(&self, kind: MessageKind, text: &str) {
        // Nobody waits for the messages of a handler: they go to its log.
        if self.session().cause.is_some() {
            self.log_line(LogLevel::Info, "", &format!("message to nobody: {}", self.cut(text)));
            return;
        }
        let text = self.cut(text);
        if self.has_room_for(&text) {
            self.keep_message(kind, text);
        }
    }

    /// Debug lines are stored only when somebody asked for them.
    pub(crate) fn is_debugging(&self) -> bool {
        self.budget().bounds(self.engine()).debugging()
    }

    /// Something that a script did has no effect, or not the one that it seems to have.
    pub(crate) fn warn(&self, message: &str) {
        self.log_line(LogLevel::Warn, "", message);
    }

    /// Something was refused or failed.
    pub(crate) fn log_error(&self, source: &str, message: &str) {
        self.log_line(LogLevel::Error, source, message);
    }

    /// An uncaught failure of a script: one row that names kind, script, line and record.
    pub(crate) fn log_script_failure(
        &self,
        source: &ScriptSource,
        record: &str,
        error: &ScriptError,
    ) {
        let place = match (error.line, error.column) {
            (Some(line), Some(column)) => format!(" (line {line}, column {column})"),
            (Some(line), None) => format!(" (line {line})"),
            _ => String::new(),
        };
        let about = if record.is_empty() { String::new() } else { format!(" for {record}") };
        let stack =
            if error.stack.is_empty() { String::new() } else { format!("\n{}", error.stack) };
        let message = format!(
            "{} '{}' ({} {}){about}: {}{place}{stack}",
            kind_text(source),
            source.name,
            source.table,
            source.sys_id,
            error.message
        );
        let text = self.cut(&message);
        if self.has_room_for(&text) {
            self.keep_log_line(LogLine { level: LogLevel::Error, text: text.clone() });
        }
        let mut entry = self.entry(Level::Error, kind_text(source), text);
        entry.script_table = source.table.to_string();
        entry.script_sys_id = source.sys_id.to_string();
        self.store_entry(entry);
    }

    fn store_line(&self, level: Level, source: &str, message: &str) {
        self.store_entry(self.entry(level, source, message.to_owned()));
    }

    /// What is only tried leaves nothing behind: its lines are in the report alone.
    fn store_entry(&self, entry: LogEntry) {
        if !self.is_trial() {
            syslog::write(self.engine(), entry);
        }
    }

    fn entry(&self, level: Level, source: &str, message: String) -> LogEntry {
        let script = self.running_script();
        let of_script = |part: fn(&ScriptSource) -> &str| {
            script.as_ref().map_or_else(String::new, |script| part(script).to_owned())
        };
        LogEntry {
            level,
            message,
            source: source.to_owned(),
            user_name: self.session().user.user_name.to_string(),
            script_table: of_script(|script| &script.table),
            script_sys_id: of_script(|script| &script.sys_id),
            execution_id: self.id().to_string(),
        }
    }

    fn cut(&self, message: &str) -> String {
        let limit = self.budget().log_chars(self.engine());
        if message.len() <= limit || message.chars().count() <= limit {
            return message.to_owned();
        }
        let mut cut: String = message.chars().take(limit).collect();
        cut.push_str(" … (cut)");
        cut
    }
}

fn kind_text(source: &ScriptSource) -> &'static str {
    use campanile_script::ScriptKind;
    match source.kind {
        ScriptKind::BusinessRule => "business rule",
        ScriptKind::BusinessRuleCondition => "condition of business rule",
        ScriptKind::ScriptAction => "script action",
        ScriptKind::ScriptActionCondition => "condition of script action",
        ScriptKind::DefaultValue => "default value",
        ScriptKind::Background => "background script",
    }
}
