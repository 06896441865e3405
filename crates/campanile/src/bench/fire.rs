//! Firing over HTTP, beside a request that does nothing.

use super::context::Context;
use super::figure::{Figure, Unit};
use super::house::{BATCH, House, task};
use super::load::{Load, Request};
use super::served::Served;
use super::spread::{Spread, per_second};
use crate::output::Failure;

/// Requests in flight, and requests of a round.
const IN_FLIGHT: [(usize, usize); 3] = [(1, 4_000), (16, 40_000), (64, 60_000)];
/// Batches of a round.
const BATCHES: usize = 300;
/// Batches in flight.
const BATCHES_IN_FLIGHT: usize = 4;

pub(super) fn measure(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    let house = House::make(context, "fire")?;
    let served = Served::start(&house.engine)?;
    let load = Load::new(served.address);
    let mut figures = Vec::new();
    let bare =
        best(context, 40_000, || load.closed_loop(16, 40_000, |_| Request::get("/healthz")))?.0;
    figures.push(Figure::new(
        "HTTP request that does nothing, 16 in flight",
        bare,
        Unit::PerSecond,
    ));
    for (in_flight, count) in IN_FLIGHT {
        let (rate, spread) = best(context, count, || load.closed_loop(in_flight, count, one))?;
        let figure =
            Figure::new(format!("fire over HTTP, {in_flight} in flight"), rate, Unit::PerSecond)
                .beside(bare, "request that does nothing");
        figures.push(if in_flight == 16 { figure.target(15_000.0, 24_000.0) } else { figure });
        if in_flight == 16 {
            figures.push(Figure::new("… p50", spread.percentile_ms(50), Unit::Millis));
            figures.push(Figure::new("… p99", spread.percentile_ms(99), Unit::Millis));
        }
    }
    let (about, _) = best(context, 40_000, || load.closed_loop(16, 40_000, one_about_a_record))?;
    figures.push(
        Figure::new("fire over HTTP about a record, 16 in flight", about, Unit::PerSecond)
            .beside(bare, "request that does nothing"),
    );
    let events = BATCHES * BATCH;
    let (rate, _) = best(context, events, || load.closed_loop(BATCHES_IN_FLIGHT, BATCHES, batch))?;
    figures.push(
        Figure::new("fire over HTTP, batches of 500", rate, Unit::PerSecond)
            .target(80_000.0, 140_000.0),
    );
    served.stop()?;
    house.tear_down()?;
    Ok(figures)
}

/// The best rate of the rounds, with that round's latencies.
fn best(
    context: &Context<'_>,
    count: usize,
    mut round: impl FnMut() -> Result<(std::time::Duration, Spread), Failure>,
) -> Result<(f64, Spread), Failure> {
    let mut best = (0.0, Spread::default());
    for _ in 0..context.rounds {
        let (took, spread) = round()?;
        let rate = per_second(count, took);
        if rate > best.0 {
            best = (rate, spread);
        }
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
