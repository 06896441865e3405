//! What tests need of PostgreSQL: a server, and a database of their own on it.

mod cluster;
mod database;
mod proxy;
mod template;

pub use database::TestDatabase;
pub use proxy::{Cut, Proxy};
