//! The embedded engine: one SQLite file in write-ahead mode.
//!
//! One write connection, handed over between the group writer and record operations (`writer`, `group`, `turn`); one
//! sync for all who wait (`sync`); checkpoints by a plan (`checkpoint`); a pool of readers (`readers`).

mod checkpoint;
mod connection;
mod failure;
mod group;
mod lock;
mod readers;
mod store;
mod sync;
mod turn;
mod writer;

pub use store::{SqliteOptions, SqliteStore};
