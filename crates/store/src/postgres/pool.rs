//! A pool of connections with a limit that has a name.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::address::Address;
use super::connection::Connection;
use super::failure::closed;
use super::plans::PLANNED_ONCE;
use super::wire::aside;
use crate::contract::StoreError;

/// Connections that are opened as they are needed, up to a limit, and kept.
#[derive(Debug)]
pub(super) struct Pool {
    address: Arc<Address>,
    connections_max: usize,
    /// How long to wait for one.
    patience: Duration,
    session: Session,
    state: Mutex<State>,
    /// One came back, or the pool was closed.
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Connection>,
    /// Idle, lent or being opened.
    open: usize,
    closed: bool,
}

/// How a pool is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolLimits {
    pub(super) connections_max: usize,
    pub(super) patience: Duration,
    pub(super) session: Session,
}

/// What is said once on each connection, and holds for whatever is asked outside of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    /// Nothing: another's transaction may come next on it, behind a pool. Only claims are bounded.
    Shared,
    /// It waits no longer for a lock than for a connection.
    Bounded,
    /// Its statements are planned by indexes, each once for all values, and bounded.
    ByIndex,
}

impl Pool {
    pub(super) fn new(address: &Arc<Address>, limits: PoolLimits) -> Arc<Self> {
        Arc::new(Self {
            address: Arc::clone(address),
            connections_max: limits.connections_max.max(1),
            patience: limits.patience,
            session: limits.session,
            state: Mutex::default(),
            freed: Condvar::new(),
        })
    }

    /// A connection outside a transaction; it goes back when it is dropped.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when none is free in time; [`StoreError::Unavailable`] when the pool is closed or the
    /// server does not answer.
    pub(super) fn take(self: &Arc<Self>) -> Result<Lent, StoreError> {
        let asked = Instant::now();
        {
            let mut state = self.state.lock();
            loop {
                if state.closed {
                    return Err(closed(self.address.place()));
                }
                match state.idle.pop() {
                    // One that the server has ended meanwhile.
                    Some(connection) if connection.is_closed() => state.open -= 1,
                    Some(connection) => return Ok(self.lend(connection)),
                    None if state.open < self.connections_max => {
                        state.open += 1;
                        break;
                    }
                    None => {
                        let waited = asked.elapsed();
                        let Some(left) = self.patience.checked_sub(waited) else {
                            let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                            return Err(StoreError::Busy { waited_ms });
                        };
                        aside(|| self.freed.wait_for(&mut state, left));
                    }
                }
            }
        }
        self.open().map(|connection| self.lend(connection)).inspect_err(|_| self.lost())
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let connection = Connection::open(&self.address)?;
        match self.session {
            Session::Shared => connection.bound_each(self.patience),
            Session::Bounded => connection.bound(self.patience)?,
            Session::ByIndex => {
                connection.settle()?;
                connection.batch(PLANNED_ONCE)?;
            }
        }
        Ok(connection)
    }

    /// Connections that are open, and those of them that nobody uses.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.open, state.idle.len())
    }

    /// Closes the idle connections; those in use close when they come back.
    pub(super) fn close(&self) {
        let idle = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.idle)
        };
        self.freed.notify_all();
        drop(idle);
    }

    fn lend(self: &Arc<Self>, connection: Connection) -> Lent {
        Lent { pool: Arc::clone(self), connection: Some(connection), is_usable: true }
    }

    fn lost(&self) {
        self.state.lock().open -= 1;
        self.freed.notify_one();
    }
}

/// A connection that belongs to a pool.
#[derive(Debug)]
pub(super) struct Lent {
    pool: Arc<Pool>,
    /// `Some` until it is dropped.
    connection: Option<Connection>,
    is_usable: bool,
}

impl Lent {
    /// Never to be used again: its transaction may still be open.
    pub(super) fn spoil(&mut self) {
        self.is_usable = false;
    }
}

impl Deref for Lent {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a lent connection is there until it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        {
            let mut state = self.pool.state.lock();
            if self.is_usable && !state.closed && !connection.is_closed() {
                state.idle.push(connection);
            } else {
                state.open -= 1;
            }
        }
        self.pool.freed.notify_one();
    }
}
