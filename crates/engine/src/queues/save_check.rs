//! What is checked when a queue is saved or deleted (§1.4), from every door.

use std::ops::RangeInclusive;
use std::rc::Rc;

use campanile_model::Record;
use campanile_model::queue_def::{DEFAULT_QUEUE_ROW, normalise_queue_name};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::queue_registry::{
    ATTEMPTS_RANGE, CLAIM_LIMIT_RANGE, CONSTANT, HALT, PER_NODE, POLL_SECONDS_RANGE, QUEUE_TABLE,
    SEQUENTIAL, TIMEOUT_SECONDS_RANGE, duration,
};
use crate::events::registry::EventRegistry;
use crate::records::execution::Execution;

/// Property: percentage of a node's worker threads that one queue may have (§4.4).
pub const UTILIZATION: &str = "com.glide.processing.framework.max_thread_utilization_percentage";
const UTILIZATION_DEFAULT: i64 = 30;
const UTILIZATION_MAX: i64 = 75;
/// Worker threads of a node, as the formula of §4.4 counts them.
const WORKER_THREADS: i64 = 8;

/// Checks a row of `sysevent_queue` before it is written.
///
/// # Errors
/// [`EngineError::Integrity`] naming the field and the fix.
pub fn save(
    execution: &Rc<Execution>,
    record: &mut Record,
    before: Option<&Record>,
) -> Result<Vec<String>, EngineError> {
    if before.is_none() && record.text("job_config").is_empty() {
        let is_sequential = record.text("processing_order") == SEQUENTIAL;
        record.set("job_config", if is_sequential { CONSTANT } else { PER_NODE });
    }
    let record = &*record;
    let refuse = |detail: String| refusal(record, before, detail);
    match before {
        None => {
            let name = record.text("queue");
            if name.is_empty() {
                return Err(refuse("'queue' is empty: every queue needs a name".to_owned()));
            }
            if name != DEFAULT_QUEUE_ROW {
                match normalise_queue_name(name) {
                    Ok("") => {
                        return Err(refuse(format!(
                            "'{name}' means the default queue, which exists"
                        )));
                    }
                    Ok(_) => {}
                    Err(invalid) => return Err(refuse(invalid.to_string())),
                }
            }
        }
        Some(before) => {
            for field in ["queue", "processing_order"] {
                if before.get(field) != record.get(field) {
                    return Err(refuse(format!(
                        "'{field}' of a queue cannot be changed once it is saved: delete the queue and create it \
                         anew"
                    )));
                }
            }
        }
    }
    check_order(record, before)?;
    let seconds = |field: &str| {
        // No span at all is out of range too; only an empty field takes its default.
        (!record.get(field).is_nil()).then(|| {
            let span = duration(record.text(field)).unwrap_or_default();
            i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
        })
    };
    within(
        record,
        before,
        "poll_interval (seconds)",
        seconds("poll_interval"),
        &POLL_SECONDS_RANGE,
    )?;
    within(
        record,
        before,
        "handler_timeout (seconds)",
        seconds("handler_timeout"),
        &TIMEOUT_SECONDS_RANGE,
    )?;
    within(record, before, "claim_limit", number(record, "claim_limit"), &CLAIM_LIMIT_RANGE)?;
    within(record, before, "max_attempts", number(record, "max_attempts"), &ATTEMPTS_RANGE)?;
    let ceiling = ceiling(execution.engine());
    let factor = number(record, "job_config_value");
    let changed = |field: &str| before.is_none_or(|before| before.get(field) != record.get(field));
    let is_constant = record.text("job_config") == CONSTANT;
    let nodes = execution.engine().store().nodes().serving.len().max(1);
    let most = if is_constant { ceiling * i64::try_from(nodes).unwrap_or(1) } else { ceiling };
    if (changed("job_config_value") || changed("job_config")) && factor.is_some_and(|n| n > most) {
        let over = match is_constant && nodes > 1 {
            true => format!("the ceiling is {most} ({ceiling} on each of {nodes} nodes)"),
            false => format!("the ceiling on this node is {ceiling}"),
        };
        return Err(refuse(format!(
            "'job_config_value' is {}, {over}: lower it, or raise {UTILIZATION}",
            factor.unwrap_or_default()
        )));
    }
    within(record, before, "job_config_value", factor, &(1..=i64::MAX))?;
    Ok(Vec::new())
}

