//! What a slow rule does to others: the latency of fires while a before rule takes 200 ms twice a second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::context::Context;
use super::figure::{Figure, Unit};
use super::fire::one;
use super::house::{House, SLOW_TASK};
use super::load::Load;
use super::served::Served;
use crate::output::Failure;

const RATE: u32 = 200;
const SECONDS: u32 = 6;
/// Between the end of one slow update and the start of the next.
const REST: Duration = Duration::from_millis(300);

pub(super) fn measure(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    let house = House::make(context, "slow-rule")?;
    let served = Served::start(&house.engine)?;
    let load = Load::new(served.address);
    load.paced(4, RATE, 1, one)?;
    let alone = load.paced(16, RATE, SECONDS, one)?;
    let done = AtomicBool::new(false);
    let beside = std::thread::scope(|scope| {
        let slow = std::thread::Builder::new()
            .name("slow-caller".to_owned())
            .spawn_scoped(scope, || update_slowly(&house, &done))
            .map_err(Failure::failed)?;
        let fired = load.paced(16, RATE, SECONDS, one);
        done.store(true, Ordering::Release);
        slow.join().map_err(|_panic| Failure::failed("the slow caller broke off"))??;
        fired
    })?;
    served.stop()?;
    house.tear_down()?;
    Ok(vec![
        Figure::new("p99 of fires at 200/s", alone.percentile_ms(99), Unit::Millis),
        Figure::new(
            "p99 of fires while a 200 ms before rule runs twice a second",
            beside.percentile_ms(99),
            Unit::Millis,
        )
        .target(25.0, 10.0)
        .beside(alone.percentile_ms(99), "without it"),
    ])
}

fn update_slowly(house: &House, done: &AtomicBool) -> Result<(), Failure> {
    let mut step = 0;
    while !done.load(Ordering::Acquire) {
        step += 1;
        house.update("u_bench_slow", SLOW_TASK, step)?;
        std::thread::sleep(REST);
    }
    Ok(())
}
