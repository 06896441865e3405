//! The last active administrator stays: whatever would leave nobody who may administer is refused.

use std::collections::HashSet;

use campanile_model::{Dictionary, FieldIndex, Record, TableDef};
use campanile_store::ReadTx;

use super::directory::{key, rows};
use crate::error::EngineError;
use crate::records::execution::Execution;
use crate::records::lookup;

const ROLE: &str = "admin";
/// Background work acts as this user; nobody signs in as it.
const NOBODY: &str = "system";

/// Tables whose rows make somebody an administrator, and the columns that decide; none means all.
const DECIDING: [(&str, &[&str]); 7] = [
    ("sys_user", &["active", "locked_out", "user_name"]),
    ("sys_user_group", &["active"]),
    ("sys_user_grmember", &[]),
    ("sys_user_role", &["name", "elevated_privilege"]),
    ("sys_user_role_contains", &[]),
    ("sys_user_has_role", &[]),
    ("sys_group_has_role", &[]),
];

/// Whether a change of these fields of a row of `class` may take the role from somebody, and somebody has it now. Asked
/// before the write; afterwards [`keep_one`] tells whether it did.
///
/// # Errors
/// What the store answers.
pub(crate) fn are_at_stake(
    execution: &Execution,
    class: &TableDef,
    changed: &[FieldIndex],
) -> Result<bool, EngineError> {
    let Some((_, columns)) = DECIDING.iter().find(|(table, _)| *class.root == **table) else {
        return Ok(false);
    };
    let decides = |index: &FieldIndex| columns.contains(&&*class.fields[*index].name);
    if !columns.is_empty() && !changed.iter().any(decides) {
        return Ok(false);
    }
    is_anybody(execution)
}

/// As [`are_at_stake`], for the deletion of a row of `class`.
///
/// # Errors
/// What the store answers.
pub(crate) fn are_at_stake_in_deletion(
    execution: &Execution,
    class: &TableDef,
) -> Result<bool, EngineError> {
    let decides = DECIDING.iter().any(|(table, _)| *class.root == **table);
    if decides { is_anybody(execution) } else { Ok(false) }
}

/// The refusal, when nobody is left who may administer.
///
/// # Errors
/// What the store answers.
pub(crate) fn keep_one(execution: &Execution) -> Result<Option<String>, EngineError> {
    if is_anybody(execution)? {
        return Ok(None);
    }
    Ok(Some(format!(
        "no active administrator would be left: give another active user the role '{ROLE}' first"
    )))
}

/// Whether an active user that can sign in has the role, in one way or another.
fn is_anybody(execution: &Execution) -> Result<bool, EngineError> {
    let dictionary = execution.dictionary()?;
    execution.with_read(|read| Ok(look_for_one(read, &dictionary)))?
}

fn look_for_one(read: &dyn ReadTx, dictionary: &Dictionary) -> Result<bool, EngineError> {
    for role in granting_roles(read, dictionary)? {
        let direct = rows(read, dictionary, "sys_user_has_role", &[("role", &role)])?;
        if any_usable(read, dictionary, &direct)? {
            return Ok(true);
        }
        for grant in rows(read, dictionary, "sys_group_has_role", &[("role", &role)])? {
            let inherits = grant.get("inherits").is_nil() || grant.get("inherits").is_true();
            let group =
                read.get(lookup::table(dictionary, "sys_user_group")?, grant.text("group"))?;
            let Some(group) = group.filter(|group| inherits && group.get("active").is_true())
            else {
                continue;
            };
            let of_group = [("group", group.text("sys_id"))];
            let members = rows(read, dictionary, "sys_user_grmember", &of_group)?;
            if any_usable(read, dictionary, &members)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Keys of the role and of all that contain it. Elevated roles count for nobody by themselves.
fn granting_roles(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
) -> Result<HashSet<String>, EngineError> {
    let role_table = lookup::table(dictionary, "sys_user_role")?;
    let named = rows(read, dictionary, "sys_user_role", &[("name", ROLE)])?;
    let counts =
        |role: &&Record| role.text("name") == ROLE && !role.get("elevated_privilege").is_true();
    let mut open: Vec<String> =
        named.iter().filter(counts).map(|role| key(role, "sys_id")).collect();
    let mut granting = HashSet::new();
    while let Some(role) = open.pop() {
        if granting.contains(&role) || read.get(role_table, &role)?.is_none() {
            continue;
        }
        let containing = rows(read, dictionary, "sys_user_role_contains", &[("contains", &role)])?;
        open.extend(containing.iter().map(|row| key(row, "role")));
        granting.insert(role);
    }
    Ok(granting)
}

/// Whether one of the users that `grants` name may sign in.
fn any_usable(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
    grants: &[Record],
) -> Result<bool, EngineError> {
    let users = lookup::table(dictionary, "sys_user")?;
    for grant in grants {
        let user = read.get(users, grant.text("user"))?;
        let is_usable = |user: &Record| {
            let name = user.text("user_name");
            user.get("active").is_true()
                && !user.get("locked_out").is_true()
                && !name.is_empty()
                && name != NOBODY
        };
        if user.as_ref().is_some_and(is_usable) {
            return Ok(true);
        }
    }
    Ok(false)
}
