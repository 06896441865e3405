//! The seam with the sandbox: what a realm gets, and what a run begins and ends with.

use std::cell::RefCell;
use std::rc::Rc;

use rquickjs::atom::PredefinedAtom;
use rquickjs::object::Property;
use rquickjs::{Ctx, Function, Object, Result, Value};

use super::coercion;
use super::condition;
use super::crossing::wrap;
use super::date_time;
use super::descriptor;
use super::element_methods;
use super::element_object::ElementObject;
use super::element_text;
use super::errors;
use super::globals;
use super::list;
use super::native::{
    Call, ClassNumbers, Method, NativeFn, class_number, constructor, define_methods, function,
};
use super::realm_objects::GlideRealm;
use super::record_methods;
use super::record_query;
use super::record_write;
use super::run_state::{GlideRun, RunControl};
use crate::host::{Host, RecordRef};

/// What compiled scripts ask about operands that are objects.
const ELEMENT_OPS: &[Method] = &[
    ("isElement", 1, coercion::op_is_element),
    ("truth", 1, coercion::op_truth),
    ("looseEquals", 2, coercion::op_loose_equals),
    ("add", 2, coercion::op_add),
];

/// Makes the Glide globals of a realm and tells `hooks` how elements behave in expressions.
pub(crate) fn install<'js>(ctx: &Ctx<'js>, hooks: &Object<'js>) -> Result<()> {
    let run = GlideRun::install(ctx)?;
    let record_proto = record_prototype(ctx, "GlideRecord", None)?;
    let secure_proto = record_prototype(ctx, "GlideRecordSecure", Some(&record_proto))?;
    let element_proto = element_prototype(ctx)?;
    let date_time_proto = date_time::prototype(ctx)?;
    let string_proto: Object<'js> =
        ctx.globals().get::<_, Object<'js>>("String")?.get("prototype")?;
    let realm = GlideRealm {
        record_proto: record_proto.clone(),
        secure_proto: secure_proto.clone(),
        element_proto: element_proto.clone(),
        condition_proto: condition::prototype(ctx)?,
        date_time_proto: date_time_proto.clone(),
        descriptor_proto: descriptor::prototype(ctx)?,
        list_proto: list::prototype(ctx)?,
        to_well_formed: string_proto.get("toWellFormed")?,
        plus: ctx.eval("(a, b) => a + b")?,
        reflect_get: ctx.globals().get::<_, Object<'js>>("Reflect")?.get("get")?,
        names: RefCell::default(),
        string_proto,
    }
    .install(ctx)?;
    let element = ElementObject::detached(&realm)?;
    run.set_class_numbers(ClassNumbers {
        plain: class_number(&realm),
        exotic: class_number(&element),
    });
    let classes: [Function<'js>; 4] = [
        constructor("GlideRecord", 1, &record_proto, record_methods::construct)?,
        constructor("GlideRecordSecure", 1, &secure_proto, record_methods::construct)?,
        constructor("GlideElement", 0, &element_proto, no_element)?,
        constructor("GlideDateTime", 1, &date_time_proto, date_time::construct)?,
    ];
    globals::define(ctx, &classes)?;
    let ops = Object::new(ctx.clone())?;
    define_methods(&ops, ELEMENT_OPS)?;
    hooks.set("elementOps", ops)
}

/// From now on natives of this runtime speak to `host`.
pub(crate) fn begin(ctx: &Ctx<'_>, host: &Rc<dyn Host>, control: Rc<dyn RunControl>) -> Result<()> {
    GlideRun::of(ctx)?.begin(Rc::clone(host), control);
    Ok(())
}

/// The run is over: no native reaches its host any more, and no record of it stays alive.
pub(crate) fn end(ctx: &Ctx<'_>) {
    if let Ok(run) = GlideRun::of(ctx) {
        run.end();
    }
}

/// The object that scripts see for `record`; the same object for the same record within a run.
pub(crate) fn wrap_record<'js>(ctx: &Ctx<'js>, record: &RecordRef) -> Result<Value<'js>> {
    let run = GlideRun::of(ctx)?;
    let value = wrap(ctx, &run, Rc::clone(record))?;
    if let Some(object) = value.as_object() {
        run.remember_bound(ctx, record, object)?;
    }
    Ok(value)
}

/// As [`wrap_record`], for the record that functions without an argument mean.
pub(crate) fn wrap_current<'js>(ctx: &Ctx<'js>, record: &RecordRef) -> Result<Value<'js>> {
    GlideRun::of(ctx)?.set_current(Some(Rc::clone(record)));
    wrap_record(ctx, record)
}

fn record_prototype<'js>(
    ctx: &Ctx<'js>,
    tag: &str,
    parent: Option<&Object<'js>>,
) -> Result<Object<'js>> {
    let proto = match parent {
        Some(parent) => Object::new_proto(ctx.clone(), Some(parent))?,
        None => {
            let proto = Object::new(ctx.clone())?;
            define_methods(&proto, record_methods::METHODS)?;
            define_methods(&proto, record_query::METHODS)?;
            define_methods(&proto, record_write::METHODS)?;
            proto
        }
    };
    define_tag(&proto, tag)?;
    Ok(proto)
}

fn element_prototype<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    let proto = Object::new(ctx.clone())?;
    define_methods(&proto, element_methods::METHODS)?;
    element_text::define(&proto)?;
    define_conversions(&proto, "GlideElement", coercion::element_to_primitive)?;
    Ok(proto)
}

/// Elements come from record objects.
fn no_element<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Err(errors::type_error(call.ctx(), "GlideElement cannot be constructed"))
}

/// What `Object.prototype.toString` says.
pub(super) fn define_tag<'js>(proto: &Object<'js>, tag: &str) -> Result<()> {
    proto.prop(PredefinedAtom::SymbolToStringTag, Property::from(tag).configurable())
}

/// The tag, and how an instance becomes a primitive.
pub(super) fn define_conversions<'js>(
    proto: &Object<'js>,
    tag: &str,
    to_primitive: NativeFn,
) -> Result<()> {
    define_tag(proto, tag)?;
    let to_primitive = function(proto.ctx(), "[Symbol.toPrimitive]", 1, to_primitive)?;
    proto.prop(PredefinedAtom::SymbolToPrimitive, Property::from(to_primitive).configurable())
}
