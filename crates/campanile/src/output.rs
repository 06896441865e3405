//! How commands answer: text for people, JSON for scripts, exit codes for both.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

/// Why a command did not do what it was asked, with the exit code that scripts see.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    json: bool,
}

impl Failure {
    /// Failed or refused: exit code 1.
    pub(crate) fn failed(message: impl std::fmt::Display) -> Self {
        Self { code: 1, message: message.to_string(), json: false }
    }

    /// Wrong usage: exit code 2.
    pub(crate) fn usage(message: impl std::fmt::Display) -> Self {
        Self { code: 2, message: message.to_string(), json: false }
    }

    /// The server cannot be reached: exit code 3.
    pub(crate) fn unreachable(message: impl std::fmt::Display) -> Self {
        Self { code: 3, message: message.to_string(), json: false }
    }

    /// Credentials were refused: exit code 4.
    pub(crate) fn unauthenticated(message: impl std::fmt::Display) -> Self {
        Self { code: 4, message: message.to_string(), json: false }
    }

    /// Reports as JSON when `json`.
    pub(crate) fn with_json(mut self, json: bool) -> Self {
        self.json = json;
        self
    }

    /// Prints the message to standard error and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if self.json {
            eprintln!("{}", json!({"error": {"message": self.message, "exit_code": self.code}}));
        } else {
            eprintln!("campanile: {}", self.message);
        }
        ExitCode::from(self.code)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::failed(format!("{error:#}"))
    }
}

impl From<campanile_engine::EngineError> for Failure {
    fn from(error: campanile_engine::EngineError) -> Self {
        Self::failed(error)
    }
}

/// Prints `value` as JSON when `json`, else what `text` makes of it, if that is not empty. A closed pipe ends the
/// output quietly.
pub(crate) fn print(json: bool, value: &Value, text: impl FnOnce(&Value) -> String) {
    let line = if json { format!("{value:#}") } else { text(value) };
    if !line.is_empty() {
        print_line(&line);
    }
}

/// Prints one line; a closed pipe (`| head`) is no error.
pub(crate) fn print_line(line: &str) {
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Rows in aligned columns.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| {
                format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count())))
            })
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(header.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}
