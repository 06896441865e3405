//! On PostgreSQL: the figures of the shared engine, beside the bare server in the same rounds.

mod limits;
mod long_log;
mod server;
mod steady;
mod tables;

use limits::Limits;
pub(super) use long_log::measure as long_log;
use server::{Database, Server};
pub(super) use steady::measure as steady;

use super::append::{batches, side_by_side};
use super::claims::{self, CLAIM, EVENTS};
use super::context::Context;
use super::figure::Figure;
use super::fire::{handled, one};
use super::house::House;
use super::load::{Load, Request};
use super::served::Served;
use super::took::{Began, Took};
use crate::output::Failure;

/// How often everything is measured, unless it is to be once; the median counts.
const ROUNDS: usize = 5;
/// Events appended in batches.
const BATCHED: usize = 100_000;
/// Events fired one by one.
const FIRED: usize = 20_000;
/// Those that are fired before what is measured: scripts are compiled and statements planned by then, at each node.
const FIRED_BEFORE: usize = 4_000;
/// Fires that wait for their answer at once.
const UNANSWERED: [usize; 2] = [64, 16];

/// A database, and a house in it.
struct Place {
    house: House,
    /// Goes after the house.
    database: Database,
}

impl Place {
    fn make(context: &Context<'_>, server: &Server, name: &str) -> Result<Self, Failure> {
        let database = server.database(name)?;
        Ok(Self { house: House::make_on(context, &database.url)?, database })
    }
}

/// Appends in batches, beside bare inserts.
pub(super) fn append(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    on_server(context, appends)
}

/// Claims and completions, beside a bare loop of the same writes.
pub(super) fn claim(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    on_server(context, claims)
}

/// Fires over HTTP.
pub(super) fn fire(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    on_server(context, fires)
}

/// Events fired to done, by one node and by two.
pub(super) fn sustained(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    on_server(context, sustain)
}

