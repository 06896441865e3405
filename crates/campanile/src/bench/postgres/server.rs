//! A PostgreSQL server whose databases are made for a measurement and dropped after it.

use tokio_postgres::{Client, NoTls};

use crate::output::Failure;

/// The server that was named.
#[derive(Debug, Clone)]
pub(super) struct Server {
    url: String,
}

impl Server {
    /// The server of `url`, whose user may make databases.
    pub(super) fn at(url: &str) -> Self {
        Self { url: url.to_owned() }
    }

    /// A database without anything in it. One of this name that an earlier run left goes.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn database(&self, name: &str) -> Result<Database, Failure> {
        let name = format!("campanile_bench_{name}");
        let admin = Bare::connect(&self.url)?;
        admin.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
        admin.run(&format!("CREATE DATABASE {name}"))?;
        Ok(Database { url: with_name(&self.url, &name), name, server: self.clone() })
    }

    /// Its version and whether it syncs, for the table.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn sentence(&self) -> Result<String, Failure> {
        let admin = Bare::connect(&self.url)?;
        let row = admin.first(
            "SELECT concat('PostgreSQL ', current_setting('server_version'), ', fsync ', current_setting('fsync'), \
             ', shared_buffers ', current_setting('shared_buffers'))",
        )?;
        Ok(row)
    }
}

/// A database of a measurement; dropped with it.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) url: String,
    name: String,
    server: Server,
}

impl Drop for Database {
    fn drop(&mut self) {
        let dropped = Bare::connect(&self.server.url).and_then(|admin| {
            admin.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name))
        });
        if let Err(error) = dropped {
            eprintln!("  the database {} could not be dropped: {error:?}", self.name);
        }
    }
}

/// The URL with another database.
fn with_name(url: &str, name: &str) -> String {
    let (head, options) = url.split_once('?').map_or((url, None), |(head, o)| (head, Some(o)));
    let start = head.find("://").map_or(0, |at| at + 3);
    let server = head[start..].find('/').map_or(head, |at| &head[..start + at]);
    let options = options.map_or_else(String::new, |options| format!("?{options}"));
    format!("{server}/{name}{options}")
}

/// A connection without anything of the product.
pub(super) struct Bare {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Bare {
    /// Connects; not by TLS: what is measured stands on this machine.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn connect(url: &str) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("bare-postgres")
            .enable_all()
            .build()
            .map_err(Failure::failed)?;
        let (client, connection) =
            runtime.block_on(tokio_postgres::connect(url, NoTls)).map_err(Failure::failed)?;
        runtime.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a bare connection ended");
            }
        });
        Ok(Self { runtime, client })
    }

    /// Runs statements without parameters.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn run(&self, sql: &str) -> Result<(), Failure> {
        self.runtime.block_on(self.client.batch_execute(sql)).map_err(said)
    }

    /// Prepares a statement.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn prepared(&self, sql: &str) -> Result<tokio_postgres::Statement, Failure> {
        self.runtime.block_on(self.client.prepare(sql)).map_err(said)
    }

    /// Runs a prepared statement. Returns how many rows it changed.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn execute(
        &self,
        statement: &tokio_postgres::Statement,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<u64, Failure> {
        self.runtime.block_on(self.client.execute(statement, params)).map_err(said)
    }

    /// The first column of the rows of a prepared statement, which is a number.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn numbers(
        &self,
        statement: &tokio_postgres::Statement,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<i64>, Failure> {
        let rows = self.runtime.block_on(self.client.query(statement, params)).map_err(said)?;
        rows.iter().map(|row| row.try_get(0).map_err(said)).collect()
    }

    /// The number that a query gives, which is a `float8`; 0 for none.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn number(&self, sql: &str) -> Result<f64, Failure> {
        let row = self.runtime.block_on(self.client.query_one(sql, &[])).map_err(said)?;
        let number: Option<f64> = row.try_get(0).map_err(said)?;
        Ok(number.unwrap_or(0.0))
    }

    /// The first column of the first row, which is a text.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn first(&self, sql: &str) -> Result<String, Failure> {
        let row = self.runtime.block_on(self.client.query_one(sql, &[])).map_err(said)?;
        row.try_get(0).map_err(said)
    }
}

fn said(error: tokio_postgres::Error) -> Failure {
    let told = error.as_db_error().map(ToString::to_string);
    Failure::failed(format!("PostgreSQL: {}", told.unwrap_or_else(|| error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_database_is_the_only_thing_that_changes() {
        for (url, expected) in [
            ("postgres://u:p@h:5/old", "postgres://u:p@h:5/new"),
            ("postgres://u@h", "postgres://u@h/new"),
            ("postgres://u@%2Frun/old?sslmode=disable", "postgres://u@%2Frun/new?sslmode=disable"),
        ] {
            assert_eq!(with_name(url, "new"), expected);
        }
    }
}
