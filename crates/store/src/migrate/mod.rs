//! Versioned changes of the base schema, run at start. Both engines have the same numbers and names.

mod list;
mod postgres;
mod sqlite;

#[cfg(feature = "testing")]
pub(crate) use list::POSTGRES;
pub(crate) use postgres::{Database, migrate_postgres, newest_postgres};
pub(crate) use sqlite::{migrate_sqlite, newest_sqlite};