fn on_server(
    context: &Context<'_>,
    measure: fn(&Context<'_>, &Server) -> Result<Vec<Figure>, Failure>,
) -> Result<Vec<Figure>, Failure> {
    let Some(url) = &context.postgres else {
        context.say(
            "not measured: name a server with --database (its user must be allowed to make databases)",
        );
        return Ok(Vec::new());
    };
    let server = Server::at(url.expose());
    context.say(&server.sentence()?);
    measure(context, &server)
}

/// The tables of the product, and nothing in them.
fn limits(context: &Context<'_>, server: &Server, name: &str) -> Result<Limits, Failure> {
    let place = Place::make(context, server, name)?;
    place.house.stop()?;
    Ok(Limits::on(place.database))
}

fn appends(context: &Context<'_>, server: &Server) -> Result<Vec<Figure>, Failure> {
    let mut raw = limits(context, server, "raw")?;
    let place = Place::make(context, server, "append")?;
    let [bare, ours] = in_turn(context, || {
        let bare = raw.insert(BATCHED)?;
        Ok([bare, batches(place.house.engine.store(), BATCHED)?])
    })?;
    place.house.stop()?;
    let bare = Figure::rate("PostgreSQL: bare insert … select, 500 a transaction", BATCHED, bare);
    let limit = bare.value();
    let ours = Figure::rate("PostgreSQL: append, batches of 500", BATCHED, ours)
        .target(0.6 * limit, limit)
        .beside(limit, "bare insert … select");
    Ok(vec![bare, ours])
}

fn claims(context: &Context<'_>, server: &Server) -> Result<Vec<Figure>, Failure> {
    let mut raw = limits(context, server, "raw")?;
    let place = Place::make(context, server, "claims")?;
    let [bare, ours] = in_turn(context, || {
        raw.insert(EVENTS)?;
        let bare = raw.claim_and_complete(CLAIM)?;
        claims::append(place.house.engine.store(), EVENTS, |event| event)?;
        let began = Began::now();
        claims::drain(place.house.engine.store())?;
        Ok([bare, began.took()])
    })?;
    place.house.stop()?;
    let bare = Figure::rate("PostgreSQL: bare loop of the same claims and writes", EVENTS, bare);
    let limit = bare.value();
    let ours = Figure::rate("PostgreSQL: claim and completion", EVENTS, ours)
        .target(0.6 * limit, limit)
        .beside(limit, "bare loop");
    Ok(vec![bare, ours])
}

fn fires(context: &Context<'_>, server: &Server) -> Result<Vec<Figure>, Failure> {
    let place = Place::make(context, server, "fire")?;
    let served = Served::start(&place.house.engine)?;
    let load = Load::new(served.address);
    let [took] = in_turn(context, || Ok([load.closed_loop(16, FIRED, one)?.0]))?;
    served.stop()?;
    place.house.stop()?;
    let figure = Figure::rate("PostgreSQL: fire over HTTP, 16 in flight", FIRED, took);
    Ok(vec![figure.target(8_000.0, 15_000.0)])
}

fn sustain(context: &Context<'_>, server: &Server) -> Result<Vec<Figure>, Failure> {
    let [unanswered, fewer] = UNANSWERED;
    let [one, one_with_fewer, two, two_with_more, over_http] = in_turn(context, || {
        Ok([
            in_process(context, server, (1, unanswered))?,
            in_process(context, server, (1, fewer))?,
            in_process(context, server, (2, unanswered))?,
            in_process(context, server, (2, 2 * unanswered))?,
            over_http(context, server)?,
        ])
    })?;
    let of_one = |unanswered, took| {
        let what = format!("PostgreSQL: fired to done in process, {unanswered} unanswered");
        Figure::rate(what, FIRED, took)
    };
    let one = of_one(unanswered, one).target(8_000.0, 12_000.0);
    let of_one_node = one.value();
    let of_two = |unanswered, took| {
        let what = format!("PostgreSQL: the same by two nodes, {unanswered} unanswered each");
        Figure::rate(what, FIRED, took).beside(of_one_node, "one node")
    };
    Ok(vec![
        one,
        of_one(fewer, one_with_fewer),
        of_two(unanswered / 2, two),
        of_two(unanswered, two_with_more).target(of_one_node, of_one_node),
        Figure::rate("PostgreSQL: fired over HTTP to done, 16 in flight", FIRED, over_http),
    ])
}

/// The medians of what is measured in turn, so that all meet the same hour of the machine.
fn in_turn<const N: usize>(
    context: &Context<'_>,
    mut round: impl FnMut() -> Result<[Took; N], Failure>,
) -> Result<[Took; N], Failure> {
    let rounds = if context.rounds == 1 { 1 } else { ROUNDS.max(context.rounds) };
    let rounds = (0..rounds).map(|_| round()).collect::<Result<Vec<_>, _>>()?;
    Ok(std::array::from_fn(|at| {
        Took::median(&rounds.iter().map(|round| round[at]).collect::<Vec<_>>())
    }))
}

/// Events fired at so many nodes by so many callers in all, to done.
fn in_process(
    context: &Context<'_>,
    server: &Server,
    (nodes, callers): (usize, usize),
) -> Result<Took, Failure> {
    let place = Place::make(context, server, "sustained")?;
    let others = (1..nodes).map(|_| House::open_on(context, &place.database.url));
    let others = others.collect::<Result<Vec<_>, _>>()?;
    let houses: Vec<&House> = std::iter::once(&place.house).chain(&others).collect();
    houses.iter().try_for_each(|house| house.start_processors())?;
    fire_to_done(&houses, callers, FIRED_BEFORE)?;
    let began = Began::now();
    fire_to_done(&houses, callers, FIRED)?;
    let took = began.took();
    for house in others {
        house.stop()?;
    }
    place.house.stop()?;
    Ok(took)
}

/// So many events by callers who take turns at the nodes of one database, each one event after another, until all are done.
fn fire_to_done(houses: &[&House], callers: usize, events: usize) -> Result<(), Failure> {
    side_by_side(callers, |caller| {
        let house = houses[caller % houses.len()];
        let mut numbers = (caller..events).step_by(callers);
        numbers.try_for_each(|number| house.fire_one("bench.handled", number))
    })?;
    houses[0].wait_until_done()
}

fn over_http(context: &Context<'_>, server: &Server) -> Result<Took, Failure> {
    let place = Place::make(context, server, "sustained")?;
    place.house.start_processors()?;
    let served = Served::start(&place.house.engine)?;
    let load = Load::new(served.address);
    let fire_to_done = |events: usize| {
        load.closed_loop(16, events, |n| Request::post("/api/events", handled(n)))?;
        place.house.wait_until_done()
    };
    fire_to_done(FIRED_BEFORE)?;
    let began = Began::now();
    fire_to_done(FIRED)?;
    let took = began.took();
    served.stop()?;
    place.house.stop()?;
    Ok(took)
}
