//! Putting an explanation together from the event, its runs, its actions and the definitions of today.

use std::sync::Arc;

use campanile_model::{Event, EventState, HandlerRun, Outcome, SysId};
use serde_json::Value as Json;

use super::answer::{
    Explanation, FiredReference, HandlerAnswer, NearMissAnswer, RecordThenAndNow, Resolution,
    Source, WrittenReference,
};
use super::timeline::{self, Story};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::fire::chain;
use crate::events::fire::content;
use crate::events::queue_registry::{QueueRegistry, shown};
use crate::events::registry::{EventRegistry, PRIORITY_DEFAULT};
use crate::events::service::{get, runs_of};
use crate::handlers::handler::NearMiss;
use crate::handlers::target;
use crate::records::gate;
use crate::session::Session;

/// Explains one event. Whoever may see the event may ask, and is told of its record what [`get`] and [`runs_of`] tell.
///
/// # Errors
/// [`EngineError::NotAllowed`]; `StoreError::EventUnknown`; what the store answers.
pub fn explain(
    engine: &Engine,
    session: &Session,
    sys_id: &SysId,
) -> Result<Explanation, EngineError> {
    let event = get(engine, session, sys_id)?.event;
    let runs = runs_of(engine, session, sys_id)?;
    let actions = engine.store().actions(sys_id)?;
    let mut near_misses = Vec::new();
    for kind in engine.handlers.kinds() {
        near_misses.extend(kind.near_misses(engine, &event)?);
    }
    // A definition that ran, and was switched off since, is no near miss.
    near_misses.retain(|miss| {
        !runs.iter().any(|run| run.handler == miss.handler && run.epoch == event.epoch)
    });
    let holdup = holdup(engine, &event)?;
    let story = Story { event: &event, runs: &runs, actions: &actions, holdup: &holdup };
    Ok(Explanation {
        event: event.fired.sys_id.to_string(),
        verdict: verdict(&event, &runs, near_misses.len(), &holdup),
        resolution: resolution(engine, &event)?,
        timeline: timeline::of(&story),
        handlers: runs.iter().map(handler).collect(),
        near_misses: near_misses.into_iter().map(near_miss).collect(),
        record: record(engine, session, &event)?,
        chain: if event.fired.cause_event.is_some() {
            chain(engine, *sys_id)
        } else {
            String::new()
        },
        coalesced: event.coalesced,
    })
}

/// Why a waiting event is not claimed, besides its time and the backlog; empty when nothing stands in its way.
fn holdup(engine: &Engine, event: &Event) -> Result<String, EngineError> {
    if event.state != EventState::Ready {
        return Ok(String::new());
    }
    let queues = engine.definitions::<QueueRegistry>()?;
    Ok(match queues.find(&event.fired.queue) {
        None => format!("queue '{}' does not exist", event.fired.queue),
        Some(queue) if !queue.active => format!("queue '{}' is paused", shown(&queue.name)),
        Some(queue) if queue.halts_on_error => {
            let halts = engine.store().halts()?;
            let halt = halts.iter().find(|halt| halt.queue == queue.name);
            halt.map_or_else(String::new, |halt| {
                format!(
                    "queue '{}' is halted by the error of event {}",
                    shown(&queue.name),
                    halt.event
                )
            })
        }
        Some(_) => String::new(),
    })
}

fn verdict(event: &Event, runs: &[HandlerRun], near_misses: usize, holdup: &str) -> String {
    let mut seen: Vec<(SysId, bool)> = Vec::new();
    for run in runs.iter().filter(|run| run.epoch == event.epoch) {
        let ran = run.outcome != Outcome::Skipped;
        match seen.iter_mut().find(|(handler, _)| *handler == run.handler) {
            Some((_, any)) => *any |= ran,
            None => seen.push((run.handler, ran)),
        }
    }
    let ran = seen.iter().filter(|(_, ran)| *ran).count();
    let candidates = seen.len() + near_misses;
    let state = match event.state {
        EventState::Ready if !holdup.is_empty() => return format!("ready; {holdup}"),
        EventState::Ready => {
            return format!("ready; due at {}", event.fired.process_on.to_rfc3339());
        }
        EventState::Queued => return format!("queued; is being handled by {}", event.claimed_by),
        EventState::Error => format!("error ({})", event.error_code),
        other => other.to_string(),
    };
    match candidates {
        0 => format!("{state}; nothing listens to it"),
        1 => format!("{state}; {ran} of 1 candidate ran"),
        many => format!("{state}; {ran} of {many} candidates ran"),
    }
}

