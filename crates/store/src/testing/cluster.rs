//! A server for tests: the one that `CAMPANILE_TEST_POSTGRES` names, one on this machine, or one of our own.
//!
//! Our own is a throw-away cluster in memory, else in the folder of temporary files, one for each checkout. All test
//! processes of a run share it: each holds a lock on one of its files while it lives. A watchdog stops and removes the
//! cluster when nobody has held that lock for some seconds.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

use crate::postgres::reaches;

/// Names the server, as a URL whose user may create databases.
const VARIABLE: &str = "CAMPANILE_TEST_POSTGRES";

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
        let url = format!(
            "postgres://postgres@{}/postgres",
            folder.display().to_string().replace('/', "%2F")
        );
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
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |told| told.f_bavail * told.f_frsize);
    let in_memory = memory.join(&name);
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
    let bin = programs();
    let data = folder.join("data");
    // What a crash has left behind is of no use.
    if data.exists() {
        fs::remove_dir_all(&data).expect("an old cluster can be removed");
    }
    fs::create_dir(&data).expect("the folder of the cluster can be made");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("it is ours");
    let owner = owner();
    if let Some((user, group)) = owner {
        for path in [folder, &data] {
            chown(path, Some(user), Some(group)).expect("root gives the folder to postgres");
        }
    }
    let place = folder.display();
    let data = data.display();
    run(
        &bin.join("initdb"),
        &format!("-D {data} -U postgres -E UTF8 --locale=C -A trust --no-sync"),
        owner.is_some(),
    );
    let options = format!(
        "-c listen_addresses='' -c unix_socket_directories={place} -c fsync=off -c full_page_writes=off \
         -c max_connections=400 -c shared_buffers=64MB"
    );
    let start = format!("-D {data} -l {place}/server.log -w -t 60 -o \"{options}\" start");
    run(&bin.join("pg_ctl"), &start, owner.is_some());
    watch(folder, &bin, owner.is_some());
}

/// PostgreSQL refuses to run as root: then everything is done as `postgres`, whose numbers these are.
fn owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let number = |flag: &str| -> u32 {
        let told = Command::new("id").args([flag, "postgres"]).output().expect("there is 'id'");
        String::from_utf8_lossy(&told.stdout)
            .trim()
            .parse()
            .expect("there is a user 'postgres' (the package postgresql makes it)")
    };
    Some((number("-u"), number("-g")))
}

fn run(program: &Path, arguments: &str, as_postgres: bool) {
    let line = command(program, arguments, as_postgres);
    let status = Command::new("sh")
        .args(["-c", &line])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("there is a shell");
    assert!(status.success(), "failed: {line}");
}

fn command(program: &Path, arguments: &str, as_postgres: bool) -> String {
    let before = if as_postgres { "runuser -u postgres -- " } else { "" };
    format!("{before}{} {arguments}", program.display())
}

/// Starts the watchdog, which outlives this process.
fn watch(folder: &Path, bin: &Path, as_postgres: bool) {
    let place = folder.display();
    let stop =
        command(&bin.join("pg_ctl"), &format!("-D {place}/data -m immediate -w stop"), as_postgres);
    let script = format!(
        "quiet=0; while :; do sleep 1; \
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

/// The folder of the newest server programs; they are installed first where there are none and we may.
fn programs() -> PathBuf {
    installed().or_else(install).unwrap_or_else(|| {
        panic!(
            "there is no PostgreSQL to test with: install the package postgresql, or name a server \
             with {VARIABLE}"
        )
    })
}

fn installed() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    let named = || {
        let told = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8_lossy(&told.stdout).trim()))
    };
    newest.or_else(named).filter(|bin| bin.join("initdb").exists())
}

/// Debian's package, which root may install.
fn install() -> Option<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let line = "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y \
                --no-install-recommends postgresql";
    let status = Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok()?;
    status.success().then(installed).flatten()
}
