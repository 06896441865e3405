//! Users and their roles from the command line: through the record service, so that all rules apply.

use std::sync::Arc;

use campanile_model::Record;
use campanile_model::query::BoundQuery;
use campanile_store::Select;

use super::session_user;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::records::lookup;
use crate::records::service::{self, InputValue, WriteRequest};
use crate::session::{Session, User};

/// All users with the roles that they have now, by login. Users that may not log in are left out.
///
/// # Errors
/// What the store answers.
pub fn list(engine: &Engine) -> Result<Vec<Arc<User>>, EngineError> {
    let dictionary = engine.dictionary()?;
    let table = lookup::table(&dictionary, "sys_user")?;
    let rows = Arc::clone(engine.store())
        .read()?
        .select(&Select::new(BoundQuery::all(Arc::clone(table))))?;
    let mut users = Vec::with_capacity(rows.len());
    for row in rows.iter().filter(|row| !row.get("user_name").is_nil()) {
        users.extend(session_user(engine, row.text("user_name"))?);
    }
    users.sort_by(|a, b| a.user_name.cmp(&b.user_name));
    Ok(users)
}

/// Adds a user with these roles, and returns when it is on disk.
///
/// # Errors
/// [`EngineError::Integrity`] when the login is taken; [`EngineError::BadInput`] for an unknown role.
pub fn add(
    engine: &Arc<Engine>,
    user_name: &str,
    name: &str,
    roles: &[String],
) -> Result<(), EngineError> {
    for role in roles {
        row(engine, "sys_user_role", "name", role)?;
    }
    insert(engine, "sys_user", vec![("user_name", user_name), ("name", name), ("active", "true")])?;
    roles.iter().try_for_each(|role| grant(engine, user_name, role))
}

/// Gives a user a role; one that it has already is no error.
///
/// # Errors
/// [`EngineError::BadInput`] for an unknown user or role.
pub fn grant(engine: &Arc<Engine>, user_name: &str, role: &str) -> Result<(), EngineError> {
    let user = row(engine, "sys_user", "user_name", user_name)?;
    let role = row(engine, "sys_user_role", "name", role)?;
    if direct_grant(engine, &user, &role)?.is_some() {
        return Ok(());
    }
    let values = vec![("user", user.text("sys_id")), ("role", role.text("sys_id"))];
    insert(engine, "sys_user_has_role", values)
}

/// Takes a role that was given to the user itself; roles by group stay.
///
/// # Errors
/// [`EngineError::BadInput`] for an unknown user or role, or one that the user does not have itself.
pub fn revoke(engine: &Arc<Engine>, user_name: &str, role: &str) -> Result<(), EngineError> {
    let user = row(engine, "sys_user", "user_name", user_name)?;
    let role = row(engine, "sys_user_role", "name", role)?;
    let grant = direct_grant(engine, &user, &role)?.ok_or_else(|| EngineError::BadInput {
        path: "user".to_owned(),
        detail: format!(
            "'{user_name}' does not have the role '{}' itself; a role by group goes with the group",
            role.text("name")
        ),
    })?;
    let sys_id = grant.text("sys_id").to_owned();
    let mark = engine.workers()?.run(move |worker| {
        service::delete(&worker.execution(Session::system()), "sys_user_has_role", &sys_id)
    })??;
    Ok(engine.store().wait_durable(mark)?)
}

fn direct_grant(
    engine: &Engine,
    user: &Record,
    role: &Record,
) -> Result<Option<Record>, EngineError> {
    let dictionary = engine.dictionary()?;
    let table = lookup::table(&dictionary, "sys_user_has_role")?;
    let pairs = [("user", user.text("sys_id")), ("role", role.text("sys_id"))];
    let read = Arc::clone(engine.store()).read()?;
    Ok(read.select(&lookup::equal(table, &pairs))?.into_iter().next())
}

fn row(engine: &Engine, table: &str, field: &str, value: &str) -> Result<Record, EngineError> {
    let dictionary = engine.dictionary()?;
    let definition = lookup::table(&dictionary, table)?;
    let read = Arc::clone(engine.store()).read()?;
    let found = read.select(&lookup::equal(definition, &[(field, value)]))?;
    found.into_iter().next().ok_or_else(|| EngineError::BadInput {
        path: table.to_owned(),
        detail: format!("there is no row with {field} '{value}'"),
    })
}

fn insert(engine: &Arc<Engine>, table: &str, values: Vec<(&str, &str)>) -> Result<(), EngineError> {
    let request = WriteRequest {
        table: table.to_owned(),
        values: values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), InputValue::from(value)))
            .collect(),
        ..WriteRequest::default()
    };
    let written = engine
        .workers()?
        .run(move |worker| service::insert(&worker.execution(Session::system()), &request))??;
    Ok(engine.store().wait_durable(written.mark)?)
}
