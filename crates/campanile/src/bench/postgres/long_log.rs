//! What claims and completions cost as the log grows: no table is read from beginning to end, and no plan grows.

use std::time::Duration;

use super::server::{Bare, Database, Server};
use super::tables::Reads;
use super::{Place, on_server};
use crate::bench::claims::{self, Cost};
use crate::bench::context::Context;
use crate::bench::figure::{Figure, Unit};
use crate::bench::house::House;
use crate::output::Failure;

/// Finished events with one handler run each, as the product leaves them; then events go on behind them.
const FILL: [&str; 4] = [
    "INSERT INTO sysevent_log (sequence, sys_id, state, queue, derived_priority, process_on, sys_created_on, name, \
     \"table\", instance, parm1, parm2, user_name, uri, \"partition\", depth, source, queue_from_call, registered, \
     scheduled, max_attempts, coalesce_seconds, epoch, attempts, lapses, only_failed, coalesced, processed, \
     processing_duration, sys_mod_count) \
     SELECT n, '0180' || lpad(to_hex(n), 28, '0'), 'processed', '', 100, 1600000000000 + n, 1600000000000 + n, \
     'bench.handled', 'u_bench_task', 'a' || lpad(to_hex(n % 1000), 31, '0'), lpad(to_hex(n), 32, '0'), 'fred.luddy', \
     'system', '/api/events', n % 16, 0, 'api', false, true, false, 0, 0, 0, 1, 0, false, 0, 1600000000001 + n, 1, 1 \
     FROM generate_series(1, @) AS n",
    "INSERT INTO sysevent_run (sys_id, event, epoch, attempt, handler_kind, handler, handler_name, \"order\", outcome, \
     started_at, duration_ms, error_line, fired_events, written_records, definition_version) \
     SELECT '0181' || lpad(to_hex(n), 28, '0'), '0180' || lpad(to_hex(n), 28, '0'), 0, 1, 'script_action', \
     'c0000000000000000000000000000001', 'Bench reads the event and its record', 1, 'succeeded', 1600000000000 + n, 1, \
     0, 0, 0, 0 FROM generate_series(1, @) AS n",
    "SELECT setval('sysevent_sequence', @)",
    "ANALYZE",
];

/// After this time a connection that does nothing has handed in what it counted.
const HANDED_IN: Duration = Duration::from_secs(11);

/// As the server's own housekeeping does it when nothing waits: what is planned then must not be a scan later.
const TIDY: &str = "VACUUM (ANALYZE) sysevent_live";

/// Claims and completions with logs of several sizes.
pub(in crate::bench) fn measure(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    on_server(context, |context, server| {
        let mut figures = Vec::new();
        let mut first = None;
        for rows in context.postgres_logs() {
            let measured = with_log(context, server, *rows)?;
            let base = first.get_or_insert(measured);
            figures.extend(lines(*rows, &measured, base));
        }
        if figures.is_empty() {
            context.say("left out: it takes a while, and --full measures it");
        }
        Ok(figures)
    })
}

/// What one size came to.
#[derive(Clone, Copy)]
struct Measured {
    cost: Cost,
    /// For so many events.
    reads: Reads,
    events: f64,
}

fn with_log(context: &Context<'_>, server: &Server, rows: usize) -> Result<Measured, Failure> {
    context.say(&format!("filling a log with {rows} rows"));
    let place = Place::make(context, server, "log")?;
    place.house.stop()?;
    fill(&place.database, rows)?;
    let url = &place.database.url;
    let bare = Bare::connect(url)?;
    let house = House::open_on(context, url)?;
    // What the opening read, and the closing will, is not asked for.
    std::thread::sleep(HANDED_IN);
    let before = Reads::now(&bare)?;
    let mut cost: Option<Cost> = None;
    for _ in 0..context.rounds {
        bare.run(TIDY)?;
        claims::append(house.engine.store(), claims::EVENTS, |event| event)?;
        let drained = claims::drain(house.engine.store())?;
        cost = Some(cost.map_or(drained, |cheapest| cheapest.min(drained)));
    }
    std::thread::sleep(HANDED_IN);
    let reads = Reads::now(&bare)?.since(before);
    house.stop()?;
    let cost = cost.ok_or_else(|| Failure::failed("there was no round"))?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let events = (claims::EVENTS * context.rounds) as f64;
    Ok(Measured { cost, reads, events })
}

fn fill(database: &Database, rows: usize) -> Result<(), Failure> {
    let bare = Bare::connect(&database.url)?;
    // Nobody acknowledges these.
    bare.run("SET synchronous_commit = off")?;
    FILL.iter().try_for_each(|sql| bare.run(&sql.replace('@', &rows.to_string())))
}

fn lines(rows: usize, measured: &Measured, base: &Measured) -> Vec<Figure> {
    let what = format!("10^{} rows in the log", rows.ilog10());
    let (peer, a_fifth) = ("the smallest log", 1.2);
    let Measured { cost, reads, events } = measured;
    let claim = base.cost.claim_micros();
    let live_pages = base.reads.live_pages / base.events;
    vec![
        Figure::new(format!("PostgreSQL: claim of 100, {what}"), cost.claim_micros(), Unit::Micros)
            .target(a_fifth * claim, claim)
            .beside(claim, peer),
        Figure::new(
            format!("PostgreSQL: claim and completion of one event, {what}"),
            cost.event_micros(),
            Unit::Micros,
        )
        .beside(base.cost.event_micros(), peer),
        Figure::new(
            format!("PostgreSQL: pages of what waits, looked at for one event, {what}"),
            reads.live_pages / events,
            Unit::Count,
        )
        .target(a_fifth * live_pages, live_pages)
        .beside(live_pages, peer),
        Figure::new(
            format!("PostgreSQL: pages of log and runs, looked at for one event, {what}"),
            reads.log_pages / events,
            Unit::Count,
        )
        .beside(base.reads.log_pages / base.events, peer),
        Figure::new(
            format!("PostgreSQL: tables of events read from end to end, {what}"),
            reads.scans,
            Unit::Count,
        )
        .target(0.0, 0.0),
    ]
}
