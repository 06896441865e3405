//! The few functions that a realm's own JavaScript needs from outside.

use std::rc::Rc;
use std::sync::Arc;

use rquickjs::function::Func;
use rquickjs::{ArrayBuffer, ArrayBufferSource, Ctx, Exception, Object, Result, Value};

use crate::compile;
use crate::host::LogLevel;
use crate::level::LevelState;
use crate::watchdog::Flag;

/// Longest array that array methods take: they do not look at the clock while they work.
pub(crate) const ARRAY_LENGTH_MAX: u32 = 1 << 24;
/// Largest product of two texts' lengths when one is searched in the other, for the same reason.
const TEXT_SEARCH_MAX: f64 = (1u64 << 32) as f64;

/// The *terminated* byte as the memory of a buffer.
struct FlagByte(Arc<Flag>);

#[expect(unsafe_code, reason = "the binding's trait for memory that scripts read")]
// SAFETY: the byte lives in an allocation that the `Arc` keeps where it is. Scripts cannot write it: the buffer is
// immutable, and it is not handed to them. It is written through an atomic while the engine reads it: a byte is
// never seen half written.
unsafe impl ArrayBufferSource for FlagByte {
    fn as_ptr(&self) -> *mut u8 {
        self.0.byte_address()
    }

    fn len(&self) -> usize {
        1
    }
}

/// The object that `runtime.js` and `builtins.js` receive.
pub(crate) fn object<'js>(ctx: &Ctx<'js>, state: &Rc<LevelState>) -> Result<Object<'js>> {
    let native = Object::new(ctx.clone())?;
    let flag = FlagByte(Arc::clone(state.budget.flag()));
    native.set("flag", ArrayBuffer::from_source_immutable(ctx.clone(), flag)?)?;
    native.set("arrayLengthMax", ARRAY_LENGTH_MAX)?;
    native.set("textSearchMax", TEXT_SEARCH_MAX)?;

    let budget = Rc::clone(&state.budget);
    native.set("raise", Func::from(move |ctx: Ctx<'js>| budget.check(&ctx)))?;
    native.set("isProxy", Func::from(|value: Value<'js>| value.is_proxy()))?;
    native.set("rewrite", Func::from(rewrite))?;

    let tainted = Rc::clone(state);
    native.set("taint", Func::from(move || tainted.tainted.set(true)))?;
    let shown = Rc::clone(state);
    native.set("storedText", Func::from(move |text: String| shown.stored_text(text)))?;
    let clock = Rc::clone(state);
    native.set("now", Func::from(move || clock.now_millis()))?;
    let log = Rc::clone(state);
    native.set(
        "log",
        Func::from(move |ctx: Ctx<'js>, level: String, text: String| log.log(&ctx, &level, &text)),
    )?;
    Ok(native)
}

/// The text for the engine's `eval` in place of the script's.
fn rewrite(ctx: Ctx<'_>, text: String) -> Result<String> {
    if text.len() > compile::TEXT_BYTES_MAX {
        let message = format!("the text for eval is longer than {} bytes", compile::TEXT_BYTES_MAX);
        return Err(Exception::throw_range(&ctx, &message));
    }
    compile::prepare_eval(&text).map_err(|error| Exception::throw_syntax(&ctx, &error.message))
}

impl LevelState {
    fn now_millis(&self) -> f64 {
        let host = self.host.borrow().clone();
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of any date that scripts know are exact"
        )]
        host.map_or(f64::NAN, |host| host.now().as_millis() as f64)
    }

    /// What a script sees as the text of one of its functions.
    fn stored_text(&self, compiled: String) -> String {
        let script = self.script.borrow();
        let stored = script.as_ref().and_then(|script| script.stored_function(&compiled));
        stored.map(str::to_owned).unwrap_or(compiled)
    }

    fn log(&self, ctx: &Ctx<'_>, level: &str, text: &str) -> Result<()> {
        self.budget.check(ctx)?;
        let bytes_max = self.budget.string_bytes_max();
        if text.len() > bytes_max {
            let message = format!("a text of more than {bytes_max} bytes cannot leave the script");
            return Err(Exception::throw_range(ctx, &message));
        }
        let host = self.host.borrow().clone();
        if let Some(host) = host {
            let level = match level {
                "debug" => LogLevel::Debug,
                "warn" => LogLevel::Warn,
                "error" => LogLevel::Error,
                _ => LogLevel::Info,
            };
            host.log(level, "", text);
        }
        Ok(())
    }
}
