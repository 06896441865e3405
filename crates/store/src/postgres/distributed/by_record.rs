//! What a claim of a queue with order by record gets of a partition: events about one record all stand in one.
//!
//! As `campanile_pick_by_record`: the first event of each record that nobody handles, and, where there are fewer such records
//! than events wanted, some that follow it. Differs because each question is a round trip: what is asked of many events is
//! asked once, and what follows from the events at hand is not asked at all.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use tokio_postgres::{Error, Row};

use super::claims::Look;
use super::claims_in_turn::{InTurn, Step};
use super::spread::turn_of_record;
use super::statements::{
    BEGUN_OF_TURNS, CLAIM, FIRST_OF_TURN, FOLLOWERS, GIVE_TURNS, HOLD_THESE, LOOK_IN_TURN,
    TURNS_BEHIND,
};
use super::turns::{Ended, Turn};
use crate::postgres::claims::HELD_BY_OTHERS_MS;
use crate::postgres::text::{read, stored};

/// Fewest events that are looked at in the queue's order; twice what is wanted when that is more. Behind so many that wait for
/// their records, records are looked at instead.
const SEEN_MIN: usize = 200;

/// Looks at records behind that, and events in each.
const LOOKS_BEHIND: usize = 20;
const SEEN_BEHIND: i64 = 500;

/// A waiting event.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Waiting {
    sequence: i64,
    priority: f64,
    process_on: i64,
    turn: i64,
    /// It was tried before: it is tried alone.
    was_tried: bool,
}

impl Waiting {
    /// Its place in its turn.
    fn place(&self) -> (i64, i64) {
        (self.process_on, self.sequence)
    }
}

/// The first due events of a partition, in the order of the queue.
struct Window {
    events: Vec<Waiting>,
    /// It has all that is due.
    is_whole: bool,
    /// The first event of a turn that it has is the first of that turn.
    knows_firsts: bool,
}

/// The event that a turn stands at, when it was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begun {
    /// It is being handled.
    is_claimed: bool,
    place: (i64, i64),
}

/// Looks at partitions until one has given something, or has been looked at in vain: others wait for its claims.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn step(
    claim: &InTurn<'_>,
    to_look_at: &mut impl Iterator<Item = Turn>,
) -> Result<Step, Error> {
    for turn in to_look_at {
        let look = claim.look(turn.partition);
        let due = look.first_due()?;
        if due.is_none_or(|due| due > claim.now()) {
            claim.seen(turn, Ended::Unserved(due));
            continue;
        }
        if !claim.hold_claims(Some(turn.partition))? {
            claim.seen(turn, Ended::Held(claim.now() + HELD_BY_OTHERS_MS));
            continue;
        }
        let picked = pick(&look)?;
        if picked.is_empty() {
            claim.seen(turn, claim.ended(turn.partition, false)?);
            return Ok(Step::GoOn);
        }
        let by = stored(claim.request.claimed_by);
        let rows = claim.connection.query(CLAIM, &[&turn.partition, &picked, &by, &claim.token])?;
        return Ok(Step::Took { turn, rows, ended: claim.ended(turn.partition, true)? });
    }
    Ok(Step::GoOn)
}

fn pick(look: &Look<'_>) -> Result<Vec<i64>, Error> {
    let limit = look.request.limit;
    let window = look_at_due(look, SEEN_MIN.max(2 * limit))?;
    let mut heads = heads(look, &window)?;
    if heads.is_empty() && !window.is_whole {
        heads = heads_behind(look)?;
    }
    if heads.is_empty() {
        return Ok(Vec::new());
    }
    let follow = (limit / heads.len()).saturating_sub(1);
    let mut chains = Vec::with_capacity(heads.len());
    for head in heads {
        let mut chain = vec![head.sequence];
        if follow > 0 && !head.was_tried {
            chain.extend(followers(look, &window, head, follow)?);
        }
        chains.push(chain);
    }
    take_prefixes(look, &chains)
}

