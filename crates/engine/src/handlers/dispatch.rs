//! One attempt: which handlers an event concerns, in which order they run, and what becomes of the event.

use std::sync::Arc;
use std::time::Duration;

use campanile_model::{Event, HandlerRun, Instant, Outcome, QueueDef, SysId};
use campanile_store::{Completion, NextState, StoreError};

use super::handler::{Attempt, Candidate, Handler, HandlerResult, RunError};
use super::run_log::{self, RunPlace};
use crate::error::EngineError;
use crate::events::row::EventLayout;
use crate::worker::Worker;

/// Longest delay before an attempt (§5.5).
const BACKOFF_MAX: Duration = Duration::from_secs(3_600);

/// Delay before the attempt after one that could not reach the database; doubled like any other.
const OUTAGE_BACKOFF: Duration = Duration::from_secs(1);

/// Attempts after which a handler that never reached the database has failed, some five hours with the delays between them.
/// An outage takes none of them as long as it lasts: an attempt counts once its end is written, so the database was there.
const OUTAGE_ATTEMPTS_MAX: i64 = 16;

/// Handles a claimed event once: every handler that it concerns and that has not succeeded in this epoch.
///
/// Runs are recorded one by one while further handlers wait, so that a crash repeats no success; the last ones go
/// with the completion. A run that could not reach the database counts for nothing, whatever the script made of that: the
/// attempt ends with what ran before, and another one begins when the database can be reached, also without a policy. Who
/// never reaches it, though its ends can be written each time, has failed in the end.
///
/// # Errors
/// What the store answers while definitions are read: nothing ran, and the event is to be given back.
pub fn handle(worker: &Worker, event: &Event, queue: &QueueDef) -> Result<Completion, EngineError> {
    let engine = worker.engine();
    let started = engine.clock().now();
    if let Some(refused) = unknown_table(worker, event)? {
        return Ok(completion(event, started, started, refused, Vec::new()));
    }
    let list = list(worker, event)?;
    if list.is_empty() {
        return Ok(completion(
            event,
            started,
            engine.clock().now(),
            NextState::Processed,
            Vec::new(),
        ));
    }
    let earlier = Earlier::read(worker, event)?;
    let attempt = Attempt::new(event, queue, engine.definitions::<EventLayout>()?);
    let total: usize = list.iter().map(|(_, candidates)| candidates.len()).sum();
    let mut unrecorded: Vec<HandlerRun> = Vec::with_capacity(1);
    let mut failures = Failures::new(event, queue);
    let mut order = 0;
    for (kind, candidates) in &list {
        for candidate in candidates.iter() {
            order += 1;
            match earlier.decide(event, candidate) {
                Decision::Run => {}
                Decision::Done => continue,
                Decision::BeyondCure(run) => {
                    failures.keep(run);
                    continue;
                }
            }
            if total > 1 && !unrecorded.is_empty() {
                engine.store().record_runs(std::mem::take(&mut unrecorded));
            }
            let began = engine.clock().now();
            let mut result = kind.run(worker, &attempt, candidate);
            let ended = engine.clock().now();
            if let Some(outage) = &result.report.outage {
                tracing::warn!(event.id = %event.fired.sys_id, error = %outage, "a handler could not reach the database");
                let attempts_max = OUTAGE_ATTEMPTS_MAX.max(failures.attempts_max(candidate));
                if attempt.number < attempts_max {
                    let next = NextState::RetryAt(later(ended, OUTAGE_BACKOFF, event));
                    return Ok(completion(event, started, ended, next, unrecorded));
                }
                result = never_reached(attempt.number, outage.clone(), result);
            }
            failures.note(candidate, attempt.number, &result);
            let place =
                RunPlace { kind: kind.kind(), attempt: attempt.number, order, began, ended };
            let run = run_log::run(event, candidate, &place, result);
            run_log::count(&run);
            unrecorded.push(run);
        }
    }
    let ended = engine.clock().now();
    Ok(completion(event, started, ended, failures.next_state(ended), unrecorded))
}

/// A run that could not reach the database either, after so many attempts.
fn never_reached(attempts: i64, outage: StoreError, result: HandlerResult) -> HandlerResult {
    let message = format!(
        "it did not get through to the database in {attempts} attempts, though that could be reached between them; the last \
         time: {outage}; mend the cause, then reprocess"
    );
    let error = RunError { message, ..RunError::default() };
    HandlerResult::failed("script_error", error, result.report)
}

/// A kind, and its definitions that the event concerns.
type Concerned<'w> = (&'w dyn Handler, Arc<[Candidate]>);

/// Every kind with candidates, in the order of dispatch.
fn list<'w>(worker: &'w Worker, event: &Event) -> Result<Vec<Concerned<'w>>, EngineError> {
    let engine = worker.engine();
    let mut list = Vec::with_capacity(1);
    for kind in engine.handlers.kinds() {
        let candidates = kind.candidates(engine, event)?;
        if !candidates.is_empty() {
            list.push((kind, candidates));
        }
    }
    Ok(list)
}

fn unknown_table(worker: &Worker, event: &Event) -> Result<Option<NextState>, EngineError> {
    let table = &event.fired.table;
    if table.is_empty() || worker.engine().dictionary()?.table(table).is_some() {
        return Ok(None);
    }
    let message = format!(
        "the event names table '{table}', which does not exist: no handler ran; create the table, or fix what \
         fires '{}', then reprocess",
        event.fired.name
    );
    Ok(Some(NextState::Error { code: "table_unknown", message }))
}

