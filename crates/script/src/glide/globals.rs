//! Names that scripts find without asking for them: `gs`, the classes, and a few functions.

use rquickjs::object::Property;
use rquickjs::{Ctx, Function, Object, Result, Value};

use super::errors;
use super::gs_log;
use super::gs_session;
use super::install::define_tag;
use super::native::{Call, Method, define_methods, function};

/// Functions of the library scope.
const FUNCTIONS: &[Method] = &[
    ("global_events", 1, global_events),
    ("getNextObjNumberPadded", 0, get_next_obj_number_padded),
];

/// Puts the library into the realm, and its alias `global` beside it (§1.1).
pub(super) fn define<'js>(ctx: &Ctx<'js>, classes: &[Function<'js>]) -> Result<()> {
    let gs = Object::new(ctx.clone())?;
    define_methods(&gs, gs_log::METHODS)?;
    define_methods(&gs, gs_session::METHODS)?;
    define_tag(&gs, "GlideSystem")?;

    let alias = Object::new(ctx.clone())?;
    for scope in [&ctx.globals(), &alias] {
        put(scope, "gs", gs.clone().into_value())?;
        for class in classes {
            let name: String = class.get("name")?;
            put(scope, &name, class.clone().into_value())?;
        }
    }
    for (name, length, body) in FUNCTIONS {
        let made = function(ctx, name, *length, *body)?.into_value();
        put(&ctx.globals(), name, made.clone())?;
        put(&alias, name, made)?;
    }
    // The other spelling of `global_events`.
    put(&alias, "events", function(ctx, "events", 1, global_events)?.into_value())?;
    put(&alias, "JSON", ctx.globals().get("JSON")?)?;
    put(&ctx.globals(), "global", alias.into_value())
}

/// Adds a name as built-ins are added: writable, not enumerable.
fn put<'js>(scope: &Object<'js>, name: &str, value: Value<'js>) -> Result<()> {
    scope.prop(name, Property::from(value).writable().configurable())
}

fn global_events<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let Some(record) = call.record_arg(0)? else {
        return Err(errors::type_error(
            call.ctx(),
            "global_events expected a record object, for example global_events(current)",
        ));
    };
    call.run
        .host(call.ctx())?
        .global_events(&record)
        .map(|()| call.undefined())
        .map_err(|error| call.run.raise(call.ctx(), error))
}

/// The next number of `current`'s table; empty when the script has no `current` or the table no numbers.
fn get_next_obj_number_padded<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let number = call.run.current().map(|record| record.next_number()).unwrap_or_default();
    call.string(&number)
}