/// The first due events, each with its turn.
fn look_at_due(look: &Look<'_>, seen_max: usize) -> Result<Window, Error> {
    let mut rows: Vec<Row> = Vec::new();
    let mut behind = f64::NEG_INFINITY;
    let by_priority = look.request.by_priority;
    let (mut lanes, mut is_last) = (0, true);
    while let Some(lane) = look.lane_behind(behind)? {
        if by_priority && rows.len() >= seen_max {
            is_last = false;
            break;
        }
        (behind, lanes) = (lane.priority, lanes + 1);
        if lane.due > look.request.now.as_millis() {
            continue;
        }
        let wanted = if by_priority { seen_max - rows.len() } else { seen_max };
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        let (queue, now) = (stored(look.request.queue), look.request.now.as_millis());
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&look.partition, &queue, &lane.priority, &now, &wanted];
        rows.extend(look.connection.query(LOOK_IN_TURN, &values)?);
    }
    let mut events = with_turns(look, &rows)?;
    if !by_priority {
        events.sort_by_key(Waiting::place);
    }
    let is_whole = events.len() < seen_max;
    events.truncate(seen_max);
    let knows_firsts = !by_priority || is_whole || (lanes == 1 && is_last);
    Ok(Window { events, is_whole, knows_firsts })
}

/// The events in rows of [`LOOK_IN_TURN`]. Those from before the queue kept an order get their turn now.
fn with_turns(look: &Look<'_>, rows: &[Row]) -> Result<Vec<Waiting>, Error> {
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
    if !without.is_empty() {
        // What somebody is about to change is had by nobody, and those behind it wait.
        let held = hold(look, &without.keys().copied().collect::<Vec<_>>())?;
        let (sequences, turns): (Vec<i64>, Vec<i64>) =
            without.into_iter().filter(|(sequence, _)| held.contains(sequence)).unzip();
        look.connection.execute(GIVE_TURNS, &[&look.partition, &sequences, &turns])?;
    }
    Ok(events)
}

/// Those of the window whose turn it is, as many as are wanted.
fn heads(look: &Look<'_>, window: &Window) -> Result<Vec<Waiting>, Error> {
    let mut firsts: HashMap<i64, Waiting> = HashMap::new();
    for event in &window.events {
        let first = firsts.entry(event.turn).or_insert(*event);
        if event.place() < first.place() {
            *first = *event;
        }
    }
    let turns: Vec<i64> = firsts.keys().copied().collect();
    let begun = begun(look, &turns)?;
    let mut heads = Vec::new();
    for event in &window.events {
        if heads.len() >= look.request.limit {
            break;
        }
        let is_head = match begun.get(&event.turn) {
            Some(begun) => !begun.is_claimed && begun.place == event.place(),
            None if firsts[&event.turn].sequence != event.sequence => false,
            None => window.knows_firsts || first_of(look, event.turn)? == Some(event.sequence),
        };
        if is_head {
            heads.push(*event);
        }
    }
    Ok(heads)
}

/// What each of these turns stands at, if that was begun: what is being handled, else what was tried before.
fn begun(look: &Look<'_>, turns: &[i64]) -> Result<HashMap<i64, Begun>, Error> {
    let mut found: HashMap<i64, Begun> = HashMap::new();
    if turns.is_empty() {
        return Ok(found);
    }
    let queue = stored(look.request.queue);
    for row in look.connection.query(BEGUN_OF_TURNS, &[&look.partition, &queue, &turns])? {
        let state: &str = row.try_get(2)?;
        let begun =
            Begun { is_claimed: state == "queued", place: (row.try_get(3)?, row.try_get(1)?) };
        let known = found.entry(row.try_get(0)?).or_insert(begun);
        if (!begun.is_claimed, begun.place) < (!known.is_claimed, known.place) {
            *known = begun;
        }
    }
    Ok(found)
}

fn first_of(look: &Look<'_>, turn: i64) -> Result<Option<i64>, Error> {
    let queue = stored(look.request.queue);
    let row = look.connection.query_first(FIRST_OF_TURN, &[&look.partition, &queue, &turn])?;
    row.map(|row| row.try_get(0)).transpose()
}

