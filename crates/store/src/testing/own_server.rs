//! A server of PostgreSQL that one test has for itself: it may be stopped, crashed and set up in any way.

use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FlockOperation;

use super::cluster::{hash, locked, place_of, start_server, watch};
use super::database::Stranger;
use super::programs::{give_away, make_cluster, own_folder, pg_ctl, place_in_url, run};
use crate::postgres::Admin;

static MADE: AtomicU64 = AtomicU64::new(0);

/// It, with packaged settings. Stopped and removed when it is dropped.
#[derive(Debug)]
pub struct TestServer {
    folder: PathBuf,
    /// Tells the watchdog that it is still needed.
    _user: File,
}

impl TestServer {
    /// Makes a new cluster and starts it.
    ///
    /// # Panics
    /// When this machine has no programs of PostgreSQL, or they fail: a test that needs them has failed.
    #[must_use]
    pub fn start() -> Self {
        let server = Self::in_a_new_folder();
        make_cluster(&server.folder);
        server.start_again();
        watch(&server.folder);
        server
    }

    /// A replica of this one, which takes no writes.
    ///
    /// # Panics
    /// As [`TestServer::start`].
    #[must_use]
    pub fn replica(&self) -> Self {
        let replica = Self::in_a_new_folder();
        own_folder(&replica.folder);
        let (from, to) = (self.folder.display(), replica.folder.display());
        run("pg_basebackup", &format!("-h {from} -U postgres -D {to}/data -R -c fast -X stream"));
        replica.start_again();
        watch(&replica.folder);
        replica
    }

    fn in_a_new_folder() -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let folder = place_of(&format!("campanile-own-{}-{number}", process::id()));
        if folder.exists() {
            // A process of this number may have died before it could remove its own.
            fs::remove_dir_all(&folder).expect("an old folder can be removed");
        }
        fs::create_dir_all(&folder).expect("the folder of the cluster can be made");
        let user = locked(&folder.join("users"), FlockOperation::LockShared);
        Self { folder, _user: user }
    }

    /// The URL of a database on it, for the user with this login (`name`, or `name:password`).
    #[must_use]
    pub fn url(&self, login: &str, database: &str) -> String {
        format!("postgres://{login}@{}/{database}", place_in_url(&self.folder))
    }

    /// Runs statements as its superuser.
    ///
    /// # Panics
    /// When it refuses.
    pub fn run(&self, database: &str, sql: &str) {
        let admin = self.admin(database);
        admin.run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The first column of each row, as text.
    ///
    /// # Panics
    /// When it refuses.
    #[must_use]
    pub fn texts(&self, database: &str, sql: &str) -> Vec<String> {
        let admin = self.admin(database);
        admin.texts(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Somebody on it who may keep transactions open; `login` as for [`TestServer::url`].
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn stranger(&self, login: &str, database: &str) -> Stranger {
        Stranger::at(&self.url(login, database))
    }

    fn admin(&self, database: &str) -> Admin {
        Admin::open(&self.url("postgres", database)).expect("the server answers")
    }

    /// Lets everybody but the superuser prove who they are with a password.
    ///
    /// # Panics
    /// When the server does not take it.
    pub fn demand_passwords(&self) {
        let rules = "local all,replication postgres trust\nlocal all all scram-sha-256\n";
        fs::write(self.folder.join("data/pg_hba.conf"), rules).expect("the cluster is ours");
        pg_ctl(&self.folder, "reload");
    }

    /// Lets it listen on an address of this machine that no other test has, and take nobody there but by TLS with a
    /// password, showing the certificate in the file `certificate`, whose key is in the file `key`. Returns the address.
    ///
    /// # Panics
    /// When the server does not take it.
    #[must_use]
    pub fn demand_tls(&self, certificate: &Path, key: &Path) -> Ipv4Addr {
        let data = self.folder.join("data");
        for (from, to) in [(certificate, "server.pem"), (key, "server.key")] {
            let to = data.join(to);
            fs::copy(from, &to).expect("the cluster is ours");
            give_away(&to);
        }
        let settings = "ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\n";
        let file = File::options().append(true).open(data.join("postgresql.conf"));
        file.and_then(|mut file| file.write_all(settings.as_bytes())).expect("the cluster is ours");
        self.listen("hostssl all all 127.0.0.0/8 scram-sha-256")
    }

    /// Lets it listen there without TLS, for everybody.
    ///
    /// # Panics
    /// When the server does not take it.
    #[must_use]
    pub fn listen_without_tls(&self) -> Ipv4Addr {
        self.listen("host all all 127.0.0.0/8 trust")
    }

    fn listen(&self, rule: &str) -> Ipv4Addr {
        let rules = format!("local all,replication postgres trust\n{rule}\n");
        fs::write(self.folder.join("data/pg_hba.conf"), rules).expect("the cluster is ours");
        let name = self.folder.as_os_str().as_encoded_bytes();
        let [.., a, b, c] = hash(name).to_be_bytes();
        // 127.0.0.1 is everybody's.
        let address = Ipv4Addr::new(127, a | 1, b, c | 1);
        self.crash();
        start_server(&self.folder, &format!("-c listen_addresses={address}"));
        address
    }

    /// Stops it as a crash would: nothing is finished, nobody is told.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn crash(&self) {
        pg_ctl(&self.folder, "-m immediate -w stop");
    }

    /// Starts it again on what it has; returns when it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&self) {
        start_server(&self.folder, "");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let runs = |folder: &Path| folder.join("data/postmaster.pid").exists();
        if runs(&self.folder) {
            self.crash();
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "a test's server could not be removed");
        }
    }
}
