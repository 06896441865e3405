//! What `backup` and `restore` refuse: in one line that names the thing, the place and the fix, with exit code 2.

use std::path::Path;

use crate::backup::{back_up, restore};
use crate::harness::{CliRun, Server, binary, campanile};

fn refused(run: &CliRun, words: &[&str]) {
    assert_eq!(run.code, 2, "{}{}", run.stdout, run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "'{word}' is missing in: {}", run.stderr);
    }
}

fn made(folder: &Path) -> std::path::PathBuf {
    let data = folder.join("data");
    assert_eq!(campanile(&["init", "--data", data.to_str().unwrap()]).code, 0);
    data
}

#[test]
fn a_backup_writes_over_nothing_that_it_was_not_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let data = made(folder.path());
    let file = folder.path().join("there.db");
    std::fs::write(&file, "precious").unwrap();
    refused(&back_up(&data, &file, &[]), &["there.db", "exists", "--force"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    assert_eq!(back_up(&data, &file, &["--force"]).code, 0);
    assert!(std::fs::read(&file).unwrap().starts_with(b"SQLite format 3"));

    let database = data.join("campanile.db");
    let before = std::fs::read(&database).unwrap();
    refused(&back_up(&data, &database, &["--force"]), &["campanile.db", "data folder", "--to"]);
    refused(&back_up(&data, &data.join("new.db"), &[]), &["new.db", "data folder"]);
    assert_eq!(std::fs::read(&database).unwrap(), before);

    refused(&back_up(&data, folder.path(), &["--force"]), &["it is a folder", "--to"]);
    let nowhere = folder.path().join("no/such/file.db");
    refused(&back_up(&data, &nowhere, &[]), &["no/such", "no such folder"]);
    refused(&back_up(&data, Path::new("/dev/null"), &["--force"]), &["/dev/null", "ordinary"]);
    let to = folder.path().join("new.db");
    refused(&back_up(&folder.path().join("empty"), &to, &[]), &["empty", "no database", "--data"]);
    assert!(!to.exists());
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["data", "there.db"]);
}

#[test]
fn a_database_on_postgres_is_not_backed_up_by_us() {
    let run = std::process::Command::new(binary())
        .args(["backup", "--to", "/nowhere/x.db"])
        .env("CAMPANILE_DATABASE", "postgres://u:geheim@h/c")
        .output()
        .unwrap();
    let told = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{told}");
    assert!(told.contains("pg_dump") && !told.contains("geheim"), "{told}");
}

#[test]
fn a_restore_refuses_a_folder_that_is_not_free() {
    let folder = tempfile::tempdir().unwrap();
    let data = made(folder.path());
    let file = folder.path().join("backup.db");
    assert_eq!(back_up(&data, &file, &[]).code, 0);
    refused(&restore(&file, &data), &["data", "has a database already", "--data"]);
    let server = Server::start_on(&data, &[]);
    refused(&restore(&file, &data), &["has a database already"]);
    assert!(server.stop());

    let strangers = folder.path().join("strangers");
    std::fs::create_dir(&strangers).unwrap();
    std::fs::write(strangers.join("letter.txt"), "x").unwrap();
    refused(&restore(&file, &strangers), &["letter.txt", "--data"]);
    // SQLite would play a log that lies there into the database beside it.
    let leftover = folder.path().join("leftover");
    std::fs::create_dir(&leftover).unwrap();
    std::fs::write(leftover.join("campanile.db-wal"), "x").unwrap();
    refused(&restore(&file, &leftover), &["campanile.db-wal", "remove it"]);

    // One that somebody is just starting on.
    let starting = folder.path().join("starting");
    std::fs::create_dir(&starting).unwrap();
    let lock = std::fs::File::create(starting.join("campanile.lock")).unwrap();
    lock.lock().unwrap();
    refused(&restore(&file, &starting), &["starting", "in use by another campanile"]);
    drop(lock);
    assert_eq!(restore(&file, &starting).code, 0);
}

#[test]
fn a_restore_refuses_what_is_no_whole_database_of_this_version_or_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = made(folder.path());
    let file = folder.path().join("backup.db");
    assert_eq!(back_up(&data, &file, &[]).code, 0);
    let target = folder.path().join("restored");
    let damaged = folder.path().join("damaged.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes[middle..middle + 4_096].fill(0xa5);
    std::fs::write(&damaged, &bytes).unwrap();
    refused(&restore(&damaged, &target), &["damaged.db", "is damaged", "last backup"]);
    let cut = folder.path().join("cut.db");
    std::fs::write(&cut, &std::fs::read(&file).unwrap()[..middle]).unwrap();
    refused(&restore(&cut, &target), &["cut.db", "is damaged"]);
    let letter = folder.path().join("letter.txt");
    std::fs::write(&letter, "Dear Sir or Madam").unwrap();
    refused(
        &restore(&letter, &target),
        &["letter.txt", "no Campanile database", "campanile backup"],
    );
    refused(&restore(&folder.path().join("none"), &target), &["none", "no such file", "--from"]);
    let server = Server::start_on(&data, &[]);
    let live = data.join("campanile.db");
    refused(&restore(&live, &target), &["campanile.db", "in use", "campanile backup"]);
    assert!(server.stop());
    let later = rusqlite::Connection::open(&file).unwrap();
    later
        .execute_batch("INSERT INTO campanile_migration (number, name) VALUES (999, 'later')")
        .unwrap();
    later.close().unwrap();
    refused(&restore(&file, &target), &["backup.db", "schema 999", "newer version"]);
    assert!(!target.exists(), "nothing was made");
    refused(&back_up(&newer(&data), &folder.path().join("x.db"), &[]), &["schema 999"]);
    assert!(!folder.path().join("x.db").exists());
}

/// The folder after a newer version had it.
fn newer(data: &Path) -> std::path::PathBuf {
    let connection = rusqlite::Connection::open(data.join("campanile.db")).unwrap();
    connection
        .execute_batch("INSERT INTO campanile_migration (number, name) VALUES (999, 'later')")
        .unwrap();
    data.to_owned()
}
