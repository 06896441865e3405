//! Properties of type `password2`: scripts get them only in sessions with the right role (business-rules §14.3).

use campanile_model::Record;

use crate::session::User;

/// The type whose values are secrets.
const SECRET: &str = "password2";

/// The roles that may read the value of a row of `sys_properties`, when it is a secret.
pub(super) fn readers(row: &Record) -> Option<&str> {
    (row.text("type") == SECRET).then(|| row.text("read_roles"))
}

/// Whether `user` has one of the roles in `readers`, a list of names; `admin` always may.
pub(super) fn is_reader(readers: &str, user: &User) -> bool {
    user.is_admin() || readers.split(',').any(|role| user.has_role(role.trim()))
}

/// Whether the value of a row of `sys_properties` is a secret that `user` may not have.
pub(crate) fn hides(row: &Record, user: &User) -> bool {
    readers(row).is_some_and(|readers| !is_reader(readers, user))
}
