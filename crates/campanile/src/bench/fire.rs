//! Firing over HTTP, beside a request that does nothing.

use super::context::Context;
use super::figure::{Figure, Unit};
use super::house::{BATCH, House, task};
use super::load::{Load, Request};
use super::served::Served;
use super::spread::Spread;
use super::took::Took;
use crate::output::Failure;

/// Requests in flight, and requests of a round.
const IN_FLIGHT: [(usize, usize); 3] = [(1, 4_000), (16, 40_000), (64, 60_000)];
/// Requests of a round that do nothing.
const BARE: usize = 40_000;
/// Fires of a round that are about a record.
const ABOUT: usize = 40_000;
/// Batches of a round.
const BATCHES: usize = 300;
/// Batches in flight.
const BATCHES_IN_FLIGHT: usize = 4;

pub(super) fn measure(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    let house = House::make(context, "fire")?;
    let served = Served::start(&house.engine)?;
    let load = Load::new(served.address);
    let (bare, _) = best(context, || load.closed_loop(16, BARE, |_| Request::get("/healthz")))?;
    let bare = Figure::rate("HTTP request that does nothing, 16 in flight", BARE, bare);
    let limit = bare.value();
    let mut figures = vec![bare];
    for (in_flight, count) in IN_FLIGHT {
        let (took, spread) = best(context, || load.closed_loop(in_flight, count, one))?;
        let figure = Figure::rate(format!("fire over HTTP, {in_flight} in flight"), count, took)
            .beside(limit, "request that does nothing");
        if in_flight == 16 {
            figures.push(figure.target(15_000.0, 24_000.0));
            figures.push(Figure::new("… p50", spread.percentile_ms(50), Unit::Millis));
            figures.push(Figure::new("… p99", spread.percentile_ms(99), Unit::Millis));
        } else {
            figures.push(figure);
        }
    }
    let (about, _) = best(context, || load.closed_loop(16, ABOUT, one_about_a_record))?;
    figures.push(
        Figure::rate("fire over HTTP about a record, 16 in flight", ABOUT, about)
            .beside(limit, "request that does nothing"),
    );
    let (batches, _) = best(context, || load.closed_loop(BATCHES_IN_FLIGHT, BATCHES, batch))?;
    figures.push(
        Figure::rate("fire over HTTP, batches of 500", BATCHES * BATCH, batches)
            .target(80_000.0, 140_000.0),
    );
    served.stop()?;
    house.tear_down()?;
    Ok(figures)
}

/// The shortest of the rounds, with the latencies of the one that was shortest by the clock.
fn best(
    context: &Context<'_>,
    mut round: impl FnMut() -> Result<(Took, Spread), Failure>,
) -> Result<(Took, Spread), Failure> {
    let mut best = (Took::FOREVER, Spread::default());
    for _ in 0..context.rounds {
        let (took, spread) = round()?;
        if took.wall < best.0.wall {
            best.1 = spread;
        }
        best.0 = best.0.min(took);
    }
    Ok(best)
}

/// One event that is about no record.
pub(super) fn one(number: usize) -> Request {
    Request::post("/api/events", object("bench.fired", number))
}

fn one_about_a_record(number: usize) -> Request {
    let instance = task(number);
    let body = format!(
        r#"{{"name":"bench.fired","table":"u_bench_task","instance":"{instance}","parm1":"{number:032x}","parm2":"fred.luddy"}}"#
    );
    Request::post("/api/events", body)
}

/// Five hundred of them.
pub(super) fn batch(number: usize) -> Request {
    batch_of("bench.fired", number)
}

/// Five hundred events called `name`.
pub(super) fn batch_of(name: &str, number: usize) -> Request {
    let events: Vec<String> =
        (number * BATCH..(number + 1) * BATCH).map(|n| object(name, n)).collect();
    Request::post("/api/events/batch", format!(r#"{{"events":[{}]}}"#, events.join(",")))
}

/// One event about a task, that a script action handles.
pub(super) fn handled(number: usize) -> String {
    let instance = task(number);
    format!(
        r#"{{"name":"bench.handled","table":"u_bench_task","instance":"{instance}","parm1":"{number:032x}","parm2":"fred.luddy"}}"#
    )
}

fn object(name: &str, number: usize) -> String {
    format!(r#"{{"name":"{name}","parm1":"{number:032x}","parm2":"fred.luddy"}}"#)
}
