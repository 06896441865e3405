//! JavaScript errors that natives raise. The binding's own helpers cut messages at 255 bytes; these do not.

use rquickjs::atom::PredefinedAtom;
use rquickjs::object::Property;
use rquickjs::{Ctx, Error, Exception, Object};

/// Throws an error of `class`; an unknown class becomes `Error`.
pub(super) fn throw(ctx: &Ctx<'_>, class: &str, message: &str) -> Error {
    // The short message makes an error of the right class with a stack; then it gets the whole message.
    let raised = match class {
        "TypeError" => Exception::throw_type(ctx, ""),
        "RangeError" => Exception::throw_range(ctx, ""),
        "ReferenceError" => Exception::throw_reference(ctx, ""),
        "SyntaxError" => Exception::throw_syntax(ctx, ""),
        _ => Exception::throw_type(ctx, ""),
    };
    if !raised.is_exception() {
        return raised;
    }
    let error = ctx.catch();
    if let Some(object) = error.as_object()
        && let Err(failed) = set_message(object, message).and_then(|()| match class {
            "TypeError" | "RangeError" | "ReferenceError" | "SyntaxError" => Ok(()),
            _ => make_plain(object),
        })
    {
        return failed;
    }
    ctx.throw(error)
}

fn set_message(error: &Object<'_>, message: &str) -> rquickjs::Result<()> {
    error.prop(PredefinedAtom::Message, Property::from(message).writable().configurable())
}

/// Makes a `TypeError` an `Error`. The binding's own way to throw one assigns `message`, which the frozen
/// prototype of a sealed realm forbids.
fn make_plain(error: &Object<'_>) -> rquickjs::Result<()> {
    let plain = error.get_prototype().and_then(|prototype| prototype.get_prototype());
    error.set_prototype(plain.as_ref())
}

/// A `TypeError`.
pub(super) fn type_error(ctx: &Ctx<'_>, message: &str) -> Error {
    throw(ctx, "TypeError", message)
}

/// A `RangeError`.
pub(super) fn range_error(ctx: &Ctx<'_>, message: &str) -> Error {
    throw(ctx, "RangeError", message)
}
