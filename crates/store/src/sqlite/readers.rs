//! The pool of read connections.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::claims::Claims;
use super::connection::{Role, open};
use super::events::show_claims;
use super::failure::{closed, located};
use crate::contract::StoreError;

/// Connections that are kept open when nobody reads; more are opened when needed, and closed afterwards, so that a
/// reader never waits for another.
const KEPT_MAX: usize = 8;

/// Opens connections as they are needed and keeps some.
#[derive(Debug)]
pub(in crate::sqlite) struct Readers {
    file: PathBuf,
    /// Every connection shows claimed events as queued.
    claims: Arc<Claims>,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    connections: Vec<Connection>,
    closed: bool,
}

impl Readers {
    pub(in crate::sqlite) fn new(file: PathBuf, claims: Arc<Claims>) -> Self {
        Self { file, claims, idle: Mutex::new(Idle::default()) }
    }

    /// A connection outside a transaction. Give it back with [`Readers::give_back`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the store is closed or the file cannot be opened.
    pub(in crate::sqlite) fn take(&self) -> Result<Connection, StoreError> {
        {
            let mut idle = self.idle.lock();
            if idle.closed {
                return Err(closed(&self.file));
            }
            if let Some(connection) = idle.connections.pop() {
                return Ok(connection);
            }
        }
        let connection =
            open(&self.file, Role::Reader).map_err(|e| located(e.into(), &self.file))?;
        show_claims(&connection, &self.claims).map_err(|e| located(e, &self.file))?;
        Ok(connection)
    }

    /// Ends what the connection was doing and keeps it, or closes it when there are enough.
    pub(in crate::sqlite) fn give_back(&self, connection: Connection) {
        super::group::roll_back(&connection);
        let mut idle = self.idle.lock();
        if !idle.closed && idle.connections.len() < KEPT_MAX && connection.is_autocommit() {
            idle.connections.push(connection);
        }
    }

    /// Closes the idle connections; those in use close when they come back.
    pub(in crate::sqlite) fn close(&self) {
        let connections = {
            let mut idle = self.idle.lock();
            idle.closed = true;
            std::mem::take(&mut idle.connections)
        };
        drop(connections);
    }
}
