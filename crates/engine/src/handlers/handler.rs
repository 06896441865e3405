//! What a kind of handler promises, and the registry of kinds.

use std::any::Any;
use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use campanile_model::{Event, HandlerKind, Outcome, QueueDef, Record, SysId};

use super::script_action::ScriptActionHandler;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::row::EventLayout;
use crate::records::execution::ExecutionReport;
use crate::worker::Worker;

/// One kind of handler: everything that the dispatcher and *explain* need to know of it.
pub trait Handler: Send + Sync {
    /// Which kind. Kinds are dispatched in the order of [`HandlerKind`] (§5.1).
    fn kind(&self) -> HandlerKind;

    /// The active definitions that this event concerns, in their order. Called once per attempt, so that the list
    /// is fixed then; it should come from a cache (`Engine::definitions`).
    ///
    /// # Errors
    /// What the store answers while a cache is filled; the event is then given back, not failed.
    fn candidates(&self, engine: &Engine, event: &Event) -> Result<Arc<[Candidate]>, EngineError>;

    /// Handles the event, or says why there was nothing to do. Its failure is a value, never a panic.
    fn run(&self, worker: &Worker, attempt: &Attempt<'_>, candidate: &Candidate) -> HandlerResult;

    /// Definitions that did not react although somebody could have expected it: inactive ones, and ones whose
    /// name differs in case, blanks or a cut.
    ///
    /// # Errors
    /// What the store answers.
    fn near_misses(&self, engine: &Engine, event: &Event) -> Result<Vec<NearMiss>, EngineError>;
}

/// One definition that an event concerns.
#[derive(Clone)]
pub struct Candidate {
    /// sys_id of the definition.
    pub handler: SysId,
    /// Its name.
    pub name: Arc<str>,
    /// Its `sys_mod_count`.
    pub version: i64,
    /// Attempts per epoch for this handler alone; 0 takes the event's.
    pub max_attempts: i64,
    /// What its kind keeps of it.
    pub definition: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("handler", &self.handler)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// One try at handling an event.
pub struct Attempt<'a> {
    /// The event.
    pub event: &'a Event,
    /// Which attempt of the epoch, from 1.
    pub number: i64,
    /// Limit per handler run, from the queue.
    pub timeout: Duration,
    row: OnceCell<Record>,
    layout: Arc<EventLayout>,
}

impl<'a> Attempt<'a> {
    /// The next attempt of `event`, which was claimed from `queue`.
    #[must_use]
    pub fn new(event: &'a Event, queue: &QueueDef, layout: Arc<EventLayout>) -> Self {
        let number = event.attempts.saturating_add(1);
        Self { event, number, timeout: queue.handler_timeout, row: OnceCell::new(), layout }
    }

    /// The event as a row of `sysevent`, made at the first call.
    pub fn event_row(&self) -> &Record {
        self.row.get_or_init(|| self.layout.row(self.event))
    }
}

/// How one handler run ended, with what it did.
#[derive(Debug, Clone)]
pub struct HandlerResult {
    /// How it ended.
    pub outcome: Outcome,
    /// Code of §5.6, `loop_suspected`, or a note on a success; empty for none.
    pub reason: &'static str,
    /// What was judged, in words.
    pub sentence: String,
    /// First error.
    pub error: Option<RunError>,
    /// What it logged, fired and wrote.
    pub report: ExecutionReport,
}

/// The first error of a run, as the author of the definition sees it.
#[derive(Debug, Clone, Default)]
pub struct RunError {
    /// Message.
    pub message: String,
    /// Line in the stored text.
    pub line: Option<u32>,
    /// Script stack.
    pub stack: String,
}

impl HandlerResult {
    /// It did its work; `note` is empty, `target_missing` or `target_from_snapshot`.
    #[must_use]
    pub fn succeeded(note: &'static str, report: ExecutionReport) -> Self {
        let sentence = String::new();
        Self { outcome: Outcome::Succeeded, reason: note, sentence, error: None, report }
    }

    /// It had nothing to do.
    #[must_use]
    pub fn skipped(reason: &'static str, sentence: String, report: ExecutionReport) -> Self {
        Self { outcome: Outcome::Skipped, reason, sentence, error: None, report }
    }

    /// It met an error.
    #[must_use]
    pub fn failed(reason: &'static str, error: RunError, report: ExecutionReport) -> Self {
        let sentence = String::new();
        Self { outcome: Outcome::Failed, reason, sentence, error: Some(error), report }
    }
}

/// A definition that nearly matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// Kind.
    pub kind: HandlerKind,
    /// sys_id of the definition.
    pub handler: SysId,
    /// Its name.
    pub name: Arc<str>,
    /// `inactive` or `name_differs`.
    pub reason: &'static str,
    /// In words.
    pub sentence: String,
}

/// The kinds of handlers, in the order of dispatch.
pub struct HandlerRegistry {
    kinds: Vec<Box<dyn Handler>>,
}

impl HandlerRegistry {
    /// The kinds of the product. A new kind is one more line here.
    #[must_use]
    pub fn standard() -> Self {
        Self::new(vec![Box::new(ScriptActionHandler)])
    }

    /// These kinds, put in the order of dispatch.
    #[must_use]
    pub fn new(mut kinds: Vec<Box<dyn Handler>>) -> Self {
        kinds.sort_by_key(|handler| handler.kind());
        Self { kinds }
    }

    /// The kinds in the order of dispatch.
    pub fn kinds(&self) -> impl Iterator<Item = &dyn Handler> {
        self.kinds.iter().map(|kind| &**kind)
    }
}

impl fmt::Debug for HandlerRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds.iter().map(|kind| kind.kind())).finish()
    }
}
