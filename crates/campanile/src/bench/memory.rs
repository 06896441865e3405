//! Resident memory of a server of its own: idle, and with a million events waiting.

use super::context::Context;
use super::figure::{Figure, Unit};
use super::fire::batch_of;
use super::house::{BATCH, House};
use super::load::{Load, Request};
use super::start::Child;
use crate::output::Failure;

const WAITING: usize = 1_000_000;

pub(super) fn measure(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    let folder = House::make(context, "memory")?.stop()?;
    let (child, _) = Child::serve(&folder)?;
    let load = Load::new(child.address);
    load.closed_loop(4, 100, |_| Request::get("/healthz"))?;
    let idle = child.resident_mb()?;
    context.say("firing a million events that wait");
    load.closed_loop(4, WAITING / BATCH, |n| batch_of("bench.waits", n))?;
    let waiting = child.resident_mb()?;
    child.kill()?;
    super::context::remove(&folder)?;
    Ok(vec![
        Figure::new("memory, idle", idle, Unit::Megabytes).target(50.0, 30.0),
        Figure::new("memory, 1,000,000 events queued", waiting, Unit::Megabytes)
            .target(150.0, 80.0),
    ])
}
