//! `global_events(current)` (§3.9): up to five events for a record that a table's rule saved.

use campanile_model::{Dictionary, Record, TableDef};

use super::fire::FireRequest;
use crate::session::User;

/// Note of the registrations that are made on first use.
pub const FIRED_BY: &str = "global_events";

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
/// lacks are skipped; a delete fires nothing. Names carry the record's own class.
#[must_use]
pub fn plan(saved: &Saved<'_>) -> Vec<FireRequest> {
    let class = saved.current.class_name();
    let table = saved.dictionary.table(class).unwrap_or_else(|| saved.current.table());
    let has = |field: &str| table.field(field).is_some();
    let is_insert = saved.operation == "insert";
    if !is_insert && saved.operation != "update" {
        return Vec::new();
    }
    let (user_id, user_name) = (saved.user.sys_id.to_string(), saved.user.user_name.to_string());
    let by_user = |suffix: &str| request(saved, class, suffix, user_id.clone(), user_name.clone());
    let mut calls = Vec::new();
    if !is_insert && saved.commented && has("comments") {
        calls.push(by_user("commented"));
    }
    calls.push(by_user(if is_insert { "inserted" } else { "updated" }));
    if has("assigned_to") && is_assigned(saved) {
        let now = (saved.display)("assigned_to", Moment::Current);
        let before = saved
            .previous
            .map_or_else(String::new, |_| (saved.display)("assigned_to", Moment::Previous));
        calls.push(request(saved, class, "assigned", now, before));
    }
    if has("active") && became_inactive(saved) {
        let field = if table.extends("incident") && has("incident_state") {
            "incident_state"
        } else {
            "state"
        };
        let now = saved.current.text(field).to_owned();
        let before = saved.previous.map_or_else(String::new, |p| p.text(field).to_owned());
        calls.push(request(saved, class, "inactive", now, before));
    }
    calls
}

/// The names that the function fires for rows of `table`: all of them count as registered from its first use on.
#[must_use]
pub fn names(table: &TableDef) -> Vec<String> {
    let needed = [
        ("commented", Some("comments")),
        ("inserted", None),
        ("updated", None),
        ("assigned", Some("assigned_to")),
        ("inactive", Some("active")),
    ];
    let has = |field: &Option<&str>| field.is_none_or(|field| table.field(field).is_some());
    let offered = needed.iter().filter(|(_, field)| has(field));
    offered.map(|(suffix, _)| format!("{}.{suffix}", table.name)).collect()
}

fn is_assigned(saved: &Saved<'_>) -> bool {
    let now = saved.current.get("assigned_to");
    let before = saved.previous.map(|previous| previous.get("assigned_to"));
    !now.is_nil() && before.is_none_or(|before| before != now)
}

fn became_inactive(saved: &Saved<'_>) -> bool {
    saved.previous.is_some_and(|previous| previous.get("active").is_true())
        && !saved.current.get("active").is_true()
}

fn request(
    saved: &Saved<'_>,
    class: &str,
    suffix: &str,
    parm1: String,
    parm2: String,
) -> FireRequest {
    FireRequest {
        name: format!("{class}.{suffix}"),
        table: class.to_owned(),
        instance: saved.current.text("sys_id").to_owned(),
        parm1,
        parm2,
        record: Some(saved.current.clone()),
        register_as: Some(FIRED_BY),
        ..FireRequest::default()
    }
}
