//! A small host with tables in memory: enough of the records service to see that scripts reach it rightly.

mod fixture;
mod host;
mod query;
mod record;
mod tables;

pub(crate) use fixture::{Fixture, ids};
pub(crate) use host::Fired;
