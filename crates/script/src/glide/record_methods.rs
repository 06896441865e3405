//! `GlideRecord`: its constructors, and the methods that read (§5.4).

use std::rc::Rc;

use rquickjs::{Array, Object, Result, Value};

use super::element_object::ElementObject;
use super::errors;
use super::native::{Call, Method, cell_of};
use super::realm_objects::GlideRealm;
use super::record_object::RecordObject;
use super::run_state::RecordCell;
use crate::host::{PathId, RecordRef};

pub(super) const METHODS: &[Method] = &[
    ("getValue", 1, get_value),
    ("getDisplayValue", 1, get_display_value),
    ("getElement", 1, get_element),
    ("getElements", 0, get_elements),
    ("getFields", 0, get_fields),
    ("getUniqueValue", 0, get_unique_value),
    ("getTableName", 0, get_table_name),
    ("getRecordClassName", 0, get_record_class_name),
    ("getClassDisplayValue", 0, get_label),
    ("getLabel", 0, get_label),
    ("getPlural", 0, get_plural),
    ("getAttribute", 1, get_attribute),
    ("getLink", 1, get_link),
    ("getLastErrorMessage", 0, get_last_error_message),
    ("hasAttachments", 0, has_attachments),
    ("isValid", 0, is_valid),
    ("isValidField", 1, is_valid_field),
    ("isValidRecord", 0, is_valid_record),
    ("isNewRecord", 0, is_new_record),
    ("isView", 0, is_view),
    ("instanceOf", 1, instance_of),
    ("operation", 0, operation),
    ("changes", 0, changes),
    ("canRead", 0, can_read),
    ("canWrite", 0, can_write),
    ("canCreate", 0, can_create),
    ("canDelete", 0, can_delete),
    ("toJSON", 0, to_json),
];

/// `new GlideRecord(table)`, `new GlideRecordSecure(table)`, and subclasses that a script derives from them.
pub(super) fn construct<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    if !call.is_constructor() {
        return Err(errors::type_error(call.ctx(), "GlideRecord must be called with new"));
    }
    call.run.check_host(call.ctx())?;
    let record = call.run.host(call.ctx())?.new_record(&call.text_opt(0)?.unwrap_or_default());
    let proto: Option<Object<'js>> = match call.this().as_object() {
        Some(target) => target.get("prototype")?,
        None => None,
    };
    let realm = GlideRealm::of(call.ctx())?;
    let proto = proto.unwrap_or_else(|| realm.borrow().record_proto.clone());
    Ok(RecordObject::make(call.run, &realm, record, proto)?.into_value())
}

/// The receiver's record.
pub(super) fn this_record(call: &Call<'_, '_>) -> Result<RecordRef> {
    let this = call.this();
    match cell_of::<RecordObject<'_>>(call.run, &this) {
        Some(object) => object.borrow().record(call.ctx()),
        None => Err(not_a_record(call)),
    }
}

/// The receiver's cell.
pub(super) fn this_cell(call: &Call<'_, '_>) -> Result<Rc<RecordCell>> {
    let this = call.this();
    match cell_of::<RecordObject<'_>>(call.run, &this) {
        Some(object) => Ok(object.borrow().cell()),
        None => Err(not_a_record(call)),
    }
}

fn not_a_record(call: &Call<'_, '_>) -> rquickjs::Error {
    errors::type_error(call.ctx(), "a method of GlideRecord was called on something else")
}

/// The field that `name`, which may walk through references, leads to.
pub(super) fn resolve(record: &RecordRef, name: &str) -> Option<PathId> {
    let mut steps = name.split('.');
    let first = record.field(steps.next()?)?;
    steps.try_fold(first, |path, step| record.sub_field(path, step))
}

fn get_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let record = this_record(call)?;
    let text = resolve(&record, &call.text(0)?).and_then(|path| record.stored_text(path));
    call.string_or_null(text.as_deref())
}

fn get_display_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let record = this_record(call)?;
    match call.text_opt(0)? {
        None => call.string(&record.record_display_value()),
        Some(name) => {
            let text = resolve(&record, &name).map(|path| record.display_value(path));
            call.string_or_null(text.as_deref())
        }
    }
}

