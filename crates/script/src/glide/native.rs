//! The corner where Glide classes touch the engine's own representation: class identity, native functions, and
//! the two places where the binding needs help. All `unsafe` of the Glide API is in this file.

use std::rc::Rc;

use rquickjs::class::{JsCell, JsClass};
use rquickjs::function::{IntoJsFunc, ParamRequirement, Params};
use rquickjs::object::Property;
use rquickjs::{Class, Ctx, Function, JsLifetime, Object, Result, Value, qjs};

use super::run_state::GlideRun;

/// A method of a Glide class.
pub(super) type NativeFn = for<'a, 'js> fn(&Call<'a, 'js>) -> Result<Value<'js>>;

/// Name, `length` and body of a method.
pub(super) type Method = (&'static str, usize, NativeFn);

/// Declares that a class holds no engine values, or only such as share its own `'js`.
macro_rules! js_lifetime {
    ($name:ident<'js>) => {
        #[expect(
            unsafe_code,
            reason = "the binding's marker trait; `Changed` is the same type with another 'js"
        )]
        // SAFETY: `$name<'js>` carries the lifetime of the values in it, and `Changed<'to>` differs in nothing else.
        unsafe impl<'js> rquickjs::JsLifetime<'js> for $name<'js> {
            type Changed<'to> = $name<'to>;
        }
    };
    ($name:ident) => {
        #[expect(
            unsafe_code,
            reason = "the binding's marker trait; the type holds no engine values"
        )]
        // SAFETY: `$name` has no lifetime.
        unsafe impl<'js> rquickjs::JsLifetime<'js> for $name {
            type Changed<'to> = $name;
        }
    };
}
pub(super) use js_lifetime;

/// One call of a native function: receiver, arguments and the run it belongs to.
pub(super) struct Call<'a, 'js> {
    params: Params<'a, 'js>,
    pub(super) run: &'a GlideRun,
}

impl<'js> Call<'_, 'js> {
    pub(super) fn ctx(&self) -> &Ctx<'js> {
        self.params.ctx()
    }

    /// The receiver; `new.target` in a constructor call.
    pub(super) fn this(&self) -> Value<'js> {
        self.params.this()
    }

    pub(super) fn is_constructor(&self) -> bool {
        self.params.is_constructor()
    }

    /// Number of arguments given.
    pub(super) fn len(&self) -> usize {
        self.params.len()
    }

    /// The argument, `undefined` when it was not given.
    pub(super) fn arg(&self, index: usize) -> Value<'js> {
        self.params.arg(index).unwrap_or_else(|| self.undefined())
    }

    pub(super) fn undefined(&self) -> Value<'js> {
        Value::new_undefined(self.ctx().clone())
    }

    pub(super) fn null(&self) -> Value<'js> {
        Value::new_null(self.ctx().clone())
    }

    pub(super) fn bool(&self, value: bool) -> Value<'js> {
        Value::new_bool(self.ctx().clone(), value)
    }

    pub(super) fn number(&self, value: f64) -> Value<'js> {
        Value::new_number(self.ctx().clone(), value)
    }

    pub(super) fn string(&self, text: &str) -> Result<Value<'js>> {
        Ok(rquickjs::String::from_str(self.ctx().clone(), text)?.into_value())
    }

    /// The text, or `null`.
    pub(super) fn string_or_null(&self, text: Option<&str>) -> Result<Value<'js>> {
        text.map_or_else(|| Ok(self.null()), |text| self.string(text))
    }
}

/// A native function takes any number of arguments; what is missing is `undefined`.
struct Native {
    body: NativeFn,
    run: Rc<GlideRun>,
}

impl<'js> IntoJsFunc<'js, Native> for Native {
    fn param_requirements() -> ParamRequirement {
        ParamRequirement::any()
    }

    fn call<'a>(&self, params: Params<'a, 'js>) -> Result<Value<'js>> {
        self.run.check(params.ctx())?;
        (self.body)(&Call { params, run: &self.run })
    }
}