/// Events whose turn it is where all that was seen waits for records that are being handled. From a record by chance, so that
/// each has its turn.
fn heads_behind(look: &Look<'_>) -> Result<Vec<Waiting>, Error> {
    let now = look.request.now.as_millis();
    let queue = stored(look.request.queue);
    let chance = i64::try_from(RandomState::new().hash_one(now) >> 1).unwrap_or(0);
    let mut behind = chance;
    let mut has_wrapped = false;
    let mut heads = Vec::new();
    for _ in 0..LOOKS_BEHIND {
        let rows = look
            .connection
            .query(TURNS_BEHIND, &[&look.partition, &queue, &behind, &SEEN_BEHIND])?;
        let mut firsts: Vec<Waiting> = Vec::new();
        for row in &rows {
            let turn: i64 = row.try_get(0)?;
            if firsts.last().is_none_or(|last| last.turn != turn) {
                let (attempts, lapses): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
                firsts.push(Waiting {
                    sequence: row.try_get(1)?,
                    priority: 0.0,
                    process_on: row.try_get(2)?,
                    turn,
                    was_tried: attempts > 0 || lapses > 0,
                });
            }
        }
        let turns: Vec<i64> = firsts.iter().map(|first| first.turn).collect();
        let begun = begun(look, &turns)?;
        for first in firsts {
            behind = first.turn;
            let head = match begun.get(&first.turn) {
                Some(begun) if begun.is_claimed => continue,
                // Put off, it may stand behind what follows it.
                Some(Begun { place: (process_on, sequence), .. }) => Waiting {
                    process_on: *process_on,
                    sequence: *sequence,
                    was_tried: true,
                    ..first
                },
                None => first,
            };
            if head.process_on <= now && heads.len() < look.request.limit {
                heads.push(head);
            }
        }
        let is_end = i64::try_from(rows.len()).is_ok_and(|rows| rows < SEEN_BEHIND);
        if heads.len() >= look.request.limit || (has_wrapped && behind >= chance) {
            break;
        }
        if is_end {
            if has_wrapped {
                break;
            }
            (has_wrapped, behind) = (true, -1);
        }
    }
    Ok(heads)
}

/// Up to `count` events that follow `head` in its turn.
fn followers(
    look: &Look<'_>,
    window: &Window,
    head: Waiting,
    count: usize,
) -> Result<Vec<i64>, Error> {
    if window.is_whole {
        let mut behind: Vec<&Waiting> = window
            .events
            .iter()
            .filter(|event| event.turn == head.turn && event.place() > head.place())
            .collect();
        behind.sort_by_key(|event| event.place());
        return Ok(behind.iter().take(count).map(|event| event.sequence).collect());
    }
    let rows = look.connection.query(
        FOLLOWERS,
        &[
            &look.partition,
            &stored(look.request.queue),
            &head.turn,
            &head.process_on,
            &head.sequence,
            &i64::try_from(count).unwrap_or(i64::MAX),
        ],
    )?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Of each chain what can be had, up to the first that somebody else is about to change: what follows it must wait.
fn take_prefixes(look: &Look<'_>, chains: &[Vec<i64>]) -> Result<Vec<i64>, Error> {
    let held = hold(look, &chains.concat())?;
    Ok(chains
        .iter()
        .flat_map(|chain| chain.iter().take_while(|sequence| held.contains(sequence)))
        .copied()
        .collect())
}

/// Those of these events that wait and are due, held, unless somebody else holds them.
fn hold(look: &Look<'_>, sequences: &[i64]) -> Result<HashSet<i64>, Error> {
    let now = look.request.now.as_millis();
    let queue = stored(look.request.queue);
    let rows = look.connection.query(HOLD_THESE, &[&look.partition, &sequences, &queue, &now])?;
    rows.iter().map(|row| row.try_get(0)).collect()
}
