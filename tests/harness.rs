//! Starts `campanile serve` on a folder of its own and talks to it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use campanile_store::testing::TestDatabase;
use serde_json::Value;

/// Password of `admin` in every test.
pub(crate) const ADMIN_PASSWORD: &str = "correct horse battery staple";

/// Longest a test waits for something that must come. Generous: it bounds a failure, it times nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_campanile")
}

/// Root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether this run of the tests is one on PostgreSQL.
pub(crate) fn on_postgres() -> bool {
    std::env::var_os("CAMPANILE_TEST_ENGINE").is_some_and(|engine| engine == "postgres")
}

/// A PostgreSQL database with the ITSM pack and nothing else.
pub(crate) fn itsm_database() -> TestDatabase {
    TestDatabase::create_filled(Path::new(binary()), "itsm", |url| {
        let made = campanile(&["init", "--pack", "itsm", "--database", url]);
        assert_eq!(made.code, 0, "{}", made.stderr);
    })
}

/// Notes that a test did not run, and why; `make test` prints the list.
pub(crate) fn skip(test: &str, reason: &str) {
    eprintln!("SKIPPED {test}: {reason}");
    if let Some(path) = std::env::var_os("CAMPANILE_TEST_SKIPS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{test}: {reason}").unwrap();
    }
}

/// The real incident log, when it is there: in the folder that `CAMPANILE_TEST_DATA` names, else beside the
/// repository.
pub(crate) fn incident_log() -> Option<PathBuf> {
    let folder = std::env::var_os("CAMPANILE_TEST_DATA")
        .map_or_else(|| root().join("../shared/data"), PathBuf::from);
    Some(folder.join("incident_event_log.csv")).filter(|path| path.is_file())
}

/// A running server. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
    data: PathBuf,
    /// What only this server uses. Goes after it.
    _own: Option<Own>,
}

/// Where a server keeps what it has, when nobody else is to have it.
enum Own {
    Folder { _folder: tempfile::TempDir },
    Database { _database: TestDatabase },
}

impl Server {
    /// A server with the ITSM pack and nothing else: on a fresh folder, or on a database of its own when this run of the
    /// tests is one on PostgreSQL (`CAMPANILE_TEST_ENGINE=postgres`).
    pub(crate) fn start() -> Self {
        let (mut server, own) = if on_postgres() {
            let database = itsm_database();
            (Self::start_on_database(database.url()), Own::Database { _database: database })
        } else {
            let folder = tempfile::tempdir().unwrap();
            (Self::start_on(&folder.path().join("data"), &[]), Own::Folder { _folder: folder })
        };
        server._own = Some(own);
        server
    }

    /// A server on `data`, which must outlive it.
    pub(crate) fn start_on(data: &Path, flags: &[&str]) -> Self {
        let folder = ["--data", data.to_str().unwrap()];
        let mut server = Self::start_with(&[&folder, flags].concat(), &[]);
        server.data = data.to_owned();
        server
    }

    /// A server on the PostgreSQL database at `url`, which must outlive it.
    pub(crate) fn start_on_database(url: &str) -> Self {
        Self::start_on_database_with(url, &[])
    }

    /// The same with more flags.
    pub(crate) fn start_on_database_with(url: &str, flags: &[&str]) -> Self {
        Self::start_with(&[&["--database", url], flags].concat(), &[])
    }

    /// One node of many on the database at `url`, with a lease of 3 s and a beat of 0.5 s.
    pub(crate) fn start_node(url: &str, name: &str) -> Self {
        Self::start_node_with(url, name, &[])
    }

    /// The same with more settings, as variables.
    pub(crate) fn start_node_with(url: &str, name: &str, settings: &[(&str, &str)]) -> Self {
        let usual = [
            ("CAMPANILE_NODE_NAME", name),
            ("CAMPANILE_NODE_LEASE_MS", "3000"),
            ("CAMPANILE_NODE_BEAT_MS", "500"),
        ];
        Self::start_with(&["--database", url], &[&usual, settings].concat())
    }

    /// One node of many with the shipped lease.
    pub(crate) fn start_shipped_node(url: &str, name: &str) -> Self {
        Self::start_with(&["--database", url], &[("CAMPANILE_NODE_NAME", name)])
    }

