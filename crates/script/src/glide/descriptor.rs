//! The element descriptor that `getED()` gives (§5.8): dictionary facts of a field.

use rquickjs::class::{JsClass, Readable, Trace, Tracer};
use rquickjs::{Class, Constructor, Ctx, Object, Result, Value};

use super::errors;
use super::native::{Call, Method, cell_of, define_methods, js_lifetime};
use super::realm_objects::GlideRealm;
use crate::host::FieldMeta;

const METHODS: &[Method] = &[
    ("getName", 0, get_name),
    ("getLabel", 0, get_label),
    ("getPlural", 0, get_plural),
    ("getLength", 0, get_length),
    ("getInternalType", 0, get_internal_type),
    ("isMandatory", 0, is_mandatory),
    ("isChoiceTable", 0, is_choice_table),
    ("isVirtual", 0, is_virtual),
    ("isAutoOrSysID", 0, is_auto_or_sys_id),
    ("isEncrypted", 0, is_encrypted),
    ("hasAttribute", 1, has_attribute),
];

/// A descriptor.
pub(super) struct DescriptorObject(FieldMeta);

js_lifetime!(DescriptorObject);

impl<'js> Trace<'js> for DescriptorObject {
    fn trace<'a>(&self, _tracer: Tracer<'a, 'js>) {}
}

impl<'js> JsClass<'js> for DescriptorObject {
    const NAME: &'static str = "GlideElementDescriptor";
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
    super::install::define_tag(&proto, "GlideElementDescriptor")?;
    Ok(proto)
}

/// The descriptor of a field.
pub(super) fn make<'js>(ctx: &Ctx<'js>, meta: FieldMeta) -> Result<Value<'js>> {
    let proto = GlideRealm::of(ctx)?.borrow().descriptor_proto.clone();
    Ok(Class::instance_proto(DescriptorObject(meta), proto)?.into_value())
}

/// The value of attribute `name`: `true` when it stands there without one, `None` when it does not stand there.
pub(super) fn attribute<'m>(meta: &'m FieldMeta, name: &str) -> Option<&'m str> {
    meta.attributes.split(',').find_map(|attribute| match attribute.split_once('=') {
        Some((key, value)) => (key.trim() == name).then(|| value.trim()),
        None => (!name.is_empty() && attribute.trim() == name).then_some("true"),
    })
}

fn with<'js>(
    call: &Call<'_, 'js>,
    body: impl FnOnce(&FieldMeta) -> Result<Value<'js>>,
) -> Result<Value<'js>> {
    let this = call.this();
    match cell_of::<DescriptorObject>(call.run, &this) {
        Some(descriptor) => body(&descriptor.borrow().0),
        None => Err(errors::type_error(
            call.ctx(),
            "a method of an element descriptor was called on something else",
        )),
    }
}

fn get_name<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |meta| call.string(&meta.name))
}

fn get_label<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |meta| call.string(&meta.label))
}

fn get_plural<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |meta| call.string(&meta.label))
}

fn get_length<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |meta| {
        #[expect(clippy::cast_precision_loss, reason = "field lengths are small")]
        Ok(call.number(meta.max_length as f64))
    })
}

fn get_internal_type<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |meta| call.string(&meta.internal_type))
}

fn is_mandatory<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |meta| Ok(call.bool(meta.mandatory)))
}

fn is_choice_table<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |meta| Ok(call.bool(!meta.choices.is_empty())))
}

fn is_virtual<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |_| Ok(call.bool(false)))
}

fn is_auto_or_sys_id<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |meta| Ok(call.bool(meta.name == "sys_id" || meta.internal_type == "GUID")))
}

fn is_encrypted<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |meta| Ok(call.bool(meta.internal_type == "password2")))
}

fn has_attribute<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    with(call, |meta| Ok(call.bool(attribute(meta, &call.text(0)?).is_some())))
}
