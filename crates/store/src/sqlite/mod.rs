//! The embedded engine: one SQLite file in write-ahead mode.
//!
//! One write connection, handed over between the group writer and record operations (`writer`, `group`, `turn`); one
//! sync for all who wait (`sync`); checkpoints by a plan (`checkpoint`); a pool of readers (`readers`).
//!
//! Events: rows in two places (`events`). Appends (`append`), completions (`completions`) and actions (`actions`) note
//! what they change in the queues (`effects`); these stand in memory (`claims`, `window`, `refill`). A small file tells
//! which events a crash befell (`handling`, `lapses`).

mod actions;
mod append;
mod backlog;
mod checkpoint;
mod claims;
mod completions;
mod connection;
mod effects;
mod event_store;
mod events;
mod failure;
mod group;
mod handling;
mod lapses;
mod lock;
mod readers;
mod refill;
mod runs;
mod store;
mod sync;
mod turn;
mod window;
mod writer;

pub use store::{SqliteOptions, SqliteStore};
