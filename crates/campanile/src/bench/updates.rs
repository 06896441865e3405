//! Record updates with a before rule that sets a field and an after rule that fires, by 16 callers.

use super::append::side_by_side;
use super::context::Context;
use super::figure::Figure;
use super::house::{House, task};
use super::load::{Load, Request};
use super::served::Served;
use crate::output::Failure;

const CALLERS: usize = 16;
/// Updates of a round.
const UPDATES: usize = 8_000;

pub(super) fn measure(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    let house = House::make(context, "updates")?;
    let mut round = 0;
    let took = context.shortest(|| {
        round += 1;
        side_by_side(CALLERS, |caller| {
            (0..UPDATES / CALLERS).try_for_each(|n| {
                let row = caller + CALLERS * (n % 8);
                Ok(house.update("u_bench_task", &task(row), round * UPDATES + n)?)
            })
        })
    })?;
    let served = Served::start(&house.engine)?;
    let load = Load::new(served.address);
    let over_http = context.shortest(|| {
        round += 1;
        let first = round * UPDATES;
        Ok(load.closed_loop(CALLERS, UPDATES, move |n| patch(first, n))?.0)
    })?;
    served.stop()?;
    house.tear_down()?;
    Ok(vec![
        Figure::rate(
            "record updates with a before and a firing after rule, 16 callers",
            UPDATES,
            took,
        )
        .target(4_000.0, 10_000.0),
        Figure::rate("the same over HTTP", UPDATES, over_http),
    ])
}

/// A connection sends every sixteenth request, so no two in flight are about one row.
fn patch(first: usize, number: usize) -> Request {
    let path = format!("/api/now/table/u_bench_task/{}?sysparm_fields=sys_id", task(number % 128));
    Request::patch(path, format!(r#"{{"u_step":"{}"}}"#, first + number))
}
