//! The engine through its public face, on a real database in a folder of its own.

#![expect(clippy::unwrap_used, reason = "a test that meets an error it does not expect has failed")]

mod bootstrap;
mod definitions;
mod dictionary;
mod display;
mod gate;
mod house;
mod numbers;
mod syslog;
mod users;
