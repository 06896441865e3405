//! The end of attempts, partition by partition.
//!
//! As in the folder above, each statement asks for the claim's token: what comes too late is dropped, its runs with it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use campanile_model::{HandlerRun, Instant, SysId};

use super::rows::{Taken, put};
use super::statements::{HOLD_OWN, RETRY, TAKE_ENDED};
use crate::contract::{Completion, NextState, StoreError};
use crate::postgres::completions::{Ended, Written};
use crate::postgres::connection::Connection;
use crate::postgres::events::Place;
use crate::postgres::held::{Claims, Held};
use crate::postgres::holders;
use crate::postgres::order::{self, Failed};
use crate::postgres::pending::Pending;
use crate::postgres::runs;

/// What a batch brings to one partition.
#[derive(Default)]
struct Part<'a> {
    going_on: Vec<i64>,
    finals: Vec<(i64, &'a Completion)>,
    retries: Vec<(Held, &'a Completion)>,
    /// In the order in which they were handed in.
    runs: Vec<(i64, &'a [HandlerRun])>,
}

/// Writes a batch in the transaction of `connection`, for the node with `token`.
///
/// # Errors
/// What PostgreSQL said; then the caller rolls back.
pub(in crate::postgres) fn write_batch(
    connection: &Connection,
    claims: &Claims,
    batch: &[Pending],
    token: i64,
) -> Result<Written, StoreError> {
    let mut written = Written::default();
    let mut parts: BTreeMap<i64, Part<'_>> = BTreeMap::new();
    for pending in batch {
        match pending {
            Pending::Runs(held, runs) => {
                let event = runs.first().map(|run| &run.event);
                // One that was taken over meanwhile stands nowhere any more, as far as this program knows.
                if let Some(partition) = event.and_then(|event| claims.partition(event)) {
                    let part = parts.entry(partition).or_default();
                    part.going_on.push(held.sequence);
                    part.runs.push((held.sequence, runs));
                }
            }
            Pending::End(held, completion) => match claims.partition(&completion.event) {
                Some(partition) => {
                    let part = parts.entry(partition).or_default();
                    match completion.next {
                        NextState::RetryAt(_) => part.retries.push((*held, &**completion)),
                        _ => part.finals.push((held.sequence, &**completion)),
                    }
                    part.runs.push((held.sequence, &completion.runs));
                }
                None => written.late.push(completion.event),
            },
            Pending::GiveBack(_) => {}
        }
    }
    let mut ended = Vec::new();
    for (partition, part) in &parts {
        ended.extend(write_part(connection, *partition, part, token, &mut written)?);
    }
    // Behind the runs of attempts that are given up.
    for given in batch.iter().filter_map(Pending::given_back) {
        written.effects.extend(&holders::give_back(connection, &claims.not_again(given), token)?);
    }
    // Last, as in the folder above: whoever sets an order takes events first, and then its row.
    halt(connection, claims, &parts, &ended)?;
    ended.retain(|event| claims.has_fired(event));
    written.fired = ended;
    Ok(written)
}

/// Stops the queues that stop at an error, for those of `ended` that did.
fn halt(
    connection: &Connection,
    claims: &Claims,
    parts: &BTreeMap<i64, Part<'_>>,
    ended: &[SysId],
) -> Result<(), StoreError> {
    let is_failed = |completion: &&Completion| {
        matches!(completion.next, NextState::Error { .. }) && ended.contains(&completion.event)
    };
    let finals = parts.values().flat_map(|part| &part.finals).map(|(_, completion)| *completion);
    let failed = finals.filter(is_failed).filter_map(|completion| {
        let at = completion.started.plus_millis(completion.duration_ms).as_millis();
        let queue = claims.queue_in_turn(&completion.event)?;
        Some(Failed { queue, event: completion.event, at })
    });
    order::halt_by(connection, failed.collect())
}

/// Writes what a batch brings to `partition`. Returns the events whose epoch has ended.
fn write_part(
    connection: &Connection,
    partition: i64,
    part: &Part<'_>,
    token: i64,
    written: &mut Written,
) -> Result<Vec<SysId>, StoreError> {
    // Before anything goes: an event may go on and end in one batch.
    let mut own = still_own(connection, partition, &part.going_on, token)?;
    let finished = finish(connection, partition, &part.finals, token)?;
    own.extend(&finished);
    for (held, completion) in &part.retries {
        if let Some(at) = retry(connection, partition, (*held, completion))? {
            own.insert(held.sequence);
            written.retried.push((completion.event, at));
        }
    }
    let retries = part.retries.iter().map(|(held, completion)| (held.sequence, *completion));
    let ends = part.finals.iter().copied().chain(retries);
    written.late.extend(
        ends.filter(|(sequence, _)| !own.contains(sequence))
            .map(|(_, completion)| completion.event),
    );
    let recorded: Vec<&HandlerRun> = part
        .runs
        .iter()
        .filter(|(sequence, _)| own.contains(sequence))
        .flat_map(|(_, runs)| *runs)
        .collect();
    runs::write(connection, &recorded, Some(partition))?;
    let finals = part.finals.iter().filter(|(sequence, _)| finished.contains(sequence));
    Ok(finals.map(|(_, completion)| completion.event).collect())
}

/// Those of the events that are still claimed under this token; nobody takes them over before the commit.
fn still_own(
    connection: &Connection,
    partition: i64,
    sequences: &[i64],
    token: i64,
) -> Result<HashSet<i64>, StoreError> {
    if sequences.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = connection.query(HOLD_OWN, &[&partition, &sequences, &token])?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// T3, T5: moves rows from the live table to the log. Returns those that moved.
fn finish(
    connection: &Connection,
    partition: i64,
    finals: &[(i64, &Completion)],
    token: i64,
) -> Result<HashSet<i64>, StoreError> {
    if finals.is_empty() {
        return Ok(HashSet::new());
    }
    let completions: HashMap<i64, &Completion> = finals.iter().copied().collect();
    let sequences: Vec<i64> = finals.iter().map(|(sequence, _)| *sequence).collect();
    let rows = connection.query(TAKE_ENDED, &[&partition, &sequences, &token])?;
    let mut ended = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut taken = Taken::read(row)?;
        if let Some(completion) = completions.get(&taken.event.sequence) {
            end(&mut taken, completion);
            ended.push(taken);
        }
    }
    put(connection, Place::Log, partition, &ended)?;
    Ok(ended.iter().map(|taken| taken.event.sequence).collect())
}

/// What `completion` makes of an event.
fn end(taken: &mut Taken, completion: &Completion) {
    let how = Ended::of(completion);
    let event = &mut taken.event;
    event.state = how.state;
    event.attempts += 1;
    event.processed = Some(completion.started);
    event.processing_duration_ms = Some(completion.duration_ms);
    event.error_code = Arc::from(how.code.unwrap_or_default());
    event.error_message = Arc::from(how.message.unwrap_or_default());
    let ended: Instant = completion.started.plus_millis(completion.duration_ms);
    taken.touch(Some(ended.as_millis()), "system");
}

/// T4: the event stays where it is, for later. Returns when, unless it came too late.
fn retry(
    connection: &Connection,
    partition: i64,
    (held, completion): (Held, &Completion),
) -> Result<Option<i64>, StoreError> {
    let NextState::RetryAt(at) = completion.next else { return Ok(None) };
    let changed = connection.execute(
        RETRY,
        &[
            &partition,
            &held.sequence,
            &at.as_millis(),
            &completion.started.as_millis(),
            &completion.duration_ms,
            &held.token,
            &held.attempts,
        ],
    )?;
    Ok((changed > 0).then_some(at.as_millis()))
}
