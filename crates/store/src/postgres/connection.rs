//! One connection: its prepared statements, and what is asked over it.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, SimpleQueryMessage};

use super::address::Address;
use super::connecting::{Failure, Listener, connect, unavailable};
use super::params::refs;
use super::plans::{ALWAYS_BY_INDEX, BEGIN_BY_INDEX};
use super::statements::{Form, Statements, Values};
use super::wire::{Wire, parked, together};
use crate::contract::StoreError;
use crate::sql::Statement;
use crate::sql::values::Param;

/// A statement and its values.
pub(super) type Asked<'a> = (&'a str, Values<'a>);

/// An open connection. Not to be shared: a transaction belongs to one thread.
pub(super) struct Connection {
    client: Client,
    statements: Statements,
    /// Its transactions are planned by indexes without being told.
    is_settled: Cell<bool>,
    /// How long claims wait for a lock, where each has to say so; a setting of the session does where it may have any.
    says_patience: Cell<Option<Duration>>,
    // Goes last.
    wire: Wire,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("closed", &self.client.is_closed())
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Opens one whose bytes are carried by whoever waits for an answer.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the server's reason.
    pub(super) fn open(address: &Address) -> Result<Self, StoreError> {
        match Wire::of_who_waits(connect(address, None)) {
            Ok((client, wire)) => Ok(Self::over(client, wire, address)),
            Err(error) => Err(unavailable(address, error)),
        }
    }

    /// Opens one that a task of `runtime` carries. `listener` hears what the server sends by itself.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the server's reason.
    pub(super) fn open_listening(
        address: &Address,
        runtime: &Handle,
        listener: Listener,
    ) -> Result<Self, StoreError> {
        let (for_task, driver) = (address.clone(), runtime.clone());
        let opened = parked(runtime.spawn(async move {
            let (client, bytes) = connect(&for_task, Some(listener)).await?;
            driver.spawn(bytes);
            Ok::<Client, Failure>(client)
        }));
        match opened {
            Ok(Ok(client)) => Ok(Self::over(client, Wire::of_a_task(), address)),
            Ok(Err(error)) => Err(unavailable(address, error)),
            Err(error) => Err(unavailable(address, Failure::NoMeans(error.into()))),
        }
    }

    fn over(client: Client, wire: Wire, address: &Address) -> Self {
        let statements = Statements::new(address.learned());
        let (is_settled, says_patience) = (Cell::new(false), Cell::new(None));
        Self { client, statements, is_settled, says_patience, wire }
    }

