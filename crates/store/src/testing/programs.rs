//! PostgreSQL's own programs on this machine.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::cluster::VARIABLE;

/// PostgreSQL refuses to run as root: then everything is done as `postgres`, whose numbers these are.
pub(super) fn owner() -> Option<(u32, u32)> {
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

/// Runs a program of PostgreSQL.
///
/// # Panics
/// When it fails.
pub(super) fn run(program: &str, arguments: &str) {
    let line = command(program, arguments);
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

/// The line for a shell that runs a program of PostgreSQL.
pub(super) fn command(program: &str, arguments: &str) -> String {
    let before = if owner().is_some() { "runuser -u postgres -- " } else { "" };
    format!("{before}{} {arguments}", programs().join(program).display())
}

/// Has `pg_ctl` do something to the cluster in `folder`.
pub(super) fn pg_ctl(folder: &Path, arguments: &str) {
    run("pg_ctl", &format!("-D {}/data {arguments}", folder.display()));
}

/// How a socket in `folder` is written as the host of a URL.
pub(super) fn place_in_url(folder: &Path) -> String {
    folder.display().to_string().replace('/', "%2F")
}

/// Makes the files of a new cluster in `folder`; what a crash has left behind there is of no use.
pub(super) fn make_cluster(folder: &Path) {
    own_folder(folder);
    let data = folder.join("data").display().to_string();
    run("initdb", &format!("-D {data} -U postgres -E UTF8 --locale=C -A trust --no-sync"));
}

/// An empty folder `data` in `folder`, both of whoever runs the server.
pub(super) fn own_folder(folder: &Path) {
    let data = folder.join("data");
    if data.exists() {
        fs::remove_dir_all(&data).expect("an old cluster can be removed");
    }
    fs::create_dir(&data).expect("the folder of the cluster can be made");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("it is ours");
    if let Some((user, group)) = owner() {
        for path in [folder, &data] {
            chown(path, Some(user), Some(group)).expect("root gives the folder to postgres");
        }
    }
}

/// Gives a file to whoever runs the server, and to nobody else.
pub(super) fn give_away(file: &Path) {
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("it is ours");
    if let Some((user, group)) = owner() {
        chown(file, Some(user), Some(group)).expect("root gives the file to postgres");
    }
}

/// The folder of the newest server programs; they are installed first where there are none and we may.
fn programs() -> PathBuf {
    installed().or_else(|| install("postgresql").then(installed).flatten()).unwrap_or_else(|| {
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

/// Installs a package of Debian, which root may: one process after the other. Returns whether it is there.
pub(super) fn install(package: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    let lock = std::env::temp_dir().join("campanile-install.lock");
    let line = format!(
        "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y \
         --no-install-recommends {package}"
    );
    Command::new("flock")
        .arg(lock)
        .args(["sh", "-c", &line])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
