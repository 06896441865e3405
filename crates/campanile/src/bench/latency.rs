//! From the caller's send to the start of the handler, at 200 events a second over HTTP.
//!
//! Runs are stored with milliseconds, which is too coarse here. So the engine gets a clock that counts microseconds
//! on the threads of its processors, and the caller writes the microsecond of its send into the event.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use campanile_model::{Clock, Instant, SystemClock};
use rusqlite::Connection;

use super::context::Context;
use super::figure::{Figure, Unit};
use super::house::{House, task};
use super::load::{Load, Request};
use super::served::Served;
use super::spread::Spread;
use crate::output::Failure;

const RATE: u32 = 200;
const SECONDS: u32 = 8;
/// How names of processors' threads begin.
const PROCESSOR: &str = "q-";

pub(super) fn measure(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    let clock = FineClock { began: Monotonic::now(), start_ms: SystemClock.now().as_millis() };
    let house = House::make_with_clock(context, "latency", Arc::new(clock))?;
    house.start_processors()?;
    let served = Served::start(&house.engine)?;
    let load = Load::new(served.address);
    // The first events make sandboxes and grow files.
    load.paced(4, RATE, 1, move |n| fired(&clock, "warm", n))?;
    load.paced(8, RATE, SECONDS, move |n| fired(&clock, "measured", n))?;
    house.wait_until_done()?;
    served.stop()?;
    let folder = house.stop()?;
    let delays = delays(&folder, &clock).map_err(Failure::failed)?;
    super::context::remove(&folder)?;
    let expected = RATE as usize * SECONDS as usize;
    if delays.len() != expected {
        return Err(Failure::failed(format!(
            "{expected} events were fired and {} were handled",
            delays.len()
        )));
    }
    let spread = Spread::new(delays);
    Ok(vec![
        Figure::new(
            "sent to handler started at 200/s, p50",
            spread.percentile_ms(50),
            Unit::Millis,
        )
        .target(1.2, 0.7),
        Figure::new(
            "sent to handler started at 200/s, p99",
            spread.percentile_ms(99),
            Unit::Millis,
        )
        .target(3.0, 1.4),
    ])
}

fn fired(clock: &FineClock, phase: &str, number: usize) -> Request {
    let instance = task(number);
    let sent = clock.micros();
    let body = format!(
        r#"{{"name":"bench.handled","table":"u_bench_task","instance":"{instance}","parm1":"{sent}","parm2":"{phase}"}}"#
    );
    Request::post("/api/events", body)
}

fn delays(folder: &Path, clock: &FineClock) -> rusqlite::Result<Vec<Duration>> {
    let connection = Connection::open(folder.join("campanile.db"))?;
    let mut statement = connection.prepare(
        "SELECT run.started_at - ?1 - CAST(event.parm1 AS INTEGER) FROM sysevent_run AS run \
         JOIN sysevent_log AS event ON event.sys_id = run.event WHERE event.parm2 = 'measured'",
    )?;
    let micros = statement.query_map([clock.start_ms], |row| row.get::<_, i64>(0))?;
    micros.map(|micros| Ok(Duration::from_micros(u64::try_from(micros?).unwrap_or(0)))).collect()
}

/// The machine's clock, but for processors: to them it shows one more for each microsecond since the start. That is
/// never earlier, so what is due is due to them.
#[derive(Debug, Clone, Copy)]
struct FineClock {
    began: Monotonic,
    start_ms: i64,
}

impl FineClock {
    fn micros(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl Clock for FineClock {
    fn now(&self) -> Instant {
        let thread = std::thread::current();
        if thread.name().is_some_and(|name| name.starts_with(PROCESSOR)) {
            Instant::from_millis(self.start_ms.saturating_add(self.micros()))
        } else {
            SystemClock.now()
        }
    }
}
