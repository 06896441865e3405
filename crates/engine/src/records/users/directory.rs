//! Accounts: who they are, which roles they have in the end, and whether a password is theirs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use campanile_model::fold::fold;
use campanile_model::{Dictionary, Record, Value};
use campanile_store::ReadTx;
use parking_lot::Mutex;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::records::definitions::Load;
use crate::records::lookup;
use crate::records::users::credentials::hash_password;
use crate::session::User;

/// Accounts that the directory keeps in memory; when it is full it starts anew.
const ACCOUNTS_KEPT_MAX: usize = 10_000;

/// One row of `sys_user` with everything that signing in and acting need.
#[derive(Debug, Clone)]
pub struct Account {
    /// As work runs with it.
    pub user: Arc<User>,
    /// May act: active and not locked out.
    pub usable: bool,
    password_hash: Arc<str>,
}

/// Roles and what they contain, and the accounts that were asked for.
#[derive(Debug)]
struct Directory {
    roles: RoleGraph,
    by_name: Mutex<HashMap<String, Arc<Account>>>,
}

#[derive(Debug, Default)]
struct RoleGraph {
    /// Name by sys_id, without roles that count only after elevation.
    names: HashMap<String, Arc<str>>,
    /// sys_ids of the roles that a role contains.
    contains: HashMap<String, Vec<String>>,
}

impl Load for Directory {
    const TABLES: &'static [&'static str] = &[
        "sys_user",
        "sys_user_group",
        "sys_user_grmember",
        "sys_user_role",
        "sys_user_role_contains",
        "sys_user_has_role",
        "sys_group_has_role",
    ];

    fn load(engine: &Engine) -> Result<Self, EngineError> {
        let dictionary = engine.dictionary()?;
        let read = Arc::clone(engine.store()).read()?;
        let mut roles = RoleGraph::default();
        for row in rows(&*read, &dictionary, "sys_user_role", &[])? {
            if !row.get("elevated_privilege").is_true() {
                roles.names.insert(key(&row, "sys_id"), Arc::from(row.text("name")));
            }
        }
        for row in rows(&*read, &dictionary, "sys_user_role_contains", &[])? {
            roles.contains.entry(key(&row, "role")).or_default().push(key(&row, "contains"));
        }
        Ok(Self { roles, by_name: Mutex::default() })
    }
}

impl RoleGraph {
    /// The names of `granted` and of everything contained in them, sorted. A cycle ends where it began.
    fn effective(&self, granted: impl IntoIterator<Item = String>) -> Vec<Arc<str>> {
        let mut seen = HashSet::new();
        let mut open: Vec<String> = granted.into_iter().collect();
        while let Some(role) = open.pop() {
            if seen.contains(&role) {
                continue;
            }
            open.extend(self.contains.get(&role).into_iter().flatten().cloned());
            seen.insert(role);
        }
        let mut names: Vec<Arc<str>> =
            seen.iter().filter_map(|role| self.names.get(role)).map(Arc::clone).collect();
        names.sort_unstable();
        names
    }
}

/// The account with this login, ignoring case; `None` when there is no such user.
///
/// # Errors
/// What the store answers.
pub fn account(engine: &Engine, user_name: &str) -> Result<Option<Arc<Account>>, EngineError> {
    if user_name.is_empty() {
        return Ok(None);
    }
    let directory = engine.definitions::<Directory>()?;
    let name = fold(user_name);
    if let Some(known) = directory.by_name.lock().get(&name) {
        return Ok(Some(Arc::clone(known)));
    }
    let dictionary = engine.dictionary()?;
    let read = Arc::clone(engine.store()).read()?;
    let found = rows(&*read, &dictionary, "sys_user", &[("user_name", user_name)])?;
    let Some(row) = found.first() else { return Ok(None) };
    let account = Arc::new(account_of_row(&*read, &dictionary, &directory.roles, row)?);
    let mut kept = directory.by_name.lock();
    if kept.len() >= ACCOUNTS_KEPT_MAX {
        kept.clear();
    }
    kept.insert(name, Arc::clone(&account));
    Ok(Some(account))
}

/// The user that a session of `user_name` acts as, roles as they are now; `None` when there is no such user, or
/// it is inactive or locked out.
///
/// # Errors
/// What the store answers.
pub fn session_user(engine: &Engine, user_name: &str) -> Result<Option<Arc<User>>, EngineError> {
    let account = account(engine, user_name)?;
    Ok(account.filter(|account| account.usable).map(|account| Arc::clone(&account.user)))
}

/// As [`session_user`], by the key of the row.
///
/// # Errors
/// What the store answers.
pub fn session_user_by_id(engine: &Engine, sys_id: &str) -> Result<Option<Arc<User>>, EngineError> {
    let dictionary = engine.dictionary()?;
    let row = {
        let read = Arc::clone(engine.store()).read()?;
        read.get(lookup::table(&dictionary, "sys_user")?, sys_id)?
    };
    match row {
        Some(row) => session_user(engine, row.text("user_name")),
        None => Ok(None),
    }
}

/// The user with this login and password.
///
/// Takes the same time whether the user is unknown, inactive, locked out, or the password is wrong. Right
/// credentials are remembered for some minutes, so that a busy client does not pay for the hash on each call.
///
/// # Errors
/// [`EngineError::Unauthenticated`] for all of these, without saying which; what the store answers.
pub fn authenticate(
    engine: &Engine,
    user_name: &str,
    password: &str,
) -> Result<Arc<User>, EngineError> {
    let account = account(engine, user_name)?;
    let hash = account.as_ref().map(|account| &*account.password_hash);
    let right = engine.credentials.verify(engine.clock().now(), user_name, password, hash);
    match account {
        Some(account) if right && account.usable => Ok(Arc::clone(&account.user)),
        _ => Err(EngineError::Unauthenticated),
    }
}