/// The same element object as `gr.a.b` gives.
fn element_at<'js>(call: &Call<'_, 'js>, name: &str) -> Result<Option<Value<'js>>> {
    let this = call.this();
    let Some(object) = cell_of::<RecordObject<'js>>(call.run, &this) else {
        return Err(not_a_record(call));
    };
    let mut steps = name.split('.');
    let Some(mut found) = object.borrow().element(call.ctx(), steps.next().unwrap_or_default())?
    else {
        return Ok(None);
    };
    for step in steps {
        let next = match cell_of::<ElementObject<'js>>(call.run, &found) {
            Some(element) => element.borrow().element(call.ctx(), step)?,
            None => None,
        };
        match next {
            Some(next) => found = next,
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

fn get_element<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(element_at(call, &call.text(0)?)?.unwrap_or_else(|| call.null()))
}

fn elements<'js>(call: &Call<'_, 'js>) -> Result<Vec<Value<'js>>> {
    let mut found = Vec::new();
    for name in this_record(call)?.field_names() {
        found.extend(element_at(call, &name)?);
    }
    Ok(found)
}

fn get_elements<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let array = Array::new(call.ctx().clone())?;
    for (at, element) in elements(call)?.into_iter().enumerate() {
        array.set(at, element)?;
    }
    Ok(array.into_value())
}

fn get_fields<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.list(elements(call)?)
}

fn get_unique_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string_or_null(this_record(call)?.unique_value().as_deref())
}

fn get_table_name<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&this_record(call)?.table_name())
}

fn get_record_class_name<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&this_record(call)?.record_class())
}

fn get_label<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&this_record(call)?.table_label(false))
}

fn get_plural<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&this_record(call)?.table_label(true))
}

fn get_attribute<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let record = this_record(call)?;
    let text = resolve(&record, &call.text(0)?).map(|path| record.meta(path).attributes);
    call.string_or_null(text.as_deref())
}

fn get_link<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let record = this_record(call)?;
    let (table, sys_id) = (record.table_name(), record.unique_value().unwrap_or_default());
    let stack = if call.flag(0, false)? {
        String::new()
    } else {
        format!("&sysparm_stack={table}_list.do?sysparm_query=active=true")
    };
    call.string(&format!("{table}.do?sys_id={sys_id}{stack}"))
}

fn get_last_error_message<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string_or_null(this_record(call)?.last_error().as_deref())
}

fn has_attachments<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let record = this_record(call)?;
    let host = call.run.host(call.ctx())?;
    let Some(sys_id) = record.unique_value().filter(|_| host.table_exists("sys_attachment")) else {
        return Ok(call.bool(false));
    };
    let attachments = host.new_record("sys_attachment");
    attachments.add_query(
        "table_name",
        "=",
        &crate::host::ExternalValue::Text(record.record_class().into()),
    );
    attachments.add_query("table_sys_id", "=", &crate::host::ExternalValue::Text(sys_id.into()));
    attachments.set_limit(1);
    let found = attachments.query().and_then(|()| attachments.next());
    found.map(|found| call.bool(found)).map_err(|error| call.run.raise(call.ctx(), error))
}

fn is_valid<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(this_record(call)?.is_valid()))
}

fn is_valid_field<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let record = this_record(call)?;
    Ok(call.bool(resolve(&record, &call.text(0)?).is_some()))
}

fn is_valid_record<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(this_record(call)?.is_valid_record()))
}

fn is_new_record<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(this_record(call)?.is_new_record()))
}

fn is_view<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    this_record(call)?;
    Ok(call.bool(false))
}

fn instance_of<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(this_record(call)?.instance_of(&call.text(0)?)))
}

fn operation<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string_or_null(this_record(call)?.operation().as_deref())
}

fn changes<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(this_record(call)?.any_changes()))
}

fn can_read<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(this_record(call)?.can("read", None)))
}

fn can_write<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(this_record(call)?.can("write", None)))
}

fn can_create<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(this_record(call)?.can("create", None)))
}

fn can_delete<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(this_record(call)?.can("delete", None)))
}

/// What `JSON.stringify(gr)` writes: each field's script text (§3.7).
fn to_json<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let record = this_record(call)?;
    let made = Object::new(call.ctx().clone())?;
    for name in record.field_names() {
        if let Some(path) = record.field(&name) {
            made.set(&*name, call.string(&record.script_text(path))?)?;
        }
    }
    Ok(made.into_value())
}