/// Refuses the deletion of the default queue, and of a queue that events or registrations need.
///
/// # Errors
/// [`EngineError::Integrity`]; what the store answers.
pub fn delete(
    execution: &Rc<Execution>,
    record: &Record,
    _insists: bool,
) -> Result<(), EngineError> {
    let engine = execution.engine();
    let name = record.text("queue");
    if name == DEFAULT_QUEUE_ROW {
        return Err(refused_deletion(record, "the default queue cannot be deleted".to_owned()));
    }
    let backlog = engine.store().backlog(engine.clock().now())?;
    let waiting: u64 = backlog
        .iter()
        .filter(|waiting| waiting.queue == name)
        .map(|waiting| waiting.ready + waiting.scheduled + waiting.queued)
        .sum();
    if waiting > 0 {
        return Err(refused_deletion(
            record,
            format!(
                "{} in queue '{name}': move what waits to another queue first",
                campanile_model::counted(waiting, "event waits", "events wait")
            ),
        ));
    }
    let names = engine.definitions::<EventRegistry>()?.names_in_queue(name);
    if !names.is_empty() {
        return Err(refused_deletion(
            record,
            format!(
                "registrations name queue '{name}': {}; give them another queue first",
                names.join(", ")
            ),
        ));
    }
    Ok(())
}

/// The highest scale factor on one node: `max(1, ceil(worker threads × percentage / 100))`.
#[must_use]
pub fn ceiling(engine: &Engine) -> i64 {
    let percentage =
        engine.int_property(UTILIZATION, UTILIZATION_DEFAULT).clamp(1, UTILIZATION_MAX);
    ((WORKER_THREADS * percentage + 99) / 100).max(1)
}

/// What goes with a sequential queue and what does not (§1.4).
fn check_order(record: &Record, before: Option<&Record>) -> Result<(), EngineError> {
    for (field, words) in [
        ("processing_order", ["parallel", SEQUENTIAL]),
        ("job_config", [CONSTANT, PER_NODE]),
        ("on_error", ["continue", HALT]),
    ] {
        let word = record.text(field);
        if !word.is_empty() && !words.contains(&word) {
            let detail = format!("'{field}': expected {} or {}, got '{word}'", words[0], words[1]);
            return Err(refusal(record, before, detail));
        }
    }
    if record.text("processing_order") != SEQUENTIAL {
        return Ok(());
    }
    if record.text("queue") == DEFAULT_QUEUE_ROW {
        let detail = "the default queue cannot be sequential: make another queue for what must be handled in order";
        return Err(refusal(record, before, detail.to_owned()));
    }
    if record.get("ordering").is_true() {
        let detail = "'ordering' (order by record) is for parallel queues: a sequential one keeps the order of all its \
                      events; leave it off";
        return Err(refusal(record, before, detail.to_owned()));
    }
    if record.text("job_config") == PER_NODE {
        let detail = format!(
            "'job_config' is {PER_NODE}: a sequential queue has exactly one processor in the whole cluster; set it to \
             {CONSTANT}, or leave it out"
        );
        return Err(refusal(record, before, detail));
    }
    if number(record, "job_config_value").is_some_and(|factor| factor != 1) {
        let detail = format!(
            "'job_config_value' is {}: a sequential queue has exactly one processor in the whole cluster; set it to 1",
            record.text("job_config_value")
        );
        return Err(refusal(record, before, detail));
    }
    Ok(())
}

fn number(record: &Record, field: &str) -> Option<i64> {
    record.get(field).as_i64()
}

/// A missing value takes its default; one that is there must be in its range.
fn within(
    record: &Record,
    before: Option<&Record>,
    what: &str,
    value: Option<i64>,
    range: &RangeInclusive<i64>,
) -> Result<(), EngineError> {
    match value {
        Some(value) if !range.contains(&value) => {
            let (from, to) = (range.start(), range.end());
            let expected = if *to == i64::MAX {
                format!("at least {from}")
            } else {
                format!("{from} to {to}")
            };
            Err(refusal(record, before, format!("{what}: expected {expected}, got {value}")))
        }
        _ => Ok(()),
    }
}

fn refusal(record: &Record, before: Option<&Record>, detail: String) -> EngineError {
    let operation = if before.is_some() { "update" } else { "insert" };
    integrity(record, operation, detail)
}

fn refused_deletion(record: &Record, detail: String) -> EngineError {
    integrity(record, "delete", detail)
}

fn integrity(record: &Record, operation: &'static str, detail: String) -> EngineError {
    EngineError::Integrity {
        code: "definition_invalid",
        operation,
        table: QUEUE_TABLE.to_owned(),
        display: record.text("queue").to_owned(),
        detail,
    }
}
