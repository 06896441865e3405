//! A small host with tables in memory: enough of the records service to see that scripts reach it rightly.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod fixture;
mod host;
mod query;
mod record;
mod record_host;
mod tables;

pub(crate) use fixture::{Fixture, ids};
pub(crate) use host::Fired;
