//! Values that some rows withhold from readers of their table: what an event tells of the record that it is about, and
//! the value of a secret property. They are neither shown nor found out by asking for them.

mod asking;
mod event_values;
mod secret_values;

pub use event_values::{EVENTS_ADMIN, administers_events, may_be_told_of};
pub(super) use event_values::{deciding_columns, hides, tells_of_a_record};
pub(super) use secret_values::{asks_in_vain, restrict_secrets, without_secret};
