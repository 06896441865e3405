//! Values of secret properties in queries and conditions of sessions that may not read them (business-rules §14.3).

use std::sync::Arc;

use campanile_model::query::{BoundPath, BoundQuery, BoundTerm, Test};
use campanile_model::{Dictionary, Record, TableDef, Value};
use campanile_store::{ReadTx, StoreError};

use super::asking;
use crate::records::lookup;
use crate::records::properties::secrets;
use crate::session::User;

/// Leaves out of a query what would tell, by its effect, of secrets that `user` may not have.
///
/// # Errors
/// What the store answers when it is asked for the secrets that `user` may have.
pub(in crate::records) fn restrict_secrets(
    user: &User,
    dictionary: &Dictionary,
    read: &dyn ReadTx,
    query: &mut BoundQuery,
) -> Result<(), StoreError> {
    let orders = query.order.iter().any(|order| guards(&order.path));
    if user.is_admin() || !orders && !asking::any_asks(query) {
        return Ok(());
    }
    let mut readable = Vec::new();
    if let Some(table) = dictionary.table(secrets::TABLE) {
        let rows = read.select(&lookup::equal(table, &[("type", secrets::TYPE)]))?;
        let shown = rows.iter().filter(|row| !secrets::hides(row, user));
        readable.extend(shown.map(|row| Arc::from(row.text("sys_id"))));
    }
    asking::restrict(query, &shown_by(&query.table.clone(), readable));
    Ok(())
}

/// Whether `condition` asks for the value of one of `rows`, old and new, that is a secret which `user` may not have. It is
/// false then, like one that compares a password.
pub(in crate::records) fn asks_in_vain(
    user: &User,
    condition: &BoundQuery,
    rows: [Option<&Record>; 2],
) -> bool {
    &*condition.table.name == secrets::TABLE
        && rows.into_iter().flatten().any(|row| secrets::hides(row, user))
        && asking::any_asks(condition)
}

/// The row with an empty value when that is a secret which `user` may not have.
pub(in crate::records) fn without_secret(user: &User, mut row: Record) -> Record {
    if &*row.table().name == secrets::TABLE && secrets::hides(&row, user) {
        row.set("value", Value::Nil);
    }
    row
}

/// Whether the path ends on the column that holds the values of properties.
pub(super) fn guards(path: &BoundPath) -> bool {
    secrets::is_value(&path.table, path.field)
}

/// As with a password, no more is learnt than whether there is one and whether it changed.
pub(super) fn is_harmless(test: &Test) -> bool {
    matches!(test, Test::Nil | Test::NotNil | Test::Anything | Test::Changes)
}

/// What a row of the queried `table` satisfies, any of it, when it shows its value to a user who may have the secrets with the
/// keys `readable`.
fn shown_by(table: &Arc<TableDef>, readable: Vec<Arc<str>>) -> Vec<BoundTerm> {
    let term = |field: &str, test: Test| {
        let text = Arc::from(field);
        let (table, field) = (Arc::clone(table), table.index(field)?);
        Some(BoundTerm { path: BoundPath { steps: Vec::new(), table, field }, test, text })
    };
    let no_secret = term("type", Test::NotIn(vec![Arc::from(secrets::TYPE)]));
    let readable = (!readable.is_empty()).then(|| term("sys_id", Test::In(readable))).flatten();
    no_secret.into_iter().chain(readable).collect()
}
