//! What tests need of PostgreSQL: a server, and a database of their own on it.

mod cluster;
mod database;
mod own_server;
mod pgbouncer;
mod programs;
mod proxy;
mod template;

pub use database::{Stranger, TestDatabase};
pub use own_server::TestServer;
pub use pgbouncer::PgBouncer;
pub use proxy::{Cut, Proxy};
