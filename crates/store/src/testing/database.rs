//! A database for one test: a copy of a template, dropped at the end.

use std::path::Path;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cluster::Server;
use super::template;
use crate::contract::StoreError;
use crate::postgres::Admin;

static SERVER: OnceLock<Server> = OnceLock::new();
static MADE: AtomicU64 = AtomicU64::new(0);

/// A database that one test has for itself. Dropped with it.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
}

impl TestDatabase {
    /// Makes one with the newest schema and no rows, starting a server when there is none.
    ///
    /// # Panics
    /// When there is no server, or it refuses: a test that needs one has failed.
    #[must_use]
    pub fn create() -> Self {
        let server = SERVER.get_or_init(Server::find);
        Self::copy_of(server, template::with_schema(server))
    }

    /// Makes one with what `fill` wrote: it is called once for each build of `program`, with the URL of a database with
    /// the newest schema, and ends its connections. `name` tells apart what a program fills in.
    ///
    /// # Panics
    /// As [`TestDatabase::create`].
    #[must_use]
    pub fn create_filled(program: &Path, name: &str, fill: impl FnOnce(&str)) -> Self {
        let server = SERVER.get_or_init(Server::find);
        Self::copy_of(server, &template::filled(server, program, name, fill))
    }

    fn copy_of(server: &Server, template: &str) -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("campanile_test_{}_{number}", process::id());
        let admin = Admin::open(&server.url).expect("the server answers");
        // A process of this number may have died before it could drop its own.
        admin.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).expect("it is ours");
        admin
            .run(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .expect("the user may create databases");
        Self { url: server.url_of(&name), name }
    }

    /// One without any table of ours.
    ///
    /// # Panics
    /// As [`TestDatabase::create`].
    #[must_use]
    pub fn create_empty() -> Self {
        let made = Self::create();
        made.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        made
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs statements as another program would.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn run(&self, sql: &str) {
        let admin = Admin::open(&self.url).expect("the database answers");
        admin.run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The first column of each row, as text.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn texts(&self, sql: &str) -> Vec<String> {
        let admin = Admin::open(&self.url).expect("the database answers");
        admin.texts(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Somebody else on the database, who may hold locks as long as he likes.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn stranger(&self) -> Stranger {
        Stranger::at(&self.url)
    }

    /// Lets the leases of all programs lapse, as if they had not been heard of for long.
    pub fn lapse_all(&self) {
        self.run("UPDATE campanile_node SET beat_at = beat_at - interval '1 day'");
    }
}

/// A session that is not of Campanile. Ends when it is dropped.
#[derive(Debug)]
pub struct Stranger(Admin);

impl Stranger {
    pub(super) fn at(url: &str) -> Self {
        let admin = Admin::open(url).expect("the database answers");
        admin.run("SET application_name = 'stranger'").expect("a session may have a name");
        Self(admin)
    }

    /// Runs statements; returns when they are done.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn run(&self, sql: &str) {
        self.try_run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// As [`Stranger::run`], where a refusal is expected.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub fn try_run(&self, sql: &str) -> Result<(), StoreError> {
        self.0.run(sql)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some(server) = SERVER.get() else { return };
        let dropped = Admin::open(&server.url).and_then(|admin| {
            admin.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name))
        });
        if let Err(error) = dropped {
            tracing::warn!(%error, name = self.name, "a test's database could not be dropped");
        }
    }
}
