//! `GlideDateTime` (§11.1), as far as it exists: an instant in UTC, and whether there is one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use campanile_model::Instant;
use rquickjs::class::{JsClass, Readable, Trace, Tracer};
use rquickjs::{Class, Constructor, Ctx, Object, Result, Type, Value};

use super::coercion;
use super::crossing::{clamp_to_i64, to_text};
use super::date_text;
use super::element_object::ElementObject;
use super::errors;
use super::native::{Call, Method, cell_of, define_methods, js_lifetime};
use super::realm_objects::GlideRealm;
use super::run_state::RecordCell;
use crate::host::{ExternalValue, PathId};

const METHODS: &[Method] = &[
    ("getValue", 0, get_text),
    ("toString", 0, get_text),
    ("toJSON", 0, get_text),
    ("valueOf", 0, get_numeric_value),
    ("getNumericValue", 0, get_numeric_value),
    ("setValue", 1, set_value),
    ("setInitialValue", 1, set_value),
    ("setNumericValue", 1, set_numeric_value),
    ("isValid", 0, is_valid),
    ("hasDate", 0, has_date),
    ("getErrorMsg", 0, get_error),
    ("compareTo", 1, compare_to),
    ("before", 1, before),
    ("after", 1, after),
    ("onOrBefore", 1, on_or_before),
    ("onOrAfter", 1, on_or_after),
    ("equals", 1, equals),
];

/// A `GlideDateTime`: of its own, or the live value of a temporal field.
pub(super) struct DateTimeObject {
    millis: Cell<Option<i64>>,
    error: RefCell<Option<String>>,
    field: Option<(Rc<RecordCell>, PathId)>,
}

js_lifetime!(DateTimeObject);

impl<'js> Trace<'js> for DateTimeObject {
    fn trace<'a>(&self, _tracer: Tracer<'a, 'js>) {}
}

impl<'js> JsClass<'js> for DateTimeObject {
    const NAME: &'static str = "GlideDateTime";
    type Mutable = Readable;

    fn prototype(_ctx: &Ctx<'js>) -> Result<Option<Object<'js>>> {
        Ok(None)
    }

    fn constructor(_ctx: &Ctx<'js>) -> Result<Option<Constructor<'js>>> {
        Ok(None)
    }
}

impl DateTimeObject {
    fn new(millis: Option<i64>) -> Self {
        Self { millis: Cell::new(millis), error: RefCell::new(None), field: None }
    }

    /// The live value of a temporal field (`getGlideObject`).
    pub(super) fn of_field<'js>(
        ctx: &Ctx<'js>,
        cell: &Rc<RecordCell>,
        path: PathId,
    ) -> Result<Value<'js>> {
        let object = Self {
            millis: Cell::new(None),
            error: RefCell::new(None),
            field: Some((Rc::clone(cell), path)),
        };
        let proto = GlideRealm::of(ctx)?.borrow().date_time_proto.clone();
        Ok(Class::instance_proto(object, proto)?.into_value())
    }

    /// The instant; `None` when it is invalid or has no date.
    pub(super) fn instant(&self) -> Option<Instant> {
        match &self.field {
            Some((cell, path)) => cell.live().and_then(|record| record.temporal_millis(*path)),
            None => self.millis.get(),
        }
        .map(Instant::from_millis)
    }

    /// Epoch milliseconds, 0 without a date.
    pub(super) fn numeric_value(&self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "the years that texts can express are exact"
        )]
        self.instant().map_or(0.0, |instant| instant.as_millis() as f64)
    }

    /// UTC text, empty without a date.
    pub(super) fn text(&self) -> String {
        self.instant().map(Instant::to_glide_text).unwrap_or_default()
    }

    fn set(&self, call: &Call<'_, '_>, millis: Option<i64>, error: Option<String>) -> Result<()> {
        self.error.replace(error);
        match &self.field {
            None => self.millis.set(millis),
            Some((cell, path)) => {
                let value = ExternalValue::DateTime(millis.map(Instant::from_millis));
                cell.record(call.ctx())?
                    .assign(*path, &value)
                    .map_err(|error| call.run.raise(call.ctx(), error))?;
            }
        }
        Ok(())
    }
}

