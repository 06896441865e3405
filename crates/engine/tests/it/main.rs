//! The engine through its public face, on a real database in a folder of its own.

mod bootstrap;
mod dictionary;
mod display;
mod gate;
mod house;
mod numbers;
mod syslog;
mod users;
