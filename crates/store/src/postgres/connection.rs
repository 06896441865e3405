//! One connection: its prepared statements, and what is asked over it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Error, Row, SimpleQueryMessage, Statement as Prepared};

use super::address::Address;
use super::failure::located;
use super::params::{numbered, refs};
use super::wait::wait;
use crate::contract::StoreError;
use crate::sql::Statement;
use crate::sql::values::Param;

/// Prepared statements kept by a connection. Each form of a query is one.
const STATEMENTS_MAX: usize = 256;

/// Called with each message that the server sends by itself.
pub(super) type Listener = Arc<dyn Fn(&AsyncMessage) + Send + Sync>;

/// An open connection. Not to be shared: a transaction belongs to one thread.
pub(super) struct Connection {
    client: Client,
    prepared: RefCell<HashMap<String, Prepared>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("closed", &self.client.is_closed())
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Opens one. `listener` hears what the server sends by itself.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the server's reason.
    pub(super) fn open(
        address: &Address,
        runtime: &Handle,
        listener: Option<Listener>,
    ) -> Result<Self, StoreError> {
        let (config, tls) = (address.config().clone(), address.tls());
        let driver = runtime.clone();
        let opened = wait(runtime.spawn(async move {
            let (client, mut connection) = config.connect(tls).await?;
            driver.spawn(async move {
                loop {
                    match std::future::poll_fn(|context| connection.poll_message(context)).await {
                        Some(Ok(message)) => {
                            if let Some(listener) = &listener {
                                listener(&message);
                            }
                        }
                        Some(Err(error)) => {
                            tracing::debug!(%error, "a connection to the database ended");
                            return;
                        }
                        None => return,
                    }
                }
            });
            Ok::<Client, Error>(client)
        }));
        let client = match opened {
            Ok(client) => client.map_err(|e| located(e.into(), address.place()))?,
            Err(error) => {
                return Err(StoreError::Unavailable {
                    place: address.place().to_owned(),
                    reason: error.to_string(),
                });
            }
        };
        Ok(Self { client, prepared: RefCell::default() })
    }

    /// Whether the server or the network has ended it.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs statements without parameters, several with `;` between them.
    pub(super) fn batch(&self, sql: &str) -> Result<(), Error> {
        wait(self.client.batch_execute(sql))
    }

    /// As [`Connection::batch`]; the columns of the first row that comes, as texts.
    pub(super) fn batch_row(&self, sql: &str) -> Result<Vec<String>, Error> {
        let messages = wait(self.client.simple_query(sql))?;
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let columns = row.map(|row| {
            (0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned()).collect()
        });
        Ok(columns.unwrap_or_default())
    }

    /// The rows of a prepared statement.
    pub(super) fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        wait(self.client.query(&self.prepared(sql)?, params))
    }

    /// Begins a transaction by `begin`, runs `change` and gives the rows of `query`, in one round trip: nothing waits for the
    /// answer to what went before. When one of them fails, those behind it do too.
    pub(super) fn begin_and_query(
        &self,
        begin: &str,
        change: (&str, &[&(dyn ToSql + Sync)]),
        query: (&str, &[&(dyn ToSql + Sync)]),
    ) -> Result<Vec<Row>, Error> {
        let (changes, queries) = (self.prepared(change.0)?, self.prepared(query.0)?);
        wait(async {
            let (begun, changed, rows) = tokio::join!(
                // Sent in this order.
                biased;
                self.client.batch_execute(begin),
                self.client.execute(&changes, change.1),
                self.client.query(&queries, query.1),
            );
            begun?;
            changed?;
            rows
        })
    }

    /// The first row.
    pub(super) fn query_first(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, params)?.into_iter().next())
    }

    /// Runs a prepared statement that changes rows. Returns how many.
    pub(super) fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        wait(self.client.execute(&self.prepared(sql)?, params))
    }

    /// The rows of a built statement.
    pub(super) fn select(&self, statement: &Statement) -> Result<Vec<Row>, Error> {
        self.query(&statement.text, &refs(&statement.params))
    }

    /// Runs a built statement that changes rows. Returns how many.
    pub(super) fn change(&self, statement: &Statement) -> Result<u64, Error> {
        self.execute(&statement.text, &refs(&statement.params))
    }

    /// Adds rows, each with a value for each of `types`, by a COPY statement that reads binary rows.
    pub(super) fn copy_in(
        &self,
        sql: &str,
        types: &[Type],
        rows: &[Vec<Param>],
    ) -> Result<u64, Error> {
        wait(async {
            let sink = self.client.copy_in(sql).await?;
            let mut writer = pin!(BinaryCopyInWriter::new(sink, types));
            for row in rows {
                writer.as_mut().write(&refs(row)).await?;
            }
            writer.finish().await
        })
    }

    fn prepared(&self, sql: &str) -> Result<Prepared, Error> {
        if let Some(known) = self.prepared.borrow().get(sql) {
            return Ok(known.clone());
        }
        let prepared = wait(self.client.prepare(&numbered(sql)))?;
        let mut kept = self.prepared.borrow_mut();
        if kept.len() >= STATEMENTS_MAX {
            kept.clear();
        }
        kept.insert(sql.to_owned(), prepared.clone());
        Ok(prepared)
    }
}
