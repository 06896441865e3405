//! What tests need: an event; of PostgreSQL a server, and a database of their own on it.

mod cluster;
mod database;
mod events;
mod own_server;
mod pgbouncer;
mod programs;
mod proxy;
mod template;

pub use database::{Stranger, TestDatabase};
pub use events::{NOW, event};
pub use own_server::TestServer;
pub use pgbouncer::PgBouncer;
pub use proxy::{Cut, Proxy};
