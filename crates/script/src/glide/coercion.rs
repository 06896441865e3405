//! How elements behave in expressions: primitive conversion (§3.3), truthiness (§3.4), loose equality (§3.5).
//!
//! The sandbox rewrites `==`, boolean contexts and `+=` into calls of its helper, which asks these functions
//! whenever an operand is an object.

use std::rc::Rc;

use rquickjs::atom::{Atom, PredefinedAtom};
use rquickjs::convert::Coerced;
use rquickjs::{Ctx, FromJs, Result, Type, Value};

use super::crossing::{is_nullish, string_to_rust, to_number, to_text};
use super::date_time::DateTimeObject;
use super::element_object::ElementObject;
use super::native::{Call, cell_of};
use super::realm_objects::GlideRealm;
use super::record_object::RecordObject;
use super::run_state::{GlideRun, same_record};
use crate::host::{ElementKind, RecordRef};
use campanile_model::Instant;

/// What a comparison needs to know of an element, now or as it was before an operation.
pub(super) struct Compared {
    pub(super) kind: ElementKind,
    /// Script text; empty means nil.
    pub(super) text: Rc<str>,
    /// Milliseconds of a temporal field, as far as known.
    pub(super) millis: Option<i64>,
}

impl Compared {
    /// The element's present value.
    pub(super) fn of(ctx: &Ctx<'_>, element: &ElementObject<'_>) -> Result<Self> {
        let record = element.record(ctx)?;
        let text = record.script_text(element.path);
        let millis = match element.kind {
            ElementKind::Temporal | ElementKind::Duration => record.temporal_millis(element.path),
            _ => None,
        };
        Ok(Self { kind: element.kind, text, millis })
    }

    /// A value that the field had, given as script text.
    pub(super) fn of_text(kind: ElementKind, text: Rc<str>) -> Self {
        Self { kind, text, millis: None }
    }

    fn is_nil(&self) -> bool {
        self.text.is_empty()
    }

    fn boolean(&self) -> Option<bool> {
        match &*self.text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    fn instant_millis(&self) -> Option<i64> {
        self.millis.or_else(|| Instant::parse_glide_text(&self.text).map(Instant::as_millis))
    }

    /// The number that the text stands for; `None` when nil.
    fn number(&self, ctx: &Ctx<'_>) -> Result<Option<f64>> {
        if self.is_nil() {
            return Ok(None);
        }
        if self.kind == ElementKind::Boolean
            && let Some(value) = self.boolean()
        {
            return Ok(Some(f64::from(u8::from(value))));
        }
        text_to_number(ctx, &self.text).map(Some)
    }

    /// `element == other` by §3.5.
    pub(super) fn equals<'js>(
        &self,
        ctx: &Ctx<'js>,
        run: &GlideRun,
        other: &Value<'js>,
    ) -> Result<bool> {
        Ok(match other.type_of() {
            Type::Undefined | Type::Null | Type::Uninitialized => self.is_nil(),
            Type::Bool => {
                !self.is_nil() && self.boolean().is_some_and(|own| Some(own) == other.as_bool())
            }
            Type::Int | Type::Float => {
                let wanted = other.as_number().unwrap_or(f64::NAN);
                self.number(ctx)?.is_some_and(|own| same_number(own, wanted))
            }
            Type::BigInt => {
                let wanted = text_to_number(ctx, &to_text(ctx, run, other)?)?;
                self.number(ctx)?.is_some_and(|own| same_number(own, wanted))
            }
            Type::String => match other.as_string() {
                Some(text) => self.equals_text(&string_to_rust(text)?),
                None => false,
            },
            Type::Symbol => false,
            _ => return self.equals_object(ctx, run, other),
        })
    }

    fn equals_text(&self, text: &str) -> bool {
        *self.text == *text
            || self.kind == ElementKind::Boolean
                && match text {
                    "1" => &*self.text == "true",
                    "0" => &*self.text == "false",
                    _ => false,
                }
    }