/// A function object for `body`.
pub(super) fn function<'js>(
    ctx: &Ctx<'js>,
    name: &str,
    length: usize,
    body: NativeFn,
) -> Result<Function<'js>> {
    let native = Native { body, run: GlideRun::of(ctx)? };
    let made = Function::new(ctx.clone(), native)?.with_name(name)?.with_length(length)?;
    // The binding keeps one function prototype for each runtime; a later realm has its own.
    made.set_prototype(Some(&Function::prototype(ctx.clone())))?;
    Ok(made)
}

/// A function object that is called with `new`; its `prototype` and the prototype's `constructor` are linked.
pub(super) fn constructor<'js>(
    name: &str,
    length: usize,
    prototype: &Object<'js>,
    body: NativeFn,
) -> Result<Function<'js>> {
    let made = function(prototype.ctx(), name, length, body)?.with_constructor(true);
    made.prop("prototype", prototype.clone())?;
    prototype.prop("constructor", Property::from(made.clone()).writable().configurable())?;
    Ok(made)
}

/// Adds methods, not enumerable, as built-in classes have them.
pub(super) fn define_methods<'js>(target: &Object<'js>, methods: &[Method]) -> Result<()> {
    for (name, length, body) in methods {
        let method = function(target.ctx(), name, *length, *body)?;
        target.prop(*name, Property::from(method).writable().configurable())?;
    }
    Ok(())
}

/// The value as an instance of `C`. Unlike the binding's own test, a wrong class raises (and swallows) nothing:
/// that would cost microseconds for each ordinary object that is looked at.
pub(super) fn as_class<'v, 'js, C: JsClass<'js>>(
    run: &GlideRun,
    value: &'v Value<'js>,
) -> Option<&'v Class<'js, C>> {
    let object = value.as_object()?;
    (class_number(object) == run.class_numbers().of(C::KIND)).then(|| object.as_class::<C>())?
}

/// The instance's own data.
pub(super) fn cell_of<'v, 'js, C: JsClass<'js>>(
    run: &GlideRun,
    value: &'v Value<'js>,
) -> Option<&'v JsCell<'js, C>> {
    Some(as_class::<C>(run, value)?.get_cell())
}

/// The engine's number for the class of an object.
pub(super) fn class_number(object: &Object<'_>) -> qjs::JSClassID {
    #[expect(unsafe_code, reason = "the binding has no class test that does not throw")]
    // SAFETY: the value is a live object; the call only reads its header.
    unsafe {
        qjs::JS_GetClassID(object.as_raw())
    }
}

/// Gives a value that came in through `exotic_set_property` the reference that the binding (0.14) forgets to
/// take: it drops the value after the call, and so does the engine. `a_set_value_is_neither_freed_twice_nor_leaked`
/// tells when an upgrade has mended that.
pub(super) fn keep_set_value(value: &Value<'_>) {
    #[expect(
        unsafe_code,
        reason = "works round a double free in the binding's exotic_set_property"
    )]
    // SAFETY: the value is live, and the added reference is the one that the binding's drop takes away.
    unsafe {
        qjs::JS_DupValue(value.ctx().as_raw().as_ptr(), value.as_raw());
    }
}

/// Class numbers of the binding's plain and exotic classes in this runtime.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClassNumbers {
    pub(super) plain: qjs::JSClassID,
    pub(super) exotic: qjs::JSClassID,
}

impl ClassNumbers {
    fn of(self, kind: rquickjs::class::ClassKind) -> qjs::JSClassID {
        match kind {
            rquickjs::class::ClassKind::Exotic => self.exotic,
            _ => self.plain,
        }
    }
}

/// Ties a value's lifetime parameter to a type that has none, for storage in the runtime.
pub(super) struct Shared<T>(pub(super) Rc<T>);

#[expect(
    unsafe_code,
    reason = "the binding's marker trait; only `GlideRun`, which holds no 'js, is shared"
)]
// SAFETY: `T: 'static`, so nothing in it can carry the lifetime of an engine value.
unsafe impl<'js, T: 'static> JsLifetime<'js> for Shared<T> {
    type Changed<'to> = Shared<T>;
}
