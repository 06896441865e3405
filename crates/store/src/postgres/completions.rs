//! The end of attempts: rows go from the live table to the log, with what their handlers did.
//!
//! Differs because another node may have taken an event over meanwhile: each statement asks for the claim's token, and
//! what comes too late is dropped, its runs with it.

use std::collections::HashSet;

use campanile_model::{EventState, HandlerRun, SysId};

use super::connection::Connection;
use super::distributed;
use super::effects::Effects;
use super::events::COLUMNS;
use super::held::{Claims, Held};
use super::holders;
use super::order;
use super::params::Columns;
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
    /// Events whose epoch has ended and whose handlers may have fired: their internal keys are to go.
    pub(super) fired: Vec<SysId>,
}

/// Begins a transaction by `begin` and writes a batch in it, in one round trip, if it consists of nothing but ends that are
/// final, as nearly all do, stop no queue, and are all still this node's. Else `None`, and there is no transaction.
///
/// # Errors
/// What PostgreSQL said; then the caller rolls back.
pub(super) fn begin_with_finals(
    connection: &Connection,
    begin: &str,
    claims: &Claims,
    batch: &[Pending],
    token: i64,
) -> Result<Option<Written>, StoreError> {
    // In distributed mode each partition has statements of its own.
    if claims.spread().is_some() {
        return Ok(None);
    }
    let Some(finals) = batch.iter().map(Pending::as_final).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    if finals.is_empty() || finals.iter().any(|(_, completion)| may_halt(claims, completion)) {
        return Ok(None);
    }
    let runs: Vec<&HandlerRun> =
        finals.iter().flat_map(|(_, completion)| &completion.runs).collect();
    let run_columns = runs::columns(&runs);
    let columns = columns(&finals, token);
    let moved = connection.begin_with(
        begin,
        (&finish_sql(), &columns.params()),
        (!runs.is_empty()).then_some((runs::INSERT, &run_columns.params())),
    )?;
    if moved.len() < finals.len() {
        // The runs of those that came too late must not stay.
        connection.batch("ROLLBACK")?;
        return Ok(None);
    }
    Ok(Some(Written { fired: fired(claims, &finals, |_| true), ..Written::default() }))
}

/// Whether this end may stop its queue.
fn may_halt(claims: &Claims, completion: &Completion) -> bool {
    matches!(completion.next, NextState::Error { .. }) && claims.is_in_turn(&completion.event)
}

