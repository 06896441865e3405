//! List objects (§2.4): real arrays that also answer to the methods of a Java list.

use rquickjs::object::Property;
use rquickjs::{Array, Ctx, Object, Result, Value};

use super::coercion;
use super::crossing::to_text;
use super::errors;
use super::native::{Call, Method, define_methods};
use super::realm_objects::GlideRealm;

const METHODS: &[Method] = &[
    ("size", 0, size),
    ("get", 1, get),
    ("isEmpty", 0, is_empty),
    ("contains", 1, contains),
    ("toArray", 0, to_array),
    ("iterator", 0, iterator),
    ("toString", 0, to_string),
];

const ITERATOR_METHODS: &[Method] =
    &[("hasNext", 0, iterator_has_next), ("next", 0, iterator_next)];

/// What an iterator walks over, and where it stands. The names cannot be written as identifiers.
const ITERATOR_LIST: &str = "\u{0}list";
const ITERATOR_AT: &str = "\u{0}at";

/// The prototype of list objects in this realm.
pub(super) fn prototype<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    let array_proto = Array::new(ctx.clone())?.as_object().get_prototype();
    let proto = Object::new_proto(ctx.clone(), array_proto.as_ref())?;
    define_methods(&proto, METHODS)?;
    Ok(proto)
}

/// A list of `items`.
pub(super) fn make<'js>(ctx: &Ctx<'js>, items: Vec<Value<'js>>) -> Result<Value<'js>> {
    let array = Array::new(ctx.clone())?;
    for (at, item) in items.into_iter().enumerate() {
        array.set(at, item)?;
    }
    let proto = GlideRealm::of(ctx)?.borrow().list_proto.clone();
    array.as_object().set_prototype(Some(&proto))?;
    Ok(array.into_value())
}

fn this_list<'js>(call: &Call<'_, 'js>) -> Result<Array<'js>> {
    call.this().into_array().ok_or_else(|| {
        errors::type_error(call.ctx(), "a method of a list was called on something else")
    })
}

fn length_of<'js>(call: &Call<'_, 'js>, length: usize) -> Value<'js> {
    #[expect(clippy::cast_precision_loss, reason = "array lengths are below 2^32")]
    call.number(length as f64)
}

fn size<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(length_of(call, this_list(call)?.len()))
}

fn get<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let list = this_list(call)?;
    match usize::try_from(call.integer(0)?) {
        Ok(at) if at < list.len() => list.get(at),
        _ => Ok(call.undefined()),
    }
}

fn is_empty<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(this_list(call)?.is_empty()))
}

fn contains<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let wanted = call.arg(0);
    for item in this_list(call)?.iter::<Value<'js>>() {
        let item = item?;
        if item == wanted
            || coercion::loose_equals(call.ctx(), call.run, &item, &wanted)?.unwrap_or(false)
            || item.is_string()
                && to_text(call.ctx(), call.run, &item)? == to_text(call.ctx(), call.run, &wanted)?
        {
            return Ok(call.bool(true));
        }
    }
    Ok(call.bool(false))
}

fn to_array<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let copy = Array::new(call.ctx().clone())?;
    for (at, item) in this_list(call)?.iter::<Value<'js>>().enumerate() {
        copy.set(at, item?)?;
    }
    Ok(copy.into_value())
}

fn to_string<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let texts = this_list(call)?
        .iter::<Value<'js>>()
        .map(|item| to_text(call.ctx(), call.run, &item?))
        .collect::<Result<Vec<_>>>()?;
    call.string(&format!("[{}]", texts.join(", ")))
}

fn iterator<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let made = Object::new(call.ctx().clone())?;
    made.prop(ITERATOR_LIST, this_list(call)?)?;
    made.prop(ITERATOR_AT, Property::from(0).writable())?;
    define_methods(&made, ITERATOR_METHODS)?;
    Ok(made.into_value())
}

/// List and position of the iterator in `this`.
fn iterator_state<'js>(call: &Call<'_, 'js>) -> Result<(Object<'js>, Array<'js>, usize)> {
    let wrong = || {
        errors::type_error(call.ctx(), "a method of a list iterator was called on something else")
    };
    let this = call.this().into_object().ok_or_else(wrong)?;
    let list: Option<Array<'js>> = this.get(ITERATOR_LIST)?;
    let at: Option<usize> = this.get(ITERATOR_AT)?;
    match (list, at) {
        (Some(list), Some(at)) => Ok((this, list, at)),
        _ => Err(wrong()),
    }
}

fn iterator_has_next<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let (_, list, at) = iterator_state(call)?;
    Ok(call.bool(at < list.len()))
}

fn iterator_next<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let (iterator, list, at) = iterator_state(call)?;
    if at >= list.len() {
        return Ok(call.undefined());
    }
    iterator.set(ITERATOR_AT, at + 1)?;
    list.get(at)
}
