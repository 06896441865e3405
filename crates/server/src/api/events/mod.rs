//! The events API (rest-api §17): fire, read, act, explain. JSON with real types; strict bodies.

mod act;
mod batch;
mod batch_result;
pub(crate) mod body;
mod fire;
mod object;
mod read;
pub(crate) mod wait;

pub(crate) use act::{cancel, move_kind, move_one, reprocess, reschedule, run_now};
pub(crate) use batch::batch;
pub(crate) use fire::fire;
pub(crate) use read::{explain, get, list};
