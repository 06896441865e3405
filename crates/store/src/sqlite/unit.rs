//! What the group writer is given to do.

use rusqlite::Connection;

use crate::contract::{CommitMark, StoreError};

/// A piece of work for the group writer.
///
/// The order of calls is `run`, `committed`, `answer`, each once (`run` twice for one that [runs again](Unit::runs_again)), all on
/// threads of the store; a unit that is never run (the store is closed, busy or broken) gets the last two with the error.
pub(in crate::sqlite) trait Unit: Send {
    /// Does the work inside the group's transaction: an error undoes this unit alone.
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;

    /// Whether `run` may be called once more after all that it did was rolled back.
    fn runs_again(&self) -> bool {
        false
    }

    /// The group was committed (with its mark), or this unit was not. Called in the order of commits while the
    /// connection is held; must not block and must not touch the writer.
    fn committed(&mut self, outcome: &Result<CommitMark, StoreError>);

    /// Tells whoever waits. For a durable unit that was committed: after the sync that covers it. Must not block.
    fn answer(self: Box<Self>, outcome: Result<CommitMark, StoreError>);

    /// What somebody waits for.
    fn haste(&self) -> Haste;

    /// About how many rows it writes, for the size of groups.
    fn rows(&self) -> usize {
        1
    }

    /// Never refused because too much waits (completions: refusing them would not lessen the load).
    fn must_run(&self) -> bool {
        false
    }
}

/// What the one who handed a unit in waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sqlite) enum Haste {
    /// The commit: a group begins at once.
    Commit,
    /// The disk. While a sync runs that cannot cover the unit, it costs nothing to let others join it.
    Disk,
    /// Nobody waits: it rides along with others, or gathers company for a while.
    Nobody,
}
