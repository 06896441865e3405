//! From a stored text to the text that the engine compiles, and the check of a text before it is stored.
//!
//! The engine's own parser goes first: it knows all early errors, and it refuses deep nesting before the other
//! parser, which recurses without a bound, sees the text. Both run on a thread with a large stack.

use std::thread;

use oxc_allocator::Allocator;
use oxc_parser::{ParseOptions, Parser};
use oxc_span::SourceType;

use crate::error::Position;
use crate::rewrite::{self, EVAL_PARAMETER, HELPERS, Mode, PositionMap};
use crate::run::{ScriptKind, SyntaxError};
use crate::syntax;

/// Longest script and longest text for `eval`, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 20;
/// Stack of the thread that compiles; only what is used of it costs memory.
const COMPILE_STACK_BYTES: usize = 256 << 20;

/// A text made ready for compiling.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// A function expression: helpers in, a function of the kind's globals out.
    pub(crate) code: String,
    /// Names of the kind's globals, in the order of that function's parameters.
    pub(crate) globals: Vec<&'static str>,
    /// The way back to the stored text.
    pub(crate) map: PositionMap,
    /// The script may try to alter built-in objects: it needs a realm of its own.
    pub(crate) alters_realm: bool,
    /// The script may reach the global object by `this`.
    pub(crate) reaches_global: bool,
    /// Globals that it may make by assignment.
    pub(crate) assigned: Vec<String>,
}

impl Prepared {
    /// The stored text of a function, for the text that compiled code shows of it; `None` when it is not from here.
    pub(crate) fn stored_function(&self, compiled: &str) -> Option<&str> {
        let start = self.code.find(compiled)?;
        self.map.stored_text(start, start + compiled.len())
    }

    /// A place in the compiled code as a place in the stored text.
    pub(crate) fn place(&self, at: Position) -> Option<Position> {
        self.map.stored_position(at.line, at.column).map(|(line, column)| Position { line, column })
    }
}

/// Names that a kind declares (scripting §1.1), whatever their value.
pub(crate) const fn globals_of(kind: ScriptKind) -> &'static [&'static str] {
    match kind {
        ScriptKind::BusinessRule => &["current", "previous", "g_scratchpad", "answer"],
        ScriptKind::BusinessRuleCondition | ScriptKind::Background => {
            &["current", "previous", "answer"]
        }
        ScriptKind::ScriptAction | ScriptKind::ScriptActionCondition => {
            &["current", "previous", "event", "answer"]
        }
        ScriptKind::DefaultValue => &["current", "answer"],
    }
}

/// Says why a text cannot be saved as a script of this kind.
///
/// An empty text is a script that does nothing. Line and column are those of the text.
pub fn check(kind: ScriptKind, text: &str) -> Result<(), SyntaxError> {
    prepare(kind, text).map(|_| ())
}

/// Makes a text ready for compiling.
pub(crate) fn prepare(kind: ScriptKind, text: &str) -> Result<Prepared, SyntaxError> {
    on_large_stack(text, || prepare_here(kind, text))
}

/// Makes a text ready for the engine's own `eval`.
pub(crate) fn prepare_eval(text: &str) -> Result<String, SyntaxError> {
    on_large_stack(text, || {
        let allocator = Allocator::default();
        let program = parse(&allocator, text, false)?;
        let edits = rewrite::rewrite(&program, text, Mode::Eval)
            .map_err(|refused| at_offset(text, refused.at, refused.message))?;
        Ok(edits.apply("", "").text)
    })
}

fn prepare_here(kind: ScriptKind, text: &str) -> Result<Prepared, SyntaxError> {
    let is_body = syntax::check_script(text)?;
    let allocator = Allocator::default();
    let program = parse(&allocator, text, is_body)?;
    let mode = if kind.yields_value() { Mode::BodyWithValue } else { Mode::Body };
    let edits = rewrite::rewrite(&program, text, mode)
        .map_err(|refused| at_offset(text, refused.at, refused.message))?;
    let found = rewrite::survey(&program, globals_of(kind));
    let globals: Vec<&'static str> =
        globals_of(kind).iter().copied().filter(|name| !found.lexical.contains(*name)).collect();
    let prefix =
        format!("({},{EVAL_PARAMETER})=>({},$$_v)=>{{", HELPERS.join(","), globals.join(","));
    let suffix = match mode {
        Mode::BodyWithValue => "\nreturn answer===void 0?$$_v:answer}",
        _ => "\n}",
    };
    let edited = edits.apply(&prefix, suffix);
    Ok(Prepared {
        code: edited.text,
        globals,
        map: edited.map,
        alters_realm: found.alters_realm,
        reaches_global: found.reaches_global,
        assigned: found.assigned,
    })
}

fn parse<'a>(
    allocator: &'a Allocator,
    text: &'a str,
    is_body: bool,
) -> Result<oxc_ast::ast::Program<'a>, SyntaxError> {
    let options =
        ParseOptions { allow_return_outside_function: is_body, ..ParseOptions::default() };
    let parsed = Parser::new(allocator, text, SourceType::script()).with_options(options).parse();
    if !parsed.panicked {
        // The engine has accepted the text; what the other parser minds without giving up is no error here.
        return Ok(parsed.program);
    }
    let (message, at) = match parsed.diagnostics.first() {
        Some(diagnostic) => (
            diagnostic.message.to_string(),
            diagnostic.labels.first().map_or(0, |label| label.offset()),
        ),
        None => ("the text could not be parsed".to_owned(), 0),
    };
    Err(at_offset(text, at, &message))
}

fn at_offset(text: &str, at: u32, message: &str) -> SyntaxError {
    let (line, column) = rewrite::position_of(text, at);
    SyntaxError { message: message.to_owned(), line, column }
}

fn on_large_stack<T: Send>(
    text: &str,
    work: impl FnOnce() -> Result<T, SyntaxError> + Send,
) -> Result<T, SyntaxError> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the text is longer than {TEXT_BYTES_MAX} bytes");
        return Err(SyntaxError { message, line: 1, column: 1 });
    }
    let refused = |message: String| SyntaxError { message, line: 1, column: 1 };
    thread::scope(|scope| {
        thread::Builder::new()
            .name("script-compile".to_owned())
            .stack_size(COMPILE_STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| refused(format!("the compiler could not be started: {error}")))?
            .join()
            .unwrap_or_else(|_| Err(refused("the compiler failed on this text".to_owned())))
    })
}
