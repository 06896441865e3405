//! What a claim costs as the log grows, and with a million future-dated events at a better priority.

use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use campanile_model::{Clock, HandlerKind, HandlerRun, NewEvent, Outcome, SysId, SystemClock};
use campanile_store::{AppendMode, ClaimRequest, Completion, NextState, Store};

use super::append::event;
use super::context::Context;
use super::figure::{Figure, Unit};
use super::filled;
use super::house::{BATCH, House};
use super::spread::micros_each;
use crate::output::Failure;

/// Events of a round.
pub(super) const EVENTS: usize = 50_000;
/// Events of a claim.
pub(super) const CLAIM: usize = 100;
/// Events for later.
const LATER: usize = 1_000_000;

/// What [`EVENTS`] events cost.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    /// A claim of [`CLAIM`] events.
    claim: Duration,
    /// Everything, from the first claim to the commit of the last completion.
    all: Duration,
}

impl Cost {
    /// The cheaper of both, each for itself.
    pub(super) fn min(self, other: Self) -> Self {
        Self { claim: self.claim.min(other.claim), all: self.all.min(other.all) }
    }

    /// Microseconds of a claim.
    pub(super) fn claim_micros(self) -> f64 {
        micros_each(EVENTS / CLAIM, self.claim)
    }

    /// Microseconds of an event, claimed and completed.
    pub(super) fn event_micros(self) -> f64 {
        micros_each(EVENTS, self.all)
    }
}

pub(super) fn measure(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    let mut first = None;
    for rows in context.log_sizes() {
        let house = House::open(context, &filled::folder(context, *rows)?)?;
        let cost = cheapest(context, house.engine.store())?;
        house.stop()?;
        let base = *first.get_or_insert(cost);
        figures.extend(lines(
            &format!("10^{} rows in the log", rows.ilog10()),
            cost,
            base,
            "10^4 rows",
        ));
    }
    let house = House::make(context, "later")?;
    let store = house.engine.store();
    let alone = cheapest(context, store)?;
    context.say("appending a million events for later");
    let later = SystemClock.now().plus_millis(3_600_000);
    append(store, LATER, |event| NewEvent {
        priority: 1.0,
        process_on: later,
        scheduled: true,
        ..event
    })?;
    let beside = cheapest(context, store)?;
    house.tear_down()?;
    figures.extend(lines(
        "10^6 future-dated events at a better priority",
        beside,
        alone,
        "none of them",
    ));
    Ok(figures)
}

fn lines(what: &str, cost: Cost, base: Cost, peer: &'static str) -> [Figure; 2] {
    let line = |name: &str, value: f64, base: f64| {
        Figure::new(format!("{name}, {what}"), value, Unit::Micros).beside(base, peer)
    };
    [
        line("claim of 100", cost.claim_micros(), base.claim_micros()),
        line("claim and completion of one event", cost.event_micros(), base.event_micros()),
    ]
}

fn cheapest(context: &Context<'_>, store: &Arc<dyn Store>) -> Result<Cost, Failure> {
    let mut cheapest = Cost { claim: Duration::MAX, all: Duration::MAX };
    for _ in 0..context.rounds {
        append(store, EVENTS, |event| event)?;
        cheapest = cheapest.min(drain(store)?);
    }
    Ok(cheapest)
}

/// Appends events that wait in the default queue.
///
/// # Errors
/// What the store answers.
pub(super) fn append(
    store: &Arc<dyn Store>,
    count: usize,
    change: impl Fn(NewEvent) -> NewEvent,
) -> Result<(), Failure> {
    for first in (0..count).step_by(BATCH) {
        let events = (first..first + BATCH).map(|n| change(event(n))).collect();
        let mode = AppendMode { durable: false, atomic: true };
        store.append_blocking(events, mode).map_err(Failure::failed)?;
    }
    Ok(())
}

/// Who claims.
const CLAIMANT: &str = "bench/default/1";

/// Claims and completes all of [`EVENTS`].
///
/// # Errors
/// What the store answers.
pub(super) fn drain(store: &Arc<dyn Store>) -> Result<Cost, Failure> {
    let began = Monotonic::now();
    let mut claims = Duration::ZERO;
    let mut done = 0;
    while done < EVENTS {
        let asked = Monotonic::now();
        let claim = store
            .claim(&ClaimRequest {
                queue: "",
                limit: CLAIM,
                claimed_by: CLAIMANT,
                by_priority: true,
                now: SystemClock.now(),
            })
            .map_err(Failure::failed)?;
        claims += asked.elapsed();
        if claim.events.is_empty() {
            return Err(Failure::failed(format!("{done} of {EVENTS} events could be claimed")));
        }
        done += claim.events.len();
        for event in claim.events {
            let id = event.fired.sys_id;
            if !store.begin(&id, CLAIMANT, 0) {
                return Err(Failure::failed("an event that was claimed was taken away"));
            }
            store.complete(Completion {
                event: id,
                epoch: event.epoch,
                next: NextState::Processed,
                started: SystemClock.now(),
                duration_ms: 1,
                runs: vec![run(id)],
            });
        }
    }
    store.flush().map_err(Failure::failed)?;
    Ok(Cost { claim: claims, all: began.elapsed() })
}

fn run(event: SysId) -> HandlerRun {
    let now = SystemClock.now();
    HandlerRun {
        sys_id: SysId::generate(now),
        event,
        origin_id: event,
        epoch: 0,
        attempt: 1,
        kind: HandlerKind::ScriptAction,
        handler: event,
        handler_name: "Bench reads the event and its record".to_owned(),
        order: 1,
        outcome: Outcome::Succeeded,
        reason: String::new(),
        sentence: String::new(),
        started_at: now,
        duration_ms: 1,
        error_message: String::new(),
        error_line: 0,
        error_stack: String::new(),
        log: String::new(),
        fired_events: (0, Vec::new()),
        written_records: (0, Vec::new()),
        definition_version: 1,
    }
}
