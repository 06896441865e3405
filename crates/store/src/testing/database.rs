//! A database for one test, made from a template and dropped at the end.

use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FlockOperation;

use super::cluster::{Server, locked};
use crate::postgres::{Admin, schema_hash};

static SERVER: OnceLock<Server> = OnceLock::new();
static MADE: AtomicU64 = AtomicU64::new(0);

/// A database with the newest schema and no rows.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
}

impl TestDatabase {
    /// Makes one, starting a server when there is none.
    ///
    /// # Panics
    /// When there is no server, or it refuses: a test that needs one has failed.
    #[must_use]
    pub fn create() -> Self {
        let server = SERVER.get_or_init(Server::find);
        let template = template(server);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("campanile_test_{}_{number}", process::id());
        let admin = Admin::open(&server.url).expect("the server answers");
        // A process of this number may have died before it could drop its own.
        admin.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).expect("it is ours");
        admin
            .run(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .expect("the user may create databases");
        Self { url: url_of(&server.url, &name), name }
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

    /// Lets the leases of all programs lapse, as if they had not been heard of for long.
    pub fn lapse_all(&self) {
        self.run("UPDATE campanile_node SET beat_at = beat_at - interval '1 day'");
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

/// The template with the newest schema; made by whoever is first.
fn template(server: &Server) -> String {
    static NAME: OnceLock<String> = OnceLock::new();
    let make = || {
        let name = format!("campanile_template_{:016x}", schema_hash());
        let _guard = locked(&server.lock_file, FlockOperation::LockExclusive);
        let admin = Admin::open(&server.url).expect("the server answers");
        let found = admin
            .texts(&format!("SELECT datname::text FROM pg_database WHERE datname = '{name}'"))
            .expect("the server lists its databases");
        if found.is_empty() {
            let half = format!("{name}_half");
            admin.run(&format!("DROP DATABASE IF EXISTS {half}")).expect("it is ours");
            admin.run(&format!("CREATE DATABASE {half}")).expect("the user may create databases");
            let made = Admin::open(&url_of(&server.url, &half)).expect("the new one answers");
            made.migrate().expect("the migrations run");
            drop(made);
            // Its connection may take a moment to end.
            let rename = format!("ALTER DATABASE {half} RENAME TO {name}");
            while admin.run(&rename).is_err() {
                std::thread::yield_now();
            }
        }
        name
    };
    NAME.get_or_init(make).clone()
}

/// `url` with another database.
fn url_of(url: &str, database: &str) -> String {
    let (head, options) = url.split_once('?').map_or((url, ""), |(head, tail)| (head, tail));
    let host_end = head.rfind('/').unwrap_or(head.len());
    let question = if options.is_empty() { "" } else { "?" };
    format!("{}/{database}{question}{options}", &head[..host_end])
}
