//! What the Glide API keeps in each realm: the prototypes of its classes and the pristine functions it calls.

use std::cell::RefCell;
use std::rc::Rc;

use rquickjs::atom::Atom;
use rquickjs::class::{JsClass, Readable, Trace, Tracer};
use rquickjs::{Class, Constructor, Ctx, Function, Object, Result};

use super::crossing::string_to_rust;
use super::element_object::AtomMap;
use super::errors;
use super::native::js_lifetime;

/// Where a realm holds its [`GlideRealm`]: a hidden, fixed property of the global object. The object has no
/// properties and no prototype, so a script that finds it has found nothing.
const REALM_KEY: &str = "\u{0}glide";

/// Prototypes and functions of one realm.
pub(super) struct GlideRealm<'js> {
    pub(super) record_proto: Object<'js>,
    pub(super) secure_proto: Object<'js>,
    pub(super) element_proto: Object<'js>,
    pub(super) condition_proto: Object<'js>,
    pub(super) date_time_proto: Object<'js>,
    pub(super) descriptor_proto: Object<'js>,
    pub(super) list_proto: Object<'js>,
    pub(super) string_proto: Object<'js>,
    /// The pristine `String.prototype.toWellFormed`.
    pub(super) to_well_formed: Function<'js>,
    /// The language's `+`.
    pub(super) plus: Function<'js>,
    /// The pristine `Reflect.get`.
    pub(super) reflect_get: Function<'js>,
    /// Texts of property names that were looked up: making them anew costs more than the lookup.
    pub(super) names: RefCell<Names<'js>>,
}

/// Property names as Rust texts.
#[derive(Default)]
pub(super) struct Names<'js>(AtomMap<'js, Rc<str>>);

/// Names that are kept; a script that makes names up goes without.
const NAMES_MAX: usize = 4_096;

js_lifetime!(GlideRealm<'js>);

impl<'js> Trace<'js> for GlideRealm<'js> {
    fn trace<'a>(&self, tracer: Tracer<'a, 'js>) {
        for object in [
            &self.record_proto,
            &self.secure_proto,
            &self.element_proto,
            &self.condition_proto,
            &self.date_time_proto,
            &self.descriptor_proto,
            &self.list_proto,
            &self.string_proto,
        ] {
            object.trace(tracer);
        }
        self.to_well_formed.trace(tracer);
        self.plus.trace(tracer);
        self.reflect_get.trace(tracer);
        for name in self.names.borrow().0.keys() {
            name.trace(tracer);
        }
    }
}

impl<'js> JsClass<'js> for GlideRealm<'js> {
    const NAME: &'static str = "GlideRealm";
    type Mutable = Readable;

    fn prototype(_ctx: &Ctx<'js>) -> Result<Option<Object<'js>>> {
        Ok(None)
    }

    fn constructor(_ctx: &Ctx<'js>) -> Result<Option<Constructor<'js>>> {
        Ok(None)
    }
}

impl<'js> GlideRealm<'js> {
    /// Keeps it in the realm of `ctx`.
    pub(super) fn install(self, ctx: &Ctx<'js>) -> Result<Class<'js, Self>> {
        let object = Class::instance(ctx.clone(), self)?;
        ctx.globals().prop(REALM_KEY, object.clone())?;
        Ok(object)
    }

    /// A property name as text.
    pub(super) fn name(&self, atom: &Atom<'js>) -> Result<Rc<str>> {
        if let Some(known) = self.names.borrow().0.get(atom) {
            return Ok(Rc::clone(known));
        }
        let text: Rc<str> = string_to_rust(&atom.to_js_string()?)?.into();
        let mut names = self.names.borrow_mut();
        if names.0.len() < NAMES_MAX {
            names.0.insert(atom.clone(), Rc::clone(&text));
        }
        Ok(text)
    }

    /// The one of this realm.
    pub(super) fn of(ctx: &Ctx<'js>) -> Result<Class<'js, Self>> {
        let found: Option<Object<'js>> = ctx.globals().get(REALM_KEY)?;
        found
            .and_then(|object| Class::from_object(&object))
            .ok_or_else(|| errors::type_error(ctx, "the Glide API is not installed in this realm"))
    }
}
