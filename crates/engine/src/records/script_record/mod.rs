//! Record objects: what scripts hold as `current`, `previous`, `event` or `new GlideRecord(table)` (scripting §5).
//!
//! [`object`] is the thing itself with its constructors, [`row`] the values of its row, [`paths`] its elements;
//! the other files are what can be done with it. `host_record` gives all that to scripts, [`held`] counts what it holds.

mod assigning;
mod changes;
mod held;
mod host_record;
mod moving;
mod object;
mod operation_side;
mod paths;
mod query_values;
mod reading;
mod row;
mod searching;
mod special;
mod writing;

pub(crate) use assigning::ours;
pub use object::ScriptRecord;
