//! What is kept of one handler run: a row of `sysevent_handler_run`.

use campanile_model::limits::{RUN_LOG_BYTES_MAX, RUN_REFERENCES_MAX};
use campanile_model::{Event, HandlerKind, HandlerRun, Instant, SysId};
use campanile_script::LogLevel;

use super::handler::{Candidate, HandlerResult};
use crate::records::execution::ExecutionReport;

/// Mark behind a log that was longer than is kept.
const CUT: &str = "… (cut)\n";

/// Where and when a run took place.
#[derive(Debug, Clone, Copy)]
pub struct RunPlace {
    /// Kind of the handler.
    pub kind: HandlerKind,
    /// Attempt within the epoch.
    pub attempt: i64,
    /// Position in the dispatch, from 1.
    pub order: i64,
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
}

/// The row of one run.
#[must_use]
pub fn run(
    event: &Event,
    candidate: &Candidate,
    place: &RunPlace,
    result: HandlerResult,
) -> HandlerRun {
    let error = result.error.unwrap_or_default();
    let report = result.report;
    HandlerRun {
        sys_id: SysId::generate(place.began),
        event: event.fired.sys_id,
        origin_id: event.origin_id,
        epoch: event.epoch,
        attempt: place.attempt,
        kind: place.kind,
        handler: candidate.handler,
        handler_name: candidate.name.to_string(),
        order: place.order,
        outcome: result.outcome,
        reason: result.reason.to_owned(),
        sentence: result.sentence,
        started_at: place.began,
        duration_ms: place.ended.as_millis().saturating_sub(place.began.as_millis()).max(0),
        error_message: error.message,
        error_line: error.line.map_or(0, i64::from),
        error_stack: error.stack,
        log: log_text(&report),
        fired_events: references(&report.fired, |f| format!("{}:{}", f.name, f.sys_id)),
        written_records: references(&report.written, |w| {
            format!("{}:{}:{}", w.operation, w.table, w.sys_id)
        }),
        definition_version: candidate.version,
    }
}

/// Counts a run for `campanile_handler_runs_total`.
pub(super) fn count(run: &HandlerRun) {
    let (kind, outcome) = (run.kind.as_str(), run.outcome.as_str());
    metrics::counter!("campanile_handler_runs_total", "kind" => kind, "outcome" => outcome)
        .increment(1);
}

/// All that were counted, and the first of them.
fn references<T>(all: &[T], reference: impl Fn(&T) -> String) -> (i64, Vec<String>) {
    let count = i64::try_from(all.len()).unwrap_or(i64::MAX);
    (count, all.iter().take(RUN_REFERENCES_MAX).map(reference).collect())
}

/// `level: text` a line, at most 64 KiB, then a mark.
fn log_text(report: &ExecutionReport) -> String {
    let mut text = String::new();
    for line in &report.log {
        if line.level != LogLevel::Print {
            text.push_str(level(line.level));
            text.push_str(": ");
        }
        text.push_str(&line.text);
        text.push('\n');
        if text.len() > RUN_LOG_BYTES_MAX {
            text.truncate(boundary(&text, RUN_LOG_BYTES_MAX - CUT.len()));
            text.push_str(CUT);
            return text;
        }
    }
    if report.log_dropped > 0 {
        text.push_str(CUT);
    }
    text
}

/// The last character boundary at or before `limit`.
fn boundary(text: &str, limit: usize) -> usize {
    (0..=limit).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Print => "print",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::execution::LogLine;

    fn report(lines: &[(LogLevel, &str)]) -> ExecutionReport {
        let log =
            lines.iter().map(|(level, text)| LogLine { level: *level, text: (*text).to_owned() });
        ExecutionReport { log: log.collect(), ..ExecutionReport::default() }
    }

    #[test]
    fn lines_carry_their_level_and_printed_ones_none() {
        let report = report(&[(LogLevel::Warn, "a"), (LogLevel::Print, "b"), (LogLevel::Info, "")]);
        assert_eq!(log_text(&report), "warn: a\nb\ninfo: \n");
    }

    #[test]
    fn a_long_log_is_cut_at_a_character_and_says_so() {
        let line = "ä".repeat(20_000);
        let text = log_text(&report(&[(LogLevel::Info, &line), (LogLevel::Info, &line)]));
        assert!(text.len() <= RUN_LOG_BYTES_MAX);
        assert!(text.len() > RUN_LOG_BYTES_MAX - 16);
        assert!(text.ends_with(CUT));
    }

    #[test]
    fn references_are_counted_in_full_and_kept_in_part() {
        let (count, kept) = references(&[0; 60], ToString::to_string);
        assert_eq!((count, kept.len()), (60, RUN_REFERENCES_MAX));
    }
}
