//! What the product does: one folder a subject.
//!
//! `records` and `events` are the ground; `queues` and `handlers` stand on them; `packs` applies configuration.
//! HTTP and the command line call the `service` of a subject; nothing else reaches the store.

pub mod backup;
pub mod copy;
pub mod data_folder;
pub mod engine;
pub mod error;
pub mod events;
mod half_file;
pub mod handlers;
pub mod opening;
pub mod packs;
pub mod queues;
pub mod records;
pub mod session;
pub mod spent;
pub mod status;
pub mod worker;

pub use engine::{Engine, EngineConfig};
pub use error::EngineError;
pub use half_file::Existing;
pub use opening::{InitOptions, Initialised};
pub use session::{Cause, Channel, Session, User};