    fn equals_object<'js>(
        &self,
        ctx: &Ctx<'js>,
        run: &GlideRun,
        other: &Value<'js>,
    ) -> Result<bool> {
        if let Some(element) = cell_of::<ElementObject<'js>>(run, other) {
            let other = Self::of(ctx, &element.borrow())?;
            return self.equals_element(ctx, &other);
        }
        if let Some(object) = cell_of::<RecordObject<'js>>(run, other) {
            let record = object.borrow().record(ctx)?;
            return Ok(if record.is_null_like() {
                self.is_nil()
            } else {
                self.kind == ElementKind::Reference
                    && record.unique_value().is_some_and(|sys_id| *sys_id == *self.text)
            });
        }
        if let Some(date_time) = cell_of::<DateTimeObject>(run, other) {
            let wanted = date_time.borrow().instant();
            return Ok(match wanted {
                Some(instant) => self.instant_millis() == Some(instant.as_millis()),
                None => self.is_nil(),
            });
        }
        Ok(self.equals_text(&to_text(ctx, run, other)?))
    }

    fn equals_element(&self, ctx: &Ctx<'_>, other: &Self) -> Result<bool> {
        if self.text == other.text {
            return Ok(true);
        }
        if self.is_nil() || other.is_nil() {
            return Ok(false);
        }
        Ok(match (self.kind, other.kind) {
            (ElementKind::Boolean, ElementKind::Boolean) => self.boolean() == other.boolean(),
            (ElementKind::Number, ElementKind::Number) => {
                match (self.number(ctx)?, other.number(ctx)?) {
                    (Some(own), Some(wanted)) => same_number(own, wanted),
                    _ => false,
                }
            }
            _ => false,
        })
    }

    /// Truthiness (§3.4).
    fn is_truthy(&self, ctx: &Ctx<'_>) -> Result<bool> {
        if self.is_nil() {
            return Ok(false);
        }
        Ok(match self.kind {
            ElementKind::Boolean => self.boolean().unwrap_or(true),
            ElementKind::Number => !same_number(text_to_number(ctx, &self.text)?, 0.0),
            _ => true,
        })
    }
}

#[expect(clippy::float_cmp, reason = "equality of JavaScript numbers is exact")]
fn same_number(a: f64, b: f64) -> bool {
    a == b
}

/// JavaScript's conversion of a text; short plain digits are read here, the engine does the rest.
fn text_to_number(ctx: &Ctx<'_>, text: &str) -> Result<f64> {
    if (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(f64::from(
            text.bytes().fold(0u32, |number, digit| number * 10 + u32::from(digit - b'0')),
        ));
    }
    let value = rquickjs::String::from_str(ctx.clone(), text)?.into_value();
    Coerced::<f64>::from_js(ctx, value).map(|number| number.0)
}

/// Truthiness of any value.
pub(super) fn truth<'js>(ctx: &Ctx<'js>, run: &GlideRun, value: &Value<'js>) -> Result<bool> {
    if value.is_object() {
        if let Some(element) = cell_of::<ElementObject<'js>>(run, value) {
            return Compared::of(ctx, &element.borrow())?.is_truthy(ctx);
        }
        if let Some(object) = cell_of::<RecordObject<'js>>(run, value) {
            return Ok(object.borrow().live().is_none_or(|record| !record.is_null_like()));
        }
        return Ok(true);
    }
    Coerced::<bool>::from_js(ctx, value.clone()).map(|flag| flag.0)
}

/// `a == b` where one of them is an object of this API; `None` when neither is, and the language decides.
pub(super) fn loose_equals<'js>(
    ctx: &Ctx<'js>,
    run: &GlideRun,
    a: &Value<'js>,
    b: &Value<'js>,
) -> Result<Option<bool>> {
    if let Some(element) = cell_of::<ElementObject<'js>>(run, a) {
        return Compared::of(ctx, &element.borrow())?.equals(ctx, run, b).map(Some);
    }
    if let Some(element) = cell_of::<ElementObject<'js>>(run, b) {
        return Compared::of(ctx, &element.borrow())?.equals(ctx, run, a).map(Some);
    }
    for (own, other) in [(a, b), (b, a)] {
        if let Some(object) = cell_of::<RecordObject<'js>>(run, own) {
            return record_equals(run, object.borrow().live(), other).map(Some);
        }
    }
    if let (Some(a), Some(b)) =
        (cell_of::<DateTimeObject>(run, a), cell_of::<DateTimeObject>(run, b))
    {
        return Ok(Some(a.borrow().instant() == b.borrow().instant()));
    }
    Ok(None)
}

