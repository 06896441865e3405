//! Properties of type `password2`: scripts get them only in sessions with the right role (business-rules §14.3).

use campanile_model::{FieldIndex, Record, TableDef};

use crate::session::User;

/// Table of properties.
pub(crate) const TABLE: &str = "sys_properties";
/// The type whose values are secrets.
pub(crate) const TYPE: &str = "password2";

/// The roles that may read the value of a row of `sys_properties`, when it is a secret.
pub(super) fn readers(row: &Record) -> Option<&str> {
    (row.text("type") == TYPE).then(|| row.text("read_roles"))
}

/// Whether `user` has one of the roles in `readers`, a list of names; `admin` always may.
pub(super) fn is_reader(readers: &str, user: &User) -> bool {
    user.is_admin() || readers.split(',').any(|role| user.has_role(role.trim()))
}

/// Whether the value of a row of `sys_properties` is a secret that `user` may not have.
pub(crate) fn hides(row: &Record, user: &User) -> bool {
    readers(row).is_some_and(|readers| !is_reader(readers, user))
}

/// Whether this column of `table` is the one that holds values of properties.
pub(crate) fn is_value(table: &TableDef, field: FieldIndex) -> bool {
    &*table.name == TABLE && &*table.fields[field].name == "value"
}

/// Whether a field of `row` is the value of a secret, whoever asks.
pub(crate) fn is_secret(row: &Record, field: FieldIndex) -> bool {
    is_value(row.table(), field) && readers(row).is_some()
}
