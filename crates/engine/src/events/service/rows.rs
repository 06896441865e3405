//! `sysevent` as rows (rest-api §8, §1.1): an insert fires, a few changes are actions, everything else is refused.

use std::rc::Rc;

use campanile_model::{EventState, Instant, Record, SysId, Value};
use campanile_store::{CommitMark, ReprocessOptions};

use super::actions::{self, Act};
use super::{EVENTS_ADMIN, PUBLISHER};
use crate::error::EngineError;
use crate::events::fire::FireRequest;
use crate::events::row::{EVENT_TABLE, EventLayout};
use crate::records::execution::{Execution, FireResult};
use crate::records::key_life::KeyLife;
use crate::records::service::{WriteRequest, Written};
use crate::records::special_tables::SpecialTable;
use crate::records::{gate, lookup, once};
use crate::session::Channel;

/// Why an action was done, when a row was written instead of a button pressed.
const BY_ROW: &str = "by a change of the row";

/// How rows of `sysevent` are written.
pub const ROWS: SpecialTable = SpecialTable { insert, update };

/// Fires what an inserted row describes: name, table, instance, parms, queue and process_on count, everything else is
/// ignored. Inside a record operation the event belongs to it.
fn insert(execution: &Rc<Execution>, request: &WriteRequest) -> Result<Written, EngineError> {
    let session = execution.session();
    if session.channel == Channel::Http {
        gate::require_role(session, &[PUBLISHER, EVENTS_ADMIN], "fire events")?;
    }
    let text = |field: &str| value(request, field).to_owned();
    let mut call = FireRequest {
        name: text("name"),
        table: text("table"),
        instance: text("instance"),
        parm1: text("parm1"),
        parm2: text("parm2"),
        queue: Some(text("queue")),
        process_on: Some(text("process_on"))
            .filter(|at| !at.is_empty())
            .map(|at| time(&at))
            .transpose()?,
        dedupe_key: request.idempotency_key.clone(),
        ..FireRequest::default()
    };
    add_record(execution, &mut call)?;
    let as_given = call.clone();
    let key = as_given.dedupe_key.as_deref().unwrap_or_default();
    let fired = execution
        .fire(call)
        .map_err(|error| once::told(error, key, KeyLife::of(execution.engine())))?;
    let (sys_id, repeated, coalesced) = match fired {
        FireResult::Stored(stored) => (stored.sys_id, stored.duplicate, stored.coalesced),
        FireResult::Waiting(sys_id) => (sys_id, false, false),
        FireResult::NotStored(code) => {
            let detail =
                format!("the registration of '{}' is inactive: nothing was stored", as_given.name);
            return Err(EngineError::FireRefused { code, detail });
        }
    };
    let engine = execution.engine();
    let layout = engine.definitions::<EventLayout>()?;
    let record = match execution.read_row(layout.table(), sys_id.as_str())? {
        // An event that waited already is told as it waits.
        Some(row) if coalesced => row,
        Some(row) => as_stored(row),
        None => waiting_row(&layout, &sys_id, &as_given),
    };
    Ok(Written {
        record,
        changed: true,
        mark: execution.commit_mark(),
        warnings: Vec::new(),
        messages: Vec::new(),
        repeated,
    })
}

/// Does what a changed row asks for: `state` to `ready` (reprocess) or `cancelled`, `queue` (move), `process_on`
/// (reschedule). One change at a time: two could end half done. What changes nothing answers with the row.
fn update(
    execution: &Rc<Execution>,
    request: &WriteRequest,
    version: Option<i64>,
) -> Result<Written, EngineError> {
    let unknown = || EngineError::RecordUnknown {
        table: EVENT_TABLE.to_owned(),
        sys_id: request.sys_id.clone().unwrap_or_default(),
    };
    let sys_id: SysId =
        request.sys_id.as_deref().and_then(|id| id.parse().ok()).ok_or_else(unknown)?;
    let layout = execution.engine().definitions::<EventLayout>()?;
    let present = || execution.read_row(layout.table(), sys_id.as_str())?.ok_or_else(unknown);
    let row = present()?;
    let act = Act { sys_id, reason: BY_ROW.to_owned(), version };
    let (mark, record) = match changes(request, &row).as_slice() {
        [] => (execution.commit_mark(), None),
        [field] => (change(execution, act, field, value(request, field))?, Some(present()?)),
        _ => return Err(denied()),
    };
    Ok(Written {
        changed: record.is_some(),
        record: record.unwrap_or(row),
        mark,
        warnings: Vec::new(),
        messages: Vec::new(),
        repeated: false,
    })
}

