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
/// A refusal names so many at most.
const NAMED_MAX: usize = 3;

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
/// before the write; afterwards [`are_lost`] tells whether it did.
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

/// Whether nobody is left who may administer: the write that was just made takes it from the last.
///
/// # Errors
/// What the store answers.
pub(crate) fn are_lost(execution: &Execution) -> Result<bool, EngineError> {
    Ok(!is_anybody(execution)?)
}

/// Why a write is refused after which [`are_lost`] was true: who they are, and what is to be done first. Asked when the write
/// is undone.
///
/// # Errors
/// What the store answers.
pub(crate) fn refusal(execution: &Execution) -> Result<String, EngineError> {
    let mut names = logins(execution, NAMED_MAX + 1)?;
    names.sort_unstable();
    let who = match names.as_slice() {
        [] => "the write takes it from everybody".to_owned(),
        [one] => format!("'{one}' is the last one"),
        [some @ .., last] if some.len() < NAMED_MAX => {
            format!("'{}' and '{last}' are the last ones", some.join("', '"))
        }
        [some @ .., _] => format!("'{}' and others are the last ones", some.join("', '")),
    };
    Ok(format!(
        "no active administrator would be left who has a password and may write (not '{READ_ONLY_ROLE}'): {who}; give \
         another active user a password and the role '{ROLE}' first"
    ))
}

/// Whether an active user that can sign in has the role, in one way or another.
fn is_anybody(execution: &Execution) -> Result<bool, EngineError> {
    Ok(!logins(execution, 1)?.is_empty())
}

/// Logins of active users that can sign in and have the role, in one way or another; no more than `most`.
fn logins(execution: &Execution, most: usize) -> Result<Vec<String>, EngineError> {
    let dictionary = execution.dictionary()?;
    let mut found = Vec::new();
    execution.with_read(|read| Ok(look_for(read, &dictionary, most, &mut found)))??;
    Ok(found)
}

fn look_for(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
    most: usize,
    found: &mut Vec<String>,
) -> Result<(), EngineError> {
    let read_only = including(read, dictionary, READ_ONLY_ROLE)?;
    let mut look_among = |grants: &[Record]| -> Result<bool, EngineError> {
        add_usable(read, dictionary, grants, &read_only, most, found)?;
        Ok(found.len() >= most)
    };
    for role in including(read, dictionary, ROLE)? {
        let direct = rows(read, dictionary, "sys_user_has_role", &[("role", &role)])?;
        if look_among(&direct)? {
            return Ok(());
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
            if look_among(&rows(read, dictionary, "sys_user_grmember", &of_group)?)? {
                return Ok(());
            }
        }
    }
    Ok(())
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

/// Adds the logins of those users among `grants` who may sign in, and write, until there are `most`.
fn add_usable(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
    grants: &[Record],
    read_only: &HashSet<String>,
    most: usize,
    found: &mut Vec<String>,
) -> Result<(), EngineError> {
    let users = lookup::table(dictionary, "sys_user")?;
    for grant in grants {
        if found.len() >= most {
            break;
        }
        let user = read.get(users, grant.text("user"))?;
        if let Some(user) = user.filter(can_sign_in)
            && !found.iter().any(|login| login == user.text("user_name"))
            && !has_any(read, dictionary, user.text("sys_id"), read_only)?
        {
            found.push(user.text("user_name").to_owned());
        }
    }
    Ok(())
}

fn can_sign_in(user: &Record) -> bool {
    let name = user.text("user_name");
    user.get("active").is_true()
        && !user.get("locked_out").is_true()
        && !user.get("user_password").is_nil()
        && !name.is_empty()
        && name != NOBODY
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
