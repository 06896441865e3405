//! An operation's turn with the write connection: one transaction.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::{ArcMutexGuard, RawMutex};
use rusqlite::Connection;

use super::failure::{closed, located};
use super::group::{roll_back, statement};
use super::writer::Shared;
use crate::contract::{CommitMark, StoreError};

/// Runs after the commit, in the order of commits, while the connection is held. Must not block.
pub(in crate::sqlite) type Hook = Box<dyn FnOnce(CommitMark)>;

/// The connection, inside a transaction. Dropped without [`Turn::commit`], it rolls back.
pub(in crate::sqlite) struct Turn {
    /// `Some` until the turn ends.
    guard: Option<ArcMutexGuard<RawMutex, Option<Connection>>>,
    shared: Arc<Shared>,
    hooks: Vec<Hook>,
    taken: Instant,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("hooks", &self.hooks.len()).finish_non_exhaustive()
    }
}

impl Turn {
    pub(in crate::sqlite) fn begin(
        shared: Arc<Shared>,
        guard: ArcMutexGuard<RawMutex, Option<Connection>>,
    ) -> Result<Self, StoreError> {
        let turn = Self { guard: Some(guard), shared, hooks: Vec::new(), taken: Instant::now() };
        turn.run("BEGIN IMMEDIATE")?;
        Ok(turn)
    }

    /// The connection.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the store was closed meanwhile.
    pub(in crate::sqlite) fn connection(&self) -> Result<&Connection, StoreError> {
        self.guard
            .as_ref()
            .and_then(|guard| guard.as_ref())
            .ok_or_else(|| closed(&self.shared.place))
    }

    /// Runs a statement of the transaction itself.
    pub(in crate::sqlite) fn run(&self, sql: &str) -> Result<(), StoreError> {
        statement(self.connection()?, sql).map_err(|e| self.located(e))
    }

    /// Calls `hook` after the commit; never, when the transaction or the savepoint around it is rolled back.
    pub(in crate::sqlite) fn after_commit(&mut self, hook: Hook) {
        self.hooks.push(hook);
    }

    /// As [`Turn::after_commit`], before all others.
    pub(in crate::sqlite) fn first_after_commit(&mut self, hook: Hook) {
        self.hooks.insert(0, hook);
    }

    /// Number of hooks so far, to go back to with [`Turn::forget_hooks_after`].
    pub(in crate::sqlite) fn hooks(&self) -> usize {
        self.hooks.len()
    }

    /// Drops the hooks beyond the first `count`.
    pub(in crate::sqlite) fn forget_hooks_after(&mut self, count: usize) {
        self.hooks.truncate(count);
    }

    /// The same error with the file's name.
    pub(in crate::sqlite) fn located(&self, error: StoreError) -> StoreError {
        located(error, &self.shared.place)
    }

    /// Commits, runs the hooks and gives the connection on.
    ///
    /// # Errors
    /// Then nothing was kept.
    pub(in crate::sqlite) fn commit(mut self) -> Result<CommitMark, StoreError> {
        self.run("COMMIT")?;
        let mark = self.shared.durability.committed();
        for hook in std::mem::take(&mut self.hooks) {
            hook(mark);
        }
        Ok(mark)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(guard) = self.guard.take() else { return };
        if let Some(connection) = guard.as_ref() {
            roll_back(connection);
        }
        // Between operations whoever runs may take it; but the group writer is let in when it waits.
        if self.shared.group_waits() {
            ArcMutexGuard::unlock_fair(guard);
        } else {
            drop(guard);
        }
        let held_us = u64::try_from(self.taken.elapsed().as_micros()).unwrap_or(u64::MAX);
        let measured = &self.shared.measured;
        measured.operations.fetch_add(1, Ordering::Relaxed);
        measured.operation_hold_us.fetch_add(held_us, Ordering::Relaxed);
        measured.operation_hold_us_max.fetch_max(held_us, Ordering::Relaxed);
    }
}
