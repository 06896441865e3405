//! The last active administrator stays: whatever would leave nobody who can sign in, may administer and may write is refused.

use std::collections::HashSet;

use campanile_model::{Dictionary, FieldIndex, Record, TableDef};
use campanile_store::ReadTx;

use super::directory::{key, rows};
use crate::error::EngineError;
use crate::records::execution::Execution;
use crate::records::lookup;

const ROLE: &str = "admin";
/// Who has this role changes nothing, administrator or not (business-rules §16.6).
const READ_ONLY_ROLE: &str = "snc_read_only";
/// Background work acts as this user; nobody signs in as it.
const NOBODY: &str = "system";

/// Tables whose rows make somebody an administrator, and the columns that decide; none means all.
const DECIDING: [(&str, &[&str]); 7] = [
    ("sys_user", &["active", "locked_out", "user_name", "user_password"]),
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

/// As [`are_at_stake`], for a new row of `class`: it may bring the role that lets nobody write.
///
/// # Errors
/// What the store answers.
pub(crate) fn are_at_stake_in_insertion(
    execution: &Execution,
    class: &TableDef,
) -> Result<bool, EngineError> {
    let may_bring = matches!(
        &*class.root,
        "sys_user_grmember" | "sys_user_role_contains" | "sys_user_has_role" | "sys_group_has_role"
    );
    if may_bring { is_anybody(execution) } else { Ok(false) }
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
        "no active administrator would be left who has a password and may write (not '{READ_ONLY_ROLE}'): give \
         another active user the role '{ROLE}' first"
    )))
}

/// Whether an active user that can sign in has the role, in one way or another.
fn is_anybody(execution: &Execution) -> Result<bool, EngineError> {
    let dictionary = execution.dictionary()?;
    execution.with_read(|read| Ok(look_for_one(read, &dictionary)))?
}

fn look_for_one(read: &dyn ReadTx, dictionary: &Dictionary) -> Result<bool, EngineError> {
    let read_only = including(read, dictionary, READ_ONLY_ROLE)?;
    for role in including(read, dictionary, ROLE)? {
        let direct = rows(read, dictionary, "sys_user_has_role", &[("role", &role)])?;
        if any_usable(read, dictionary, &direct, &read_only)? {
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
            if any_usable(read, dictionary, &members, &read_only)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Keys of the role `name` and of all that contain it. Elevated roles count for nobody by themselves.
fn including(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
    name: &str,
) -> Result<HashSet<String>, EngineError> {
    let role_table = lookup::table(dictionary, "sys_user_role")?;
    let named = rows(read, dictionary, "sys_user_role", &[("name", name)])?;
    let counts =
        |role: &&Record| role.text("name") == name && !role.get("elevated_privilege").is_true();
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

/// Whether one of the users that `grants` name may sign in, and write.
fn any_usable(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
    grants: &[Record],
    read_only: &HashSet<String>,
) -> Result<bool, EngineError> {
    let users = lookup::table(dictionary, "sys_user")?;
    for grant in grants {
        let user = read.get(users, grant.text("user"))?;
        let can_sign_in = |user: &Record| {
            let name = user.text("user_name");
            user.get("active").is_true()
                && !user.get("locked_out").is_true()
                && !user.get("user_password").is_nil()
                && !name.is_empty()
                && name != NOBODY
        };
        if let Some(user) = user.filter(can_sign_in)
            && !has_any(read, dictionary, user.text("sys_id"), read_only)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the user has one of `roles`, directly or by an active group.
fn has_any(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
    user: &str,
    roles: &HashSet<String>,
) -> Result<bool, EngineError> {
    if roles.is_empty() {
        return Ok(false);
    }
    let direct = rows(read, dictionary, "sys_user_has_role", &[("user", user)])?;
    if direct.iter().any(|grant| roles.contains(&key(grant, "role"))) {
        return Ok(true);
    }
    let groups = lookup::table(dictionary, "sys_user_group")?;
    for membership in rows(read, dictionary, "sys_user_grmember", &[("user", user)])? {
        let group = read.get(groups, membership.text("group"))?;
        let Some(group) = group.filter(|group| group.get("active").is_true()) else { continue };
        let of_group = [("group", group.text("sys_id"))];
        let grants = rows(read, dictionary, "sys_group_has_role", &of_group)?;
        let passes_on =
            |grant: &&Record| grant.get("inherits").is_nil() || grant.get("inherits").is_true();
        if grants.iter().filter(passes_on).any(|grant| roles.contains(&key(grant, "role"))) {
            return Ok(true);
        }
    }
    Ok(false)
}
