//! The embedded engine: one SQLite file in write-ahead mode.
//!
//! One write connection, handed over between the group writer and record operations (`writer`, `units`, `group`, `turn`); one
//! sync for all who wait (`sync`); checkpoints by a plan (`checkpoint`); a pool of readers (`readers`). Records:
//! transactions (`read_tx`, `write_tx`), rows (`rows`), tables and views after the dictionary (`ddl`).
//!
//! Events: rows in two places (`events`). Appends (`append`), completions (`completions`) and actions (`actions`) note
//! what they change in the queues (`effects`); these stand in memory (`claims`, `window`, `refill`; `turns`
//! where a queue keeps an order, which `order` stores). A small file tells
//! which events a crash befell (`handling`, `lapses`). What is random in the log is indexed behind (`log_index`,
//! `log_index_round`, `ranges`) and searched by `event_search`. `clock_back` follows a clock that was set back.
//!
//! Backups: `snapshot` copies a database that is in use, `database_file` looks at one that is not.
//! Copies of everything: `dump` reads, `load` writes.

mod actions;
mod answers;
mod append;
mod backlog;
mod checkpoint;
mod claim_state;
mod claims;
mod clock_back;
mod completions;
mod connection;
mod contract;
mod database_file;
mod ddl;
mod dump;
mod effects;
mod event_search;
mod event_store;
mod event_units;
mod events;
mod failure;
mod group;
mod handling;
mod lapses;
mod load;
mod lock;
mod log_index;
mod log_index_round;
mod marks;
mod move_kind;
mod order;
#[cfg(test)]
mod plans;
mod ranges;
mod read_tx;
mod readers;
mod refill;
mod row_cache;
mod rows;
mod runs;
mod snapshot;
mod store;
mod summary;
mod sync;
mod turn;
mod turn_claims;
mod turns;
mod unit;
mod units;
mod waited;
mod window;
mod write_tx;
mod writer;

pub use database_file::{DatabaseFile, FileError};
pub use load::SqliteLoader;
pub use lock::FolderLock;
pub use snapshot::snapshot;
pub use store::{SqliteOptions, SqliteStore};
