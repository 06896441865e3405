//! The data dictionary: its rows made into tables, and the physical tables that follow them.

mod check;
mod columns;
mod dropping;
mod flatten;
mod follow;
mod load;
mod rows;
mod width;

pub use columns::{has_attribute, is_system_column, label_of, system_columns};
pub use flatten::{choice_lists, flatten};
pub use follow::{Change, after_many, after_write, defines_tables};
pub use load::read;
pub use rows::{ChoiceRow, ColumnRow, DictionaryRows, OverrideRow, TableRow};