/// `new GlideDateTime()`, `(UTC text)`, `(GlideDateTime or element)`.
pub(super) fn construct<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    if !call.is_constructor() {
        return Err(errors::type_error(call.ctx(), "GlideDateTime must be called with new"));
    }
    let object = DateTimeObject::new(None);
    if call.len() == 0 || call.arg(0).is_undefined() {
        object.millis.set(Some(call.run.host(call.ctx())?.now().as_millis()));
    } else {
        let (millis, error) = parse_argument(call, 0)?;
        object.millis.set(millis);
        object.error.replace(error);
    }
    let proto: Option<Object<'js>> = match call.this().as_object() {
        Some(target) => target.get("prototype")?,
        None => None,
    };
    let proto = match proto {
        Some(proto) => proto,
        None => GlideRealm::of(call.ctx())?.borrow().date_time_proto.clone(),
    };
    Ok(Class::instance_proto(object, proto)?.into_value())
}

/// Milliseconds, or why there are none.
fn parse_argument(call: &Call<'_, '_>, index: usize) -> Result<(Option<i64>, Option<String>)> {
    let value = call.arg(index);
    if let Some(other) = cell_of::<DateTimeObject>(call.run, &value) {
        return Ok((other.borrow().instant().map(Instant::as_millis), None));
    }
    if let Some(element) = cell_of::<ElementObject<'_>>(call.run, &value) {
        let element = element.borrow();
        let record = element.record(call.ctx())?;
        if let Some(millis) = record.temporal_millis(element.path) {
            return Ok((Some(millis), None));
        }
    }
    Ok(match value.type_of() {
        Type::Undefined | Type::Null => (None, None),
        Type::Int | Type::Float => {
            let number = value.as_number().unwrap_or(f64::NAN);
            (number.is_finite().then(|| clamp_to_i64(number)), None)
        }
        _ => {
            let text = to_text(call.ctx(), call.run, &value)?;
            let parsed = date_text::parse(&text);
            let error = (parsed.is_none() && !text.is_empty())
                .then(|| format!("Could not parse DateTime: {text}"));
            (parsed.map(Instant::as_millis), error)
        }
    })
}

/// The prototype of this realm.
pub(super) fn prototype<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    let proto = Object::new(ctx.clone())?;
    define_methods(&proto, METHODS)?;
    super::install::define_conversions(&proto, "GlideDateTime", coercion::date_time_to_primitive)?;
    Ok(proto)
}

/// Runs `body` on the receiver.
fn with<'js, T>(
    call: &Call<'_, 'js>,
    body: impl FnOnce(&DateTimeObject) -> Result<T>,
) -> Result<T> {
    let this = call.this();
    let Some(object) = cell_of::<DateTimeObject>(call.run, &this) else {
        return Err(errors::type_error(
            call.ctx(),
            "a method of GlideDateTime was called on something else",
        ));
    };
    body(&object.borrow())
}

fn get_text<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |this| call.string(&this.text()))
}

fn get_numeric_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |this| Ok(call.number(this.numeric_value())))
}

fn set_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let (millis, error) = parse_argument(call, 0)?;
    with(call, |this| this.set(call, millis, error))?;
    Ok(call.undefined())
}

fn set_numeric_value<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let number = call.number_arg(0)?;
    let millis = number.is_finite().then(|| clamp_to_i64(number));
    with(call, |this| this.set(call, millis, None))?;
    Ok(call.undefined())
}

fn is_valid<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |this| Ok(call.bool(this.error.borrow().is_none() && this.instant().is_some())))
}

fn has_date<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |this| Ok(call.bool(this.instant().is_some())))
}

fn get_error<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |this| call.string(this.error.borrow().as_deref().unwrap_or_default()))
}

/// Order of the receiver and the argument; a missing date comes first.
fn order(call: &Call<'_, '_>) -> Result<std::cmp::Ordering> {
    let (other, _) = parse_argument(call, 0)?;
    with(call, |this| Ok(this.instant().map(Instant::as_millis).cmp(&other)))
}

fn compare_to<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.number(f64::from(order(call)? as i8)))
}

fn before<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(order(call)?.is_lt()))
}

fn after<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(order(call)?.is_gt()))
}

fn on_or_before<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(order(call)?.is_le()))
}

fn on_or_after<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(order(call)?.is_ge()))
}

fn equals<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(order(call)?.is_eq()))
}
