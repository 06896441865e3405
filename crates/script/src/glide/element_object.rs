//! `GlideElement` as JavaScript sees it: a live handle on one field, which a reference lets walk further (§3.1).

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use rquickjs::atom::{Atom, PredefinedAtom};
use rquickjs::class::{ClassKind, JsCell, JsClass, Readable, Trace, Tracer};
use rquickjs::{Class, Constructor, Ctx, Object, Result, Value};

use super::crossing::to_external;
use super::native::{js_lifetime, keep_set_value};
use super::realm_objects::GlideRealm;
use super::run_state::{GlideRun, RecordCell};
use crate::host::{ElementKind, PathId, RecordRef};

/// What a property name of a record object or a reference stands for.
#[derive(Clone)]
pub(super) enum Slot<'js> {
    /// A field: its element.
    Element(Value<'js>, PathId),
    /// No field.
    Absent,
}

/// Hashes the engine's number of a name; the numbers are small and dense.
#[derive(Default)]
pub(super) struct AtomHasher(u64);

impl Hasher for AtomHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A map by property name.
pub(super) type AtomMap<'js, T> = HashMap<Atom<'js>, T, BuildHasherDefault<AtomHasher>>;

/// Names that were looked up, with their answers.
///
/// Never borrowed while the engine may run: it can collect garbage then, and asks for [`Members::trace`].
#[derive(Default)]
pub(super) struct Members<'js>(AtomMap<'js, Slot<'js>>);

impl<'js> Members<'js> {
    pub(super) fn get(&self, atom: &Atom<'js>) -> Option<Slot<'js>> {
        self.0.get(atom).cloned()
    }

    pub(super) fn insert(&mut self, atom: Atom<'js>, slot: Slot<'js>) {
        self.0.insert(atom, slot);
    }
}

impl<'js> Trace<'js> for Members<'js> {
    fn trace<'a>(&self, tracer: Tracer<'a, 'js>) {
        for (atom, slot) in &self.0 {
            atom.trace(tracer);
            if let Slot::Element(value, _) = slot {
                value.trace(tracer);
            }
        }
    }
}

/// An element.
pub(super) struct ElementObject<'js> {
    pub(super) cell: Rc<RecordCell>,
    pub(super) realm: Class<'js, GlideRealm<'js>>,
    pub(super) path: PathId,
    pub(super) kind: ElementKind,
    members: RefCell<Members<'js>>,
}

js_lifetime!(ElementObject<'js>);

impl<'js> Trace<'js> for ElementObject<'js> {
    fn trace<'a>(&self, tracer: Tracer<'a, 'js>) {
        self.realm.trace(tracer);
        self.members.borrow().trace(tracer);
    }
}

impl<'js> ElementObject<'js> {
    /// The element of the field `path`.
    pub(super) fn make(
        cell: &Rc<RecordCell>,
        realm: &Class<'js, GlideRealm<'js>>,
        path: PathId,
        kind: ElementKind,
    ) -> Result<Class<'js, Self>> {
        let proto = realm.borrow().element_proto.clone();
        let object = Self {
            cell: Rc::clone(cell),
            realm: realm.clone(),
            path,
            kind,
            members: RefCell::new(Members::default()),
        };
        Class::instance_proto(object, proto)
    }

    /// An element of no record.
    pub(super) fn detached(realm: &Class<'js, GlideRealm<'js>>) -> Result<Class<'js, Self>> {
        Self::make(&Rc::new(RecordCell::default()), realm, PathId::MAX, ElementKind::Text)
    }

    /// The host's record; a `TypeError` when its run is over.
    pub(super) fn record(&self, ctx: &Ctx<'_>) -> Result<RecordRef> {
        self.cell.record(ctx)
    }

    /// Script text (§3.2).
    pub(super) fn script_text(&self, ctx: &Ctx<'_>) -> Result<Rc<str>> {
        Ok(self.record(ctx)?.script_text(self.path))
    }

    /// The field `name` of the referenced record. Fields come before methods (§3.6).
    fn member(&self, ctx: &Ctx<'js>, atom: &Atom<'js>) -> Result<Slot<'js>> {
        if self.kind != ElementKind::Reference || is_conversion(ctx, atom) {
            return Ok(Slot::Absent);
        }
        if let Some(known) = self.members.borrow().get(atom) {
            return Ok(known);
        }
        let record = self.record(ctx)?;
        let name = self.realm.borrow().name(atom)?;
        // An absent name is asked for again: with another row the reference may have another class.
        let Some(path) = record.sub_field(self.path, &name) else { return Ok(Slot::Absent) };
        let element = Self::make(&self.cell, &self.realm, path, record.kind(path))?;
        let slot = Slot::Element(element.into_value(), path);
        self.members.borrow_mut().insert(atom.clone(), slot.clone());
        Ok(slot)
    }

    /// The element of the referenced record's field `name`.
    pub(super) fn element(&self, ctx: &Ctx<'js>, name: &str) -> Result<Option<Value<'js>>> {
        match self.member(ctx, &Atom::from_str(ctx.clone(), name)?)? {
            Slot::Element(element, _) => Ok(Some(element)),
            Slot::Absent => Ok(None),
        }
    }
}

/// Names that the language itself asks for at each conversion and that no column has.
fn is_conversion<'js>(ctx: &Ctx<'js>, atom: &Atom<'js>) -> bool {
    [
        PredefinedAtom::SymbolToPrimitive,
        PredefinedAtom::ToString,
        PredefinedAtom::SymbolToStringTag,
        PredefinedAtom::ToJSON,
    ]
    .into_iter()
    .any(|name| *atom == Atom::from_predefined(ctx.clone(), name))
}

impl<'js> JsClass<'js> for ElementObject<'js> {
    const NAME: &'static str = "GlideElement";
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
        _receiver: Value<'js>,
    ) -> Result<Value<'js>> {
        let this = this.borrow();
        if let Slot::Element(element, _) = this.member(ctx, &atom)? {
            return Ok(element);
        }
        if atom == Atom::from_predefined(ctx.clone(), PredefinedAtom::Length) {
            let length = this.script_text(ctx)?.encode_utf16().count();
            return rquickjs::IntoJs::into_js(length, ctx);
        }
        let proto = this.realm.borrow().element_proto.clone();
        proto.get(atom)
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
        if let Slot::Element(..) = this.member(ctx, &atom)? {
            return Ok(true);
        }
        let proto = this.realm.borrow().element_proto.clone();
        Ok(atom == Atom::from_predefined(ctx.clone(), PredefinedAtom::Length)
            || proto.contains_key(atom)?)
    }
}
