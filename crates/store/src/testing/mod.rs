//! What tests need of PostgreSQL: a server, and a database of their own on it.

mod cluster;
mod database;

pub use database::TestDatabase;
