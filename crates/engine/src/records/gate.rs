//! Who may do what with which table, until access rules come: one gate for everything that enters by a door.
//!
//! Services call it; scripts that run as a consequence do not pass it again (business-rules §16.4).

use campanile_model::query::{BoundPath, BoundQuery, BoundTerm, InvalidTerm, Test};
use campanile_model::{FieldDef, FieldIndex, Record, TableDef};

use super::withheld::EVENTS_ADMIN;
use crate::error::EngineError;
use crate::session::{Channel, Session};

/// What is to be done with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Read rows.
    Read,
    /// Insert a row.
    Create,
    /// Change a row.
    Write,
    /// Delete a row.
    Delete,
}

impl Operation {
    /// The word of refusals (rest-api E9).
    const fn word(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Create => "Insert",
            Self::Write => "Update",
            Self::Delete => "Delete",
        }
    }
}

/// Tables that a role opens, besides `admin` (events-and-jobs §11). `read_only`: written by the engine alone, whoever asks.
struct Opened {
    table: &'static str,
    role: &'static str,
    read_only: bool,
}

const OPENED: [Opened; 6] = [
    Opened { table: "sysevent", role: EVENTS_ADMIN, read_only: false },
    Opened { table: "sysevent_register", role: EVENTS_ADMIN, read_only: false },
    Opened { table: "sysevent_queue", role: EVENTS_ADMIN, read_only: false },
    Opened { table: "sysevent_handler_run", role: EVENTS_ADMIN, read_only: true },
    Opened { table: "sysevent_action_log", role: EVENTS_ADMIN, read_only: true },
    Opened {
        table: "sysevent_script_action",
        role: "sysevent_script_action_admin",
        read_only: false,
    },
];

/// The role that opens all tables whose name does not begin with `sys`.
const WORKING_ROLE: &str = "itil";

/// Refuses what the session may not do with rows of `table` in general.
///
/// `sys_user` may be read by everybody who is signed in: [`may_see_row`] then leaves only the own row.
///
/// # Errors
/// [`EngineError::NotAllowed`] for a table that may not be read, [`EngineError::OperationDenied`] for a write.
pub fn check(session: &Session, table: &TableDef, operation: Operation) -> Result<(), EngineError> {
    if role_allows(session, table, operation) || is_own_user_table(session, table, operation) {
        return Ok(());
    }
    if operation == Operation::Read {
        return Err(EngineError::NotAllowed {
            user: session.user.user_name.to_string(),
            what: format!("table '{}'", table.name),
            expected: expected_roles(table),
        });
    }
    Err(EngineError::OperationDenied { operation: operation.word(), table: table.name.to_string() })
}

/// As [`check`], for one row that is known by its key: whoever may not read it is told that it does not exist,
/// so that keys cannot be probed.
///
/// # Errors
/// [`EngineError::RecordUnknown`] when the session may not read the row, [`EngineError::OperationDenied`] when
/// it may read but not write or delete it.
pub fn check_row(
    session: &Session,
    record: &Record,
    operation: Operation,
) -> Result<(), EngineError> {
    let table = record.table();
    if !may_see_row(session, record) {
        return Err(unknown(table, record.text("sys_id")));
    }
    match operation {
        Operation::Read => Ok(()),
        _ => check(session, table, operation),
    }
}

/// The answer to a key that leads nowhere, or to a row that the session may not read.
#[must_use]
pub fn unknown(table: &TableDef, sys_id: &str) -> EngineError {
    EngineError::RecordUnknown { table: table.name.to_string(), sys_id: sys_id.to_owned() }
}

/// Whether the session may read this row.
#[must_use]
pub fn may_see_row(session: &Session, record: &Record) -> bool {
    may_see_key(session, record.table(), record.text("sys_id"))
}

/// Whether the session may read the row of `table` with this key, there or not.
#[must_use]
pub fn may_see_key(session: &Session, table: &TableDef, sys_id: &str) -> bool {
    may_read_all(session, table)
        || (is_own_user_table(session, table, Operation::Read)
            && sys_id.eq_ignore_ascii_case(&session.user.sys_id))
}

/// Whether the session may read every row of `table`.
#[must_use]
pub fn may_read_all(session: &Session, table: &TableDef) -> bool {
    role_allows(session, table, Operation::Read)
}

/// Whether rows must be filtered by [`may_see_row`], because the session may read some of them only.
#[must_use]
pub fn sees_own_row_only(session: &Session, table: &TableDef) -> bool {
    !role_allows(session, table, Operation::Read)
        && is_own_user_table(session, table, Operation::Read)
}

