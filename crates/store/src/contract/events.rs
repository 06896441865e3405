//! Events: append, claim, complete, act, read.

use std::sync::Arc;
use std::time::Duration;

use campanile_model::{
    Event, EventState, HandlerRun, Instant, NewEvent, Outcome, QueueOrder, SysId,
};

use super::{CommitMark, StoreError};

/// Called once, from a thread of the store; must not block.
pub type DurableCallback = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Called with a queue's name and the earliest due time whenever claimable events were added to it (append,
/// retry, move, reprocess, release). May be called from any thread; must not block.
pub type WakeListener = Arc<dyn Fn(&str, Instant) + Send + Sync>;

/// What an append comes to: each event's fate in order, and the commit.
pub type AppendAnswer = Result<(Vec<AppendOutcome>, CommitMark), StoreError>;

/// Called once, from a thread of the store, with what an append came to; must not block.
pub type AppendCallback = Box<dyn FnOnce(AppendAnswer) + Send>;

/// Where an appended event stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Its key; the first event's when `duplicate`.
    pub sys_id: SysId,
    /// Its order of arrival; 0 when it was counted on another event. In a queue that keeps an order it may be given anew
    /// at the commit.
    pub sequence: i64,
    /// The same caller used the same key with the same content before: nothing was stored.
    pub duplicate: bool,
    /// It was counted on an equal waiting event (`coalesce_seconds`): nothing was stored.
    pub coalesced: bool,
}

/// One event's fate in an append: stored (or known), or refused.
pub type AppendOutcome = Result<Appended, StoreError>;

/// How long an event may wait in a claimed batch, while its processor is busy with another, before an idle processor
/// of the same queue may take it (§4.3).
pub const TAKE_BACK_AFTER: Duration = Duration::from_secs(15);

/// What to claim.
#[derive(Debug, Clone)]
pub struct ClaimRequest<'a> {
    /// Queue; empty for the default queue.
    pub queue: &'a str,
    /// Most events.
    pub limit: usize,
    /// Who claims: `<node>/<queue>/<slot>`.
    pub claimed_by: &'a str,
    /// Follow priority (`com.glide.sysevent.priority.enabled`).
    pub by_priority: bool,
    /// The present.
    pub now: Instant,
}

/// What a queue promises of the order of its events (§4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueRule {
    /// How they follow each other.
    pub order: QueueOrder,
    /// An event that ends in error stops the queue, when it is sequential.
    pub halts: bool,
}

/// A sequential queue that was stopped by an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// Queue.
    pub queue: Arc<str>,
    /// The event that ended in error.
    pub event: SysId,
    /// When.
    pub at: Instant,
}

/// What was claimed.
#[derive(Debug, Clone, Default)]
pub struct Claim {
    /// In (priority, process_on, sequence), the events of a record in the order of their arrival where the queue keeps
    /// that. An event that lapsed before comes alone.
    pub events: Vec<Event>,
    /// When the next waiting event of the queue becomes due, if it lies in the future.
    pub next_due: Option<Instant>,
    /// More due events were waiting than the limit let through.
    pub more: bool,
    /// The order by which the events were chosen: one that was set meanwhile did not count yet.
    pub order: QueueOrder,
}

/// The state that an attempt leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum NextState {
    /// T3: every handler succeeded or was skipped.
    Processed,
    /// T4: a handler failed, attempts are left.
    RetryAt(Instant),
    /// T5, T8: no attempts left.
    Error {
        /// Code of §5.5.
        code: &'static str,
        /// In words.
        message: String,
    },
}

/// The end of one attempt.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The claimed event.
    pub event: SysId,
    /// Its epoch when it was claimed.
    pub epoch: i64,
    /// What it becomes.
    pub next: NextState,
    /// When handling began.
    pub started: Instant,
    /// How long it took.
    pub duration_ms: i64,
    /// Runs of this attempt that were not recorded yet.
    pub runs: Vec<HandlerRun>,
}

/// Who did something to events by hand: one row of `sysevent_action_log` (§6.5), written with the action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRecord {
    /// `reprocess`, `run_now`, `move`, `move_kind`, `cancel`, `reschedule`, `evaluate` …
    pub action: String,
    /// Login.
    pub user: String,
    /// When.
    pub at: Instant,
    /// Affected events (empty for a kind).
    pub sys_ids: Vec<SysId>,
    /// How many.
    pub count: u64,
    /// Why, in the person's words; or details of a kind.
    pub reason: String,
}

