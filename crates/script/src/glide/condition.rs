//! `GlideQueryCondition` (§5.6): what `addQuery` returns, to which OR and AND terms can be added.

use std::rc::Rc;

use rquickjs::class::{JsClass, Readable, Trace, Tracer};
use rquickjs::{Class, Constructor, Ctx, Object, Result, Value};

use super::errors;
use super::native::{Call, Method, cell_of, define_methods, js_lifetime};
use super::realm_objects::GlideRealm;
use super::run_state::RecordCell;
use crate::host::{ConditionId, ExternalValue};

const METHODS: &[Method] =
    &[("addOrCondition", 2, add_or_condition), ("addCondition", 2, add_condition)];

/// One condition of a record object's query.
pub(super) struct ConditionObject {
    cell: Rc<RecordCell>,
    id: ConditionId,
}

js_lifetime!(ConditionObject);

impl<'js> Trace<'js> for ConditionObject {
    fn trace<'a>(&self, _tracer: Tracer<'a, 'js>) {}
}

impl<'js> JsClass<'js> for ConditionObject {
    const NAME: &'static str = "GlideQueryCondition";
    type Mutable = Readable;

    fn prototype(_ctx: &Ctx<'js>) -> Result<Option<Object<'js>>> {
        Ok(None)
    }

    fn constructor(_ctx: &Ctx<'js>) -> Result<Option<Constructor<'js>>> {
        Ok(None)
    }
}

/// The prototype of this realm.
pub(super) fn prototype<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    let proto = Object::new(ctx.clone())?;
    define_methods(&proto, METHODS)?;
    super::install::define_tag(&proto, "GlideQueryCondition")?;
    Ok(proto)
}

/// The object for condition `id` of the record in `cell`.
pub(super) fn make<'js>(
    ctx: &Ctx<'js>,
    cell: Rc<RecordCell>,
    id: ConditionId,
) -> Result<Value<'js>> {
    let proto = GlideRealm::of(ctx)?.borrow().condition_proto.clone();
    Ok(Class::instance_proto(ConditionObject { cell, id }, proto)?.into_value())
}

/// Field, operator and value as `addQuery`, `addOrCondition` and `addCondition` take them: two arguments mean
/// equality.
pub(super) fn term(call: &Call<'_, '_>) -> Result<(Rc<str>, Rc<str>, ExternalValue)> {
    let field = call.text(0)?;
    if call.len() >= 3 {
        Ok((field, call.text(1)?, call.external(2)?))
    } else {
        Ok((field, "=".into(), call.external(1)?))
    }
}

fn add_or_condition<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    add(call, true)
}

fn add_condition<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    add(call, false)
}

fn add<'js>(call: &Call<'_, 'js>, or: bool) -> Result<Value<'js>> {
    let this = call.this();
    let Some(condition) = cell_of::<ConditionObject>(call.run, &this) else {
        return Err(errors::type_error(
            call.ctx(),
            "a method of GlideQueryCondition was called on something else",
        ));
    };
    let (cell, id) = {
        let condition = condition.borrow();
        (Rc::clone(&condition.cell), condition.id)
    };
    let record = cell.record(call.ctx())?;
    let (field, operator, value) = term(call)?;
    let made = if or {
        record.add_or_condition(id, &field, &operator, &value)
    } else {
        record.add_and_condition(id, &field, &operator, &value)
    };
    call.run.check_host(call.ctx())?;
    if made == id { Ok(this) } else { make(call.ctx(), cell, made) }
}
