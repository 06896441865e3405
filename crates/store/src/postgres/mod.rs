//! The shared engine: a PostgreSQL database that many programs work on.
//!
//! Connections (`url`, `address`, `tls`, `connecting`, `connection`, `statements`, `pool`) are asynchronous underneath; whoever asks waits, and
//! carries the bytes meanwhile (`wire`). What stands between, and what the server is, is found out at the opening (`behind_pool`, `server`). Texts and numbers go in
//! and out through `text` and `params`. Records: transactions
//! (`read_tx`, `write_tx`; `fate` finds out what became of a commit that was not answered), rows (`rows`, `row_reads`, `ahead`), answers under
//! keys (`answers`), tables and views after the dictionary (`ddl`).
//!
//! Events: rows in two places (`events`). All appends that wait (`line`) are one transaction (`writer`, `own_row`, `plain`, `append`, `insert`,
//! `group_fate`), and so are completions and runs (`completer`, `pending`, `completions`, `runs`), all planned by their
//! indexes (`plans`). Claims are rows (`claims`, `held`, `stale`, `floors`, `holders`, `let_go`, `unanswered`), and what has a processor that comes to it is born as one
//! (`births`, `doubts`); which of them a processor gets, `handing_out` says; they stand on the lease of their program (`nodes`, `beat`), and when it
//! lapses others take over (`lapses`).
//! Time is the database's (`time`). What follows a commit (`effects`) is told to this program and to the others (`notices`).
//!
//! What others do to the database (`old_snapshots`) is told, and so are numbers (`gauges`) and what waits for a decision (`left_behind`).
//! Distributed mode (`distributed`) has its own statements for rows of events; where the two part, the ordinary file asks for it.
//!
//! Copies of everything: `dump` reads, `load` writes.

mod actions;
mod address;
#[cfg(feature = "testing")]
mod admin;
mod ahead;
mod answers;
mod append;
mod backlog;
mod beat;
mod behind_pool;
mod births;
mod budget;
mod claims;
mod completer;
mod completions;
mod connecting;
mod connection;
mod contract;
mod ddl;
mod distributed;
mod doubts;
mod dump;
mod effects;
mod event_store;
mod events;
mod failure;
mod fate;
mod floors;
mod gauges;
mod group_fate;
mod handing_out;
mod held;
mod holders;
mod insert;
mod lapses;
mod left_behind;
mod let_go;
mod line;
mod load;
mod marks;
mod move_kind;
mod nodes;
mod notices;
mod old_snapshots;
mod options;
mod order;
mod own_row;
mod params;
mod pending;
mod plain;
mod plans;
mod polls;
mod pool;
mod read_tx;
mod row_reads;
mod rows;
mod runs;
mod server;
mod stale;
mod statements;
mod store;
mod summary;
mod text;
mod time;
mod tls;
mod turns;
mod unanswered;
mod url;
mod wire;
mod write_tx;
mod writer;

#[cfg(feature = "testing")]
pub(crate) use admin::{Admin, reaches, schema_hash};
pub use distributed::setup::PARTITIONS;
pub use load::PostgresLoader;
pub use options::{Connections, Lease, PostgresOptions, StatementNames};
pub use store::PostgresStore;
pub use url::DatabaseUrl;
