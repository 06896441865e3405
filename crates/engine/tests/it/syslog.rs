//! The system log.

use std::sync::Arc;

use campanile_engine::records::syslog::{Level, LogEntry, flush, write};

use crate::house::House;

#[test]
fn lines_are_kept_with_their_level_and_in_their_order() {
    let house = House::new();
    for (level, text) in
        [(Level::Debug, "a"), (Level::Info, "b"), (Level::Warning, "c"), (Level::Error, "d")]
    {
        write(&house.engine, LogEntry::of_product(level, "test", text));
    }
    flush(&house.engine);
    let rows = house.rows("syslog", &[("source", "test")]);
    let lines: Vec<_> = rows.iter().map(|row| (row.text("level"), row.text("message"))).collect();
    assert_eq!(lines, [("-1", "a"), ("0", "b"), ("1", "c"), ("2", "d")]);
    assert_eq!(rows[0].text("sys_created_on"), "2026-03-02 08:00:00");
    assert_eq!(rows[0].text("sys_created_by"), "system");
}

#[test]
fn a_line_outlives_the_transaction_that_it_was_written_in() {
    let house = House::new();
    let tx = Arc::clone(house.engine.store()).write().unwrap();
    write(&house.engine, LogEntry::of_product(Level::Info, "test", "kept"));
    drop(tx);
    flush(&house.engine);
    assert_eq!(house.rows("syslog", &[("message", "kept")]).len(), 1);
}

#[test]
fn whoever_holds_the_writer_never_waits_for_the_log() {
    let house = House::new();
    let tx = Arc::clone(house.engine.store()).write().unwrap();
    for i in 0..30_000 {
        write(&house.engine, LogEntry::of_product(Level::Info, "flood", i.to_string()));
    }
    drop(tx);
    flush(&house.engine);
    let rows = house.rows("syslog", &[("source", "flood")]);
    assert!(rows.len() >= 20_000, "{}", rows.len());
    write(&house.engine, LogEntry::of_product(Level::Info, "test", "after"));
    flush(&house.engine);
    let noted = house.rows("syslog", &[("source", "syslog")]);
    assert!(noted.iter().any(|row| row.text("message").contains("were dropped")));
}

#[test]
fn lines_that_wait_are_written_at_the_stop() {
    let house = House::new();
    write(&house.engine, LogEntry::of_product(Level::Info, "test", "last words"));
    let house = house.restart();
    assert_eq!(house.rows("syslog", &[("message", "last words")]).len(), 1);
}
