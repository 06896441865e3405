//! A plain connection for tests.

use super::address::Address;
use super::connection::Connection;
use super::failure::located;
use super::server::AtPlace;
use super::url::DatabaseUrl;
use crate::contract::StoreError;
use crate::migrate::{Database, migrate_postgres};

/// Runs statements as any other program would.
#[derive(Debug)]
pub(crate) struct Admin {
    connection: Connection,
    address: Address,
    // Goes last: it carries the connection.
}

impl Admin {
    /// Connects to `url`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) fn open(url: &str) -> Result<Self, StoreError> {
        let address = Address::parse(&DatabaseUrl::from(url))?;
        let connection = Connection::open(&address)?;
        Ok(Self { connection, address })
    }

    /// Runs statements without parameters.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(crate) fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.batch(sql).map_err(|error| located(error.into(), self.address.place()))
    }

    /// The first column of each row, which is a text.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(crate) fn texts(&self, sql: &str) -> Result<Vec<String>, StoreError> {
        let rows = self.connection.query(sql, &[])?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// As [`migrate_postgres`].
    pub(crate) fn migrate(&self) -> Result<(), StoreError> {
        migrate_postgres(self).map(drop)
    }

    fn at_place(&self) -> AtPlace<'_> {
        AtPlace(&self.connection, &self.address)
    }
}

impl Database for Admin {
    fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.at_place().run(sql)
    }

    fn number(&self, sql: &str) -> Result<Option<i64>, StoreError> {
        self.at_place().number(sql)
    }

    fn texts(&self, sql: &str) -> Result<Vec<String>, StoreError> {
        self.at_place().texts(sql)
    }

    fn place(&self) -> &str {
        self.address.place()
    }
}

/// Whether a server answers there.
pub(crate) fn reaches(url: &str) -> bool {
    Admin::open(url).is_ok()
}

/// A number that changes with the migrations.
pub(crate) fn schema_hash() -> u64 {
    crate::migrate::POSTGRES
        .iter()
        .flat_map(|migration| migration.sql.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}
