//! String methods on elements (§3.6): they work on the script text, by whatever `String.prototype` says.

use rquickjs::function::Args;
use rquickjs::{Function, Object, Result, Value};

use super::element_methods::this_element;
use super::native::{Call, Method, define_methods};
use crate::host::ElementKind;

/// Adds the string methods of elements to `proto` (§3.6): they work on the script text.
pub(super) fn define<'js>(proto: &Object<'js>) -> Result<()> {
    define_methods(proto, STRING_METHODS)
}

/// One native for each method, so that the receiver's text goes to the right one.
macro_rules! string_methods {
    ($($name:ident $js:literal $length:literal),* $(,)?) => {
        const STRING_METHODS: &[Method] = &[$(($js, $length, $name)),*];
        $(fn $name<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
            on_text(call, $js)
        })*
    };
}

string_methods! {
    s_index_of "indexOf" 1, s_split "split" 2, s_replace "replace" 2, s_lower "toLowerCase" 0,
    s_upper "toUpperCase" 0, s_trim "trim" 0, s_substring "substring" 2, s_substr "substr" 2,
    s_slice "slice" 2, s_match "match" 1, s_search "search" 1, s_char_at "charAt" 1,
    s_char_code_at "charCodeAt" 1, s_starts_with "startsWith" 1, s_ends_with "endsWith" 1,
    s_includes "includes" 1, s_concat "concat" 1, s_locale_compare "localeCompare" 1,
    s_last_index_of "lastIndexOf" 1, s_repeat "repeat" 1, s_pad_start "padStart" 1,
    s_pad_end "padEnd" 1, s_replace_all "replaceAll" 2,
}

fn on_text<'js>(call: &Call<'_, 'js>, method: &str) -> Result<Value<'js>> {
    let this = call.this();
    let element = this_element(call, &this)?;
    let text = element.script_text(call.ctx())?;
    if text.is_empty() && element.kind == ElementKind::List && method == "indexOf" {
        return Ok(call.undefined());
    }
    let proto = element.realm.borrow().string_proto.clone();
    let function: Function<'js> = proto.get(method)?;
    let mut args = Args::new(call.ctx().clone(), call.len());
    args.this(call.string(&text)?)?;
    for at in 0..call.len() {
        args.push_arg(call.arg(at))?;
    }
    function.call_arg(args)
}
