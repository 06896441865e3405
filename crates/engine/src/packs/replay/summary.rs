//! What became of the events that a replay fired.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::session::Session;

/// Counts of the events after some point, and of the runs of their handlers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ReplaySummary {
    /// Sequence of the newest event: the point to count from later.
    pub last_sequence: i64,
    /// Events that are due or being handled.
    pub waiting: u64,
    /// Events by name and state.
    pub events: BTreeMap<String, BTreeMap<&'static str, u64>>,
    /// Runs by handler and outcome.
    pub handlers: BTreeMap<String, BTreeMap<&'static str, u64>>,
    /// Runs by outcome.
    pub runs: BTreeMap<&'static str, u64>,
}

/// Counts the events whose sequence is above `after`; what has ended by now is counted as ended.
///
/// # Errors
/// [`EngineError::NotAllowed`] for anybody but an administrator; what the store answers.
pub fn summary(
    engine: &Engine,
    session: &Session,
    after: i64,
) -> Result<ReplaySummary, EngineError> {
    super::apply::allow(session)?;
    engine.store().flush()?;
    let counted = engine.store().summary(after, engine.clock().now())?;
    let mut summary = ReplaySummary {
        last_sequence: counted.last_sequence,
        waiting: counted.waiting,
        ..ReplaySummary::default()
    };
    for (name, state, count) in counted.events {
        summary.events.entry(name).or_default().insert(state.as_str(), count);
    }
    for (handler, outcome, count) in counted.runs {
        *summary.runs.entry(outcome.as_str()).or_default() += count;
        summary.handlers.entry(handler).or_default().insert(outcome.as_str(), count);
    }
    Ok(summary)
}