/// The fields that the request is to change: not the key, the class and what the table does not have, nor what is as it
/// is wanted. What an action stands for is always asked for.
fn changes<'a>(request: &'a WriteRequest, row: &Record) -> Vec<&'a str> {
    const ACTIONS: [&str; 3] = ["state", "queue", "process_on"];
    let is_change = |field: &str| {
        ACTIONS.contains(&field)
            || row
                .table()
                .index(field)
                .is_some_and(|at| row.at(at).as_str() != value(request, field))
    };
    let names = request.values.iter().map(|(name, _)| name.as_str());
    names.filter(|name| !matches!(*name, "sys_id" | "sys_class_name") && is_change(name)).collect()
}

fn change(
    execution: &Rc<Execution>,
    act: Act,
    field: &str,
    value: &str,
) -> Result<CommitMark, EngineError> {
    let (engine, session) = (execution.engine(), execution.session());
    match (field, value) {
        ("state", state) if state == EventState::Ready.as_str() => {
            actions::reprocess(engine, session, act, ReprocessOptions::default())
        }
        ("state", state) if state == EventState::Cancelled.as_str() => {
            actions::cancel(engine, session, act)
        }
        ("queue", queue) => actions::move_event(engine, session, act, queue),
        ("process_on", "") => actions::run_now(engine, session, act),
        ("process_on", at) => actions::reschedule(engine, session, act, time(at)?),
        _ => Err(denied()),
    }
}

/// Display value and values of the record that the event is about, when it is there.
fn add_record(execution: &Rc<Execution>, call: &mut FireRequest) -> Result<(), EngineError> {
    if call.table.is_empty() || !SysId::is_valid(&call.instance) {
        return Ok(());
    }
    let dictionary = execution.engine().dictionary()?;
    // An unknown table is refused when the call is resolved.
    let Ok(table) = lookup::table(&dictionary, &call.table) else { return Ok(()) };
    if let Some(record) = execution.with_read(|read| read.get(table, &call.instance))? {
        call.record_display = Some(execution.display_record(&record));
        call.record = Some(record);
    }
    Ok(())
}

/// The row as it was stored: a quick processor may have claimed or even handled the event since, and what an insert
/// answers must not depend on that.
fn as_stored(mut row: Record) -> Record {
    row.set("state", EventState::Ready.as_str());
    for field in ["attempts", "lapses", "sys_mod_count"] {
        row.set(field, "0");
    }
    for (field, as_it_began) in
        [("sys_updated_on", "sys_created_on"), ("sys_updated_by", "sys_created_by")]
    {
        let value = row.get(as_it_began).clone();
        row.set(field, value);
    }
    for field in ["processed", "processing_duration", "claimed_by", "error_code", "error_message"] {
        row.set(field, Value::Nil);
    }
    row
}

/// An event that is stored with the operation that runs, as far as it is known.
fn waiting_row(layout: &EventLayout, sys_id: &SysId, call: &FireRequest) -> Record {
    let mut row = Record::empty(std::sync::Arc::clone(layout.table()));
    let values = [
        ("sys_id", sys_id.as_str()),
        ("name", &call.name),
        ("table", &call.table),
        ("instance", &call.instance),
        ("parm1", &call.parm1),
        ("parm2", &call.parm2),
        ("state", EventState::Ready.as_str()),
    ];
    for (field, value) in values {
        row.set(field, value);
    }
    row
}

fn value<'a>(request: &'a WriteRequest, field: &str) -> &'a str {
    let found = request.values.iter().rev().find(|(name, _)| name == field);
    let input = found.map(|(_, input)| input.value.as_deref().or(input.display_value.as_deref()));
    input.flatten().unwrap_or_default()
}

fn time(text: &str) -> Result<Instant, EngineError> {
    Instant::parse_glide_text(text).or_else(|| Instant::parse_rfc3339(text)).ok_or_else(|| {
        EngineError::BadParameter {
            parameter: "process_on".to_owned(),
            detail: format!("expected yyyy-MM-dd HH:mm:ss in UTC, got '{text}'"),
        }
    })
}

fn denied() -> EngineError {
    EngineError::OperationDenied { operation: "Update", table: EVENT_TABLE.to_owned() }
}
