//! From a stored text to the text that the engine compiles, and the check of a text before it is stored.

use crate::run::{ScriptKind, SyntaxError};

/// A text made ready for compiling.
pub(crate) struct Prepared {
    /// A function expression: helpers in, a function of the kind's globals out.
    pub(crate) code: String,
    /// Names of the kind's globals, in the order of that function's parameters.
    pub(crate) globals: &'static [&'static str],
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

/// Makes a text ready for compiling.
pub(crate) fn prepare(kind: ScriptKind, text: &str) -> Result<Prepared, SyntaxError> {
    let globals = globals_of(kind);
    let code = format!("(__c)=>({})=>{{{text}\n}}", globals.join(","));
    Ok(Prepared { code, globals })
}

/// Says why a text cannot be saved as a script of this kind.
pub fn check(kind: ScriptKind, text: &str) -> Result<(), SyntaxError> {
    prepare(kind, text).map(|_| ())
}