    /// Lets all its transactions be planned by indexes from now on. For a connection that is this program's alone.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn settle(&self) -> Result<(), Error> {
        self.batch(ALWAYS_BY_INDEX)?;
        self.is_settled.set(true);
        Ok(())
    }

    /// Lets what is asked outside of a transaction wait for a lock that somebody holds no longer than this from now on. For a
    /// connection that is this program's alone; transactions say what goes for them.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn bound(&self, patience: Duration) -> Result<(), Error> {
        self.batch(&format!("SET lock_timeout = {}", patience.as_millis().max(1)))
    }

    /// The same for [`Connection::query_both`] alone, on a connection that a pool gives to others too.
    pub(super) fn bound_each(&self, patience: Duration) {
        self.says_patience.set(Some(patience));
    }

    /// Whether [`Connection::settle`] was called.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled.get()
    }

    /// What begins a transaction that is planned by indexes.
    pub(super) fn begin_by_index(&self) -> &'static str {
        if self.is_settled() { "BEGIN" } else { BEGIN_BY_INDEX }
    }

    /// Whether the server or the network has ended it, as far as that has been told.
    pub(super) fn is_closed(&self) -> bool {
        self.wire.look();
        self.client.is_closed()
    }

    /// Runs statements without parameters, several with `;` between them.
    pub(super) fn batch(&self, sql: &str) -> Result<(), Error> {
        self.wire.wait(self.client.batch_execute(sql))
    }

    /// As [`Connection::batch`]; the columns of the first row that comes, as texts.
    pub(super) fn batch_row(&self, sql: &str) -> Result<Vec<String>, Error> {
        let messages = self.wire.wait(self.client.simple_query(sql))?;
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
        self.wire.wait(self.prepared(sql)?.query(&self.client, params))
    }

    /// Begins a transaction by `begin`, gives the rows of `query` and does `changes`, all in one round trip: nothing waits for
    /// the answer to what went before. When one of them fails, those behind it do too.
    pub(super) fn begin_with(
        &self,
        begin: &str,
        query: Asked<'_>,
        change: Option<Asked<'_>>,
    ) -> Result<Vec<Row>, Error> {
        let query = (self.prepared(query.0)?, query.1);
        let change = self.prepared_if_any(change)?;
        self.wire.wait(async {
            let (begun, rows, changed) = tokio::join!(
                // Sent in this order.
                biased;
                self.client.batch_execute(begin),
                query.0.query(&self.client, query.1),
                self.execute_if_any(change.as_ref()),
            );
            begun?;
            let rows = rows?;
            changed?;
            Ok(rows)
        })
    }

    /// Does `changes` in the transaction and commits it, in one round trip, as [`Connection::begin_with`]. Returns the rows of the
    /// first.
    pub(super) fn commit_with(&self, changes: [Option<Asked<'_>>; 2]) -> Result<Vec<Row>, Error> {
        let [first, second] = changes;
        let (first, second) = (self.prepared_if_any(first)?, self.prepared_if_any(second)?);
        self.wire.wait(async {
            let (first, second, committed) = tokio::join!(
                biased;
                self.query_if_any(first.as_ref()),
                self.execute_if_any(second.as_ref()),
                self.client.batch_execute("COMMIT"),
            );
            let rows = first?;
            second?;
            committed?;
            Ok(rows)
        })
    }

    fn prepared_if_any<'a>(
        &self,
        change: Option<Asked<'a>>,
    ) -> Result<Option<(Form, Values<'a>)>, Error> {
        change.map(|(sql, params)| Ok((self.prepared(sql)?, params))).transpose()
    }

    async fn query_if_any(&self, query: Option<&(Form, Values<'_>)>) -> Result<Vec<Row>, Error> {
        match query {
            Some((form, values)) => form.query(&self.client, values).await,
            None => Ok(Vec::new()),
        }
    }

    async fn execute_if_any(&self, change: Option<&(Form, Values<'_>)>) -> Result<u64, Error> {
        match change {
            Some((form, values)) => form.execute(&self.client, values).await,
            None => Ok(0),
        }
    }

    /// The rows of two statements in one round trip, outside of a transaction. Each is one by itself, unless they have to say
    /// how long they wait for a lock: what says so ends a transaction that is open ([`Connection::query_both_within`]).
    pub(super) fn query_both(
        &self,
        first: Asked<'_>,
        second: Asked<'_>,
    ) -> Result<(Vec<Row>, Vec<Row>), Error> {
        self.query_both_with(None, first, second)
    }

    /// The same in one transaction of its own for which `setting` is said, if there is one.
    pub(super) fn query_both_with(
        &self,
        setting: Option<&str>,
        first: Asked<'_>,
        second: Asked<'_>,
    ) -> Result<(Vec<Row>, Vec<Row>), Error> {
        let prepared = (self.prepared(first.0)?, self.prepared(second.0)?);
        let patience = self
            .says_patience
            .get()
            .map(|patience| format!("SET LOCAL lock_timeout = {}", patience.as_millis().max(1)));
        let settings: Vec<&str> = setting.into_iter().chain(patience.as_deref()).collect();
        let begin = (!settings.is_empty())
            .then(|| format!("BEGIN ISOLATION LEVEL READ COMMITTED; {}", settings.join("; ")));
        let commit = begin.as_ref().map(|_| "COMMIT");
        self.wire.wait(async {
            let (begun, first, second, ended) = tokio::join!(
                biased;
                self.batch_if_any(begin.as_deref()),
                prepared.0.query(&self.client, first.1),
                prepared.1.query(&self.client, second.1),
                self.batch_if_any(commit),
            );
            begun?;
            let both = (first?, second?);
            ended?;
            Ok(both)
        })
    }

    /// Runs one that changes rows in a transaction of its own for which `setting` is said, in one round trip.
    pub(super) fn execute_with(&self, setting: &str, change: Asked<'_>) -> Result<u64, Error> {
        let change = (self.prepared(change.0)?, change.1);
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED; {setting}");
        self.wire.wait(async {
            let (begun, changed, ended) = tokio::join!(
                biased;
                self.client.batch_execute(&begin),
                self.execute_if_any(Some(&change)),
                self.client.batch_execute("COMMIT"),
            );
            begun?;
            let changed = changed?;
            ended?;
            Ok(changed)
        })
    }

    /// The same in the transaction that is open: it goes on, and says itself what goes for it.
    pub(super) fn query_both_within(
        &self,
        first: Asked<'_>,
        second: Asked<'_>,
    ) -> Result<(Vec<Row>, Vec<Row>), Error> {
        let [first, second] = self.query_all([first, second])?;
        Ok((first, second))
    }

    /// The rows of one statement for each of these values, in one round trip, in the transaction that is open.
    pub(super) fn query_each(
        &self,
        sql: &str,
        values: &[Vec<&(dyn ToSql + Sync)>],
    ) -> Result<Vec<Vec<Row>>, Error> {
        let form = self.prepared(sql)?;
        let asked = values.iter().map(|values| (&form, values.as_slice()));
        self.wire.wait(self.answers(asked))
    }

    /// The rows of each of these statements, in one round trip, in the transaction that is open. Each sees what is committed when it
    /// is its turn, and what those before it did.
    pub(super) fn query_all<const N: usize>(
        &self,
        asked: [Asked<'_>; N],
    ) -> Result<[Vec<Row>; N], Error> {
        self.begin_all(None, asked)
    }

    /// The same in a transaction that `begin` begins.
    pub(super) fn begin_all<const N: usize>(
        &self,
        begin: Option<&str>,
        asked: [Asked<'_>; N],
    ) -> Result<[Vec<Row>; N], Error> {
        let forms = asked
            .iter()
            .map(|(sql, _)| self.prepared(sql))
            .collect::<Result<Vec<Form>, Error>>()?;
        let asked = forms.iter().zip(asked).map(|(form, (_, values))| (form, values));
        let answers = self.wire.wait(async {
            let (begun, answers) = tokio::join!(
                // Sent in this order.
                biased;
                self.batch_if_any(begin),
                self.answers(asked),
            );
            begun?;
            answers
        })?;
        let mut answers = answers.into_iter();
        Ok(std::array::from_fn(|_| answers.next().unwrap_or_default()))
    }

    /// Sent in their order by the first turn: nothing waits for the answer to what went before.
    async fn answers<'a>(
        &'a self,
        asked: impl Iterator<Item = (&'a Form, Values<'a>)>,
    ) -> Result<Vec<Vec<Row>>, Error> {
        let asked: Vec<_> =
            asked.map(|(form, values)| Box::pin(form.query(&self.client, values))).collect();
        let mut answers: Vec<Result<Vec<Row>, Error>> = asked.iter().map(|_| Ok(vec![])).collect();
        together(asked, |at, answer| answers[at] = answer).await;
        answers.into_iter().collect()
    }

    /// Gives `told` the rows of each statement, or what was said to it, as they come, in one round trip, outside of a
    /// transaction: each is one by itself.
    pub(super) fn tell_all(
        &self,
        asked: &[Asked<'_>],
        told: impl FnMut(usize, Result<Vec<Row>, Error>),
    ) {
        let asked: Vec<_> = asked
            .iter()
            .map(|(sql, values)| {
                let form = self.prepared(sql);
                Box::pin(async move { form?.query(&self.client, values).await })
            })
            .collect();
        self.wire.wait(together(asked, told));
    }

    async fn batch_if_any(&self, sql: Option<&str>) -> Result<(), Error> {
        match sql {
            Some(sql) => self.client.batch_execute(sql).await,
            None => Ok(()),
        }
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
        self.wire.wait(self.prepared(sql)?.execute(&self.client, params))
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
        self.wire.wait(async {
            let sink = self.client.copy_in(sql).await?;
            let mut writer = pin!(BinaryCopyInWriter::new(sink, types));
            for row in rows {
                writer.as_mut().write(&refs(row)).await?;
            }
            writer.finish().await
        })
    }

    fn prepared(&self, sql: &str) -> Result<Form, Error> {
        match self.statements.known(sql) {
            Some(known) => Ok(known),
            None => self.wire.wait(self.statements.prepare(&self.client, sql)),
        }
    }
}