fn resolution(engine: &Engine, event: &Event) -> Result<Resolution, EngineError> {
    let registry = engine.definitions::<EventRegistry>()?;
    let registration = registry.find(&event.fired.name);
    let fired = &event.fired;
    let queue_from = if fired.queue_from_call {
        "call"
    } else if registration.is_some_and(|r| r.queue == fired.queue && !r.queue.is_empty()) {
        "registration"
    } else if fired.queue.is_empty() {
        "default"
    } else {
        "moved"
    };
    #[expect(clippy::cast_precision_loss, reason = "0 to 1,000,000")]
    let (default, registered) = (PRIORITY_DEFAULT as f64, registration.map(|r| r.priority as f64));
    let priority_from = match registered {
        _ if !fired.registered && same(default, fired.priority) => "default",
        Some(priority) if fired.registered && same(priority, fired.priority) => "registration",
        _ => "call",
    };
    Ok(Resolution {
        registration: registration.map(|r| r.sys_id.to_string()),
        registered: fired.registered,
        queue: Source { value: fired.queue.to_string(), from: queue_from },
        priority: Source { value: fired.priority, from: priority_from },
    })
}

fn same(left: f64, right: f64) -> bool {
    (left - right).abs() < f64::EPSILON
}

fn handler(run: &HandlerRun) -> HandlerAnswer {
    HandlerAnswer {
        kind: run.kind.as_str(),
        handler: run.handler.to_string(),
        name: run.handler_name.clone(),
        epoch: run.epoch,
        attempt: run.attempt,
        order: run.order,
        outcome: run.outcome.as_str(),
        reason: run.reason.clone(),
        sentence: sentence(run),
        duration_ms: run.duration_ms,
        error_line: (run.error_line > 0).then_some(run.error_line),
        log: run.log.clone(),
        writes: run.written_records.1.iter().filter_map(|text| written(text)).collect(),
        fired: run.fired_events.1.iter().filter_map(|text| fired(text)).collect(),
        definition_version: run.definition_version,
    }
}

/// The reason in words (§5.6).
fn sentence(run: &HandlerRun) -> String {
    if !run.sentence.is_empty() {
        return run.sentence.clone();
    }
    if !run.error_message.is_empty() {
        return match run.error_line {
            0 => run.error_message.clone(),
            line => format!("{} (line {line})", run.error_message),
        };
    }
    let text = match run.reason.as_str() {
        "condition_false" => "condition was false",
        note => target::sentence(note),
    };
    text.to_owned()
}

fn written(reference: &str) -> Option<WrittenReference> {
    let mut parts = reference.splitn(3, ':').map(str::to_owned);
    Some(WrittenReference { operation: parts.next()?, table: parts.next()?, sys_id: parts.next()? })
}

/// `name:sys_id`; a name may hold colons.
fn fired(reference: &str) -> Option<FiredReference> {
    let (name, sys_id) = reference.rsplit_once(':')?;
    Some(FiredReference { name: name.to_owned(), sys_id: sys_id.to_owned() })
}

fn near_miss(miss: NearMiss) -> NearMissAnswer {
    NearMissAnswer {
        kind: miss.kind.as_str(),
        handler: miss.handler.to_string(),
        name: miss.name.to_string(),
        reason: miss.reason,
        sentence: miss.sentence,
    }
}

fn record(
    engine: &Engine,
    session: &Session,
    event: &Event,
) -> Result<RecordThenAndNow, EngineError> {
    let snapshot = serde_json::from_str::<Json>(&event.fired.snapshot).ok();
    let fired = &event.fired;
    let dictionary = engine.dictionary()?;
    let table = dictionary.table(&fired.table).filter(|_| !fired.instance.is_empty());
    let Some(table) = table else { return Ok(RecordThenAndNow { snapshot, now: None }) };
    let row = Arc::clone(engine.store()).read()?.get(table, &fired.instance)?;
    let row = row.filter(|row| gate::may_see_row(session, row));
    let now = row.and_then(|row| serde_json::from_str(&content::snapshot(&row)).ok());
    Ok(RecordThenAndNow { snapshot, now })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_back() {
        let fired = fired("x:y.done:0192").unwrap();
        assert_eq!((fired.name.as_str(), fired.sys_id.as_str()), ("x:y.done", "0192"));
        let written = written("update:incident:9d38").unwrap();
        assert_eq!(written.operation, "update");
        assert_eq!((written.table.as_str(), written.sys_id.as_str()), ("incident", "9d38"));
    }
}
