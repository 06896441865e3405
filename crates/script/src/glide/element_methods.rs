//! `GlideElement` methods (§5.8).

use rquickjs::{Result, Value};

use super::coercion::Compared;
use super::crossing::wrap;
use super::date_time::DateTimeObject;
use super::descriptor;
use super::element_object::ElementObject;
use super::errors;
use super::native::{Call, Method, cell_of};
use super::record_object::RecordObject;
use crate::host::{ElementKind, ExternalValue, FieldMeta, HostError};
use campanile_model::Instant;

pub(super) const METHODS: &[Method] = &[
    ("toString", 0, to_string),
    ("toJSON", 0, to_string),
    ("getValue", 0, get_value),
    ("getDisplayValue", 1, get_display_value),
    ("setValue", 1, set_value),
    ("setDisplayValue", 1, set_display_value),
    ("nil", 0, nil),
    ("hasValue", 0, has_value),
    ("changes", 0, changes),
    ("changesFrom", 1, changes_from),
    ("changesTo", 1, changes_to),
    ("getRefRecord", 0, get_ref_record),
    ("getReferenceTable", 0, get_reference_table),
    ("getGlideRecord", 0, get_glide_record),
    ("getGlideObject", 0, get_glide_object),
    ("dateNumericValue", 0, date_numeric_value),
    ("setDateNumericValue", 1, set_date_numeric_value),
    ("getJournalEntry", 1, get_journal_entry),
    ("setJournalEntry", 2, set_journal_entry),
    ("getName", 0, get_name),
    ("getLabel", 0, get_label),
    ("getTableName", 0, get_table_name),
    ("getBaseTableName", 0, get_base_table_name),
    ("getED", 0, get_ed),
    ("getAttribute", 1, get_attribute),
    ("getBooleanAttribute", 1, get_boolean_attribute),
    ("hasAttribute", 1, has_attribute),
    ("getChoices", 0, get_choices),
    ("getChoiceValue", 0, get_choice_value),
    ("setError", 1, set_error),
    ("getError", 0, get_error),
    ("canRead", 0, can_read),
    ("canWrite", 0, can_write),
    ("canCreate", 0, can_create),
];

/// The element in `this`.
pub(super) fn this_element<'v, 'js>(
    call: &Call<'_, 'js>,
    this: &'v Value<'js>,
) -> Result<rquickjs::class::Borrow<'v, 'js, ElementObject<'js>>> {
    match cell_of::<ElementObject<'js>>(call.run, this) {
        Some(element) => Ok(element.borrow()),
        None => Err(errors::type_error(
            call.ctx(),
            "a method of GlideElement was called on something else",
        )),
    }
}

/// Runs `body` on the receiver.
fn with<'js, T>(
    call: &Call<'_, 'js>,
    body: impl FnOnce(&ElementObject<'js>) -> Result<T>,
) -> Result<T> {
    let this = call.this();
    let element = this_element(call, &this)?;
    body(&element)
}

fn done<'js>(
    call: &Call<'_, 'js>,
    result: std::result::Result<(), HostError>,
) -> Result<Value<'js>> {
    result.map(|()| call.undefined()).map_err(|error| call.run.raise(call.ctx(), error))
}

fn meta(call: &Call<'_, '_>) -> Result<FieldMeta> {
    with(call, |element| Ok(element.record(call.ctx())?.meta(element.path)))
}

fn to_string<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| call.string(&element.script_text(call.ctx())?))
}

fn get_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| {
        call.string_or_null(element.record(call.ctx())?.stored_text(element.path).as_deref())
    })
}

fn get_display_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| {
        let mut text = element.record(call.ctx())?.display_value(element.path);
        if !call.arg(0).is_undefined()
            && let Ok(characters) = usize::try_from(call.integer(0)?)
            && let Some((end, _)) = text.char_indices().nth(characters)
        {
            text.truncate(end);
        }
        call.string(&text)
    })
}

fn set_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| {
        done(call, element.record(call.ctx())?.set_value(element.path, &call.external(0)?))
    })
}

fn set_display_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| {
        let text = call.text_opt(0)?.unwrap_or_default();
        done(call, element.record(call.ctx())?.set_display_value(element.path, &text))
    })
}

fn nil<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| Ok(call.bool(element.record(call.ctx())?.is_nil(element.path))))
}

fn has_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| Ok(call.bool(!element.record(call.ctx())?.is_nil(element.path))))
}

fn changes<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| Ok(call.bool(element.record(call.ctx())?.changes(element.path))))
}