/// How to reprocess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReprocessOptions {
    /// Only handlers whose last outcome in the previous epoch was `failed`.
    pub only_failed: bool,
}

/// An action of §6 on one event. Each is conditional on the state it starts from.
#[derive(Debug, Clone)]
pub enum EventAction {
    /// T13: `processed`, `error`, `cancelled` → `ready`, epoch + 1, due now; `queue` when its own is gone.
    Reprocess {
        /// The event.
        sys_id: SysId,
        /// How.
        options: ReprocessOptions,
        /// The present.
        now: Instant,
        /// Replaces a queue that no longer exists.
        queue: Option<Arc<str>>,
        /// For the action log.
        record: ActionRecord,
    },
    /// `ready` with a future time → due now.
    RunNow {
        /// The event.
        sys_id: SysId,
        /// The present.
        now: Instant,
        /// For the action log.
        record: ActionRecord,
    },
    /// T11: `ready` → another queue.
    Move {
        /// The event.
        sys_id: SysId,
        /// Where to.
        queue: Arc<str>,
        /// For the action log.
        record: ActionRecord,
    },
    /// T12: `ready` → another time.
    Reschedule {
        /// The event.
        sys_id: SysId,
        /// When.
        process_on: Instant,
        /// For the action log.
        record: ActionRecord,
    },
    /// T10: `ready` → `cancelled`. An event in `error` that has stopped its queue stays as it is, and the queue goes on.
    Cancel {
        /// The event.
        sys_id: SysId,
        /// The present.
        now: Instant,
        /// For the action log; its reason is kept on the event.
        record: ActionRecord,
    },
}

/// What [`EventStore::move_kind`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindMoved {
    /// How many events have moved.
    pub moved: u64,
    /// The sequence up to which it has looked.
    pub upto: i64,
}

/// What waits in one queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Queue; empty for the default queue.
    pub queue: String,
    /// Due and `ready`.
    pub ready: u64,
    /// `ready` for a later time.
    pub scheduled: u64,
    /// Claimed.
    pub queued: u64,
    /// Arrival of the oldest due event.
    pub oldest_ready: Option<Instant>,
}

/// What became of the events that arrived after some point.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventSummary {
    /// Sequence of the newest event of all; 0 when there never was one.
    pub last_sequence: i64,
    /// Events by name and state, sorted.
    pub events: Vec<(String, EventState, u64)>,
    /// Runs of their handlers by name and outcome, sorted.
    pub runs: Vec<(String, Outcome, u64)>,
    /// Events that are due or being handled.
    pub waiting: u64,
}

/// The event log and its queues.
pub trait EventStore {
    /// Appends events through the group writer. `done` is called when they are committed and, with `durable`,
    /// on disk. With `atomic`, one refused event refuses all: the others' outcomes are then not stored either.
    /// The outcomes are in the order of `events`.
    fn append(&self, events: Vec<NewEvent>, mode: AppendMode, done: AppendCallback);

    /// As [`EventStore::append`], but blocks.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Busy`], [`StoreError::Unavailable`].
    fn append_blocking(&self, events: Vec<NewEvent>, mode: AppendMode) -> AppendAnswer;

    /// Claims due events of one queue; nobody else gets them until they are completed, released or lapse. In a queue
    /// that keeps an order (see [`WriteTx::set_queue_order`](super::WriteTx::set_queue_order)) nobody gets what must
    /// follow them either, nor what must follow an event that waits for its next attempt; and nothing comes of a queue
    /// that is stopped. What
    /// another processor of this store has claimed and not begun for [`TAKE_BACK_AFTER`] counts as waiting once nothing
    /// else is due (§4.3); `next_due` also tells when that will be.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn claim(&self, request: &ClaimRequest<'_>) -> Result<Claim, StoreError>;

