//! What SQLite's files promise beyond the contract: one server on a folder, no older program on a newer database,
//! tables that any SQL tool can read.

use std::sync::Arc;

use campanile_model::Record;
use campanile_store::{SqliteOptions, SqliteStore, Store, StoreError};
use rusqlite::Connection;

use crate::conformance::engine::{Bench, key};

fn open(folder: &std::path::Path) -> Result<Arc<SqliteStore>, StoreError> {
    SqliteStore::open(&SqliteOptions::new(folder))
}

/// Another program's connection.
fn tool(folder: &std::path::Path) -> Connection {
    Connection::open(folder.join("campanile.db")).unwrap()
}

#[test]
fn a_second_server_on_the_same_folder_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&folder.path().display().to_string()), "{text}");
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    first.close().unwrap();
    assert!(open(folder.path()).is_ok());
}

#[test]
fn of_twenty_that_open_at_once_one_gets_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let opened: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20).map(|_| scope.spawn(|| open(folder.path()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(opened.iter().filter(|store| store.is_ok()).count(), 1);
    let refused = opened.iter().filter_map(|store| store.as_ref().err());
    assert!(refused.clone().all(|e| matches!(e, StoreError::Locked { .. })), "{opened:?}");
}

#[test]
fn a_newer_database_is_refused_and_keeps_its_folder_free() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().close().unwrap();
    tool(folder.path())
        .execute("INSERT INTO campanile_migration (number, name) VALUES (999, 'future')", [])
        .unwrap();
    for _ in 0..2 {
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found: 999, .. }), "{error}");
    }
}

#[test]
fn a_file_that_is_no_database_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("campanile.db");
    let text = "this is a letter to somebody, and no database at all. ".repeat(100);
    std::fs::write(&file, &text).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("campanile.db"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn any_sql_tool_reads_a_class_as_a_table_with_its_own_columns() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::on(open(folder.path()).unwrap());
    let row = |class: &str, fields: &[(&str, &str)]| -> Record { bench.row(class, fields) };
    bench.insert(&[
        row(
            "incident",
            &[("sys_id", &key(1)), ("number", "INC1"), ("category", "net"), ("active", "1")],
        ),
        row(
            "problem",
            &[("sys_id", &key(2)), ("number", "PRB1"), ("known_error", "0"), ("cost", "2.50")],
        ),
    ]);
    let tool = tool(folder.path());
    let one = |sql: &str| -> String { tool.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(one("SELECT group_concat(number) FROM incident"), "INC1");
    assert_eq!(one("SELECT category FROM incident WHERE active"), "net");
    assert_eq!(one("SELECT typeof(cost) || cost FROM problem WHERE NOT known_error"), "real2.5");
    assert_eq!(
        one("SELECT group_concat(number, ' ') FROM (SELECT number FROM task ORDER BY 1)"),
        "INC1 PRB1"
    );
    let error = tool.query_row("SELECT known_error FROM incident", [], |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("no such column"), "{error}");
}
