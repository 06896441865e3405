//! `GlideRecord` as JavaScript sees it: properties that are fields (§3.1), whatever the prototype says otherwise.

use std::cell::RefCell;
use std::rc::Rc;

use rquickjs::atom::{Atom, PredefinedAtom};
use rquickjs::class::{
    ClassKind, JsCell, JsClass, PropertyDescriptor, PropertyName, Readable, Trace, Tracer,
};
use rquickjs::{Class, Constructor, Ctx, Object, Result, Value};

use super::crossing::to_external;
use super::element_object::{ElementObject, Members, Slot};
use super::native::{js_lifetime, keep_set_value};
use super::realm_objects::GlideRealm;
use super::run_state::{GlideRun, RecordCell};
use crate::host::RecordRef;

/// A record object.
pub(super) struct RecordObject<'js> {
    cell: Rc<RecordCell>,
    realm: Class<'js, GlideRealm<'js>>,
    /// Methods: `GlideRecord.prototype`, that of the secure class, or that of a script's subclass.
    proto: Object<'js>,
    /// The prototype is a script's.
    is_derived: bool,
    /// Names that were looked up already. A field's element is made once, so that `gr.a === gr.a`.
    members: RefCell<Members<'js>>,
}

js_lifetime!(RecordObject<'js>);

impl<'js> Trace<'js> for RecordObject<'js> {
    fn trace<'a>(&self, tracer: Tracer<'a, 'js>) {
        self.realm.trace(tracer);
        self.proto.trace(tracer);
        self.members.borrow().trace(tracer);
    }
}

impl<'js> RecordObject<'js> {
    /// A new object for `record` with the methods of `proto`.
    pub(super) fn make(
        run: &GlideRun,
        realm: &Class<'js, GlideRealm<'js>>,
        record: RecordRef,
        proto: Object<'js>,
    ) -> Result<Class<'js, Self>> {
        Self::of_cell(run.cell(record), realm, proto)
    }

    /// A new object on the record of `cell`.
    pub(super) fn of_cell(
        cell: Rc<RecordCell>,
        realm: &Class<'js, GlideRealm<'js>>,
        proto: Object<'js>,
    ) -> Result<Class<'js, Self>> {
        let is_derived = {
            let own = realm.borrow();
            proto != own.record_proto && proto != own.secure_proto
        };
        let object = Self {
            cell,
            realm: realm.clone(),
            proto: proto.clone(),
            is_derived,
            members: RefCell::new(Members::default()),
        };
        Class::instance_proto(object, proto)
    }

    /// The host's record; a `TypeError` when its run is over.
    pub(super) fn record(&self, ctx: &Ctx<'js>) -> Result<RecordRef> {
        self.cell.record(ctx)
    }

    /// What shares the record with elements and conditions.
    pub(super) fn cell(&self) -> Rc<RecordCell> {
        Rc::clone(&self.cell)
    }

    /// The host's record, unless its run is over.
    pub(super) fn live(&self) -> Option<RecordRef> {
        self.cell.live()
    }

    /// The name may be a getter, which must see the object and not the prototype: in a script's own subclass, and
    /// `__proto__`.
    fn has_getters(&self, ctx: &Ctx<'js>, atom: &Atom<'js>) -> bool {
        self.is_derived
            || *atom == Atom::from_predefined(ctx.clone(), PredefinedAtom::UnderscoreProto)
    }

    /// Looks a property up once; later the answer is remembered.
    fn member(&self, ctx: &Ctx<'js>, atom: &Atom<'js>) -> Result<Slot<'js>> {
        if let Some(known) = self.members.borrow().get(atom) {
            return Ok(known);
        }
        let record = self.cell.record(ctx)?;
        let name = self.realm.borrow().name(atom)?;
        let slot = match record.field(&name) {
            Some(path) => Slot::Element(
                ElementObject::make(&self.cell, &self.realm, path, record.kind(path))?.into_value(),
                path,
            ),
            None => Slot::Absent,
        };
        self.members.borrow_mut().insert(atom.clone(), slot.clone());
        Ok(slot)
    }

    /// The element of the field called `name`.
    pub(super) fn element(&self, ctx: &Ctx<'js>, name: &str) -> Result<Option<Value<'js>>> {
        match self.member(ctx, &Atom::from_str(ctx.clone(), name)?)? {
            Slot::Element(element, _) => Ok(Some(element)),
            Slot::Absent => Ok(None),
        }
    }
}

