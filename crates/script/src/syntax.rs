//! The engine's opinion of a text, without running it.

use std::ffi::CString;

use rquickjs::context::intrinsic;
use rquickjs::{Context, Ctx, Object, Runtime, Value, qjs};

use crate::error::parse_frame;
use crate::run::SyntaxError;

/// Stack that the engine's parser may use: bounds the nesting of a text.
const PARSE_STACK_BYTES: usize = 1 << 20;
/// Memory that parsing and compiling one text may use.
const PARSE_MEMORY_BYTES: usize = 256 << 20;
/// What the engine says when a script returns at its top level.
const RETURN_OUTSIDE: &str = "return not in a function";
/// Makes a function body of a script, on the line on which it begins.
const BODY_OPEN: &str = "(()=>{";

/// Compiles `text` as a script; when only its top-level `return` stands in the way, as a function's body, which is
/// then the answer.
pub(crate) fn check_script(text: &str) -> Result<bool, SyntaxError> {
    let failed =
        |error: rquickjs::Error| at_start(format!("the engine could not be started: {error}"));
    let runtime = Runtime::new().map_err(failed)?;
    runtime.set_max_stack_size(PARSE_STACK_BYTES);
    runtime.set_memory_limit(PARSE_MEMORY_BYTES);
    let context =
        Context::custom::<(intrinsic::Eval, intrinsic::RegExpCompiler, intrinsic::RegExp)>(
            &runtime,
        )
        .map_err(failed)?;
    context.with(|ctx| match compile(&ctx, text) {
        Ok(()) => Ok(false),
        Err(error) if error.message.contains(RETURN_OUTSIDE) => {
            compile(&ctx, &format!("{BODY_OPEN}{text}\n}})")).map(|()| true).map_err(|mut error| {
                if error.line == 1 {
                    let shift = u32::try_from(BODY_OPEN.len()).unwrap_or(0);
                    error.column = error.column.saturating_sub(shift).max(1);
                }
                error
            })
        }
        Err(error) => Err(error),
    })
}

fn compile(ctx: &Ctx<'_>, text: &str) -> Result<(), SyntaxError> {
    let source =
        CString::new(text).map_err(|nul| at_start(format!("the text could not be read: {nul}")))?;
    #[expect(
        unsafe_code,
        reason = "the binding compiles modules without running them, but not scripts"
    )]
    // SAFETY: `source` ends with NUL and outlives the call, its length is given without it, and the value that
    // comes back is owned and belongs to this context.
    let compiled = unsafe {
        let value = qjs::JS_Eval(
            ctx.as_raw().as_ptr(),
            source.as_ptr(),
            source.as_bytes().len() as _,
            c"script".as_ptr(),
            (qjs::JS_EVAL_TYPE_GLOBAL | qjs::JS_EVAL_FLAG_COMPILE_ONLY).cast_signed(),
        );
        Value::from_raw(ctx.clone(), value)
    };
    if !compiled.is_exception() {
        return Ok(());
    }
    Err(describe(&ctx.catch(), text))
}

fn describe(error: &Value<'_>, text: &str) -> SyntaxError {
    let Some(object) = error.as_object() else {
        return at_start("the text could not be compiled".to_owned());
    };
    let message = property(object, "message");
    let message = match message.as_str() {
        "Maximum call stack size exceeded" => "the text is nested too deeply".to_owned(),
        "" => "the text could not be compiled".to_owned(),
        _ => message,
    };
    let stack = property(object, "stack");
    let Some(frame) = stack.lines().find_map(parse_frame) else { return at_start(message) };
    // The engine counts bytes; people count characters.
    let line = text.split('\n').nth(frame.at.line.saturating_sub(1) as usize).unwrap_or_default();
    let bytes = (frame.at.column.saturating_sub(1) as usize).min(line.len());
    let before = line.char_indices().take_while(|(at, _)| *at < bytes).count();
    let column = u32::try_from(before + 1).unwrap_or(u32::MAX);
    SyntaxError { message, line: frame.at.line, column }
}

fn property(object: &Object<'_>, name: &str) -> String {
    object.get::<_, Option<String>>(name).ok().flatten().unwrap_or_default()
}

fn at_start(message: String) -> SyntaxError {
    SyntaxError { message, line: 1, column: 1 }
}
