//! The real PgBouncer in transaction mode, before the database of a test.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio_postgres::config::Host;

use super::programs::{install, owner, place_in_url};
use crate::postgres::reaches;

/// Names the program, where it is not the one of the machine.
const VARIABLE: &str = "CAMPANILE_TEST_PGBOUNCER";

/// The version from which it knows statements by their names.
const KNOWS_NAMES: (u32, u32) = (1, 21);

/// Longest that it may take to answer.
const START_MAX: Duration = Duration::from_secs(20);

static MADE: AtomicU64 = AtomicU64::new(0);

/// It, in a folder of its own. Killed and removed when it is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    child: Child,
    folder: PathBuf,
    url: String,
}

impl PgBouncer {
    /// Starts one before the database at `url`, with `settings` beside those that every test has, one a line. `None`
    /// where the program is not installed and we may not install it: that is noted as a skipped test.
    ///
    /// # Panics
    /// When it does not start: a test that needs it has failed.
    #[must_use]
    pub fn before(url: &str, settings: &str) -> Option<Self> {
        let Some(program) = program() else {
            note_skip();
            return None;
        };
        let config: tokio_postgres::Config = url.parse().expect("it is the URL of a database");
        let user = config.get_user().unwrap_or("postgres");
        let database = config.get_dbname().unwrap_or(user);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("campanile-pgbouncer-{}-{number}", process::id()));
        if folder.exists() {
            // A process of this number may have died before it could remove its own.
            fs::remove_dir_all(&folder).expect("an old folder can be removed");
        }
        fs::create_dir_all(&folder).expect("the folder of temporary files is writable");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("it is ours");
        let place = folder.display();
        let text = format!(
            "[databases]\n{database} = {}\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\n\
             unix_socket_dir = {place}\nlogfile = {place}/log\nauth_type = trust\nauth_file = {place}/users\n\
             pool_mode = transaction\n{settings}\n",
            server_of(&config),
        );
        let (ini, users) = (folder.join("ini"), folder.join("users"));
        fs::write(&ini, text).expect("the folder is ours");
        fs::write(&users, format!("\"{user}\" \"\"\n")).expect("the folder is ours");
        // It refuses to run as root, and is not to outlive this test.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some((owner, group)) = owner() {
            for path in [&folder, &ini, &users] {
                chown(path, Some(owner), Some(group)).expect("root gives the folder to postgres");
            }
            command.arg("--clear-groups");
            command.args([format!("--reuid={owner}"), format!("--regid={group}")]);
        }
        let child = command
            .arg(program)
            .args(["-q".as_ref(), ini.as_os_str()])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is 'setpriv'");
        let url = format!("postgres://{user}@{}:6432/{database}", place_in_url(&folder));
        let started = Self { child, folder, url };
        started.wait_until_it_answers();
        Some(started)
    }

    /// The database behind it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the one that is installed knows statements by their names, when `max_prepared_statements` is set.
    #[must_use]
    pub fn knows_names() -> bool {
        version().is_some_and(|version| version >= KNOWS_NAMES)
    }

    fn wait_until_it_answers(&self) {
        let began = Instant::now();
        while !reaches(&self.url) {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < START_MAX, "PgBouncer does not answer: {}", log());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "a test's pool could not be removed");
        }
    }
}

/// Notes that the tests of this run that need it did nothing; `make test` prints the list.
fn note_skip() {
    let line = "behind PgBouncer: it is not installed, and only root may install it\n";
    eprint!("SKIPPED {line}");
    let list = std::env::var_os("CAMPANILE_TEST_SKIPS");
    if let Some(list) = list {
        let file = fs::File::options().create(true).append(true).open(list);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list is writable");
    }
}

/// Where the server is, in PgBouncer's words.
fn server_of(config: &tokio_postgres::Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Unix(folder)) => folder.display().to_string(),
        Some(Host::Tcp(host)) => host.clone(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let password = config
        .get_password()
        .map(|password| format!(" password={}", String::from_utf8_lossy(password)));
    format!("host={host} port={port}{}", password.unwrap_or_default())
}

/// The program; it is installed first where there is none and we may.
fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = PROGRAM.get_or_init(|| {
        let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        named.or_else(installed).or_else(|| install("pgbouncer").then(installed).flatten())
    });
    found.as_deref()
}

fn installed() -> Option<PathBuf> {
    let places = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];
    places.into_iter().map(PathBuf::from).find(|path| path.exists())
}

fn version() -> Option<(u32, u32)> {
    let told = Command::new(program()?).arg("--version").output().ok()?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let mut numbers = told.lines().next()?.strip_prefix("PgBouncer ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
