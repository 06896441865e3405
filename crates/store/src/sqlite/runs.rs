//! Handler runs: what each handler did with an event (§1.2).

use campanile_model::{HandlerKind, HandlerRun, Instant, Outcome, SysId};
use rusqlite::{CachedStatement, Connection, Row, params};

use super::events::{nil, sys_id, sys_id_or_none};
use crate::contract::StoreError;

/// Stands between references in a column.
const REFERENCE_SEPARATOR: &str = "\n";

const INSERT: &str = "INSERT INTO sysevent_run (sys_id, event, origin_id, epoch, attempt, handler_kind, handler, \
     handler_name, \"order\", outcome, reason, sentence, started_at, duration_ms, error_message, error_line, \
     error_stack, log, fired_events, fired_event_refs, written_records, written_record_refs, definition_version) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, \
     ?23)";

const SELECT: &str = "SELECT sys_id, event, origin_id, epoch, attempt, handler_kind, handler, handler_name, \
     \"order\", outcome, reason, sentence, started_at, duration_ms, error_message, error_line, error_stack, log, \
     fired_events, fired_event_refs, written_records, written_record_refs, definition_version \
     FROM sysevent_run WHERE event = ?1";

/// Writes runs, many with one statement.
pub(super) struct RunWriter<'c>(CachedStatement<'c>);

impl<'c> RunWriter<'c> {
    /// # Errors
    /// What SQLite said.
    pub(super) fn new(connection: &'c Connection) -> Result<Self, StoreError> {
        Ok(Self(connection.prepare_cached(INSERT)?))
    }

    /// # Errors
    /// What SQLite said.
    pub(super) fn write(&mut self, run: &HandlerRun) -> Result<(), StoreError> {
        self.0.execute(params![
            run.sys_id.as_str(),
            run.event.as_str(),
            (run.origin_id != run.event).then_some(run.origin_id.as_str()),
            run.epoch,
            run.attempt,
            run.kind.as_str(),
            run.handler.as_str(),
            nil(&run.handler_name),
            run.order,
            run.outcome.as_str(),
            nil(&run.reason),
            nil(&run.sentence),
            run.started_at.as_millis(),
            run.duration_ms,
            nil(&run.error_message),
            run.error_line,
            nil(&run.error_stack),
            nil(&run.log),
            run.fired_events.0,
            joined(&run.fired_events.1),
            run.written_records.0,
            joined(&run.written_records.1),
            run.definition_version,
        ])?;
        Ok(())
    }
}

/// The runs of an event, oldest first; of one epoch when given.
///
/// # Errors
/// What SQLite said.
pub(super) fn runs(
    connection: &Connection,
    event: &SysId,
    epoch: Option<i64>,
) -> Result<Vec<HandlerRun>, StoreError> {
    let mut statement = connection
        .prepare_cached(&format!("{SELECT} AND (?2 IS NULL OR epoch = ?2) ORDER BY run"))?;
    let runs = statement.query_map((event.as_str(), epoch), read_run)?.collect::<Result<_, _>>()?;
    Ok(runs)
}

fn read_run(row: &Row<'_>) -> rusqlite::Result<HandlerRun> {
    let event = sys_id(row, 1)?;
    let text = |index| row.get::<_, Option<String>>(index).map(Option::unwrap_or_default);
    let references = |index| {
        text(index).map(|joined| {
            joined
                .split(REFERENCE_SEPARATOR)
                .filter(|one| !one.is_empty())
                .map(str::to_owned)
                .collect()
        })
    };
    Ok(HandlerRun {
        sys_id: sys_id(row, 0)?,
        event,
        origin_id: sys_id_or_none(row, 2)?.unwrap_or(event),
        epoch: row.get(3)?,
        attempt: row.get(4)?,
        kind: HandlerKind::from_word(row.get_ref(5)?.as_str()?)
            .unwrap_or(HandlerKind::ScriptAction),
        handler: sys_id(row, 6)?,
        handler_name: text(7)?,
        order: row.get(8)?,
        outcome: Outcome::from_word(row.get_ref(9)?.as_str()?),
        reason: text(10)?,
        sentence: text(11)?,
        started_at: Instant::from_millis(row.get(12)?),
        duration_ms: row.get(13)?,
        error_message: text(14)?,
        error_line: row.get(15)?,
        error_stack: text(16)?,
        log: text(17)?,
        fired_events: (row.get(18)?, references(19)?),
        written_records: (row.get(20)?, references(21)?),
        definition_version: row.get(22)?,
    })
}

fn joined(references: &[String]) -> Option<String> {
    (!references.is_empty()).then(|| references.join(REFERENCE_SEPARATOR))
}
