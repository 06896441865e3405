//! How statements go to the server: under names, or without.
//!
//! A named statement is planned once and kept by the server's end of the connection. Behind a pool that gives each
//! transaction another end (PgBouncer in transaction mode) that end may not know it. Without a name everything goes in
//! one message: text, types and values. The server then cannot be asked for the types in between; they are learned
//! beforehand, once for all connections to an address, because they never change.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, SimpleQueryMessage, Statement as Prepared};

use super::params::numbered;

/// Statements kept by a connection. Each form of a query is one.
const STATEMENTS_MAX: usize = 512;

/// Statements whose types are kept for all connections to an address.
const LEARNED_MAX: usize = 4_096;

/// The types of statements without names, by their texts.
#[derive(Debug, Default)]
pub(super) struct Learned(Mutex<HashMap<String, Arc<Typed>>>);

/// A statement as it goes without a name.
#[derive(Debug)]
pub(super) struct Typed {
    text: String,
    types: Vec<Type>,
}

/// A statement, ready to be run on the connection that gave it.
#[derive(Clone)]
pub(super) enum Form {
    Named(Prepared),
    Unnamed(Arc<Typed>),
}

/// Values in the order of their places.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// What one connection knows.
pub(super) struct Statements {
    known: RefCell<HashMap<String, Form, RandomState>>,
    /// `Some`: they go without names.
    learned: Option<Arc<Learned>>,
}

impl Statements {
    /// Under names, unless there is a place for what is `learned`.
    pub(super) fn new(learned: Option<Arc<Learned>>) -> Self {
        Self { known: RefCell::default(), learned }
    }

    /// One that was run before on this connection.
    pub(super) fn known(&self, sql: &str) -> Option<Form> {
        self.known.borrow().get(sql).cloned()
    }

    /// Prepares one that was not.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) async fn prepare(&self, client: &Client, sql: &str) -> Result<Form, Error> {
        let form = match &self.learned {
            None => Form::Named(client.prepare(&numbered(sql)).await?),
            Some(learned) => Form::Unnamed(learned.of(client, sql).await?),
        };
        let mut known = self.known.borrow_mut();
        if known.len() >= STATEMENTS_MAX {
            known.clear();
        }
        known.insert(sql.to_owned(), form.clone());
        Ok(form)
    }
}

impl Form {
    /// Its rows.
    pub(super) async fn query(
        &self,
        client: &Client,
        values: Values<'_>,
    ) -> Result<Vec<Row>, Error> {
        match self {
            Self::Named(prepared) => client.query(prepared, values).await,
            Self::Unnamed(typed) => client.query_typed(&typed.text, &typed.with(values)).await,
        }
    }

    /// How many rows it changed.
    pub(super) async fn execute(&self, client: &Client, values: Values<'_>) -> Result<u64, Error> {
        match self {
            Self::Named(prepared) => client.execute(prepared, values).await,
            Self::Unnamed(typed) => client.execute_typed(&typed.text, &typed.with(values)).await,
        }
    }
}

impl Typed {
    fn with<'a>(&self, values: Values<'a>) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
        values.iter().copied().zip(self.types.iter().cloned()).collect()
    }
}

impl Learned {
    async fn of(&self, client: &Client, sql: &str) -> Result<Arc<Typed>, Error> {
        if let Some(known) = self.0.lock().get(sql) {
            return Ok(Arc::clone(known));
        }
        let text = numbered(sql);
        let types = types_of(client, &text).await?;
        let typed = Arc::new(Typed { text, types });
        let mut learned = self.0.lock();
        if learned.len() >= LEARNED_MAX {
            learned.clear();
        }
        learned.insert(sql.to_owned(), Arc::clone(&typed));
        Ok(typed)
    }
}

/// The types of the places of `text`. Asked in one message, so that a pool does not come in between.
async fn types_of(client: &Client, text: &str) -> Result<Vec<Type>, Error> {
    let asked = format!(
        "PREPARE campanile_types AS {text}; \
         SELECT unnest(parameter_types)::oid FROM pg_prepared_statements WHERE name = 'campanile_types'; \
         DEALLOCATE campanile_types"
    );
    let told = client.simple_query(&asked).await?;
    let oids = told.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    Ok(oids.map(|oid| Type::from_oid(oid).unwrap_or(Type::UNKNOWN)).collect())
}