    fn start_with(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(flags)
            .env("CAMPANILE_ADMIN_PASSWORD", ADMIN_PASSWORD)
            .env("CAMPANILE_LOG_LEVEL", "warn")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            match lines.next() {
                Some(line) => {
                    let line = line.unwrap();
                    if let Some(url) = line.strip_prefix("campanile listens on ") {
                        break url.to_owned();
                    }
                }
                None => panic!("the server ended before it listened: {:?}", child.wait()),
            }
        };
        // Keep reading, so that the server never blocks on a full pipe.
        std::thread::Builder::new()
            .name("server-output".into())
            .spawn(move || lines.for_each(drop))
            .unwrap();
        Self { child, address, data: PathBuf::new(), _own: None }
    }

    /// `http://host:port`.
    pub(crate) fn url(&self) -> &str {
        &self.address
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// A client that logs in as `admin`.
    pub(crate) fn admin(&self) -> Client {
        self.client("admin", ADMIN_PASSWORD)
    }

    /// A client with these credentials.
    pub(crate) fn client(&self, user: &str, password: &str) -> Client {
        let token = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        Client {
            agent: ureq::Agent::config_builder()
                .http_status_as_error(false)
                .allow_non_standard_methods(true)
                .timeout_global(Some(PATIENCE))
                .build()
                .into(),
            url: self.address.clone(),
            authorization: Some(format!("Basic {token}")),
        }
    }

    /// A client without credentials.
    pub(crate) fn anonymous(&self) -> Client {
        Client { authorization: None, ..self.admin() }
    }

    /// SIGKILL, and wait until the process is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, for example `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success(), "the signal could not be sent");
    }

    /// Whether the process still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGTERM; returns whether the server ended with success.
    pub(crate) fn stop(mut self) -> bool {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success(), "the signal could not be sent");
        self.child.wait().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A caller of the HTTP API.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    url: String,
    authorization: Option<String>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The `result` member of a success; panics with the answer otherwise.
    pub(crate) fn result(&self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text);
        self.json()["result"].clone()
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Client {
    /// Any request; a transport that broke off is an `Err`.
    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Result<Answer, ureq::Error> {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let has_type = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if body.is_some() && !has_type {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = match body {
            Some(body) => self.agent.run(request.body(body.to_owned()).unwrap())?,
            None => self.agent.run(request.body(()).unwrap())?,
        };
        let text = response.body_mut().with_config().limit(1 << 30).read_to_string()?;
        Ok(Answer { status: response.status().as_u16(), headers: response.headers().clone(), text })
    }

    /// Any request; the server must answer.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        self.try_send(method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], Some(&body.to_string()))
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, &[], Some(&body.to_string()))
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None)
    }

    /// All rows of `table` that match an encoded query, with these fields.
    pub(crate) fn rows(&self, table: &str, query: &str, fields: &str) -> Vec<Value> {
        let path = format!(
            "/api/now/table/{table}?sysparm_limit=100000&sysparm_exclude_reference_link=true\
             &sysparm_fields={fields}&sysparm_query={}",
            encode(query)
        );
        self.get(&path).result().as_array().unwrap().clone()
    }

    /// Number of rows of `table` that match.
    pub(crate) fn count(&self, table: &str, query: &str) -> u64 {
        let path = format!(
            "/api/now/table/{table}?sysparm_limit=1&sysparm_fields=sys_id&sysparm_query={}",
            encode(query)
        );
        let answer = self.get(&path);
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.header("x-total-count").unwrap().parse().unwrap()
    }

    /// Waits until no event is waiting or claimed (future-dated ones do not count).
    pub(crate) fn wait_until_drained(&self) {
        wait_until("every due event is handled", || {
            self.count("sysevent", "stateINready,queued^scheduled=false") == 0
        });
    }
}

/// Waits until `true`; fails the test with `what` when that does not come.
pub(crate) fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_until_within(what, PATIENCE, condition);
}

/// The same, when the time is part of a promise.
pub(crate) fn wait_until_within(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> bool,
) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {patience:?} in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Percent-encoding for a query string.
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// A command line that ran to its end.
pub(crate) struct CliRun {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `campanile ARGS` with the administrator's password in the environment.
pub(crate) fn campanile(args: &[&str]) -> CliRun {
    campanile_with(args, &[])
}

/// The same with more variables.
pub(crate) fn campanile_with(args: &[&str], variables: &[(&str, &str)]) -> CliRun {
    let output = Command::new(binary())
        .args(args)
        .env("CAMPANILE_PASSWORD", ADMIN_PASSWORD)
        .env("CAMPANILE_ADMIN_PASSWORD", ADMIN_PASSWORD)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    CliRun {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
