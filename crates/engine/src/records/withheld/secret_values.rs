//! Values of secret properties in queries and conditions of sessions that may not read them (business-rules §14.3).

use std::sync::Arc;

use campanile_model::query::{BoundPath, BoundQuery, BoundTerm, Test};
use campanile_model::{Dictionary, Record, TableDef, Value};
use campanile_store::{ReadTx, StoreError};

use super::asking::{self, Guard};
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
    let mut guard = OfSecrets { table: Arc::clone(&query.table), readable: Vec::new() };
    let orders = query.order.iter().any(|order| guard.guards(&order.path));
    if user.is_admin() || !orders && !asking::any_asks(query, &guard) {
        return Ok(());
    }
    if let Some(table) = dictionary.table(secrets::TABLE) {
        let rows = read.select(&lookup::equal(table, &[("type", secrets::TYPE)]))?;
        let readable = rows.iter().filter(|row| !secrets::hides(row, user));
        guard.readable = readable.map(|row| Arc::from(row.text("sys_id"))).collect();
    }
    asking::restrict(query, &guard);
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
        && asking::any_asks(
            condition,
            &OfSecrets { table: Arc::clone(&condition.table), readable: Vec::new() },
        )
}

/// The row with an empty value when that is a secret which `user` may not have.
pub(in crate::records) fn without_secret(user: &User, mut row: Record) -> Record {
    if &*row.table().name == secrets::TABLE && secrets::hides(&row, user) {
        row.set("value", Value::Nil);
    }
    row
}

struct OfSecrets {
    /// The queried table.
    table: Arc<TableDef>,
    /// Keys of the secrets that the user may have.
    readable: Vec<Arc<str>>,
}

impl Guard for OfSecrets {
    fn guards(&self, path: &BoundPath) -> bool {
        secrets::is_value(&path.table, path.field)
    }

    fn shown_by(&self) -> Vec<Vec<BoundTerm>> {
        let term = |field: &str, test: Test| {
            let table = Arc::clone(&self.table);
            let text = Arc::from(field);
            let field = table.index(field)?;
            Some(BoundTerm { path: BoundPath { steps: Vec::new(), table, field }, test, text })
        };
        let no_secret = term("type", Test::NotIn(vec![Arc::from(secrets::TYPE)]));
        let readable = match self.readable.as_slice() {
            [] => None,
            keys => term("sys_id", Test::In(keys.to_vec())),
        };
        vec![no_secret.into_iter().chain(readable).collect()]
    }

    /// As with a password, no more is learnt than whether there is one and whether it changed.
    fn is_harmless(&self, test: &Test) -> bool {
        matches!(test, Test::Nil | Test::NotNil | Test::Anything | Test::Changes)
    }
}
