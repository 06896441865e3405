//! From stored text to the text that the engine compiles (scripting §3.5).
//!
//! The text is parsed, and edits are collected as spans: line numbers stay, columns are mapped back. What is
//! edited is what the engine cannot hook (truthiness, `==`, `+=` on elements), what keeps a script terminable, and
//! what keeps a realm reusable. [`survey`] tells whether a script may run in a realm that others use after it.

mod edits;
mod expressions;
mod known;
mod names;
mod rewriter;
mod scopes;
mod survey;

pub(crate) use edits::{PositionMap, position_of};
pub(crate) use names::{EVAL_PARAMETER, HELPERS};
pub(crate) use rewriter::{Mode, rewrite};
pub(crate) use survey::survey;
