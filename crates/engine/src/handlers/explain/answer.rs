//! The shape of an explanation; member names are those of the reference.

use serde::{Serialize, Serializer};
use serde_json::Value as Json;

/// Everything that can be said of one event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Key of the event.
    pub event: String,
    /// In one sentence: `processed; 1 of 3 candidates ran`.
    pub verdict: String,
    /// How name, queue and priority were resolved.
    pub resolution: Resolution,
    /// What happened, oldest first, waiting periods with their cause.
    pub timeline: Vec<TimelineItem>,
    /// Every handler run, all epochs, oldest first.
    pub handlers: Vec<HandlerAnswer>,
    /// Definitions that did not react although somebody could have expected it.
    pub near_misses: Vec<NearMissAnswer>,
    /// The record at fire time and today.
    pub record: RecordThenAndNow,
    /// Names on the chain of events that led here, oldest first; empty for an event that no handler fired.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub chain: String,
    /// Further equal events that were counted on this one.
    #[serde(skip_serializing_if = "is_zero")]
    pub coalesced: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// How a call was resolved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Resolution {
    /// sys_id of the registration of that name as it is now; `null` when there is none.
    pub registration: Option<String>,
    /// A registration existed when it was fired.
    pub registered: bool,
    /// Queue; the empty text is the default queue. From `call`, `registration`, `default` or `moved`.
    pub queue: Source<String>,
    /// Priority. From `registration`, `default` or `call`.
    #[serde(serialize_with = "whole_without_point")]
    pub priority: Source<f64>,
}

/// A whole number without a point: `100`, not `100.0`.
fn whole_without_point<S: Serializer>(
    source: &Source<f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let value = source.value;
    let value = if value.fract() == 0.0 && value.abs() < EXACT_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
        let whole = value as i64;
        Json::from(whole)
    } else {
        Json::from(value)
    };
    Source { value, from: source.from }.serialize(serializer)
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Source<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub from: &'static str,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct TimelineItem {
    /// When, RFC 3339.
    pub at: String,
    /// `fired`, `due`, `handled`, `retry`, `reprocess`, `processed`, `error` …
    pub what: String,
    /// Who.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// How long it had waited before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<i64>,
    /// Why it waited: `process_on`, `backlog`, `retry delay`, `queue is paused` …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cause: String,
}

/// One handler run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HandlerAnswer {
    /// Kind.
    pub kind: &'static str,
    /// sys_id of the definition.
    pub handler: String,
    /// Its name.
    pub name: String,
    /// Which reprocess.
    pub epoch: i64,
    /// Which attempt.
    pub attempt: i64,
    /// Position in its dispatch.
    pub order: i64,
    /// `succeeded`, `failed`, `skipped`.
    pub outcome: &'static str,
    /// Code.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The reason in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sentence: String,
    /// How long it took.
    pub duration_ms: i64,
    /// Script line of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_line: Option<i64>,
    /// Lines that it logged.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub log: String,
    /// What it wrote, the first 50.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<WrittenReference>,
    /// What it fired, the first 50.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fired: Vec<FiredReference>,
    /// `sys_mod_count` of the definition when it ran.
    pub definition_version: i64,
}

/// A row that a handler wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrittenReference {
    /// Table.
    pub table: String,
    /// `insert`, `update`, `delete`.
    pub operation: String,
    /// Key.
    pub sys_id: String,
}

/// An event that a handler fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FiredReference {
    /// Name.
    pub name: String,
    /// Key.
    pub sys_id: String,
}

/// A definition that nearly matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NearMissAnswer {
    /// Kind.
    pub kind: &'static str,
    /// sys_id of the definition.
    pub handler: String,
    /// Its name.
    pub name: String,
    /// `inactive`, `name_differs`.
    pub reason: &'static str,
    /// In words.
    pub sentence: String,
}

/// The record that the event is about, as stored values by field.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordThenAndNow {
    /// When it was fired; `null` when nothing was kept, or the reader may not see it.
    pub snapshot: Option<Json>,
    /// Today; `null` when it is gone, or the reader may not see it.
    pub now: Option<Json>,
}
