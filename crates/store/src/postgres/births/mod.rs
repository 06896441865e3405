//! Events that are born claimed: appended by this program for a processor of its own that has nothing else to do first.
//!
//! Differs because a claim on PostgreSQL writes a wide row and its indexes anew, and is the dearest statement of an event. A
//! processor that stays has an *inbox* here. While nothing else that is due may wait in its queue, the writer inserts what is
//! fired for it as claimed (`register`, `promises`), and the inbox hands it out without asking the database (`claiming`). It is
//! shut when anything else may wait: from then on events wait as ever, until the processor has looked at the database again. What
//! is in it is handed out meanwhile, unless something that waits goes before it.

mod claiming;
mod in_order;
mod inbox;
mod promises;
mod register;
#[cfg(all(test, feature = "testing"))]
mod tests;

pub(super) use claiming::InHand;
pub(super) use in_order::First;
pub(super) use inbox::Moment;
pub(super) use promises::{InDoubt, Promises, born};
pub(super) use register::Births;
