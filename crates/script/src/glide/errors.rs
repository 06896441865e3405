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
        _ => return Exception::throw_message(ctx, message),
    };
    if !raised.is_exception() {
        return raised;
    }
    let error = ctx.catch();
    if let Some(object) = error.as_object()
        && let Err(failed) = set_message(object, message)
    {
        return failed;
    }
    ctx.throw(error)
}

fn set_message(error: &Object<'_>, message: &str) -> rquickjs::Result<()> {
    error.prop(PredefinedAtom::Message, Property::from(message).writable().configurable())
}

/// A `TypeError`.
pub(super) fn type_error(ctx: &Ctx<'_>, message: &str) -> Error {
    throw(ctx, "TypeError", message)
}

/// A `RangeError`.
pub(super) fn range_error(ctx: &Ctx<'_>, message: &str) -> Error {
    throw(ctx, "RangeError", message)
}
