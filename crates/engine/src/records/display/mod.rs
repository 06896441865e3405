//! Values as people see them (rest-api §5.1, scripting §4).

mod duration;
pub(crate) mod formats;
mod values;

pub use duration::duration_text;
pub use formats::Formats;
pub use values::{Display, field, fields_of, record};
