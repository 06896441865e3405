//! From what a script threw to what is logged: message, position in the stored text, stack.

use rquickjs::{Coerced, Ctx, Value};

use crate::run::{LimitKind, ScriptError, ScriptErrorKind, SyntaxError};

/// File name that compiled scripts carry in stacks.
pub(crate) const SCRIPT_FILE: &str = "script";
/// Longest message, in characters.
const MESSAGE_CHARS_MAX: usize = 8_192;
/// Most stack frames kept.
const FRAMES_MAX: usize = 32;

/// A place in the stored text, 1-based.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// What was thrown, in words. Runs script code (getters, `toString`), so it belongs inside the run's budget.
pub(crate) fn describe<'js>(
    ctx: &Ctx<'js>,
    thrown: &Value<'js>,
    place: &dyn Fn(Position) -> Option<Position>,
) -> ScriptError {
    let message = message_of(ctx, thrown);
    let stack = thrown
        .as_object()
        .filter(|object| object.is_error())
        .and_then(|error| text_property(ctx, error, "stack"))
        .unwrap_or_default();
    let (first, stack) = script_frames(&stack, place);
    ScriptError {
        kind: ScriptErrorKind::Runtime,
        message: cut(message),
        line: first.map(|at| at.line),
        column: first.map(|at| at.column),
        stack,
        limit_set_by: "",
    }
}

fn message_of<'js>(ctx: &Ctx<'js>, thrown: &Value<'js>) -> String {
    if let Some(object) = thrown.as_object()
        && let Some(message) = text_property(ctx, object, "message")
    {
        let name = text_property(ctx, object, "name").unwrap_or_default();
        return match (name.is_empty(), message.is_empty()) {
            (true, _) => message,
            (false, true) => name,
            (false, false) => format!("{name}: {message}"),
        };
    }
    match thrown.get::<Coerced<String>>() {
        Ok(text) => text.0,
        Err(_) => {
            ctx.catch();
            "a value that has no text was thrown".to_owned()
        }
    }
}

/// A property that is a string; whatever its getter throws is dropped.
fn text_property<'js>(
    ctx: &Ctx<'js>,
    object: &rquickjs::Object<'js>,
    name: &str,
) -> Option<String> {
    match object.get::<_, Value<'js>>(name) {
        Ok(value) => value.as_string().and_then(|text| text.to_string().ok()),
        Err(_) => {
            ctx.catch();
            None
        }
    }
}

/// The frames that lie in the script, with positions in the stored text, and the position of the innermost one.
fn script_frames(
    stack: &str,
    place: &dyn Fn(Position) -> Option<Position>,
) -> (Option<Position>, String) {
    let mut innermost = None;
    let mut text = String::new();
    for frame in stack.lines().filter_map(parse_frame).take(FRAMES_MAX) {
        let Some(at) = place(frame.at) else { continue };
        innermost.get_or_insert(at);
        text.push_str("    at ");
        text.push_str(frame.function);
        text.push_str(&format!(" (line {}, column {})\n", at.line, at.column));
    }
    (innermost, text)
}

pub(crate) struct Frame<'a> {
    pub(crate) function: &'a str,
    pub(crate) at: Position,
}

/// `    at name (script:7:3)` or `    at script:7:3`; other files are the host's.
pub(crate) fn parse_frame(line: &str) -> Option<Frame<'_>> {
    let rest = line.trim_start().strip_prefix("at ")?;
    let (function, place) = match rest.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")) {
        Some((function, place)) => (function, place),
        None => ("<anonymous>", rest),
    };
    let mut parts = place.strip_prefix(SCRIPT_FILE)?.strip_prefix(':')?.splitn(2, ':');
    let line = parts.next()?.parse().ok()?;
    let column = parts.next()?.parse().ok()?;
    Some(Frame { function, at: Position { line, column } })
}

/// A failure of the engine that is no exception of the script.
pub(crate) fn from_engine(failed: &rquickjs::Error) -> ScriptError {
    ScriptError {
        kind: ScriptErrorKind::Runtime,
        message: format!("InternalError: {failed}"),
        line: None,
        column: None,
        stack: String::new(),
        limit_set_by: "",
    }
}

/// The error of a text that does not compile.
pub(crate) fn from_syntax(error: &SyntaxError) -> ScriptError {
    ScriptError {
        kind: ScriptErrorKind::Syntax,
        message: format!("SyntaxError: {}", error.message),
        line: Some(error.line),
        column: Some(error.column),
        stack: String::new(),
        limit_set_by: "",
    }
}

/// The error of a run that a limit ended, with what sets that limit; `met` is what the script met where it was ended.
pub(crate) fn from_limit(
    (limit, set_by): (LimitKind, &'static str),
    met: Option<ScriptError>,
) -> ScriptError {
    let (line, column, stack) =
        met.map_or((None, None, String::new()), |met| (met.line, met.column, met.stack));
    ScriptError {
        kind: ScriptErrorKind::Limit(limit),
        message: format!("{}: {}", limit.error_name(), in_words(limit, set_by)),
        line,
        column,
        stack,
        limit_set_by: set_by,
    }
}

fn in_words(limit: LimitKind, set_by: &str) -> String {
    let what = match limit {
        LimitKind::Time => "the script ran longer than it may",
        LimitKind::Memory => "the script used more memory than it may",
        LimitKind::Statements => "the script read or wrote the database more often than it may",
        LimitKind::RowsWritten => "the script wrote more records than it may",
        LimitKind::Events => "the script fired more events than it may",
        LimitKind::EventDepth => "the chain of events is too long",
        LimitKind::Cancelled => {
            "the scripts of one record operation held the database's writer longer than they may"
        }
    };
    format!("{what} ({set_by})")
}

fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(MESSAGE_CHARS_MAX) {
        text.truncate(at);
    }
    text
}
