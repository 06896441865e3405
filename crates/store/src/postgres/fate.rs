//! What became of a transaction whose commit was not answered: asked for, never guessed.
//!
//! Differs because the answer can be lost on its way. PostgreSQL keeps the end of every transaction under its number, also
//! across a crash. One that still runs, because the server has not noticed that its connection is gone, is ended: then it
//! has an end too.

use std::time::{Duration, Instant};

use super::connection::Connection;
use super::store::Shared;
use super::turns::{self, Arriving};
use crate::contract::StoreError;

/// How long to look, before the caller is told that nobody knows.
const RESOLVE_MAX: Duration = Duration::from_secs(10);
/// How long a transaction may go on by itself after its connection was lost.
pub(super) const HANGS: Duration = Duration::from_secs(2);
/// Between two looks.
const REST: Duration = Duration::from_millis(50);

/// The number of a transaction, and who runs it.
#[derive(Debug, Clone, Default)]
pub(super) struct Mark {
    xid: String,
    backend: i32,
}

impl Mark {
    /// Gives the columns of [`Mark::read`], inside the transaction.
    pub(super) const SELECT: &str = "SELECT pg_current_xact_id()::text, pg_backend_pid()::text";

    /// How many columns that are.
    pub(super) const COLUMNS: usize = 2;

    /// The mark as the server told it.
    ///
    /// # Errors
    /// [`StoreError::Statement`] when it told something else.
    pub(super) fn read(columns: &[String]) -> Result<Self, StoreError> {
        let read = |columns: &[String]| {
            let [xid, backend] = columns else { return None };
            Some(Self { xid: xid.clone(), backend: backend.parse().ok()? })
        };
        read(columns).ok_or_else(|| StoreError::Statement {
            reason: format!("a transaction has the number {columns:?}"),
        })
    }
}

/// Commits the transaction with this mark, in which these events arrive in queues that keep an order. What is told is what happened, also when the answer was lost.
///
/// # Errors
/// What PostgreSQL said: nothing was kept. [`StoreError::OutcomeUnknown`].
pub(super) fn commit(
    connection: &Connection,
    mark: &Mark,
    shared: &Shared,
    arriving: &[Arriving],
) -> Result<(), StoreError> {
    // COMMIT of a transaction that has failed answers ROLLBACK, and no error.
    let commit = format!("SELECT 1; {}", turns::commit_of(connection, arriving)?);
    let Err(error) = connection.batch(&commit) else { return Ok(()) };
    if !connection.is_closed() {
        return Err(error.into());
    }
    // The answer was lost, not necessarily the commit.
    match of(mark, || shared.open()) {
        Fate::Committed => Ok(()),
        Fate::RolledBack => Err(error.into()),
        Fate::Unknown => Err(shared.outcome_unknown()),
    }
}

/// How a transaction has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// All of it is there.
    Committed,
    /// Nothing of it is there, nor will be.
    RolledBack,
    /// The server could not be asked in time, or does not know it.
    Unknown,
}

/// How the transaction has ended, asked on connections that `open` makes.
fn of(mark: &Mark, open: impl Fn() -> Result<Connection, StoreError>) -> Fate {
    let began = Instant::now();
    let mut kept = None;
    loop {
        let connection = kept.take().filter(|kept: &Connection| !kept.is_closed());
        let asked = connection.map_or_else(&open, Ok).and_then(|connection| {
            let fate = ask(&connection, mark, began.elapsed() >= HANGS);
            kept = Some(connection);
            fate
        });
        match asked {
            Ok(Some(fate)) => return fate,
            Ok(None) => {}
            // It knows no such transaction: another server, or one that has lost some of what it had.
            Err(StoreError::Statement { reason }) => {
                tracing::error!(reason, "what became of a commit cannot be told");
                return Fate::Unknown;
            }
            Err(error) => tracing::warn!(%error, "what became of a commit is not known yet"),
        }
        if began.elapsed() >= RESOLVE_MAX {
            return Fate::Unknown;
        }
        std::thread::sleep(REST);
    }
}

/// `None` while it runs.
fn ask(connection: &Connection, mark: &Mark, may_end_it: bool) -> Result<Option<Fate>, StoreError> {
    let row = connection.query_first("SELECT pg_xact_status($1::text::xid8)", &[&mark.xid])?;
    let status: Option<String> = row.map(|row| row.try_get(0)).transpose()?.flatten();
    match status.as_deref() {
        Some("committed") => Ok(Some(Fate::Committed)),
        Some("aborted") => Ok(Some(Fate::RolledBack)),
        Some(_runs) => {
            if may_end_it {
                // By its number too: the process may have gone, and another one have its own.
                connection.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE pid = $1 AND backend_xid = $2::text::xid8::xid",
                    &[&mark.backend, &mark.xid],
                )?;
            }
            Ok(None)
        }
        // Too old to be known: not one that was asked for a moment ago.
        None => Ok(Some(Fate::Unknown)),
    }
}