/// Whether the session may look at `field` of rows of `table` that a reference leads to. Whoever sees a reference sees
/// its display value; everything else of the row is as closed as its table. Scripts walk freely.
#[must_use]
pub fn may_walk_to(session: &Session, table: &TableDef, field: FieldIndex) -> bool {
    session.channel != Channel::Http
        || field == table.display_field
        || role_allows(session, table, Operation::Read)
}

/// Leaves out of a query from outside what would tell, by its effect, of rows that the session may not read: terms and
/// orders that walk into closed tables become invalid, and whoever may see the own row only asks for nothing else.
pub fn restrict(session: &Session, query: &mut BoundQuery, invalid_returns_no_rows: bool) {
    let mut dropped = Vec::new();
    for group in query.alternatives.iter_mut().flatten() {
        group.retain(|term| {
            let open = may_walk(session, &term.path) && may_compare(session, &term.test);
            if !open {
                dropped.push(closed(&term.text));
            }
            open
        });
    }
    for alternative in &mut query.alternatives {
        alternative.retain(|group| !group.is_empty());
    }
    query.order.retain(|order| {
        let open = may_walk(session, &order.path);
        if !open {
            dropped.push(closed(&format!("ORDERBY{}", order.path.field_def().name)));
        }
        open
    });
    query.never |= invalid_returns_no_rows && !dropped.is_empty();
    query.dropped.append(&mut dropped);
    if sees_own_row_only(session, &query.table) {
        require_own_row(session, query);
    }
}

fn require_own_row(session: &Session, query: &mut BoundQuery) {
    let table = std::sync::Arc::clone(&query.table);
    let Some(field) = table.index("sys_id") else {
        query.never = true;
        return;
    };
    let own = BoundTerm {
        path: BoundPath { steps: Vec::new(), table, field },
        test: Test::In(vec![std::sync::Arc::from(&*session.user.sys_id)]),
        text: std::sync::Arc::from("sys_id"),
    };
    if query.alternatives.is_empty() {
        query.alternatives.push(Vec::new());
    }
    for alternative in &mut query.alternatives {
        alternative.push(vec![own.clone()]);
    }
}

fn may_walk(session: &Session, path: &BoundPath) -> bool {
    let Some((_, later)) = path.steps.split_first() else { return true };
    later.iter().all(|step| may_walk_to(session, &step.table, step.field))
        && may_walk_to(session, &path.table, path.field)
}

fn may_compare(session: &Session, test: &Test) -> bool {
    match test {
        Test::SameAs(path) | Test::NotSameAs(path) | Test::CompareField(_, path) => {
            may_walk(session, path)
        }
        _ => true,
    }
}

fn closed(text: &str) -> InvalidTerm {
    InvalidTerm {
        text: text.to_owned(),
        reason: "it looks into a table that the caller may not read".to_owned(),
    }
}

/// Whether the value of the field is never told to anybody outside: passwords, whoever asks.
#[must_use]
pub fn field_hidden(field: &FieldDef) -> bool {
    field.field_type.is_secret()
}

/// Whether the session has any of `roles`; `admin` has all.
///
/// # Errors
/// [`EngineError::NotAllowed`] naming `what` and the roles that would do.
pub fn require_role(session: &Session, roles: &[&str], what: &str) -> Result<(), EngineError> {
    let user = &session.user;
    if user.is_admin() || roles.iter().any(|role| user.has_role(role)) {
        return Ok(());
    }
    let expected = if roles.is_empty() { "admin".to_owned() } else { roles.join(" or ") };
    Err(EngineError::NotAllowed {
        user: user.user_name.to_string(),
        what: what.to_owned(),
        expected,
    })
}

fn role_allows(session: &Session, table: &TableDef, operation: Operation) -> bool {
    let user = &session.user;
    let opened = opened(table);
    if opened.is_some_and(|opened| opened.read_only) && operation != Operation::Read {
        return false;
    }
    if user.is_admin() {
        return true;
    }
    match opened {
        Some(opened) => user.has_role(opened.role),
        None => !is_system(table) && user.has_role(WORKING_ROLE),
    }
}

fn opened(table: &TableDef) -> Option<&'static Opened> {
    OPENED.iter().find(|opened| *table.name == *opened.table)
}

/// A class below a system table is a system table, whatever its name.
fn is_system(table: &TableDef) -> bool {
    table.lineage.iter().any(|name| name.starts_with("sys"))
}

fn is_own_user_table(session: &Session, table: &TableDef, operation: Operation) -> bool {
    operation == Operation::Read && &*table.name == "sys_user" && !session.user.sys_id.is_empty()
}

fn expected_roles(table: &TableDef) -> String {
    match opened(table) {
        Some(opened) => format!("{} or admin", opened.role),
        None if is_system(table) => "admin".to_owned(),
        None => format!("{WORKING_ROLE} or admin"),
    }
}
