//! The event service: what HTTP, the command line and the Table API ask of events. Each call takes the session
//! first and authorises.

mod actions;
mod fire;
mod fire_once;
mod read;
mod rows;
mod staged;
mod subjects;
mod told;

pub use actions::{
    ADAPTIVE_QUEUE, Act, MovedKind, QueueTarget, cancel, move_event, move_kind, reprocess,
    reschedule, run_now,
};
pub use fire::{
    FireAnswer, FireCall, FireOutcome, FireTime, fire, fire_batch, fire_batch_blocking,
    fire_blocking,
};
pub use fire_once::{BatchOnce, fire_batch_once};
pub use read::{
    EventFilter, EventPage, EventView, HandlerCounts, OFFSET_MAX, PAGE_DEFAULT, PAGE_MAX,
    await_end, get, list, runs_of,
};
pub use rows::ROWS;

/// Role that may fire events.
pub const PUBLISHER: &str = "event_publisher";
/// Role that may do everything with events.
pub use crate::records::withheld::EVENTS_ADMIN;