impl<'js> JsClass<'js> for RecordObject<'js> {
    const NAME: &'static str = "GlideRecord";
    const KIND: ClassKind = ClassKind::Exotic;
    type Mutable = Readable;

    fn prototype(_ctx: &Ctx<'js>) -> Result<Option<Object<'js>>> {
        Ok(None)
    }

    fn constructor(_ctx: &Ctx<'js>) -> Result<Option<Constructor<'js>>> {
        Ok(None)
    }

    fn exotic_get_property(
        this: &JsCell<'js, Self>,
        ctx: &Ctx<'js>,
        atom: Atom<'js>,
        receiver: Value<'js>,
    ) -> Result<Value<'js>> {
        let this = this.borrow();
        match this.member(ctx, &atom)? {
            Slot::Element(element, _) => Ok(element),
            Slot::Absent if this.has_getters(ctx, &atom) => {
                let reflect_get = this.realm.borrow().reflect_get.clone();
                reflect_get.call((this.proto.clone(), atom.to_value()?, receiver))
            }
            Slot::Absent => this.proto.get(atom),
        }
    }

    fn exotic_set_property(
        this: &JsCell<'js, Self>,
        ctx: &Ctx<'js>,
        atom: Atom<'js>,
        _receiver: Value<'js>,
        value: Value<'js>,
    ) -> Result<bool> {
        keep_set_value(&value);
        let this = this.borrow();
        let run = GlideRun::of(ctx)?;
        run.check(ctx)?;
        match this.member(ctx, &atom)? {
            Slot::Element(_, path) => {
                let value = to_external(ctx, &run, &value)?;
                this.record(ctx)?.assign(path, &value).map_err(|error| run.raise(ctx, error))?;
            }
            Slot::Absent => {
                let name = this.realm.borrow().name(&atom)?;
                this.record(ctx)?.note_unknown_assignment(&name);
            }
        }
        // An ignored assignment is no failure: strict scripts must not throw either.
        Ok(true)
    }

    fn exotic_delete_property(
        _this: &JsCell<'js, Self>,
        _ctx: &Ctx<'js>,
        _atom: Atom<'js>,
    ) -> Result<bool> {
        Ok(true)
    }

    fn exotic_has_property(
        this: &JsCell<'js, Self>,
        ctx: &Ctx<'js>,
        atom: Atom<'js>,
    ) -> Result<bool> {
        let this = this.borrow();
        match this.member(ctx, &atom)? {
            Slot::Element(..) => Ok(true),
            Slot::Absent => this.proto.contains_key(atom),
        }
    }

    fn exotic_get_own_property(
        this: &JsCell<'js, Self>,
        ctx: &Ctx<'js>,
        atom: Atom<'js>,
    ) -> Result<Option<PropertyDescriptor<'js>>> {
        Ok(match this.borrow().member(ctx, &atom)? {
            Slot::Element(element, _) => {
                Some(PropertyDescriptor::new_value(element, true, true, true))
            }
            Slot::Absent => None,
        })
    }

    fn exotic_get_own_property_names(
        this: &JsCell<'js, Self>,
        ctx: &Ctx<'js>,
    ) -> Result<Vec<PropertyName<'js>>> {
        this.borrow()
            .record(ctx)?
            .field_names()
            .iter()
            .map(|name| {
                Ok(PropertyName { atom: Atom::from_str(ctx.clone(), name)?, is_enumerable: true })
            })
            .collect()
    }
}
