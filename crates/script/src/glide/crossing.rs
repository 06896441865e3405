//! How values cross: JavaScript to text, to [`ExternalValue`], to boolean; and record objects back.

use std::rc::Rc;

use rquickjs::convert::Coerced;
use rquickjs::{Ctx, FromJs, Function, Result, Type, Value};

use super::coercion;
use super::date_time::DateTimeObject;
use super::element_object::ElementObject;
use super::errors;
use super::native::{Call, cell_of};
use super::realm_objects::GlideRealm;
use super::record_object::RecordObject;
use super::run_state::GlideRun;
use crate::host::{ExternalValue, RecordRef};

/// Arrays inside arrays deeper than this cross as text.
const LIST_DEPTH_MAX: usize = 8;

impl<'js> Call<'_, 'js> {
    /// The argument as text: elements give their script text, everything else `String(v)`.
    pub(super) fn text(&self, index: usize) -> Result<Rc<str>> {
        to_text(self.ctx(), self.run, &self.arg(index))
    }

    /// The argument as text; `None` when it is missing, `undefined` or `null`.
    pub(super) fn text_opt(&self, index: usize) -> Result<Option<Rc<str>>> {
        let value = self.arg(index);
        if is_nullish(&value) {
            return Ok(None);
        }
        to_text(self.ctx(), self.run, &value).map(Some)
    }

    /// The argument as a boolean by the truthiness of elements; a missing one counts as `default`.
    pub(super) fn flag(&self, index: usize, default: bool) -> Result<bool> {
        if index >= self.len() {
            return Ok(default);
        }
        let value = self.arg(index);
        coercion::truth(self.ctx(), self.run, &value)
    }

    /// The argument as a whole number; what is no number counts as 0, what is too large is clamped.
    pub(super) fn integer(&self, index: usize) -> Result<i64> {
        Ok(clamp_to_i64(self.number_arg(index)?))
    }

    /// The argument as a number by JavaScript's conversion.
    pub(super) fn number_arg(&self, index: usize) -> Result<f64> {
        to_number(self.ctx(), self.arg(index))
    }

    /// The argument as it crosses to the host.
    pub(super) fn external(&self, index: usize) -> Result<ExternalValue> {
        to_external(self.ctx(), self.run, &self.arg(index))
    }

    /// The record object in the argument.
    pub(super) fn record_arg(&self, index: usize) -> Result<Option<RecordRef>> {
        cell_of::<RecordObject>(self.run, &self.arg(index))
            .map(|object| object.borrow().record(self.ctx()))
            .transpose()
    }

    /// A list object (§2.4) of texts.
    pub(super) fn text_list(&self, items: &[String]) -> Result<Value<'js>> {
        let values = items.iter().map(|item| self.string(item)).collect::<Result<Vec<_>>>()?;
        self.list(values)
    }

    /// A list object (§2.4).
    pub(super) fn list(&self, items: Vec<Value<'js>>) -> Result<Value<'js>> {
        super::list::make(self.ctx(), items)
    }
}

/// The JavaScript object of a record: the bound one when the record is bound, else a new one.
pub(super) fn wrap<'js>(ctx: &Ctx<'js>, run: &GlideRun, record: RecordRef) -> Result<Value<'js>> {
    if let Some(object) = run.bound(ctx, &record)? {
        return Ok(object.into_value());
    }
    let realm = GlideRealm::of(ctx)?;
    let proto = realm.borrow().record_proto.clone();
    Ok(RecordObject::make(run, &realm, record, proto)?.into_value())
}

/// `null` or `undefined`.
pub(super) fn is_nullish(value: &Value<'_>) -> bool {
    matches!(value.type_of(), Type::Undefined | Type::Null | Type::Uninitialized)
}

/// Text of any value (§9.1): elements → script text, symbols → their description, everything else `String(v)`.
pub(super) fn to_text<'js>(ctx: &Ctx<'js>, run: &GlideRun, value: &Value<'js>) -> Result<Rc<str>> {
    let text = match value.type_of() {
        Type::String => string_to_rust(as_string(value)?)?,
        Type::Undefined | Type::Uninitialized => return Ok("undefined".into()),
        Type::Null => return Ok("null".into()),
        Type::Bool => {
            return Ok(if value.as_bool() == Some(true) { "true" } else { "false" }.into());
        }
        Type::Int => return Ok(value.as_int().unwrap_or_default().to_string().into()),
        Type::Symbol => match value.as_symbol() {
            Some(symbol) => {
                let name = symbol.description()?;
                format!("Symbol({})", name.as_string().map_or(Ok(String::new()), string_to_rust)?)
            }
            None => String::new(),
        },
        _ => {
            if let Some(element) = cell_of::<ElementObject>(run, value) {
                return element.borrow().script_text(ctx);
            }
            coerce_to_string(ctx, value)?
        }
    };
    if text.len() > run.string_bytes_max() {
        return Err(errors::range_error(
            ctx,
            &format!(
                "a text of {} bytes is too long for a call of the Glide API, expected at most {} \
                 (campanile.script.max_string_mb)",
                text.len(),
                run.string_bytes_max()
            ),
        ));
    }
    Ok(text.into())
}