    /// Tells that `claimed_by` claims from `queue` again whenever that is woken, until it [leaves](EventStore::leave). What is
    /// appended here, and what a claim finds beyond its limit, may then be claimed for it ahead and comes with the next claims of
    /// the queue's processors here, in the order of the queue: no more than `room`, and when it has nothing to do no more than it
    /// claimed last, if that is more. Called again, it changes the room; what is far more than that is given back.
    fn stay(&self, _queue: &str, _claimed_by: &str, _room: usize) {
        // Where claims cost nothing, there is nothing to save.
    }

    /// Tells that `claimed_by` will not claim any more. What was claimed for it and it has not been given waits again; what it was
    /// given is left to it. Nothing is claimed for it from here on.
    fn leave(&self, _claimed_by: &str) {}

    /// Notes that a processor begins to handle an event that it claimed, so that a crash from here on counts as a
    /// lapse (T7). Returns false, and notes nothing, when the claim is no longer its own: it must leave the event alone.
    #[must_use]
    fn begin(&self, event: &SysId, claimed_by: &str, slot: usize) -> bool;

    /// Gives events that `claimed_by` has claimed back unhandled (T6): nothing is counted. What it does not hold, or no
    /// longer, is left alone.
    fn release(&self, claimed_by: &str, events: &[SysId]);

    /// Sequence of the newest event that was there when the store was opened; 0 when there was none. Up to it, an
    /// event that has no attempt and no lapse may still have recorded runs: its last handler had ended, so its
    /// processor had begun another event, when the process died before the completion was written.
    fn sequence_at_opening(&self) -> i64;

    /// Records finished runs of an attempt that goes on, so that a crash does not repeat a success. Nobody waits.
    fn record_runs(&self, runs: Vec<HandlerRun>);

    /// Records the end of an attempt. Nobody waits; order is kept: it is never durable before what was committed
    /// earlier.
    fn complete(&self, completion: Completion);

    /// Does one action of §6 on one event; the answer may wait until it is durable.
    ///
    /// # Errors
    /// [`StoreError::EventUnknown`], [`StoreError::StateConflict`], [`StoreError::Unavailable`].
    fn act(&self, action: EventAction) -> Result<CommitMark, StoreError>;

    /// Moves the `ready` events called `name` whose queue came from the registration to `to_queue` (§4.8), in short
    /// steps, each a transaction of its own, between which others write. What arrives meanwhile is not looked at:
    /// [`WriteTx::move_kind`](super::WriteTx::move_kind) does that, from where this has looked up to. Broken off, or
    /// called again, it goes on with what is left.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Unavailable`]; then some may have moved.
    fn move_kind(&self, name: &str, to_queue: &str) -> Result<KindMoved, StoreError>;

    /// The queues that an error has stopped.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn halts(&self) -> Result<Vec<Halt>, StoreError>;

    /// Lets a stopped queue go on, behind the event that stopped it. Returns `None`, and does nothing, when it was not
    /// stopped. Reprocessing or cancelling that event does the same.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn resume(&self, queue: &str, record: ActionRecord) -> Result<Option<CommitMark>, StoreError>;

    /// Appends to the action log alone.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn log_action(&self, record: ActionRecord) -> Result<CommitMark, StoreError>;

    /// The event with this key, live or finished.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn event(&self, sys_id: &SysId) -> Result<Option<Event>, StoreError>;

    /// The runs of an event, oldest first; of one epoch when given.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn runs(&self, event: &SysId, epoch: Option<i64>) -> Result<Vec<HandlerRun>, StoreError>;

    /// What was done to an event by hand, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn actions(&self, event: &SysId) -> Result<Vec<ActionRecord>, StoreError>;

    /// Counts of every queue that has waiting events.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn backlog(&self, now: Instant) -> Result<Vec<Backlog>, StoreError>;

    /// What became of the events whose sequence is above `after`. Costs as much as there are such events.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn summary(&self, after: i64, now: Instant) -> Result<EventSummary, StoreError>;

    /// Sets who is told of new claimable events. Replaces an earlier listener.
    fn set_wake_listener(&self, listener: WakeListener);

    /// Waits until everything that was handed in (runs, completions) before this call is committed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn flush(&self) -> Result<CommitMark, StoreError>;
}

/// How to append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendMode {
    /// Answer only when it is on disk.
    pub durable: bool,
    /// One refused event refuses all.
    pub atomic: bool,
}
