//! A server for tests: the one that `CAMPANILE_TEST_POSTGRES` names, one on this machine, or one of our own.
//!
//! Our own is a throw-away cluster in memory, else in the folder of temporary files, one for each checkout. All test
//! processes of a run share it: each holds a lock on one of its files while it lives. A watchdog stops and removes the
//! cluster when nobody has held that lock for some seconds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

use super::programs::{command, make_cluster, pg_ctl, place_in_url};
use crate::postgres::reaches;

/// Names the server, as a URL whose user may create databases.
pub(super) const VARIABLE: &str = "CAMPANILE_TEST_POSTGRES";

/// Servers that may be running here.
const LOCAL: [&str; 2] = [
    "postgres://postgres@%2Fvar%2Frun%2Fpostgresql/postgres",
    "postgres://postgres@localhost/postgres",
];

/// Bytes that must be free in memory for a cluster to be kept there.
const MEMORY_MIN: u64 = 4 << 30;

/// Seconds without a user after which the cluster goes.
const QUIET_SECONDS: u32 = 20;

/// A server that answers. Dropping it is how a process says that it no longer needs one.
#[derive(Debug)]
pub(super) struct Server {
    /// Of its database `postgres`.
    pub(super) url: String,
    /// Held for whoever prepares something that all processes share.
    pub(super) lock_file: PathBuf,
    /// Locked while this process uses the cluster.
    _user: Option<File>,
}

impl Server {
    /// Finds one, else starts one.
    ///
    /// # Panics
    /// When there is none and none can be started: a test that needs one has failed.
    pub(super) fn find() -> Self {
        let folder = folder();
        fs::create_dir_all(&folder).expect("the folder of temporary files is writable");
        let lock_file = folder.join("lock");
        #[expect(clippy::disallowed_methods, reason = "tests have no settings")]
        let named = std::env::var(VARIABLE).ok().filter(|url| !url.is_empty());
        if let Some(url) = named {
            assert!(reaches(&url), "the server that {VARIABLE} names does not answer");
            return Self { url, lock_file, _user: None };
        }
        if let Some(url) = LOCAL.into_iter().find(|url| reaches(url)) {
            return Self { url: url.to_owned(), lock_file, _user: None };
        }
        let _guard = locked(&lock_file, FlockOperation::LockExclusive);
        let user = locked(&folder.join("users"), FlockOperation::LockShared);
        let url = format!("postgres://postgres@{}/postgres", place_in_url(&folder));
        if !reaches(&url) {
            start(&folder);
            assert!(reaches(&url), "the cluster in {} does not answer", folder.display());
        }
        Self { url, lock_file, _user: Some(user) }
    }

    /// The URL of another database.
    pub(super) fn url_of(&self, database: &str) -> String {
        let (head, options) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let host_end = head.rfind('/').unwrap_or(head.len());
        let question = if options.is_empty() { "" } else { "?" };
        format!("{}/{database}{question}{options}", &head[..host_end])
    }
}

/// `file`, locked until it is dropped.
pub(super) fn locked(file: &Path, how: FlockOperation) -> File {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(file)
        .expect("the lock file can be opened");
    flock(&file, how).expect("the lock file can be locked");
    file
}

/// One for each checkout, with a name that is short enough for a socket; in memory where there is room.
fn folder() -> PathBuf {
    let name = format!("campanile-postgres-{:016x}", hash(env!("CARGO_MANIFEST_DIR").as_bytes()));
    place_of(&name)
}

/// Where a folder of this name is, or is to be made.
pub(super) fn place_of(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |told| told.f_bavail * told.f_frsize);
    let in_memory = memory.join(name);
    // One that runs there stays there, however full the memory is meanwhile.
    if room >= MEMORY_MIN || in_memory.join("data").exists() {
        in_memory
    } else {
        std::env::temp_dir().join(name)
    }
}

/// FNV-1a.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn start(folder: &Path) {
    make_cluster(folder);
    let options = "-c fsync=off -c full_page_writes=off -c max_connections=400 -c shared_buffers=64MB \
                   -c max_wal_size=256MB";
    start_server(folder, options);
    watch(folder);
}

/// Starts the server of the cluster in `folder`; it listens on a socket in that folder.
pub(super) fn start_server(folder: &Path, options: &str) {
    let place = folder.display();
    pg_ctl(
        folder,
        &format!(
            "-l {place}/server.log -w -t 60 \
             -o \"-c listen_addresses='' -c unix_socket_directories={place} {options}\" start"
        ),
    );
}

/// Starts the watchdog, which outlives this process.
pub(super) fn watch(folder: &Path) {
    let place = folder.display();
    let stop = command("pg_ctl", &format!("-D {place}/data -m immediate -w stop"));
    let script = format!(
        "quiet=0; while [ -d {place} ]; do sleep 1; \
         if flock -n -x {place}/users true; then quiet=$((quiet + 1)); else quiet=0; fi; \
         if [ $quiet -ge {QUIET_SECONDS} ]; then \
         if flock -x {place}/lock sh -c 'flock -n -x {place}/users true && {{ {stop}; rm -rf {place}/data; }}'; \
         then exit; fi; quiet=0; fi; done"
    );
    // Forked off: the shell that starts it ends at once.
    let status = Command::new("setsid")
        .args(["--fork", "sh", "-c", &script])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("there is 'setsid'");
    assert!(status.success(), "the watchdog of the cluster did not start");
}