fn completion(
    event: &Event,
    started: Instant,
    ended: Instant,
    next: NextState,
    runs: Vec<HandlerRun>,
) -> Completion {
    let duration_ms = ended.as_millis().saturating_sub(started.as_millis()).max(0);
    Completion { event: event.fired.sys_id, epoch: event.epoch, next, started, duration_ms, runs }
}

/// What earlier attempts say about which handlers run now.
#[derive(Default)]
struct Earlier {
    /// Runs of this epoch; read only when there can be any.
    this_epoch: Vec<HandlerRun>,
    /// With `only_failed`: handlers whose last outcome in the previous epoch was `failed` (§6.1 rule 3).
    failed_before: Option<Vec<SysId>>,
}

impl Earlier {
    fn read(worker: &Worker, event: &Event) -> Result<Self, EngineError> {
        let store = worker.engine().store();
        let id = &event.fired.sys_id;
        let mut earlier = Self::default();
        if event.attempts > 0 || event.lapses > 0 || event.sequence <= store.sequence_at_opening() {
            earlier.this_epoch = store.runs(id, Some(event.epoch))?;
        }
        if event.only_failed && event.epoch > 0 {
            let before = store.runs(id, Some(event.epoch - 1))?;
            let failed = before.iter().filter(|run| {
                let last = before.iter().rev().find(|other| other.handler == run.handler);
                last.is_some_and(|last| last.outcome == Outcome::Failed)
            });
            earlier.failed_before = Some(failed.map(|run| run.handler).collect());
        }
        Ok(earlier)
    }

    /// Only handlers that failed or never ran are run (§5.3). A failed one whose attempt did not end, because its
    /// processor died, is part of this attempt and runs again in any case.
    fn decide(&self, event: &Event, candidate: &Candidate) -> Decision<'_> {
        if self.failed_before.as_ref().is_some_and(|failed| !failed.contains(&candidate.handler)) {
            return Decision::Done;
        }
        let last = self.this_epoch.iter().rev().find(|run| run.handler == candidate.handler);
        match last {
            None => Decision::Run,
            Some(run) if run.outcome != Outcome::Failed => Decision::Done,
            Some(run) if run.attempt <= event.attempts && !is_retried(&run.reason) => {
                Decision::BeyondCure(run)
            }
            Some(_) => Decision::Run,
        }
    }
}

/// Whether a handler runs in this attempt.
enum Decision<'a> {
    /// It does.
    Run,
    /// It did already, or is not wanted.
    Done,
    /// It failed earlier in a way that no attempt can cure; the event stays failed.
    BeyondCure(&'a HandlerRun),
}

/// Whether another attempt may cure a failure with this reason (§5.5).
fn is_retried(reason: &str) -> bool {
    !matches!(reason, "definition_invalid" | "loop_suspected")
}

/// The failures of one attempt, and what they make of the event.
struct Failures<'a> {
    event: &'a Event,
    queue: &'a QueueDef,
    first: Option<(&'static str, String)>,
    retry: bool,
}

impl<'a> Failures<'a> {
    fn new(event: &'a Event, queue: &'a QueueDef) -> Self {
        Self { event, queue, first: None, retry: false }
    }

    /// How often this handler may try, by the policy that counts for it.
    fn attempts_max(&self, candidate: &Candidate) -> i64 {
        [candidate.max_attempts, self.event.fired.max_attempts, self.queue.max_attempts]
            .into_iter()
            .find(|attempts| *attempts > 0)
            .unwrap_or(1)
    }

    fn note(&mut self, candidate: &Candidate, attempt: i64, result: &HandlerResult) {
        if result.outcome != Outcome::Failed {
            return;
        }
        self.retry |= attempt < self.attempts_max(candidate) && is_retried(result.reason);
        let error = result.error.as_ref();
        let line = error.and_then(|e| e.line).map_or(0, i64::from);
        let message = error.map_or("no message", |e| e.message.as_str());
        self.remember(&candidate.name, result.reason, line, message);
    }

    fn keep(&mut self, run: &HandlerRun) {
        self.remember(&run.handler_name, &run.reason, run.error_line, &run.error_message);
    }

    /// The first failure is the event's.
    fn remember(&mut self, name: &str, reason: &str, line: i64, message: &str) {
        if self.first.is_some() {
            return;
        }
        let place = if line > 0 { format!(", line {line}") } else { String::new() };
        self.first =
            Some((error_code(reason), format!("'{name}' failed ({reason}{place}): {message}")));
    }

    /// Delay before attempt n: backoff × 2^(n−2), at most an hour.
    fn next_state(self, now: Instant) -> NextState {
        let Some((code, message)) = self.first else { return NextState::Processed };
        if !self.retry {
            return NextState::Error { code, message };
        }
        NextState::RetryAt(later(now, self.queue.retry_backoff, self.event))
    }
}

/// When the next attempt is due.
fn later(now: Instant, backoff: Duration, event: &Event) -> Instant {
    let doublings = u32::try_from(event.attempts.clamp(0, 20)).unwrap_or(0);
    let delay = backoff.saturating_mul(1 << doublings).min(BACKOFF_MAX);
    now.plus_millis(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))
}

/// The event's `error_code` for the reason of a failed run (§5.5).
fn error_code(reason: &str) -> &'static str {
    match reason {
        "timeout" => "handler_timeout",
        "limit" => "handler_limit",
        "definition_invalid" => "definition_invalid",
        "loop_suspected" => "loop_suspected",
        _ => "handler_failed",
    }
}
