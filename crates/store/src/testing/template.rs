//! Databases that others are copied from: filled once, by whichever process comes first.
//!
//! To copy one takes 20 ms; to make the tables and rows of the engine takes a second.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use rustix::fs::FlockOperation;

use super::cluster::{Server, hash, locked};
use crate::postgres::{Admin, schema_hash};

/// What all names of templates begin with.
const PREFIX: &str = "campanile_template";

/// The name of the template with the newest schema and no rows.
pub(super) fn with_schema(server: &Server) -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = format!("{PREFIX}_{:016x}", schema_hash());
        once(server, &name, |half| {
            let admin = Admin::open(&server.url).expect("the server answers");
            admin.run(&format!("CREATE DATABASE {half}")).expect("the user may create databases");
            let made = Admin::open(&server.url_of(half)).expect("the new one answers");
            made.migrate().expect("the migrations run");
        });
        name
    })
}

/// The name of the template that `fill` has filled, for this build of `program`.
pub(super) fn filled(
    server: &Server,
    program: &Path,
    name: &str,
    fill: impl FnOnce(&str),
) -> String {
    let (program, build) = build_of(program);
    let name = format!("{PREFIX}_{program:08x}_{build:08x}_{name}");
    let with_schema = with_schema(server);
    once(server, &name, |half| {
        let admin = Admin::open(&server.url).expect("the server answers");
        admin
            .run(&format!("CREATE DATABASE {half} TEMPLATE {with_schema}"))
            .expect("the user may create databases");
        drop_other_builds(&admin, program, build);
        drop(admin);
        fill(&server.url_of(half));
    });
    name
}

/// Has `make` make a database, unless there is one called `name`. It stands under another name until it is whole.
fn once(server: &Server, name: &str, make: impl FnOnce(&str)) {
    let _guard = locked(&server.lock_file, FlockOperation::LockExclusive);
    let admin = Admin::open(&server.url).expect("the server answers");
    let found = admin
        .texts(&format!("SELECT datname::text FROM pg_database WHERE datname = '{name}'"))
        .expect("the server lists its databases");
    if !found.is_empty() {
        return;
    }
    let half = format!("{name}_half");
    admin.run(&format!("DROP DATABASE IF EXISTS {half} WITH (FORCE)")).expect("it is ours");
    make(&half);
    // Its connections may take a moment to end; the server waits for that some seconds.
    let rename = format!("ALTER DATABASE {half} RENAME TO {name}");
    admin.run(&rename).expect("what filled the template has ended its connections");
}

/// What earlier builds of this program filled is of no use any more. What cannot be dropped is in use: it stays.
fn drop_other_builds(admin: &Admin, program: u32, build: u32) {
    let of_program = format!("{PREFIX}_{program:08x}_");
    let of_build = format!("{of_program}{build:08x}_");
    let listed = format!(
        "SELECT datname::text FROM pg_database \
         WHERE starts_with(datname, '{of_program}') AND NOT starts_with(datname, '{of_build}')"
    );
    for old in admin.texts(&listed).expect("the server lists its databases") {
        if let Err(error) = admin.run(&format!("DROP DATABASE IF EXISTS {old}")) {
            tracing::debug!(%error, old, "an old template is still in use");
        }
    }
}

/// A number for the program, and one for its build.
fn build_of(program: &Path) -> (u32, u32) {
    let file = fs::metadata(program).expect("the file of the program is there");
    let written = file.modified().expect("files have times").duration_since(UNIX_EPOCH);
    let build = format!("{} {:?}", file.len(), written.expect("it was built lately"));
    (short(hash(program.as_os_str().as_encoded_bytes())), short(hash(build.as_bytes())))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "half of a hash is enough to tell builds apart"
)]
fn short(hash: u64) -> u32 {
    hash as u32
}
