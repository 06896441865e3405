//! Versioned changes of the base schema, run at start. Both engines have the same numbers and names.

mod list;
mod sqlite;

pub(crate) use sqlite::{migrate_sqlite, newest_sqlite};
