//! The end of attempts: rows go from the live table to the log, with what their handlers did.
//!
//! Differs because another node may have taken an event over meanwhile: each statement asks for the claim's token, and
//! what comes too late is dropped, its runs with it.

use std::collections::HashSet;

use campanile_model::{EventState, HandlerRun, SysId};

use super::append::forget_internal_keys;
use super::claims::{self, Claims};
use super::connection::Connection;
use super::effects::Effects;
use super::events::COLUMNS;
use super::pending::Pending;
use super::runs;
use super::text::stored;
use crate::contract::{Completion, NextState, StoreError};

/// What a batch came to.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Wakes; to be carried out after the commit.
    pub(super) effects: Effects,
    /// Events that failed and wait again.
    pub(super) retried: Vec<(SysId, i64)>,
    /// Events that were not this node's any more.
    pub(super) late: Vec<SysId>,
}

/// Writes a batch in the transaction of `connection`, for the node with `token`.
///
/// # Errors
/// What PostgreSQL said; then the caller rolls back.
pub(super) fn write_batch(
    connection: &Connection,
    claims: &Claims,
    batch: &[Pending],
    token: i64,
) -> Result<Written, StoreError> {
    let mut written = Written::default();
    let mut finals = Vec::new();
    let mut retries = Vec::new();
    let mut going_on = Vec::new();
    for pending in batch {
        match pending {
            Pending::Runs(sequence, _) => going_on.push(*sequence),
            Pending::End(sequence, completion) => match completion.next {
                NextState::RetryAt(_) => retries.push((*sequence, &**completion)),
                _ => finals.push((*sequence, &**completion)),
            },
            Pending::GiveBack(_) => {}
        }
    }
    // Before anything goes: an event may go on and end in one batch.
    let mut own = still_own(connection, &going_on, token)?;
    own.extend(finish(connection, &finals, token)?);
    for (sequence, completion) in &retries {
        if let Some(at) = retry(connection, *sequence, completion, token)? {
            own.insert(*sequence);
            written.retried.push((completion.event, at));
        }
    }
    let mut recorded: Vec<&HandlerRun> = Vec::new();
    for pending in batch {
        match pending {
            Pending::Runs(sequence, runs) if own.contains(sequence) => recorded.extend(runs),
            Pending::End(sequence, completion) if own.contains(sequence) => {
                recorded.extend(&completion.runs);
            }
            Pending::End(_, completion) => written.late.push(completion.event),
            Pending::Runs(..) | Pending::GiveBack(_) => {}
        }
    }
    runs::write(connection, &recorded)?;
    // Behind the runs of attempts that are given up.
    for given in batch.iter().filter_map(Pending::given_back) {
        written.effects.extend(&claims::give_back(connection, given, token)?);
    }
    let ended: Vec<SysId> = finals
        .iter()
        .filter(|(sequence, completion)| {
            own.contains(sequence) && claims.has_fired(&completion.event)
        })
        .map(|(_, completion)| completion.event)
        .collect();
    forget_internal_keys(connection, &ended)?;
    Ok(written)
}

/// Those of the events that are still claimed under this token; nobody takes them over before the commit.
fn still_own(
    connection: &Connection,
    sequences: &[i64],
    token: i64,
) -> Result<HashSet<i64>, StoreError> {
    if sequences.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = connection.query(
        "SELECT sequence FROM sysevent_live WHERE sequence = ANY ($1) AND claim_token = $2 FOR SHARE",
        &[&sequences, &token],
    )?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// T3, T5: moves rows from the live table to the log. Returns those that moved.
///
/// The rows are deleted by a list of keys and joined with their new values afterwards: any other form reads the whole
/// table, or pairs every row with every value.
fn finish(
    connection: &Connection,
    finals: &[(i64, &Completion)],
    token: i64,
) -> Result<HashSet<i64>, StoreError> {
    if finals.is_empty() {
        return Ok(HashSet::new());
    }
    let columns = COLUMNS
        .replace("sequence,", "gone.sequence,")
        .replace(" state,", " ended.state,")
        .replace(" attempts,", " attempts + 1,")
        .replace(
            " processed, processing_duration, error_code, error_message",
            " ended.started, ended.duration, ended.code, ended.message",
        );
    let sql = format!(
        "WITH gone AS (DELETE FROM sysevent_live WHERE sequence = ANY ($1) AND claim_token = $2 RETURNING *) \
         INSERT INTO sysevent_log ({COLUMNS}, sys_updated_on, sys_updated_by, sys_mod_count) \
         SELECT {columns}, ended.started + ended.duration, 'system', sys_mod_count + 1 \
         FROM gone JOIN unnest($1::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[]) \
         AS ended (sequence, state, started, duration, code, message) ON ended.sequence = gone.sequence \
         RETURNING sequence"
    );
    let sequences: Vec<i64> = finals.iter().map(|(sequence, _)| *sequence).collect();
    let ended: Vec<Ended<'_>> =
        finals.iter().map(|(_, completion)| Ended::of(completion)).collect();
    let started: Vec<i64> = finals.iter().map(|(_, c)| c.started.as_millis()).collect();
    let durations: Vec<i64> = finals.iter().map(|(_, c)| c.duration_ms).collect();
    let rows = connection.query(
        &sql,
        &[
            &sequences,
            &token,
            &ended.iter().map(|one| one.state.as_str()).collect::<Vec<_>>(),
            &started,
            &durations,
            &ended.iter().map(|one| one.code).collect::<Vec<_>>(),
            &ended.iter().map(|one| one.message.map(stored)).collect::<Vec<_>>(),
        ],
    )?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// How an event ended.
struct Ended<'a> {
    state: EventState,
    code: Option<&'a str>,
    message: Option<&'a str>,
}

impl<'a> Ended<'a> {
    fn of(completion: &'a Completion) -> Self {
        match &completion.next {
            NextState::Error { code, message } => {
                Self { state: EventState::Error, code: Some(code), message: Some(message) }
            }
            _ => Self { state: EventState::Processed, code: None, message: None },
        }
    }
}

/// T4: the event stays where it is, for later. Returns when, unless it came too late.
fn retry(
    connection: &Connection,
    sequence: i64,
    completion: &Completion,
    token: i64,
) -> Result<Option<i64>, StoreError> {
    let NextState::RetryAt(at) = completion.next else { return Ok(None) };
    let changed = connection.execute(
        "UPDATE sysevent_live SET state = 'ready', claimed_by = NULL, claim_token = NULL, process_on = $2, \
         attempts = attempts + 1, processed = $3, processing_duration = $4, sys_updated_on = $3::bigint + $4::bigint, \
         sys_updated_by = 'system', sys_mod_count = sys_mod_count + 1 WHERE sequence = $1 AND claim_token = $5",
        &[
            &sequence,
            &at.as_millis(),
            &completion.started.as_millis(),
            &completion.duration_ms,
            &token,
        ],
    )?;
    Ok((changed > 0).then_some(at.as_millis()))
}