/// Those of the events that ended whose handlers may have fired.
fn fired(
    claims: &Claims,
    finals: &[(i64, &Completion)],
    is_own: impl Fn(i64) -> bool,
) -> Vec<SysId> {
    finals
        .iter()
        .filter(|(sequence, completion)| is_own(*sequence) && claims.has_fired(&completion.event))
        .map(|(_, completion)| completion.event)
        .collect()
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
    if claims.spread().is_some() {
        return distributed::completions::write_batch(connection, claims, batch, token);
    }
    let mut written = Written::default();
    let mut finals = Vec::new();
    let mut retries = Vec::new();
    let mut going_on = Vec::new();
    for pending in batch {
        match pending {
            Pending::Runs(held, _) => going_on.push(held.sequence),
            Pending::End(held, completion) => match completion.next {
                NextState::RetryAt(_) => retries.push((*held, &**completion)),
                _ => finals.push((held.sequence, &**completion)),
            },
            Pending::GiveBack(_) => {}
        }
    }
    // Before anything goes: an event may go on and end in one batch.
    let mut own = still_own(connection, &going_on, token)?;
    own.extend(finish(connection, &finals, token)?);
    for (held, completion) in &retries {
        if let Some(at) = retry(connection, *held, completion)? {
            own.insert(held.sequence);
            written.retried.push((completion.event, at));
        }
    }
    let mut recorded: Vec<&HandlerRun> = Vec::new();
    for pending in batch {
        match pending {
            Pending::Runs(held, runs) if own.contains(&held.sequence) => recorded.extend(runs),
            Pending::End(held, completion) if own.contains(&held.sequence) => {
                recorded.extend(&completion.runs);
            }
            Pending::End(_, completion) => written.late.push(completion.event),
            Pending::Runs(..) | Pending::GiveBack(_) => {}
        }
    }
    runs::write(connection, &recorded, None)?;
    // Behind the runs of attempts that are given up.
    for given in batch.iter().filter_map(Pending::given_back) {
        written.effects.extend(&holders::give_back(connection, &claims.not_again(given), token)?);
    }
    let failed = finals
        .iter()
        .filter(|(sequence, completion)| own.contains(sequence) && may_halt(claims, completion));
    order::halt(connection, &failed.map(|(sequence, _)| *sequence).collect::<Vec<_>>())?;
    written.fired = fired(claims, &finals, |sequence| own.contains(&sequence));
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
        "SELECT sequence FROM sysevent_live WHERE sequence = ANY ($1) AND claim_token IS NOT DISTINCT FROM $2 FOR SHARE",
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
    let rows = connection.query(&finish_sql(), &columns(finals, token).params())?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Gives the sequences of the rows that moved.
fn finish_sql() -> String {
    let columns = COLUMNS
        .replace("sequence,", "gone.sequence,")
        .replace(" state,", " ended.state,")
        .replace(" attempts,", " attempts + 1,")
        .replace(
            " processed, processing_duration, error_code, error_message",
            " ended.started, ended.duration, ended.code, ended.message",
        );
    format!(
        "WITH gone AS (DELETE FROM sysevent_live WHERE sequence = ANY ($1) \
         AND claim_token IS NOT DISTINCT FROM $2 RETURNING *) \
         INSERT INTO sysevent_log ({COLUMNS}, sys_updated_on, sys_updated_by, sys_mod_count) \
         SELECT {columns}, ended.started + ended.duration, 'system', sys_mod_count + 1 \
         FROM gone JOIN unnest($1::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[]) \
         AS ended (sequence, state, started, duration, code, message) ON ended.sequence = gone.sequence \
         RETURNING sequence"
    )
}

/// The parameters of [`finish_sql`].
fn columns<'a>(finals: &[(i64, &'a Completion)], token: i64) -> Columns<'a> {
    let ended: Vec<Ended<'a>> =
        finals.iter().map(|(_, completion)| Ended::of(completion)).collect();
    let numbers = |of: fn(&(i64, &Completion)) -> i64| -> Box<Vec<i64>> {
        Box::new(finals.iter().map(of).collect())
    };
    Columns(vec![
        numbers(|(sequence, _)| *sequence),
        Box::new(token),
        Box::new(ended.iter().map(|one| one.state.as_str()).collect::<Vec<_>>()),
        numbers(|(_, completion)| completion.started.as_millis()),
        numbers(|(_, completion)| completion.duration_ms),
        Box::new(ended.iter().map(|one| one.code).collect::<Vec<_>>()),
        Box::new(ended.iter().map(|one| one.message.map(stored)).collect::<Vec<_>>()),
    ])
}

/// How an event ended.
pub(super) struct Ended<'a> {
    pub(super) state: EventState,
    pub(super) code: Option<&'a str>,
    pub(super) message: Option<&'a str>,
}

impl<'a> Ended<'a> {
    pub(super) fn of(completion: &'a Completion) -> Self {
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
    held: Held,
    completion: &Completion,
) -> Result<Option<i64>, StoreError> {
    let NextState::RetryAt(at) = completion.next else { return Ok(None) };
    let changed = connection.execute(
        "UPDATE sysevent_live SET state = 'ready', claimed_by = NULL, claim_token = NULL, process_on = $2, \
         attempts = attempts + 1, processed = $3, processing_duration = $4, sys_updated_on = $3::bigint + $4::bigint, \
         sys_updated_by = 'system', sys_mod_count = sys_mod_count + 1 WHERE sequence = $1 AND claim_token = $5 \
         AND attempts = $6",
        &[
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
