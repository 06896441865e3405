//! Durable appends inside the process, by number of callers and in batches, beside raw inserts.

use std::sync::Arc;

use campanile_model::{Clock, EventSource, NewEvent, SysId, SystemClock};
use campanile_store::{AppendMode, Store};

use super::context::Context;
use super::figure::Figure;
use super::house::{BATCH, House, task};
use super::raw_inserts::RawTable;
use super::took::{Took, timed};
use crate::output::Failure;

/// Callers side by side, and appends of each of their rounds in all.
const CALLERS: [(usize, usize); 3] = [(1, 4_000), (16, 32_000), (64, 64_000)];
/// Events appended in batches.
const BATCHED: usize = 200_000;
/// Raw inserts with a transaction each.
const RAW_SINGLE: usize = 4_000;

pub(super) fn measure(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    let house = House::make(context, "append")?;
    let folder = house.folder.clone();
    let mut raw = RawTable::make(&context.root.join("raw.db"), &folder.join("campanile.db"))?;
    // One after the other in each round, so that both meet the same machine.
    let (mut batched, mut raw_batched) = (Took::FOREVER, Took::FOREVER);
    for _ in 0..context.rounds {
        raw_batched = raw_batched.min(raw.insert(BATCHED, BATCH)?);
        batched = batched.min(batches(house.engine.store(), BATCHED)?);
    }
    let raw_single = context.shortest(|| raw.insert(RAW_SINGLE, 1))?;
    let raw = Figure::rate("raw inserts, 500 a transaction", BATCHED, raw_batched);
    let raw_alone = Figure::rate("raw inserts, 1 a transaction", RAW_SINGLE, raw_single);
    let batched = Figure::rate("append, batches of 500", BATCHED, batched)
        .target(100_000.0, 150_000.0)
        .beside(raw.value(), "raw inserts");
    let peer = raw_alone.value();
    let mut figures = vec![raw, raw_alone, batched];
    for (callers, count) in CALLERS {
        let took = context.shortest(|| singles(house.engine.store(), callers, count))?;
        figures.push(
            Figure::rate(format!("append, {callers} callers"), count, took)
                .beside(peer, "raw inserts, 1 a transaction"),
        );
    }
    house.tear_down()?;
    Ok(figures)
}

/// Four callers hand in batches, so that the writer never waits for one of them.
pub(super) fn batches(store: &Arc<dyn Store>, count: usize) -> Result<Took, Failure> {
    side_by_side(4, |caller| {
        (0..count / BATCH / 4).try_for_each(|batch| {
            let first = (caller * count / BATCH + batch) * BATCH;
            append(store, (first..first + BATCH).map(event).collect())
        })
    })
}

fn singles(store: &Arc<dyn Store>, callers: usize, count: usize) -> Result<Took, Failure> {
    side_by_side(callers, |caller| {
        (0..count / callers).try_for_each(|n| append(store, vec![event(caller * count + n)]))
    })
}

/// How long `callers` threads took for `work`, all together.
///
/// # Errors
/// The first failure.
pub(super) fn side_by_side(
    callers: usize,
    work: impl Fn(usize) -> Result<(), Failure> + Sync,
) -> Result<Took, Failure> {
    let (took, ()) = timed(|| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..callers)
                .map(|caller| {
                    let work = &work;
                    std::thread::Builder::new()
                        .name(format!("caller-{caller}"))
                        .spawn_scoped(scope, move || work(caller))
                        .map_err(Failure::failed)
                })
                .collect();
            for thread in threads {
                thread?.join().map_err(|_panic| Failure::failed("a caller broke off"))??;
            }
            Ok::<_, Failure>(())
        })
    })?;
    Ok(took)
}

fn append(store: &Arc<dyn Store>, events: Vec<NewEvent>) -> Result<(), Failure> {
    let mode = AppendMode { durable: true, atomic: true };
    let (outcomes, _) = store.append_blocking(events, mode).map_err(Failure::failed)?;
    outcomes.into_iter().try_for_each(|outcome| outcome.map(drop)).map_err(Failure::failed)
}

/// An event as the API stores it.
pub(super) fn event(number: usize) -> NewEvent {
    let text = |text: &str| Arc::<str>::from(text);
    let now = SystemClock.now();
    NewEvent {
        sys_id: SysId::generate(now),
        name: text("bench.fired"),
        parm1: Arc::from(format!("{number:032x}")),
        parm2: text("fred.luddy"),
        table: text("u_bench_task"),
        instance: Arc::from(task(number)),
        descriptive_name: text(""),
        queue: text(""),
        queue_from_call: false,
        priority: 100.0,
        process_on: now,
        created: now,
        scheduled: false,
        registered: true,
        user_id: text(""),
        user_name: text("system"),
        uri: text("/api/events"),
        snapshot: text(""),
        depth: 0,
        cause_event: None,
        cause_handler: text(""),
        dedupe_key: text(""),
        key_life_ms: campanile_model::limits::IDEMPOTENCY_KEY_MS,
        content_hash: 0,
        source: EventSource::Api,
        coalesce_seconds: 0,
        max_attempts: 0,
    }
}
