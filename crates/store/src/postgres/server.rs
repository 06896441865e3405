//! The server as it is met at the opening: whether it can be used, and what migrating asks of it.

use super::address::Address;
use super::connection::Connection;
use super::failure::located;
use crate::contract::StoreError;
use crate::migrate::Database;

/// The oldest server that has everything that is used here.
const SERVER_MIN: i64 = 140_000;

/// A server that is too old, or that takes no writes, is told at once.
pub(super) fn check_server(connection: &Connection, address: &Address) -> Result<(), StoreError> {
    let refused =
        |reason: String| StoreError::Unavailable { place: address.place().to_owned(), reason };
    let row = connection
        .query_first(
            "SELECT current_setting('server_version_num')::bigint, current_setting('server_version'), \
             pg_is_in_recovery(), current_setting('server_encoding')",
            &[],
        )
        .map_err(|error| located(error.into(), address.place()))?;
    let Some(row) = row else { return Ok(()) };
    let told = |error: tokio_postgres::Error| located(error.into(), address.place());
    let number: i64 = row.try_get(0).map_err(told)?;
    if number < SERVER_MIN {
        let version: &str = row.try_get(1).map_err(told)?;
        return Err(refused(format!("it is PostgreSQL {version}: 14 or newer is needed")));
    }
    if row.try_get(2).map_err(told)? {
        return Err(refused(
            "it is a replica that takes no writes: name the primary server".to_owned(),
        ));
    }
    let encoding: &str = row.try_get(3).map_err(told)?;
    if encoding != "UTF8" {
        return Err(refused(format!(
            "the database has the encoding {encoding}: make one with ENCODING 'UTF8'"
        )));
    }
    Ok(())
}

/// What migrating needs.
pub(super) struct AtPlace<'a>(pub(super) &'a Connection, pub(super) &'a Address);

impl Database for AtPlace<'_> {
    fn run(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.0.batch(sql)?)
    }

    fn number(&self, sql: &str) -> Result<Option<i64>, StoreError> {
        let row = self.0.query_first(sql, &[])?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    fn texts(&self, sql: &str) -> Result<Vec<String>, StoreError> {
        let rows = self.0.query(sql, &[])?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    fn place(&self) -> &str {
        self.1.place()
    }
}