/// `String(v)` with the language's own conversion.
fn coerce_to_string<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> Result<String> {
    let text = Coerced::<rquickjs::String<'js>>::from_js(ctx, value.clone())?;
    string_to_rust(&text)
}

fn as_string<'v, 'js>(value: &'v Value<'js>) -> Result<&'v rquickjs::String<'js>> {
    value.as_string().ok_or(rquickjs::Error::Unknown)
}

/// A JavaScript string as Rust text. Lone surrogates, which Rust text cannot hold, become U+FFFD.
pub(super) fn string_to_rust(text: &rquickjs::String<'_>) -> Result<String> {
    match text.to_string() {
        Err(rquickjs::Error::Utf8(_)) => {
            let realm = GlideRealm::of(text.as_value().ctx())?;
            let to_well_formed: Function<'_> = realm.borrow().to_well_formed.clone();
            let mended: rquickjs::String<'_> =
                to_well_formed.call((rquickjs::function::This(text.clone()),))?;
            mended.to_string()
        }
        other => other,
    }
}

/// A number by JavaScript's conversion.
pub(super) fn to_number<'js>(ctx: &Ctx<'js>, value: Value<'js>) -> Result<f64> {
    match value.as_number() {
        Some(number) => Ok(number),
        None => Coerced::<f64>::from_js(ctx, value).map(|number| number.0),
    }
}

/// The whole part, clamped; NaN is 0.
pub(super) fn clamp_to_i64(number: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates and makes NaN 0, which is what is wanted"
    )]
    let whole = number.trunc() as i64;
    whole
}

/// Frees a value of engine types, so that it can cross to the host.
pub(super) fn to_external<'js>(
    ctx: &Ctx<'js>,
    run: &GlideRun,
    value: &Value<'js>,
) -> Result<ExternalValue> {
    external_at(ctx, run, value, 0)
}

fn external_at<'js>(
    ctx: &Ctx<'js>,
    run: &GlideRun,
    value: &Value<'js>,
    depth: usize,
) -> Result<ExternalValue> {
    Ok(match value.type_of() {
        Type::Undefined | Type::Uninitialized => ExternalValue::Undefined,
        Type::Null => ExternalValue::Null,
        Type::Bool => ExternalValue::Bool(value.as_bool() == Some(true)),
        Type::Int | Type::Float => ExternalValue::Number(value.as_number().unwrap_or(f64::NAN)),
        Type::String | Type::Symbol | Type::BigInt => {
            ExternalValue::Text(to_text(ctx, run, value)?)
        }
        _ => return external_object(ctx, run, value, depth),
    })
}

fn external_object<'js>(
    ctx: &Ctx<'js>,
    run: &GlideRun,
    value: &Value<'js>,
    depth: usize,
) -> Result<ExternalValue> {
    if let Some(element) = cell_of::<ElementObject>(run, value) {
        let element = element.borrow();
        return Ok(ExternalValue::Element(element.record(ctx)?, element.path));
    }
    if let Some(object) = cell_of::<RecordObject>(run, value) {
        return Ok(ExternalValue::Record(object.borrow().record(ctx)?));
    }
    if let Some(date_time) = cell_of::<DateTimeObject>(run, value) {
        return Ok(ExternalValue::DateTime(date_time.borrow().instant()));
    }
    if let Some(array) = value.as_array()
        && depth < LIST_DEPTH_MAX
    {
        let items = array
            .iter::<Value<'_>>()
            .map(|item| external_at(ctx, run, &item?, depth + 1))
            .collect::<Result<Vec<_>>>()?;
        return Ok(ExternalValue::List(items));
    }
    let text = to_text(ctx, run, value)?;
    let json = match ctx.json_stringify(value.clone())? {
        Some(json) => to_text(ctx, run, json.as_value())?,
        None => Rc::clone(&text),
    };
    Ok(ExternalValue::Object { text, json })
}
