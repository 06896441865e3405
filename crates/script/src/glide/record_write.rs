//! `GlideRecord` methods that prepare and do writes (§5.5).

use rquickjs::{Result, Value};

use super::native::{Call, Method};
use super::record_methods::{resolve, this_record};
use crate::host::HostError;

pub(super) const METHODS: &[Method] = &[
    ("initialize", 0, initialize),
    ("newRecord", 0, new_record),
    ("setValue", 2, set_value),
    ("setDisplayValue", 2, set_display_value),
    ("insert", 0, insert),
    ("update", 1, update),
    ("updateMultiple", 0, update_multiple),
    ("deleteRecord", 0, delete_record),
    ("deleteMultiple", 0, delete_multiple),
    ("setNewGuid", 0, set_new_guid),
    ("setNewGuidValue", 1, set_new_guid_value),
    ("autoSysFields", 1, auto_sys_fields),
    ("setWorkflow", 1, set_workflow),
    ("setForceUpdate", 1, set_force_update),
    ("setAbortAction", 1, set_abort_action),
    ("isActionAborted", 0, is_action_aborted),
];

/// Ends a call that gives nothing back.
fn done<'js>(
    call: &Call<'_, 'js>,
    result: std::result::Result<(), HostError>,
) -> Result<Value<'js>> {
    result.map(|()| call.undefined()).map_err(|error| call.run.raise(call.ctx(), error))
}

/// Ends a write: the sys_id, or `null` when it was refused.
fn written<'js>(
    call: &Call<'_, 'js>,
    result: std::result::Result<Option<String>, HostError>,
) -> Result<Value<'js>> {
    let sys_id = result.map_err(|error| call.run.raise(call.ctx(), error))?;
    call.string_or_null(sys_id.as_deref())
}

fn initialize<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    this_record(call)?.initialize();
    Ok(call.undefined())
}

fn new_record<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    done(call, this_record(call)?.new_record())
}

fn set_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let record = this_record(call)?;
    let name = call.text(0)?;
    match resolve(&record, &name) {
        Some(path) => done(call, record.set_value(path, &call.external(1)?)),
        None => {
            record.note_unknown_assignment(&name);
            Ok(call.undefined())
        }
    }
}

fn set_display_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let record = this_record(call)?;
    let name = call.text(0)?;
    match resolve(&record, &name) {
        Some(path) => {
            done(call, record.set_display_value(path, &call.text_opt(1)?.unwrap_or_default()))
        }
        None => {
            record.note_unknown_assignment(&name);
            Ok(call.undefined())
        }
    }
}

fn insert<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    written(call, this_record(call)?.insert())
}

fn update<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let reason = call.text_opt(0)?.unwrap_or_default();
    written(call, this_record(call)?.update(&reason))
}

fn update_multiple<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    done(call, this_record(call)?.update_multiple())
}

fn delete_record<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let deleted = this_record(call)?.delete();
    deleted.map(|deleted| call.bool(deleted)).map_err(|error| call.run.raise(call.ctx(), error))
}

fn delete_multiple<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    done(call, this_record(call)?.delete_multiple())
}

fn set_new_guid<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    this_record(call)?.set_new_guid(None);
    Ok(call.undefined())
}

fn set_new_guid_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    this_record(call)?.set_new_guid(Some(&call.text(0)?));
    Ok(call.undefined())
}

fn auto_sys_fields<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    this_record(call)?.auto_sys_fields(call.flag(0, true)?);
    Ok(call.undefined())
}

fn set_workflow<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    this_record(call)?.set_workflow(call.flag(0, true)?);
    Ok(call.undefined())
}

fn set_force_update<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    this_record(call)?.set_force_update(call.flag(0, true)?);
    Ok(call.undefined())
}

fn set_abort_action<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    this_record(call)?.set_abort_action(call.flag(0, true)?);
    Ok(call.undefined())
}

fn is_action_aborted<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(this_record(call)?.is_action_aborted()))
}
