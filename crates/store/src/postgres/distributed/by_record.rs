//! What a claim of a queue with order by record gets of a partition: events about one record all stand in one.
//!
//! As `campanile_pick_by_record`: the first event of each record that nobody handles, and, where there are fewer such records
//! than events wanted, some that follow it. Differs because each question is a round trip: what is asked of many events is
//! asked in one; and because each sees what was committed until then, so nothing follows from what an earlier one has seen but
//! where to look: what is first in a turn, and what follows it, is asked for, and whatever stands there is told, claimed or not.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use super::claims_in_turn::{InTurn, Step};
use super::looks::Look;
use super::statements::{BEGUN_OF_TURNS, CLAIM, FIRST_OF_TURN, FOLLOWERS, TURNS_BEHIND};
use super::turns::{Ended, Turn};
use super::window::{Waiting, Window, hold, look_at_due};
use crate::postgres::claims::HELD_BY_OTHERS_MS;
use crate::postgres::connection::Asked;
use crate::postgres::text::stored;

/// Fewest events that are looked at in the queue's order; twice what is wanted when that is more. Behind so many that wait for
/// their records, records are looked at instead.
const SEEN_MIN: usize = 200;

/// Looks at records behind that, and events in each.
const LOOKS_BEHIND: usize = 20;
const SEEN_BEHIND: i64 = 500;

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
            claim.seen(turn, claim.ended(turn.partition)?);
            return Ok(Step::GoOn);
        }
        let by = stored(claim.request.claimed_by);
        let take: Asked<'_> = (CLAIM, &[&turn.partition, &picked, &by, &claim.token]);
        let (rows, ended) = claim.take(turn.partition, take)?;
        return Ok(Step::Took { turn, rows, ended });
    }
    Ok(Step::GoOn)
}

fn pick(look: &Look<'_>) -> Result<Vec<i64>, Error> {
    let limit = look.request.limit;
    let window = look_at_due(look, SEEN_MIN.max(2 * limit))?;
    let mut heads = heads(look, &window)?;
    if heads.is_empty() && !window.is_whole {
        heads = heads_behind(look, &window)?;
    }
    if heads.is_empty() {
        return Ok(Vec::new());
    }
    let follow = (limit / heads.len()).saturating_sub(1);
    let mut chains: Vec<Vec<i64>> = heads.iter().map(|head| vec![head.sequence]).collect();
    if follow > 0 {
        for (chain, following) in chains.iter_mut().zip(followers(look, &window, &heads, follow)?) {
            chain.extend(following);
        }
    }
    take_prefixes(look, &chains)
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
    let mut candidates = window.events.iter().filter(|event| match begun.get(&event.turn) {
        Some(begun) => !begun.is_claimed && begun.place == event.place(),
        None => {
            firsts[&event.turn].sequence == event.sequence
                && !window.is_barred(event.turn, event.place())
        }
    });
    let mut heads = Vec::new();
    while heads.len() < look.request.limit {
        let asked: Vec<&Waiting> =
            candidates.by_ref().take(look.request.limit - heads.len()).collect();
        if asked.is_empty() {
            break;
        }
        // Behind the look at what was begun: what was given back since stands there again, before what follows it.
        for (event, first) in asked.iter().zip(firsts_of(look, &asked)?) {
            if begun.contains_key(&event.turn) || first == Some(event.sequence) {
                heads.push(**event);
            }
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

/// The first event of the turn of each.
fn firsts_of(look: &Look<'_>, events: &[&Waiting]) -> Result<Vec<Option<i64>>, Error> {
    let queue = stored(look.request.queue);
    let values: Vec<Vec<&(dyn ToSql + Sync)>> = events
        .iter()
        .map(|event| -> Vec<&(dyn ToSql + Sync)> { vec![&look.partition, &queue, &event.turn] })
        .collect();
    let firsts = look.connection.query_each(FIRST_OF_TURN, &values)?;
    firsts.iter().map(|rows| rows.first().map(|row| row.try_get(0)).transpose()).collect()
}

/// Events whose turn it is where all that was seen waits for records that are being handled. From a record by chance, so that
/// each has its turn.
fn heads_behind(look: &Look<'_>, window: &Window) -> Result<Vec<Waiting>, Error> {
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
                None if window.is_barred(first.turn, first.place()) => continue,
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

/// Up to `count` events that follow each of these in its turn; none where it was tried before.
fn followers(
    look: &Look<'_>,
    window: &Window,
    heads: &[Waiting],
    count: usize,
) -> Result<Vec<Vec<i64>>, Error> {
    let queue = stored(look.request.queue);
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let counts: Vec<i64> =
        heads.iter().map(|head| if head.was_tried { 0 } else { count }).collect();
    let values: Vec<Vec<&(dyn ToSql + Sync)>> = heads
        .iter()
        .zip(&counts)
        .map(|(head, count)| -> Vec<&(dyn ToSql + Sync)> {
            vec![&look.partition, &queue, &head.turn, &head.process_on, &head.sequence, count]
        })
        .collect();
    let mut followers = Vec::with_capacity(heads.len());
    for (head, rows) in heads.iter().zip(look.connection.query_each(FOLLOWERS, &values)?) {
        let mut following = Vec::with_capacity(rows.len());
        for row in &rows {
            let (sequence, process_on): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            if window.is_barred(head.turn, (process_on, sequence)) {
                break;
            }
            following.push(sequence);
        }
        followers.push(following);
    }
    Ok(followers)
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

#[cfg(all(test, feature = "testing"))]
mod tests {
    use campanile_model::Instant;

    use super::*;
    use crate::contract::ClaimRequest;
    use crate::postgres::DatabaseUrl;
    use crate::postgres::address::Address;
    use crate::postgres::connection::Connection;
    use crate::postgres::distributed::plan_tests::partitioned;
    use crate::postgres::distributed::window::Bars;

    /// Each priority is a look of its own: the first event came to one that was looked at already, the second to the next.
    #[test]
    fn what_came_between_two_looks_is_not_passed_by_what_came_behind_it() {
        let database = partitioned();
        database.run(
            "INSERT INTO sysevent_live (sequence, sys_id, queue, derived_priority, process_on, sys_created_on, name, turn, \
             \"partition\", depth, source, queue_from_call, registered, scheduled, max_attempts, coalesce_seconds) \
             SELECT n, 'e' || n, 'q', 100 * n, 5, 0, 'n', 7, 3, 0, 'api', false, true, false, 0, 0 \
             FROM generate_series(1, 2) AS made (n)",
        );
        let address = Address::parse(&DatabaseUrl::from(database.url())).unwrap();
        let connection = Connection::open(&address).unwrap();
        let request = ClaimRequest {
            queue: "q",
            limit: 9,
            claimed_by: "n/q/0",
            by_priority: true,
            now: Instant::from_millis(10),
        };
        let look = Look { connection: &connection, request: &request, partition: 3 };
        let [first, second] = [1, 2].map(|sequence: i64| Waiting {
            sequence,
            priority: 100.0,
            process_on: 5,
            turn: 7,
            was_tried: false,
        });
        let seen = |events| Window { events, is_whole: true, bars: Bars::new() };
        assert_eq!(heads(&look, &seen(vec![second])).unwrap(), []);
        assert_eq!(heads(&look, &seen(vec![first, second])).unwrap(), [first]);
    }
}
