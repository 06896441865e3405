//! What people see of queues and do to them: how each stands, and letting one go on that an error has stopped (§4.2).

use std::sync::Arc;

use campanile_model::queue_def::normalise_queue_name;
use campanile_model::{Placement, QueueDef};
use campanile_store::{ActionRecord, Backlog, CommitMark, Halt};
use serde::Serialize;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::queue_registry::{QUEUE_TABLE, QueueRegistry, shown};
use crate::events::service::EVENTS_ADMIN;
use crate::records::gate;
use crate::session::Session;

/// How a queue stands (§1.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueView {
    /// Name; `default` for the default queue.
    pub queue: String,
    /// `Active`, `Paused` or `Halted`.
    pub status: &'static str,
    /// `parallel`, `by_record` or `sequential`.
    pub order: &'static str,
    /// Wanted processors over all nodes.
    pub number_of_jobs: usize,
    /// Due and waiting.
    pub ready: u64,
    /// Waiting for a later time.
    pub scheduled: u64,
    /// Claimed.
    pub queued: u64,
    /// The event whose error stopped the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halted_by: Option<String>,
    /// When it stopped, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halted_at: Option<String>,
}

/// All queues, by name.
///
/// # Errors
/// [`EngineError::NotAllowed`]; what the store answers.
pub fn list(engine: &Engine, session: &Session) -> Result<Vec<QueueView>, EngineError> {
    gate::require_role(session, &[EVENTS_ADMIN], "see how queues stand")?;
    let registry = engine.definitions::<QueueRegistry>()?;
    let halts = engine.store().halts()?;
    let backlog = engine.store().backlog(engine.clock().now())?;
    let nodes = engine.store().nodes().serving.len().max(1);
    let view = |queue: &Arc<QueueDef>| {
        let halt = halts.iter().find(|halt| halt.queue == queue.name);
        let waiting = backlog.iter().find(|waiting| *waiting.queue == *queue.name);
        view(queue, halt, waiting, nodes)
    };
    let mut views: Vec<QueueView> = registry.queues().map(view).collect();
    views.sort_by(|l, r| l.queue.cmp(&r.queue));
    Ok(views)
}

fn view(
    queue: &QueueDef,
    halt: Option<&Halt>,
    waiting: Option<&Backlog>,
    nodes: usize,
) -> QueueView {
    let status = match halt {
        Some(_) => "Halted",
        None if !queue.active => "Paused",
        None => "Active",
    };
    let number_of_jobs = match queue.placement {
        Placement::Constant(count) => count,
        Placement::PerNode(count) => count * nodes,
    };
    QueueView {
        queue: shown(&queue.name).to_owned(),
        status,
        order: queue.order.as_str(),
        number_of_jobs,
        ready: waiting.map_or(0, |waiting| waiting.ready),
        scheduled: waiting.map_or(0, |waiting| waiting.scheduled),
        queued: waiting.map_or(0, |waiting| waiting.queued),
        halted_by: halt.map(|halt| halt.event.to_string()),
        halted_at: halt.map(|halt| halt.at.to_rfc3339()),
    }
}

/// Lets a queue go on, behind the event whose error stopped it. One row of the action log says who did it, and why.
///
/// # Errors
/// [`EngineError::NotAllowed`]; [`EngineError::RecordUnknown`] when there is no such queue;
/// [`EngineError::BadParameter`] when nothing stopped it.
pub fn resume(
    engine: &Engine,
    session: &Session,
    queue: &str,
    reason: &str,
) -> Result<CommitMark, EngineError> {
    gate::require_role(session, &[EVENTS_ADMIN], "resume queues")?;
    let registry = engine.definitions::<QueueRegistry>()?;
    let found = normalise_queue_name(queue).ok().and_then(|name| registry.find(name));
    let Some(found) = found else { return Err(unknown(queue)) };
    let halt = engine.store().halts()?.into_iter().find(|halt| halt.queue == found.name);
    let record = ActionRecord {
        action: "resume".to_owned(),
        user: session.user.user_name.to_string(),
        at: engine.clock().now(),
        sys_ids: halt.into_iter().map(|halt| halt.event).collect(),
        count: 1,
        reason: match reason {
            "" => format!("queue '{}'", shown(&found.name)),
            reason => format!("{reason}; queue '{}'", shown(&found.name)),
        },
    };
    engine.store().resume(&found.name, record)?.ok_or_else(|| EngineError::BadParameter {
        parameter: "queue".to_owned(),
        detail: format!("queue '{}' is not halted: it goes on already", shown(&found.name)),
    })
}

fn unknown(queue: &str) -> EngineError {
    EngineError::RecordUnknown { table: QUEUE_TABLE.to_owned(), sys_id: queue.to_owned() }
}
