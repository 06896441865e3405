//! What a claim of a queue with order by record looks at first: the first due events of a partition, in the order of the queue,
//! each with its turn.

use std::collections::{HashMap, HashSet};

use tokio_postgres::{Error, Row};

use super::looks::{Lane, Look, read_lane};
use super::spread::turn_of_record;
use super::statements::{GIVE_TURNS, HOLD_THESE, LOOK_IN_TURN, NEXT_LANE};
use crate::postgres::text::{read, stored};

/// A waiting event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Waiting {
    pub(super) sequence: i64,
    pub(super) priority: f64,
    pub(super) process_on: i64,
    pub(super) turn: i64,
    /// It was tried before: it is tried alone.
    pub(super) was_tried: bool,
}

impl Waiting {
    /// Its place in its turn.
    pub(super) fn place(&self) -> (i64, i64) {
        (self.process_on, self.sequence)
    }
}

/// The first due events of a partition, in the order of the queue.
pub(super) struct Window {
    pub(super) events: Vec<Waiting>,
    /// It has all that is due.
    pub(super) is_whole: bool,
    /// Where turns end for now: the first event that has no turn yet, and could not get it, because somebody else holds it.
    pub(super) bars: Bars,
}

/// Places by turns.
pub(super) type Bars = HashMap<i64, (i64, i64)>;

impl Window {
    /// Whether what stands at this place waits for one that has no turn yet, or is it.
    pub(super) fn is_barred(&self, turn: i64, place: (i64, i64)) -> bool {
        self.bars.get(&turn).is_some_and(|bar| *bar <= place)
    }
}

/// The first due events, each with its turn.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn look_at_due(look: &Look<'_>, seen_max: usize) -> Result<Window, Error> {
    let mut rows: Vec<Row> = Vec::new();
    let by_priority = look.request.by_priority;
    let (queue, now) = (stored(look.request.queue), look.request.now.as_millis());
    let mut lane = look.lane_behind(f64::NEG_INFINITY)?;
    while let Some(Lane { priority, due }) = lane {
        if by_priority && rows.len() >= seen_max {
            break;
        }
        if due > now {
            lane = look.lane_behind(priority)?;
            continue;
        }
        let wanted = if by_priority { seen_max - rows.len() } else { seen_max };
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        let (found, next) = look.connection.query_both_within(
            (LOOK_IN_TURN, &[&look.partition, &queue, &priority, &now, &wanted]),
            (NEXT_LANE, &[&look.partition, &queue, &priority]),
        )?;
        rows.extend(found);
        lane = read_lane(&next)?;
    }
    let (mut events, bars) = with_turns(look, &rows)?;
    if !by_priority {
        events.sort_by_key(Waiting::place);
    }
    let is_whole = events.len() < seen_max;
    events.truncate(seen_max);
    Ok(Window { events, is_whole, bars })
}

/// The events in rows of [`LOOK_IN_TURN`], and [the bars](Window::bars) among them. Those from before the queue kept an order
/// get their turn now.
fn with_turns(look: &Look<'_>, rows: &[Row]) -> Result<(Vec<Waiting>, Bars), Error> {
    let mut without: HashMap<i64, i64> = HashMap::new();
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        let sequence: i64 = row.try_get(0)?;
        let turn = if let Some(turn) = row.try_get(3)? {
            turn
        } else {
            let text = |at: usize| -> Result<String, Error> {
                Ok(read(row.try_get::<_, Option<&str>>(at)?.unwrap_or_default()).into_owned())
            };
            let turn = turn_of_record(&text(6)?, &text(7)?, &text(8)?);
            without.insert(sequence, turn);
            turn
        };
        let (attempts, lapses): (i64, i64) = (row.try_get(4)?, row.try_get(5)?);
        events.push(Waiting {
            sequence,
            priority: row.try_get(1)?,
            process_on: row.try_get(2)?,
            turn,
            was_tried: attempts > 0 || lapses > 0,
        });
    }
    let mut bars = Bars::new();
    if !without.is_empty() {
        // What somebody is about to change is had by nobody, now or in a moment, and those behind it wait: claimed without a turn
        // it would be seen by nobody.
        let held = hold(look, &without.keys().copied().collect::<Vec<_>>())?;
        for event in &events {
            if without.contains_key(&event.sequence) && !held.contains(&event.sequence) {
                let bar = bars.entry(event.turn).or_insert(event.place());
                *bar = event.place().min(*bar);
            }
        }
        let (sequences, turns): (Vec<i64>, Vec<i64>) =
            without.into_iter().filter(|(sequence, _)| held.contains(sequence)).unzip();
        look.connection.execute(GIVE_TURNS, &[&look.partition, &sequences, &turns])?;
    }
    Ok((events, bars))
}

/// Those of these events that wait and are due, held, unless somebody else holds them.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn hold(look: &Look<'_>, sequences: &[i64]) -> Result<HashSet<i64>, Error> {
    let now = look.request.now.as_millis();
    let queue = stored(look.request.queue);
    let rows = look.connection.query(HOLD_THESE, &[&look.partition, &sequences, &queue, &now])?;
    rows.iter().map(|row| row.try_get(0)).collect()
}
