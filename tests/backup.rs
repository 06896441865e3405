//! Backups of a server that is at work, and folders that are made of them.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::{CliRun, Client, Server, campanile, skip, wait_until};
use crate::small_disk::SmallDisk;

const WRITERS: usize = 8;

/// The disk of a backup that does not fit: room for a part of a fresh database.
const SMALL_BYTES: u64 = 256 << 10;

pub(crate) fn back_up(data: &Path, to: &Path, more: &[&str]) -> CliRun {
    let (data, to) = (data.to_str().unwrap(), to.to_str().unwrap());
    campanile(&[&["backup", "--data", data, "--to", to], more].concat())
}

pub(crate) fn restore(from: &Path, data: &Path) -> CliRun {
    campanile(&["restore", "--from", from.to_str().unwrap(), "--data", data.to_str().unwrap()])
}

fn install_handler(admin: &Client) {
    let row = json!({
        "name": "follows", "event_name": "t.saved", "active": "true",
        "script": "gs.eventQueue('t.follow', null, event.parm1, event.sys_id);",
    });
    admin.post("/api/now/table/sysevent_script_action", &row).result();
}

fn fire(client: &Client, body: &Value) -> Option<String> {
    let answer = client.post("/api/events", body);
    (answer.status == 202).then(|| answer.json()["result"]["sys_id"].as_str().unwrap().to_owned())
}

/// Runs `work` while eight writers fire. Returns what was acknowledged before it began, and how many while it ran.
fn under_load(server: &Server, work: impl FnOnce()) -> (Vec<String>, usize) {
    let stop = AtomicBool::new(false);
    let acknowledged: Mutex<Vec<String>> = Mutex::default();
    let count = || acknowledged.lock().unwrap().len();
    let mut before = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let client = server.admin();
                while !stop.load(Ordering::Relaxed) {
                    let body = json!({"name": "t.saved", "parm1": "x".repeat(500)});
                    let event = fire(&client, &body).expect("the server goes on");
                    acknowledged.lock().unwrap().push(event);
                }
            });
        }
        wait_until("the writers are at work", || count() >= 500);
        before = acknowledged.lock().unwrap().clone();
        work();
        stop.store(true, Ordering::Relaxed);
    });
    let all = count();
    (before.clone(), all - before.len())
}

fn integrity(file: &Path) -> String {
    let checked = std::process::Command::new("sqlite3")
        .arg(file)
        .arg("PRAGMA integrity_check")
        .output()
        .expect("sqlite3 is installed by scripts/setup");
    String::from_utf8_lossy(&checked.stdout).trim().to_owned()
}

#[test]
fn a_backup_of_a_server_under_load_holds_what_was_acknowledged_and_goes_on_where_it_stood() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("monday.db");
    let server = Server::start();
    let admin = server.admin();
    install_handler(&admin);
    // It has to be handled after the restore, not before the backup.
    let later = json!({"name": "t.saved", "parm1": "later", "process_on": "PT1H"});
    let later = fire(&admin, &later).unwrap();
    let mut told = Value::Null;
    let (before, meanwhile) = under_load(&server, || {
        let run = back_up(server.data(), &file, &["--json"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        told = serde_json::from_str(&run.stdout).unwrap();
    });
    assert!(meanwhile > 0, "nobody wrote while the backup ran: the test shows nothing");
    assert_eq!(told["bytes"].as_u64(), Some(std::fs::metadata(&file).unwrap().len()));
    assert_eq!(told["to"].as_str(), file.to_str());
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "it holds password hashes");
    assert!(server.stop());
    assert_eq!(integrity(&file), "ok");

    let data = folder.path().join("restored");
    let run = restore(&file, &data);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("campanile serve --data"), "{}", run.stdout);
    let restored = Server::start_on(&data, &[]);
    let admin = restored.admin();
    admin.wait_until_drained();
    let found = admin.rows("sysevent", "name=t.saved^parm1!=later", "sys_id,state,epoch,lapses");
    for event in &before {
        let of_it: Vec<&Value> =
            found.iter().filter(|row| row["sys_id"] == event.as_str()).collect();
        assert_eq!(of_it.len(), 1, "{event} is there {} times", of_it.len());
        assert_eq!(of_it[0]["state"], "processed", "{}", of_it[0]);
    }
    // What was done is not done again, and what waited is done: each event has one success and one follow-up.
    let found = u64::try_from(found.len()).unwrap();
    let runs = "handler_name=follows^outcome=succeeded";
    assert_eq!(admin.count("sysevent_handler_run", runs), found);
    assert_eq!(admin.count("sysevent", "name=t.follow"), found);
    assert_eq!(admin.count("sysevent", &format!("sys_id={later}^state=ready")), 1);
    let path = format!("/api/events/{later}/run-now");
    admin.post(&path, &json!({})).result();
    wait_until("the event that waited is handled", || {
        admin.count("sysevent", &format!("sys_id={later}^state=processed")) == 1
    });
    assert!(restored.stop());
    assert_eq!(integrity(&data.join("campanile.db")), "ok");
}

#[test]
fn a_folder_without_a_server_is_backed_up_and_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("copy.db"));
    let made = campanile(&["init", "--data", data.to_str().unwrap()]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let contents = || std::fs::read(data.join("campanile.db")).unwrap();
    let before = contents();
    let run = back_up(&data, &file, &[]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(run.stdout.contains("checked"), "{}", run.stdout);
    assert_eq!(contents(), before);
    assert!(!data.join("campanile.db-wal").exists(), "no log is left behind");
    let examined = campanile(&["doctor", "--data", data.to_str().unwrap()]);
    assert_eq!(examined.code, 0, "{}", examined.stdout);
}

#[test]
fn a_backup_that_finds_its_disk_full_leaves_nothing_and_the_server_goes_on() {
    let Some(disk) = SmallDisk::mounted(SMALL_BYTES) else {
        skip("a_backup_that_finds_its_disk_full_…", "this user may not mount a file system");
        return;
    };
    let server = Server::start();
    let file = disk.path().join("backup.db");
    let (_, meanwhile) = under_load(&server, || {
        let run = back_up(server.data(), &file, &[]);
        assert_eq!(run.code, 1, "{}", run.stderr);
        assert!(run.stderr.contains("backup.db") && run.stderr.contains("full"), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    });
    assert!(meanwhile > 0);
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0, "nothing is left behind");

    // A restore that does not fit leaves no database either.
    let whole = tempfile::tempdir().unwrap();
    let file = whole.path().join("backup.db");
    assert_eq!(back_up(server.data(), &file, &[]).code, 0);
    let data = disk.path().join("data");
    let run = restore(&file, &data);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("full"), "{}", run.stderr);
    let left: Vec<_> = std::fs::read_dir(&data).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["campanile.lock"]);
    disk.grow(64 << 20);
    assert_eq!(restore(&file, &data).code, 0);
    assert!(server.stop());
}
