//! PostgreSQL's errors in the words of the contract.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::tls;
use crate::contract::StoreError;

/// Stands for the address until [`located`] knows it.
pub(super) const SOMEWHERE: &str = "the database";

/// A lock was not to be had in time.
const LOCK_TIMEOUT: &str = "55P03";

/// Two transactions waited for each other; this one was ended.
const DEADLOCK: &str = "40P01";

/// A prepared statement that this connection of the server does not have, or has for somebody else.
pub(super) const UNKNOWN_NAME: &str = "26000";
pub(super) const NAME_IN_USE: &str = "42P05";

/// What `campanile_claim` raises when the node's lease has lapsed.
const LEASE_LAPSED: &str = "CP001";

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let unavailable = |reason| Self::Unavailable { place: SOMEWHERE.to_owned(), reason };
        let Some(code) = error.code() else {
            // No answer of the server: the connection is gone, or could not be made.
            let words = words(&error);
            // The client's words; it tells this in no other way.
            let fix = if words.contains("password missing") {
                "the server asks for one: give it in the URL, as user:password@host"
            } else if words.contains("does not allow writes") {
                "name the primary server"
            } else {
                tls::fix(&error).unwrap_or("check host and port, and that the server runs")
            };
            return unavailable(format!("{words}: {fix}"));
        };
        match code.code() {
            // Out of disk. (Out of memory and out of connections pass by themselves.)
            "53100" => Self::Full { place: SOMEWHERE.to_owned() },
            // Serialization failure, deadlock, lock timeout, statement timeout: the next try may do better.
            code @ ("40001" | DEADLOCK | LOCK_TIMEOUT | "57014") => {
                Self::HeldUp { place: SOMEWHERE.to_owned(), reason: with_fix(code, words(&error)) }
            }
            // Wrong password, no such database or role, missing rights, a read-only replica, limits, shutting down, a transaction
            // that said nothing for too long.
            code if ["08", "28", "3D", "53", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class))
                || ["42501", "25006", "25P03", "XX001", "XX002"].contains(&code) =>
            {
                unavailable(with_fix(code, words(&error)))
            }
            code => Self::Statement { reason: with_fix(code, words(&error)) },
        }
    }
}

/// The server's words and what is to be done about them, as far as the code tells.
fn with_fix(code: &str, words: String) -> String {
    let fix = match code {
        // Of the server: it has no rule for this user, database, address and way.
        "28000" if words.contains("no encryption") => {
            "let the server take connections without TLS (pg_hba.conf), or take sslmode=disable out of the URL (to a local host: say sslmode=require)"
        }
        "28P01" | "28000" => "check user and password in the URL, and the server's pg_hba.conf",
        "3D000" => "make it with CREATE DATABASE, or correct its name in the URL",
        "42501" if words.contains("for database") => {
            "GRANT CONNECT ON DATABASE to the user of the URL"
        }
        "42501" if !words.contains("for schema") => {
            "use the user who made the tables, or make the one of the URL their owner"
        }
        "42501" => "give the user of the URL the rights CREATE and USAGE on the schema public",
        // Of PgBouncer, which gives no better code.
        "08P01" if words.contains("startup parameter") => {
            "take it out of the URL, or name it in ignore_startup_parameters of PgBouncer"
        }
        "08P01" if words.contains("query_wait_timeout") => {
            "give the pool more connections (default_pool_size of PgBouncer; 'campanile doctor' says how many)"
        }
        "08P01" if words.contains("statement pooling") => {
            "set pool_mode = transaction (or session) in PgBouncer"
        }
        "25006" => {
            "name the primary server; if it is that, take default_transaction_read_only = on off the role, the database or the server"
        }
        // Of a pool that gives each transaction another connection.
        UNKNOWN_NAME | NAME_IN_USE => {
            "a pool stands between that does not know statements by their names: set postgres.prepared_statements = \"never\" and \
             pool_mode = transaction, or max_prepared_statements in PgBouncer (1.21 or newer)"
        }
        LOCK_TIMEOUT => {
            "end whoever holds the lock ('campanile doctor' names old transactions, pg_blocking_pids() the holder)"
        }
        "57014" => "raise statement_timeout of the role or database, or see who cancelled it",
        "40001" | DEADLOCK => "try again",
        "53300" => {
            "raise max_connections of the server (or CONNECTION LIMIT of role or database), or end what else uses it"
        }
        _ => return words,
    };
    format!("{words}: {fix}")
}

/// The server's own words, else the client's with their cause.
fn words(error: &Error) -> String {
    if let Some(told) = error.as_db_error() {
        return match told.detail() {
            Some(detail) => format!("{} ({detail})", told.message()),
            None => told.message().to_owned(),
        };
    }
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The same error with the address, where only "the database" was known.
pub(super) fn located(error: StoreError, place: &str) -> StoreError {
    match error {
        StoreError::Full { place: unknown } if unknown == SOMEWHERE => {
            StoreError::Full { place: place.to_owned() }
        }
        StoreError::Unavailable { place: unknown, reason } if unknown == SOMEWHERE => {
            StoreError::Unavailable { place: place.to_owned(), reason }
        }
        StoreError::HeldUp { place: unknown, reason } if unknown == SOMEWHERE => {
            StoreError::HeldUp { place: place.to_owned(), reason }
        }
        other => other,
    }
}

/// What a handler is told whose event is another program's by now.
pub(super) fn taken_for_dead() -> StoreError {
    StoreError::Unavailable {
        place: SOMEWHERE.to_owned(),
        reason: "this node was taken for dead, and what it was handling is another's now"
            .to_owned(),
    }
}

/// What later calls are told after [`crate::contract::Store::close`].
pub(super) fn closed(place: &str) -> StoreError {
    StoreError::Unavailable { place: place.to_owned(), reason: "the store was closed".to_owned() }
}

/// The constraint or index that a value broke, if that is what happened.
pub(super) fn broken_uniqueness(error: &Error) -> Option<&str> {
    let told = error.as_db_error()?;
    (*told.code() == SqlState::UNIQUE_VIOLATION).then(|| told.constraint()).flatten()
}

/// Whether the claim was refused because this node counts as dead.
pub(super) fn is_lease_lapsed(error: &Error) -> bool {
    error.code().is_some_and(|code| code.code() == LEASE_LAPSED)
}

/// Whether somebody else held a lock for too long.
pub(super) fn is_lock_timeout(error: &Error) -> bool {
    error.code().is_some_and(|code| code.code() == LOCK_TIMEOUT)
}

/// Whether the server ended the transaction because it and another waited for each other.
pub(super) fn is_deadlock(error: &Error) -> bool {
    error.code().is_some_and(|code| code.code() == DEADLOCK)
}
