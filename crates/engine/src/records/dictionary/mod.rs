//! The data dictionary: its rows made into tables, and the physical tables that follow them.

mod load;

pub use load::{Change, after_write};