/// Identity, except that the null-like `current` equals `null` (§3.7). A record whose run is over equals nothing
/// but itself.
fn record_equals<'js>(
    run: &GlideRun,
    record: Option<RecordRef>,
    other: &Value<'js>,
) -> Result<bool> {
    let Some(record) = record else { return Ok(false) };
    if is_nullish(other) {
        return Ok(record.is_null_like());
    }
    let Some(other) = cell_of::<RecordObject<'js>>(run, other) else { return Ok(false) };
    let other = other.borrow().live();
    Ok(other.is_some_and(|other| {
        same_record(&record, &other) || record.is_null_like() && other.is_null_like()
    }))
}

/// `isElement(x)`: expressions must treat `x` by this API's rules and not as the object that it is.
pub(super) fn op_is_element<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let value = call.arg(0);
    let special = cell_of::<ElementObject<'js>>(call.run, &value).is_some()
        || cell_of::<RecordObject<'js>>(call.run, &value)
            .is_some_and(|object| object.borrow().live().is_some_and(|r| r.is_null_like()))
        || cell_of::<DateTimeObject>(call.run, &value).is_some();
    Ok(call.bool(special))
}

/// `truth(x)`.
pub(super) fn op_truth<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    truth(call.ctx(), call.run, &call.arg(0)).map(|truthy| call.bool(truthy))
}

/// `looseEquals(x, y)`: `undefined` where this API has no rule, and the language's `==` decides.
pub(super) fn op_loose_equals<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let equal = loose_equals(call.ctx(), call.run, &call.arg(0), &call.arg(1))?;
    Ok(equal.map_or_else(|| call.undefined(), |equal| call.bool(equal)))
}

/// `add(el, n)`, for `el += n`: adds when the field is numeric and `n` is a number, else appends (§3.3).
pub(super) fn op_add<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let (left, right) = (call.arg(0), call.arg(1));
    let realm = GlideRealm::of(call.ctx())?;
    let plus = realm.borrow().plus.clone();
    let Some(element) = cell_of::<ElementObject<'js>>(call.run, &left) else {
        return plus.call((left, right));
    };
    let element = element.borrow();
    let text = element.script_text(call.ctx())?;
    match right.as_number() {
        Some(number) if element.kind == ElementKind::Number => {
            Ok(call.number(text_to_number(call.ctx(), &text)? + number))
        }
        _ => plus.call((call.string(&text)?, right)),
    }
}

/// `Symbol.toPrimitive` of elements (§3.3).
pub(super) fn element_to_primitive<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let this = call.this();
    let Some(element) = cell_of::<ElementObject<'js>>(call.run, &this) else {
        return Err(super::errors::type_error(call.ctx(), "expected a GlideElement"));
    };
    let element = element.borrow();
    let text = element.script_text(call.ctx())?;
    if !matches!(element.kind, ElementKind::Number | ElementKind::Boolean) || !wants_number(call)? {
        return call.string(&text);
    }
    if element.kind == ElementKind::Boolean {
        return Ok(match &*text {
            "true" => call.number(1.0),
            "false" => call.number(0.0),
            other => call.string(other)?,
        });
    }
    let value = call.string(&text)?;
    to_number(call.ctx(), value).map(|number| call.number(number))
}

/// `Symbol.toPrimitive` of `GlideDateTime`: milliseconds for a number, else its text.
pub(super) fn date_time_to_primitive<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let this = call.this();
    let Some(date_time) = cell_of::<DateTimeObject>(call.run, &this) else {
        return Err(super::errors::type_error(call.ctx(), "expected a GlideDateTime"));
    };
    let date_time = date_time.borrow();
    if wants_number(call)? {
        return Ok(call.number(date_time.numeric_value()));
    }
    call.string(&date_time.text())
}

/// The hint is `number`.
fn wants_number(call: &Call<'_, '_>) -> Result<bool> {
    let hint = Atom::from_value(call.ctx().clone(), &call.arg(0))?;
    Ok(hint == Atom::from_predefined(call.ctx().clone(), PredefinedAtom::NumberLower))
}
