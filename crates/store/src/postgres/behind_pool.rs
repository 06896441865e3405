//! The way to the database, found out at the opening: straight, or through a pool that gives each transaction another
//! connection (PgBouncer in transaction mode), which may or may not know statements by their names.
//!
//! Nothing that outlives a transaction is promised behind such a pool: no `LISTEN`, no settings and no locks of a session.
//! It does not say that it is one; but two connections at once turn out to have one process of the server between them.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use tokio_postgres::Error;

use super::address::Address;
use super::connection::Connection;
use super::failure::{NAME_IN_USE, UNKNOWN_NAME, located};
use super::options::{Connections, StatementNames};
use super::url::DatabaseUrl;
use crate::contract::StoreError;

/// How often two connections are compared. A pool that others use may give them different processes each time: of looks
/// behind a busy one two in five were like that, so all of three in one start of sixteen. A straight way takes them all.
const LOOKS: usize = 16;

/// Begins a transaction that keeps one connection of the pool busy, and tells its process. The server ends it when the pool
/// has no second one to go on with.
const BUSY: &str =
    "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '5s'; SELECT pg_backend_pid()";

/// The process of the server that answers.
const PROCESS: &str = "SELECT pg_backend_pid()";

/// The same for two connections that lead to one database of one server.
const DATABASE: &str = "SELECT concat_ws(' ', oid, datname, pg_postmaster_start_time()) FROM pg_database \
     WHERE datname = current_database()";

/// A way to a database, with the first two connections on it.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) address: Arc<Address>,
    /// Past a pool, if one is named.
    pub(super) direct: Option<Arc<Address>>,
    /// Whether a pool gives each transaction another connection.
    pub(super) is_shared: bool,
    pub(super) connections: (Connection, Connection),
}

impl Way {
    /// Connects to `url` and looks what stands between.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the reason: what is wrong in a URL, what the server said, or that the second way
    /// leads elsewhere.
    pub(super) fn find(url: &DatabaseUrl, options: &Connections) -> Result<Self, StoreError> {
        let address = Address::parse(url)?;
        let at_place = |error: Error| located(error.into(), address.place());
        let mut connections = (Connection::open(&address)?, Connection::open(&address)?);
        let (first, second) = &connections;
        let is_shared = is_shared(first, second).map_err(at_place)?;
        let has_names = match options.statement_names {
            StatementNames::Always => true,
            StatementNames::Never => false,
            StatementNames::WherePossible if !is_shared => true,
            StatementNames::WherePossible => knows_names(first, second).map_err(at_place)?,
        };
        let place = address.place().to_owned();
        let address = if has_names { address } else { address.without_names() };
        if is_shared {
            // What was tried out stays with these.
            connections = (Connection::open(&address)?, Connection::open(&address)?);
            tracing::info!(place, has_names, "a pool stands before the database");
        }
        let direct = options
            .direct_url
            .as_ref()
            .map(|url| direct(url, &connections.0, &address))
            .transpose()?;
        Ok(Self { address: Arc::new(address), direct, is_shared, connections })
    }

    /// The way on which the server says by itself what others did; `None` where it has to be asked.
    pub(super) fn of_notices(&self) -> Option<&Arc<Address>> {
        self.direct.as_ref().or((!self.is_shared).then_some(&self.address))
    }
}

/// The second way, which has to lead to the same database as `connection`.
fn direct(
    url: &DatabaseUrl,
    connection: &Connection,
    address: &Address,
) -> Result<Arc<Address>, StoreError> {
    let direct = Address::parse(url).map_err(of_direct_url)?;
    let there = Connection::open(&direct).map_err(of_direct_url)?;
    let told = |connection: &Connection| connection.batch_row(DATABASE);
    let here = told(connection).map_err(|error| located(error.into(), address.place()))?;
    let at_direct = |error: Error| of_direct_url(located(error.into(), direct.place()));
    if told(&there).map_err(at_direct)? != here {
        return Err(StoreError::Unavailable {
            place: direct.place().to_owned(),
            reason: format!(
                "postgres.direct_url has to lead to the same database as {}",
                address.place()
            ),
        });
    }
    Ok(Arc::new(direct))
}

/// The error of the second way says that it is that one's.
fn of_direct_url(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable { place, reason } => {
            StoreError::Unavailable { place, reason: format!("postgres.direct_url: {reason}") }
        }
        other => other,
    }
}

/// Whether two connections that are open at once have one process of the server between them, or one has several.
fn is_shared(first: &Connection, second: &Connection) -> Result<bool, Error> {
    for _ in 0..LOOKS {
        let process = first.batch_row(PROCESS)?;
        let other = second.batch_row(BUSY)?;
        second.batch("ROLLBACK")?;
        if process == other || first.batch_row(PROCESS)? != process {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the pool gives a statement to whichever process knows it, or teaches it.
fn knows_names(first: &Connection, second: &Connection) -> Result<bool, Error> {
    // Another program that looks at the same time gives its statement the same name: that it is there is no proof.
    let own = format!("{:x}", RandomState::new().build_hasher().finish());
    let question = format!("SELECT '{own}'::text");
    let by_name = || -> Result<bool, Error> {
        let told = first.query_first(&question, &[])?;
        // What somebody else asked under the name may be of any kind.
        let told: Option<String> = told.and_then(|row| row.try_get(0).ok());
        Ok(told.as_ref() == Some(&own))
    };
    let tried = || -> Result<bool, Error> {
        let mut is_own = by_name()?;
        for _ in 0..LOOKS {
            // The process that has just answered is busy now: another one has to.
            second.batch(BUSY)?;
            is_own &= by_name()?;
            second.batch("ROLLBACK")?;
        }
        Ok(is_own)
    };
    match tried() {
        Err(error) if is_of_others(&error) => Ok(false),
        told => told,
    }
}

/// Whether there is no such statement, or one of somebody else under the name, perhaps one that takes values.
fn is_of_others(error: &Error) -> bool {
    error.as_db_error().is_some_and(|told| match told.code().code() {
        UNKNOWN_NAME | NAME_IN_USE => true,
        "08P01" => told.routine() == Some("exec_bind_message"),
        _ => false,
    })
}
