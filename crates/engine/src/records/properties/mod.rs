//! System properties: which there are, what their rows say, and what is checked when a row is saved.

mod kind;
mod known;
pub(crate) mod save_check;
pub(crate) mod secrets;
mod values;

pub use kind::PropertyKind;
pub use known::{KNOWN, KnownProperty};
pub use values::Properties;