fn changes_from<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| {
        let record = element.record(call.ctx())?;
        let previous = match record.previous_script_text(element.path) {
            Some(text) if record.changes(element.path) => text,
            _ => return Ok(call.bool(false)),
        };
        let compared = Compared::of_text(element.kind, previous);
        compared.equals(call.ctx(), call.run, &call.arg(0)).map(|equal| call.bool(equal))
    })
}

fn changes_to<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| {
        if !element.record(call.ctx())?.changes(element.path) {
            return Ok(call.bool(false));
        }
        let compared = Compared::of(call.ctx(), element)?;
        compared.equals(call.ctx(), call.run, &call.arg(0)).map(|equal| call.bool(equal))
    })
}

fn get_ref_record<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.run.check_host(call.ctx())?;
    with(call, |element| match element.record(call.ctx())?.referenced_record(element.path) {
        Some(record) => wrap(call.ctx(), call.run, record),
        None => Ok(call.null()),
    })
}

fn get_reference_table<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let table = meta(call)?.reference;
    call.string_or_null(Some(&*table).filter(|table| !table.is_empty()))
}

/// The record that the field belongs to. For a record that a script made itself this is another object on the
/// same record: an element does not keep its record object alive.
fn get_glide_record<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| {
        let record = element.record(call.ctx())?;
        if let Some(object) = call.run.bound(call.ctx(), &record)? {
            return Ok(object.into_value());
        }
        let proto = element.realm.borrow().record_proto.clone();
        let cell = std::rc::Rc::clone(&element.cell);
        Ok(RecordObject::of_cell(cell, &element.realm, proto)?.into_value())
    })
}

fn get_glide_object<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| match element.kind {
        ElementKind::Temporal => DateTimeObject::of_field(call.ctx(), &element.cell, element.path),
        _ => Ok(call.null()),
    })
}

fn date_numeric_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| {
        let millis = element.record(call.ctx())?.temporal_millis(element.path).unwrap_or_default();
        #[expect(
            clippy::cast_precision_loss,
            reason = "the years that texts can express are exact"
        )]
        Ok(call.number(millis as f64))
    })
}

fn set_date_numeric_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| {
        let millis = call.integer(0)?;
        let value = match element.kind {
            ElementKind::Temporal => ExternalValue::DateTime(Some(Instant::from_millis(millis))),
            _ => call.external(0)?,
        };
        done(call, element.record(call.ctx())?.assign(element.path, &value))
    })
}

fn get_journal_entry<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| {
        call.string(&element.record(call.ctx())?.journal_entries(element.path, call.integer(0)?))
    })
}

fn set_journal_entry<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| {
        let (text, user) = (call.text_opt(0)?.unwrap_or_default(), call.text_opt(1)?);
        element.record(call.ctx())?.set_journal_entry(element.path, &text, user.as_deref());
        Ok(call.undefined())
    })
}

fn get_name<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&meta(call)?.name)
}

fn get_label<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&meta(call)?.label)
}

fn get_table_name<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&meta(call)?.table)
}

fn get_base_table_name<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&meta(call)?.base_table)
}

fn get_ed<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    descriptor::make(call.ctx(), meta(call)?)
}

fn get_attribute<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let meta = meta(call)?;
    call.string_or_null(descriptor::attribute(&meta, &call.text(0)?))
}

fn get_boolean_attribute<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let meta = meta(call)?;
    let value = descriptor::attribute(&meta, &call.text(0)?);
    Ok(call.bool(value.is_some_and(|value| value == "true")))
}

fn has_attribute<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let meta = meta(call)?;
    Ok(call.bool(descriptor::attribute(&meta, &call.text(0)?).is_some()))
}

fn get_choices<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.text_list(&meta(call)?.choices)
}

fn get_choice_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| call.string(&element.record(call.ctx())?.display_value(element.path)))
}

fn set_error<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| {
        element.record(call.ctx())?.set_field_error(element.path, &call.text(0)?);
        Ok(call.undefined())
    })
}

fn get_error<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |element| call.string(&element.record(call.ctx())?.field_error(element.path)))
}

fn can<'js>(call: &Call<'_, 'js>, operation: &str) -> Result<Value<'js>> {
    with(call, |element| {
        Ok(call.bool(element.record(call.ctx())?.can(operation, Some(element.path))))
    })
}

fn can_read<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    can(call, "read")
}

fn can_write<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    can(call, "write")
}

fn can_create<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    can(call, "create")
}
