//! Events fired to done: a backlog, and a stream that is handled while it comes.

use super::context::Context;
use super::figure::Figure;
use super::fire::handled;
use super::house::{BATCH, House};
use super::load::{Load, Request};
use super::served::Served;
use super::took::{Began, Took, timed};
use crate::output::Failure;

/// Events of the backlog.
const BACKLOG: usize = 100_000;
/// Events fired one by one.
const SINGLES: usize = 60_000;
/// Batches.
const BATCHES: usize = 200;

pub(super) fn measure(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    let drained = context.shortest(|| drain(context))?;
    let (mut singly, mut batched) = (Took::FOREVER, Took::FOREVER);
    for _ in 0..context.rounds {
        let (one, many) = sustained(context)?;
        singly = singly.min(one);
        batched = batched.min(many);
    }
    Ok(vec![
        Figure::rate("drain a backlog (script action reads event and record)", BACKLOG, drained)
            .target(30_000.0, 70_000.0),
        Figure::rate("sustained, fired over HTTP one by one to done", SINGLES, singly)
            .target(10_000.0, 15_000.0),
        Figure::rate("sustained, fired over HTTP in batches to done", BATCHES * BATCH, batched)
            .target(10_000.0, 40_000.0),
    ])
}

fn drain(context: &Context<'_>) -> Result<Took, Failure> {
    let house = House::make(context, "drain")?;
    house.fire("bench.handled", BACKLOG)?;
    let (took, ()) = timed(|| {
        house.start_processors()?;
        house.wait_until_done()
    })?;
    house.tear_down()?;
    Ok(took)
}

fn sustained(context: &Context<'_>) -> Result<(Took, Took), Failure> {
    let house = House::make(context, "sustained")?;
    house.start_processors()?;
    let served = Served::start(&house.engine)?;
    let load = Load::new(served.address);
    let began = Began::now();
    load.closed_loop(16, SINGLES, |n| Request::post("/api/events", handled(n)))?;
    house.wait_until_done()?;
    let singly = began.took();
    let began = Began::now();
    load.closed_loop(4, BATCHES, batch)?;
    house.wait_until_done()?;
    let batched = began.took();
    served.stop()?;
    house.tear_down()?;
    Ok((singly, batched))
}

fn batch(number: usize) -> Request {
    let events: Vec<String> = (number * BATCH..(number + 1) * BATCH).map(handled).collect();
    Request::post("/api/events/batch", format!(r#"{{"events":[{}]}}"#, events.join(",")))
}
