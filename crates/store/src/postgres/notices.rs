//! Telling other programs on the database that events have come, and hearing it from them.
//!
//! Differs because SQLite has one program. On a connection of its own and coalesced: a notice inside the appending
//! transaction would make the commits of all programs wait for each other (measured: a quarter of the appends). A notice
//! that is lost costs a poll interval.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use campanile_model::Instant;
use parking_lot::{Condvar, Mutex};
use tokio_postgres::AsyncMessage;

use super::connection::{Connection, Listener};
use super::effects::Effects;
use super::store::Shared;
use super::text::{read, stored};
use crate::contract::{StoreError, WakeListener};

/// Name of the channel.
const CHANNEL: &str = "campanile_wake";

/// Longest notice that PostgreSQL carries, with room to spare.
const NOTICE_BYTES_MAX: usize = 7_000;

/// How often to look whether the connection still listens.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two tries to reach the server.
const REST: Duration = Duration::from_millis(500);

/// Who is told, here and elsewhere.
#[derive(Default)]
pub(super) struct Notices {
    listener: Mutex<Option<WakeListener>>,
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Queue → earliest due time that others have not been told.
    waiting: HashMap<Arc<str>, i64>,
    stopping: bool,
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notices").field("state", &*self.state.lock()).finish_non_exhaustive()
    }
}

impl Notices {
    /// Sets who is told in this program.
    pub(super) fn set_listener(&self, listener: WakeListener) {
        *self.listener.lock() = Some(listener);
    }

    /// Tells this program at once, and the others soon.
    pub(super) fn tell(&self, effects: &Effects) {
        if effects.wakes().is_empty() {
            return;
        }
        for (queue, due) in effects.wakes() {
            self.tell_here(queue, *due);
        }
        let mut state = self.state.lock();
        for (queue, due) in effects.wakes() {
            let earliest = state.waiting.entry(Arc::clone(queue)).or_insert(*due);
            *earliest = (*earliest).min(*due);
        }
        self.filled.notify_one();
    }

    fn tell_here(&self, queue: &str, due: i64) {
        let listener = self.listener.lock().clone();
        if let Some(listener) = listener {
            listener(queue, Instant::from_millis(due));
        }
    }

    /// A notice of another program: `<token> <due> <queue>`.
    fn heard(&self, own_token: i64, notice: &str) {
        let mut parts = notice.splitn(3, ' ');
        let number = |part: Option<&str>| part.and_then(|part| part.parse::<i64>().ok());
        let (Some(token), Some(due)) = (number(parts.next()), number(parts.next())) else {
            return;
        };
        if token != own_token {
            self.tell_here(&read(parts.next().unwrap_or_default()), due);
        }
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.filled.notify_all();
    }

    /// What others are to be told, nothing after a while; `None` when the thread is to end.
    fn next(&self) -> Option<Vec<(Arc<str>, i64)>> {
        let mut state = self.state.lock();
        if state.waiting.is_empty() && !state.stopping {
            self.filled.wait_for(&mut state, LOOK_EVERY);
        }
        (!state.stopping).then(|| state.waiting.drain().collect())
    }

    fn rest(&self) {
        let mut state = self.state.lock();
        if !state.stopping {
            self.filled.wait_for(&mut state, REST);
        }
    }
}

/// Listens and tells until the store is closed.
pub(super) fn run(shared: &Arc<Shared>, first: Connection) {
    let mut connection = Some(first);
    while let Some(notices) = shared.notices.next() {
        if connection.as_ref().is_none_or(Connection::is_closed) {
            connection = match open(shared) {
                Ok(connection) => Some(connection),
                Err(error) => {
                    tracing::debug!(%error, "other programs cannot be told of new events; they poll");
                    shared.notices.rest();
                    None
                }
            };
        }
        if notices.is_empty() {
            continue;
        }
        let told = connection.as_ref().map(|open| tell(open, shared.node.token(), &notices));
        if let Some(Err(error)) = told {
            tracing::debug!(%error, "other programs were not told of new events; they poll");
            connection = None;
        }
    }
}

/// A connection that listens.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub(super) fn open(shared: &Arc<Shared>) -> Result<Connection, StoreError> {
    let weak = Arc::downgrade(shared);
    let listener: Listener = Arc::new(move |message| {
        if let (AsyncMessage::Notification(notice), Some(shared)) = (message, weak.upgrade()) {
            shared.notices.heard(shared.node.token(), notice.payload());
        }
    });
    let connection = shared.open(Some(listener))?;
    connection.batch(&format!("LISTEN {CHANNEL}"))?;
    Ok(connection)
}

fn tell(
    connection: &Connection,
    token: i64,
    notices: &[(Arc<str>, i64)],
) -> Result<(), tokio_postgres::Error> {
    let texts: Vec<String> = notices
        .iter()
        .map(|(queue, due)| format!("{token} {due} {}", stored(queue)))
        .filter(|text| text.len() <= NOTICE_BYTES_MAX)
        .collect();
    connection.query(
        "SELECT pg_notify($1, notice)::text FROM unnest($2::text[]) AS new (notice)",
        &[&CHANNEL, &texts],
    )?;
    Ok(())
}
