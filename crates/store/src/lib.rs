//! Where everything is kept. One trait, [`Store`]; SQLite and PostgreSQL behind it.
//!
//! Knows tables, bound queries and events; knows nothing of rules, scripts or rights.

pub mod contract;
mod migrate;
mod postgres;
mod sql;
mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;

pub use contract::*;
pub use postgres::{
    Connections, DatabaseUrl, Lease, PARTITIONS, PostgresLoader, PostgresOptions, PostgresStore,
    StatementNames,
};
pub use sql::dump::dump_tables;
pub use sqlite::{
    DatabaseFile, FileError, FolderLock, SqliteLoader, SqliteOptions, SqliteStore, snapshot,
};
