//! Firing: from a call to the event that is stored, with all that is kept beside it.

pub mod content;
mod log;
pub mod ordinals;
pub mod provision;
pub mod provisional;
mod request;
mod resolve;

pub use provisional::PROVISIONAL_MAX;
pub use request::{FireRequest, Resolved};
pub(crate) use resolve::empty;
pub use resolve::{
    MAX_DEPTH, REGISTRATION_INACTIVE, REQUIRE_REGISTRATION, UNKNOWN_QUEUES, chain, count_fired,
    key_prefix, resolve,
};
