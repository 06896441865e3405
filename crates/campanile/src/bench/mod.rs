//! `campanile bench`: measures this machine with the product as it is, and sets each figure beside its target and,
//! where one can run in the same minutes, beside a limit: raw inserts, a request that does nothing.
//!
//! One file a measurement. Each makes a data folder of its own, so that none sees what another left.

mod context;
mod figure;
mod filled;
mod house;
mod load;
mod machine;
mod measurements;
mod raw_inserts;
mod report;
mod runner;
mod served;
mod spread;
mod took;

mod append;
mod claims;
mod drain;
mod fire;
mod latency;
mod memory;
mod postgres;
mod scripts;
mod slow_rule;
mod start;
mod updates;

pub(crate) use runner::{Wanted, run};