/// The user with this login and password, when that was verified some minutes ago and nothing has changed since.
/// Costs no hashing; `None` says nothing about the password.
#[must_use]
pub fn remembered(engine: &Engine, user_name: &str, password: &str) -> Option<Arc<User>> {
    let directory = engine.definitions::<Directory>().ok()?;
    let account = directory.by_name.lock().get(&fold(user_name)).map(Arc::clone)?;
    let hash = Some(&*account.password_hash);
    let right = engine.credentials.remembers(engine.clock().now(), user_name, password, hash);
    (right && account.usable).then(|| Arc::clone(&account.user))
}

/// Whether exactly this credential was right before, since the start of the process. Costs no hashing; it lets nobody in, it
/// says who need not queue with those who guess.
#[must_use]
pub fn was_right(engine: &Engine, user_name: &str, password: &str) -> bool {
    engine.credentials.knows(user_name, password)
}

/// Gives the user a new password and returns when it is on disk.
///
/// # Errors
/// [`EngineError::BadInput`] for an unknown user or an empty password; what the store answers.
pub fn set_password(engine: &Engine, user_name: &str, password: &str) -> Result<(), EngineError> {
    let refuse = |detail: String| EngineError::BadInput { path: "user".to_owned(), detail };
    if password.is_empty() {
        return Err(refuse("the password is empty: expected at least one character".to_owned()));
    }
    let hash = hash_password(password)?;
    let dictionary = engine.dictionary()?;
    let table = lookup::table(&dictionary, "sys_user")?;
    let mut tx = Arc::clone(engine.store()).write()?;
    let found = tx.select(&lookup::equal(table, &[("user_name", user_name)]))?;
    let Some(mut row) = found.into_iter().next() else {
        return Err(refuse(format!("there is no user '{user_name}'")));
    };
    let mod_count = row.get("sys_mod_count").as_i64().unwrap_or(0) + 1;
    row.set("user_password", hash);
    row.set("sys_updated_on", engine.clock().now().to_glide_text());
    row.set("sys_updated_by", "system");
    row.set("sys_mod_count", Value::int(mod_count));
    let changed: Vec<_> = ["user_password", "sys_updated_on", "sys_updated_by", "sys_mod_count"]
        .iter()
        .filter_map(|name| table.index(name))
        .collect();
    tx.update(&row, &changed)?;
    let mark = tx.commit()?;
    engine.tables_changed(["sys_user"]);
    engine.store().wait_durable(mark)?;
    Ok(())
}

fn account_of_row(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
    roles: &RoleGraph,
    row: &Record,
) -> Result<Account, EngineError> {
    let text = |name: &str| Arc::from(row.text(name));
    let granted = granted_roles(read, dictionary, row.text("sys_id"))?;
    let user = User {
        sys_id: text("sys_id"),
        user_name: text("user_name"),
        display_name: text("name"),
        first_name: text("first_name"),
        last_name: text("last_name"),
        email: text("email"),
        time_zone: text("time_zone"),
        roles: roles.effective(granted),
    };
    Ok(Account {
        user: Arc::new(user),
        usable: row.get("active").is_true() && !row.get("locked_out").is_true(),
        password_hash: text("user_password"),
    })
}

/// sys_ids of the roles that were given to the user directly or through an active group.
fn granted_roles(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
    user: &str,
) -> Result<Vec<String>, EngineError> {
    let mut granted: Vec<String> = rows(read, dictionary, "sys_user_has_role", &[("user", user)])?
        .iter()
        .map(|row| key(row, "role"))
        .collect();
    let groups = lookup::table(dictionary, "sys_user_group")?;
    for membership in rows(read, dictionary, "sys_user_grmember", &[("user", user)])? {
        let Some(group) = read.get(groups, membership.text("group"))? else { continue };
        if !group.get("active").is_true() {
            continue;
        }
        let of_group = [("group", group.text("sys_id"))];
        for row in rows(read, dictionary, "sys_group_has_role", &of_group)? {
            if row.get("inherits").is_nil() || row.get("inherits").is_true() {
                granted.push(key(&row, "role"));
            }
        }
    }
    Ok(granted)
}

pub(super) fn rows(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
    table: &str,
    values: &[(&str, &str)],
) -> Result<Vec<Record>, EngineError> {
    Ok(read.select(&lookup::equal(lookup::table(dictionary, table)?, values))?)
}

/// Keys are compared ignoring case.
pub(super) fn key(row: &Record, field: &str) -> String {
    row.text(field).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contained_roles_count_transitively_and_a_cycle_ends() {
        let mut graph = RoleGraph::default();
        for name in ["r1", "r2", "r3", "r4"] {
            graph.names.insert(name.to_owned(), Arc::from(name));
        }
        for (role, contained) in [("r1", "r2"), ("r2", "r3"), ("r3", "r1")] {
            graph.contains.entry(role.to_owned()).or_default().push(contained.to_owned());
        }
        let names = graph.effective(["r2".to_owned()]);
        assert_eq!(names.iter().map(|n| &**n).collect::<Vec<_>>(), ["r1", "r2", "r3"]);
        assert!(graph.effective(["gone".to_owned()]).is_empty());
    }
}
