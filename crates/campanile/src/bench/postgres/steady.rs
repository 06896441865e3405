//! Minutes at a steady pace, with the server's own housekeeping as it is packaged; then with a snapshot held open, which keeps
//! it from clearing away what is dead.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::server::{Bare, Server};
use super::tables::{dead_rows, live_megabytes};
use super::{FIRED, Place, UNANSWERED, fire_to_done, on_server};
use crate::bench::append::side_by_side;
use crate::bench::context::Context;
use crate::bench::figure::{Figure, Unit};
use crate::bench::spread::per_second;
use crate::output::Failure;

/// Share of what one node sustains.
const SHARE: f64 = 0.8;

/// What is sustained is measured for this part of the time.
const SUSTAINED_PART: u32 = 5;

/// Share of the pace that must be kept.
const KEPT: f64 = 0.95;

/// Between two looks at what a claim meets.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks at the beginning and at the end that are set beside each other: a tenth of all, and at least so many.
const LOOKS_MIN: usize = 5;

/// Holds a snapshot until the connection ends.
const HOLD: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM sysevent_live";

/// Minutes with housekeeping, then half as many with a snapshot held open.
pub(in crate::bench) fn measure(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    on_server(context, |context, server| {
        let Some(time) = context.steady() else {
            context.say("left out: it takes a while, and --full measures it");
            return Ok(Vec::new());
        };
        steady(context, server, time)
    })
}

fn steady(context: &Context<'_>, server: &Server, time: Duration) -> Result<Vec<Figure>, Failure> {
    let place = Place::make(context, server, "steady")?;
    place.house.start_processors()?;
    let sustained = sustained(&place, time / SUSTAINED_PART)?;
    let pace = SHARE * sustained.value();
    context.say(&format!("{pace:.0} events a second from now on"));
    let mut figures = vec![sustained];
    figures.extend(stretch(&place, pace, time, "with housekeeping as packaged")?);
    let holder = Bare::connect(&place.database.url)?;
    holder.run(HOLD)?;
    figures.extend(stretch(&place, pace, time / 2, "with a snapshot held open")?);
    drop(holder);
    place.house.stop()?;
    Ok(figures)
}

/// What one node handles for so long: as many events as are fired in a short measurement, one time after the other, in a database
/// that grows.
fn sustained(place: &Place, time: Duration) -> Result<Figure, Failure> {
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < time {
        fire_to_done(&[&place.house], UNANSWERED[0], FIRED)?;
        count += FIRED;
    }
    let what = format!("PostgreSQL: fired to done, {} without a pause", length(time));
    Ok(Figure::new(what, per_second(count, began.elapsed()), Unit::PerSecond))
}

/// Fires at the pace for so long, and says how it stands at the end.
fn stretch(place: &Place, pace: f64, time: Duration, how: &str) -> Result<Vec<Figure>, Failure> {
    let how = format!("{} {how}", length(time));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of events that fits into memory"
    )]
    let count = (pace * time.as_secs_f64()) as usize;
    let callers = UNANSWERED[0];
    let has_ended = AtomicBool::new(false);
    let began = Instant::now();
    let looks = std::thread::scope(|scope| {
        let looking = std::thread::Builder::new()
            .name("bench-looks".to_owned())
            .spawn_scoped(scope, || look(place, &has_ended))
            .map_err(Failure::failed)?;
        let fired = side_by_side(callers, |caller| {
            (caller..count).step_by(callers).try_for_each(|number| {
                wait_until(began + due(number, pace));
                place.house.fire_one("bench.handled", number)
            })
        });
        has_ended.store(true, Ordering::Release);
        let looks =
            looking.join().map_err(|_panic| Failure::failed("the looks ended in a panic"))?;
        fired?;
        Ok::<_, Failure>(looks)
    })?;
    let bare = Bare::connect(&place.database.url)?;
    let (dead, megabytes) = (dead_rows(&bare)?, live_megabytes(&bare)?);
    // What is left behind counts as time.
    place.house.wait_until_done()?;
    let done = per_second(count, began.elapsed());
    let some = (looks.len() / 10).max(LOOKS_MIN).min(looks.len());
    let (first, last) = (mean_us(&looks[..some]), mean_us(&looks[looks.len() - some..]));
    let named = |what: &str| format!("PostgreSQL: {what}, {how}");
    let mut figures = vec![
        Figure::new(named("fired to done at 80 % of the sustained rate"), done, Unit::PerSecond)
            .target(KEPT * pace, pace)
            .beside(pace, "the pace"),
        Figure::new(named("dead rows of what waits, at the end"), dead, Unit::Count),
        Figure::new(
            named("size of what waits with its indexes, at the end"),
            megabytes,
            Unit::Megabytes,
        ),
    ];
    // Where all were claimed at once nothing was looked for.
    if let (Some(first), Some(last)) = (first, last) {
        figures.push(
            Figure::new(named("a look for events to claim, at the end"), last, Unit::Micros)
                .beside(first, "at the beginning"),
        );
    }
    Ok(figures)
}

/// How long a look took, from the first of these to the last; `None` when there was none.
fn mean_us(some: &[Looks]) -> Option<f64> {
    let (first, last) = (some.first()?, some.last()?);
    let count = last.count - first.count;
    (count > 0.0).then(|| (last.seconds - first.seconds) / count * 1e6)
}

/// When event `number` is due, from the beginning.
fn due(number: usize, pace: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let number = number as f64;
    Duration::from_secs_f64(number / pace)
}

fn wait_until(moment: Instant) {
    let left = moment.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}

/// How often the node has looked for events to claim, and how long that took in all.
#[derive(Debug, Clone, Copy)]
struct Looks {
    count: f64,
    seconds: f64,
}

/// The same, second by second.
fn look(place: &Place, has_ended: &AtomicBool) -> Vec<Looks> {
    let now = || {
        let gauges = place.house.engine.store().gauges();
        let of = |name| gauges.iter().find(|(known, _)| *known == name).map_or(0.0, |(_, n)| *n);
        Looks { count: of("claims"), seconds: of("claims_seconds") }
    };
    let mut looks = vec![now()];
    while !has_ended.load(Ordering::Acquire) {
        std::thread::sleep(LOOK_EVERY);
        looks.push(now());
    }
    looks
}

/// In words.
fn length(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds >= 120 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}
