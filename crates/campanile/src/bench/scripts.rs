//! What a script costs: one call, one read and one write of a field.

use std::sync::Arc;

use campanile_engine::Session;
use campanile_engine::worker::Worker;
use campanile_script::{Bindings, Limits, ScriptKind, ScriptSource};

use super::context::Context;
use super::figure::{Figure, Unit};
use super::house::House;
use super::spread::micros_each;
use super::took::{Took, timed};
use crate::output::Failure;

const CALLS: usize = 20_000;
/// Turns of a loop.
const TURNS: usize = 200_000;

pub(super) fn measure(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    let house = House::make(context, "scripts")?;
    let calls = context.shortest(|| on_worker(&house, |worker| run(worker, "1 + 1", CALLS)))?;
    let turns = |body: &'static str| {
        let text = format!(
            "var row = new GlideRecord('u_bench_task'); row.get('{}'); var x; \
             for (var i = 0; i < {TURNS}; i++) {{ {body} }}",
            super::house::task(1)
        );
        context.shortest(|| {
            let text = text.clone();
            on_worker(&house, move |worker| run(worker, &text, 1))
        })
    };
    let empty = turns("x = i;")?;
    let element = turns("x = row.u_step;")?;
    let value = turns("x = row.getValue('u_step');")?;
    let write = turns("row.u_step = i;")?;
    house.tear_down()?;
    let beyond = |took: Took| micros_each(TURNS, took.wall.saturating_sub(empty.wall));
    Ok(vec![
        Figure::new("one script call", micros_each(CALLS, calls.wall), Unit::Micros),
        Figure::new("one field read (row.field)", beyond(element), Unit::Micros),
        Figure::new("one field read (getValue)", beyond(value), Unit::Micros),
        Figure::new("one field write (row.field = …)", beyond(write), Unit::Micros),
    ])
}

fn on_worker(
    house: &House,
    work: impl FnOnce(&Worker) -> Result<Took, Failure> + Send + 'static,
) -> Result<Took, Failure> {
    house.engine.workers()?.run(work)?
}

/// Runs the text `times` times, each in an execution of its own.
fn run(worker: &Worker, text: &str, times: usize) -> Result<Took, Failure> {
    let source = ScriptSource {
        kind: ScriptKind::Background,
        table: Arc::from(""),
        sys_id: Arc::from(""),
        name: Arc::from("bench"),
        text: Arc::from(text),
    };
    let (took, ()) = timed(|| {
        (0..times).try_for_each(|_| {
            let execution = worker.execution(Session::system());
            let outcome = execution.run_script(&source, &Bindings::default(), Limits::default());
            outcome.result.map(drop)
        })
    })
    .map_err(|error| Failure::failed(format!("the script failed: {}", error.message)))?;
    Ok(took)
}
