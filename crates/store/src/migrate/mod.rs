//! Versioned changes of the base schema, run at start. Both engines have the same numbers and names.
//!
//! A database tells with each migration whether programs that do not know it go on (`compatible`), so that servers can be
//! replaced one by one.

mod compatible;
mod list;
mod postgres;
mod sqlite;

pub(crate) use compatible::expect_all_known;
#[cfg(feature = "testing")]
pub(crate) use list::POSTGRES;
pub(crate) use postgres::{Database, migrate_postgres, newest_postgres};
pub(crate) use sqlite::{migrate_sqlite, newest_sqlite, schema_of};
