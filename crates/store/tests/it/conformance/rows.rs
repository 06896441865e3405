//! The committed row that may come from memory: it is never another than the one in the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use campanile_model::{Record, TableDef};

use super::engine::{Bench, Engine, key};

/// The row by [`campanile_store::Store::row`], asked for twice: the second time it may be at hand.
fn row(bench: &Bench, table: &str, sys_id: &str) -> Option<Record> {
    let ask = || bench.store.row(bench.table(table), sys_id).unwrap();
    let (first, second) = (ask(), ask());
    assert_eq!(first.as_ref().map(Record::values), second.as_ref().map(Record::values));
    first
}

fn text(bench: &Bench, table: &str, sys_id: &str, field: &str) -> Option<String> {
    row(bench, table, sys_id).map(|row| row.text(field).to_owned())
}

/// Writes fields of a row in a transaction that commits.
fn update(bench: &Bench, table: &str, sys_id: &str, fields: &[(&str, &str)]) {
    let record = bench.row(table, &[&[("sys_id", sys_id)], fields].concat());
    let changed: Vec<_> =
        fields.iter().map(|(name, _)| record.table().index(name).unwrap()).collect();
    bench.in_tx(|tx| {
        assert!(tx.update(&record, &changed)?);
        Ok(())
    });
}

pub(crate) fn a_commit_is_seen_by_whoever_asks_next(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    assert!(row(&bench, "task", &key(1)).is_none());
    bench.insert(&[bench.row("task", &[("sys_id", &key(1)), ("state", "1")])]);
    assert_eq!(text(&bench, "task", &key(1), "state").as_deref(), Some("1"));
    for state in ["2", "3", ""] {
        update(&bench, "task", &key(1), &[("state", state)]);
        assert_eq!(text(&bench, "task", &key(1), "state").as_deref(), Some(state));
        assert_eq!(text(&bench, "task", &key(1), "number").as_deref(), Some(""));
    }
    bench.in_tx(|tx| tx.delete(bench.table("task"), &key(1)).map(|deleted| assert!(deleted)));
    assert!(row(&bench, "task", &key(1)).is_none());
}

pub(crate) fn only_the_fields_that_were_written_change(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let full = [("sys_id", &*key(1)), ("number", "TASK1"), ("state", "1"), ("priority", "4")];
    bench.insert(&[bench.row("task", &full)]);
    assert_eq!(text(&bench, "task", &key(1), "number").as_deref(), Some("TASK1"));
    // The record of the update has no number and another priority.
    let record = bench.row("task", &[("sys_id", &key(1)), ("state", "2"), ("priority", "1")]);
    let state = record.table().index("state").unwrap();
    bench.in_tx(|tx| tx.update(&record, &[state]).map(|found| assert!(found)));
    let now = row(&bench, "task", &key(1)).unwrap();
    assert_eq!((now.text("number"), now.text("state"), now.text("priority")), ("TASK1", "2", "4"));
    assert_eq!(now.values(), bench.get("task", &key(1)).unwrap().values());
}

pub(crate) fn a_written_value_reads_as_the_database_gives_it_back(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.insert(&[bench.row("task", &[("sys_id", &key(1))])]);
    bench.insert(&[bench.row("thing", &[("sys_id", &key(2))])]);
    assert!(row(&bench, "task", &key(1)).is_some() && row(&bench, "thing", &key(2)).is_some());
    let of_task = [("cost", "12.5"), ("active", "true"), ("priority", "5.00"), ("state", "07")];
    update(&bench, "task", &key(1), &of_task);
    let of_thing = [("at", "2026-03-01 08:00:00"), ("ratio", "0.12345678"), ("label", " ä ")];
    update(&bench, "thing", &key(2), &of_thing);
    for (table, sys_id) in [("task", key(1)), ("thing", key(2))] {
        let (at_hand, read) = (row(&bench, table, &sys_id), bench.get(table, &sys_id));
        assert_eq!(at_hand.unwrap().values(), read.unwrap().values(), "{table}");
    }
    assert_eq!(text(&bench, "task", &key(1), "cost").as_deref(), Some("12.50"));
}

pub(crate) fn what_is_not_committed_is_nobody_elses(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.insert(&[bench.row("task", &[("sys_id", &key(1)), ("state", "1")])]);
    assert_eq!(text(&bench, "task", &key(1), "state").as_deref(), Some("1"));
    let record = bench.row("task", &[("sys_id", &key(1)), ("state", "2")]);
    let state = [record.table().index("state").unwrap()];
    let mut tx = bench.write();
    assert_eq!(tx.get(bench.table("task"), &key(1)).unwrap().unwrap().text("state"), "1");
    assert!(tx.update(&record, &state).unwrap());
    assert_eq!(tx.get(bench.table("task"), &key(1)).unwrap().unwrap().text("state"), "2");
    assert_eq!(text(&bench, "task", &key(1), "state").as_deref(), Some("1"));
    drop(tx);
    assert_eq!(text(&bench, "task", &key(1), "state").as_deref(), Some("1"));
    let mut tx = bench.write();
    assert_eq!(tx.get(bench.table("task"), &key(1)).unwrap().unwrap().text("state"), "1");
    let undone = tx.savepoint().unwrap();
    assert!(tx.update(&record, &state).unwrap());
    tx.rollback_to(undone).unwrap();
    assert_eq!(tx.get(bench.table("task"), &key(1)).unwrap().unwrap().text("state"), "1");
    tx.commit().unwrap();
    assert_eq!(text(&bench, "task", &key(1), "state").as_deref(), Some("1"));
}

pub(crate) fn an_update_that_was_refused_changes_nothing(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.insert(&[
        bench.row("thing", &[("sys_id", &key(1)), ("code", "a")]),
        bench.row("thing", &[("sys_id", &key(2)), ("code", "b")]),
    ]);
    assert_eq!(text(&bench, "thing", &key(2), "code").as_deref(), Some("b"));
    let record = bench.row("thing", &[("sys_id", &key(2)), ("code", "a"), ("label", "new")]);
    let changed = ["code", "label"].map(|name| record.table().index(name).unwrap());
    bench.in_tx(|tx| {
        assert!(tx.update(&record, &changed).is_err());
        Ok(())
    });
    let now = row(&bench, "thing", &key(2)).unwrap();
    assert_eq!((now.text("code"), now.text("label")), ("b", ""));
}

pub(crate) fn several_writes_of_one_row_end_in_the_last(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.insert(&[bench.row("task", &[("sys_id", &key(1)), ("state", "1")])]);
    assert!(row(&bench, "task", &key(1)).is_some());
    let write = |tx: &mut dyn campanile_store::WriteTx, field: &str, value: &str| {
        let record = bench.row("task", &[("sys_id", &key(1)), (field, value)]);
        assert!(tx.update(&record, &[record.table().index(field).unwrap()]).unwrap());
    };
    let mut tx = bench.write();
    write(&mut *tx, "state", "2");
    write(&mut *tx, "priority", "3");
    write(&mut *tx, "state", "4");
    tx.commit().unwrap();
    let now = row(&bench, "task", &key(1)).unwrap();
    assert_eq!((now.text("state"), now.text("priority")), ("4", "3"));
    // Deleted and made anew in one transaction.
    let mut tx = bench.write();
    write(&mut *tx, "state", "5");
    assert!(tx.delete(bench.table("task"), &key(1)).unwrap());
    tx.insert(&bench.row("task", &[("sys_id", &key(1)), ("state", "9")])).unwrap();
    tx.commit().unwrap();
    let now = row(&bench, "task", &key(1)).unwrap();
    assert_eq!((now.text("state"), now.text("priority")), ("9", ""));
}

pub(crate) fn a_row_is_the_same_from_each_of_its_classes_and_in_any_spelling(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let key = "ABCDEF00000000000000000000000001";
    bench.insert(&[bench.row("incident", &[("sys_id", key), ("state", "1"), ("category", "a")])]);
    for table in ["task", "incident"] {
        assert_eq!(text(&bench, table, key, "state").as_deref(), Some("1"));
    }
    assert!(row(&bench, "problem", key).is_none());
    update(&bench, "incident", &key.to_ascii_lowercase(), &[("state", "2"), ("category", "b")]);
    assert_eq!(text(&bench, "task", key, "state").as_deref(), Some("2"));
    assert_eq!(text(&bench, "incident", key, "category").as_deref(), Some("b"));
    update(&bench, "task", key, &[("state", "3")]);
    assert_eq!(text(&bench, "incident", key, "state").as_deref(), Some("3"));
    // It becomes a problem.
    update(&bench, "task", key, &[("sys_class_name", "problem")]);
    assert!(row(&bench, "incident", key).is_none());
    assert_eq!(text(&bench, "problem", key, "sys_class_name").as_deref(), Some("problem"));
}

pub(crate) fn a_row_has_the_fields_that_were_asked_for(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let of_task = [("number", "TASK1"), ("state", "7"), ("active", "true"), ("cost", "12.5")];
    let of_thing = [("label", "a"), ("at", "2026-03-01 08:00:00"), ("ratio", "0.5"), ("big", "9")];
    bench.insert(&[
        bench.row("incident", &[&[("sys_id", &*key(1)), ("category", "c")], &of_task[..]].concat()),
        bench.row("thing", &[&[("sys_id", &*key(2))], &of_thing[..]].concat()),
    ]);
    for (table, sys_id) in [("task", key(1)), ("incident", key(1)), ("thing", key(2))] {
        let table = bench.table(table);
        let asked =
            |fields: &[usize]| bench.store.row_with(table, &sys_id, fields).unwrap().unwrap();
        let fields: Vec<usize> = (0..table.fields.len()).collect();
        // In parts first: what was read of a row must not be all of it for whoever asks next.
        for some in (1..=4).flat_map(|count| fields.windows(count)) {
            let part = asked(some);
            let whole = bench.store.row(table, &sys_id).unwrap().unwrap();
            for field in some {
                assert_eq!(part.at(*field), whole.at(*field), "{}", table.fields[*field].name);
            }
        }
        let whole = bench.store.row(table, &sys_id).unwrap().unwrap();
        assert_eq!(asked(&fields).values(), whole.values());
        let turned: Vec<usize> = fields.into_iter().rev().collect();
        assert_eq!(asked(&turned).values(), whole.values(), "in any order");
        asked(&[]);
    }
    let state = [bench.table("task").index("state").unwrap()];
    for (table, sys_id) in [("problem", key(1)), ("task", key(2))] {
        assert!(bench.store.row_with(bench.table(table), &sys_id, &state).unwrap().is_none());
    }
}

pub(crate) fn of_many_that_ask_at_once_each_gets_its_own_row(engine: &dyn Engine) {
    const ASKING: usize = 24;
    const ROWS: usize = 60;
    let bench = Bench::new(engine);
    let tables = ["incident", "problem", "thing"];
    let kept = |number: usize| format!("AB{number:030x}");
    let rows: Vec<_> = (0..ROWS)
        .map(|n| {
            let field = if n % 3 == 2 { "label" } else { "state" };
            bench.row(tables[n % 3], &[("sys_id", &kept(n)), (field, &n.to_string())])
        })
        .collect();
    bench.insert(&rows);
    thread::scope(|scope| {
        for first in 0..ASKING {
            let (bench, kept) = (&bench, &kept);
            scope.spawn(move || {
                for n in (first..first + ROWS).map(|n| n % ROWS) {
                    let key = if first % 2 == 0 { kept(n) } else { kept(n).to_ascii_lowercase() };
                    let row = |table| bench.store.row(bench.table(table), &key).unwrap();
                    let field = if n % 3 == 2 { "label" } else { "state" };
                    let found = row(tables[n % 3]).unwrap();
                    assert_eq!(
                        (found.text("sys_id"), found.text(field)),
                        (&*kept(n), &*n.to_string())
                    );
                    assert!(row(tables[(n + 1) % 3]).is_none(), "it is a row of another table");
                }
            });
        }
    });
}

pub(crate) fn of_many_that_ask_for_different_fields_at_once_each_gets_its_own(engine: &dyn Engine) {
    const ASKING: usize = 24;
    const ROWS: usize = 60;
    let bench = Bench::new(engine);
    let kept = |number: usize| format!("AB{number:030x}");
    let rows: Vec<_> = (0..ROWS)
        .map(|n| {
            let (number, state) = (format!("INC{n}"), n.to_string());
            bench.row(
                "incident",
                &[("sys_id", &kept(n)), ("number", &number), ("state", &state), ("category", "c")],
            )
        })
        .collect();
    bench.insert(&rows);
    let table = bench.table("incident");
    let fields = ["number", "state", "category"].map(|name| table.index(name).unwrap());
    thread::scope(|scope| {
        for asking in 0..ASKING {
            let (bench, rows, kept) = (&bench, &rows, &kept);
            scope.spawn(move || {
                for n in (asking..asking + ROWS).map(|n| n % ROWS) {
                    // The key is not among them.
                    let wanted = [&fields[..], &fields[..1], &fields[1..]][asking % 3];
                    let found = match asking % 4 {
                        0 => bench.store.row(table, &kept(n)),
                        1 => bench.store.row_with(table, &kept(n).to_ascii_lowercase(), wanted),
                        _ => bench.store.row_with(table, &kept(n), wanted),
                    };
                    let found = found.unwrap().unwrap();
                    for field in wanted {
                        assert_eq!(found.at(*field), rows[n].at(*field));
                    }
                    if asking % 4 == 0 {
                        assert_eq!(found.text("sys_id"), kept(n), "it is the whole row");
                    }
                    let gone = bench.store.row_with(table, &key(n), wanted).unwrap();
                    assert!(gone.is_none());
                }
            });
        }
    });
}

pub(crate) fn one_transaction_may_write_a_row_as_two_of_its_classes(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    for (first, second) in [("task", "incident"), ("incident", "task")] {
        let key = if first == "task" { key(1) } else { key(2) };
        bench.insert(&[bench.row("incident", &[("sys_id", &key), ("category", "a")])]);
        for table in ["task", "incident"] {
            assert!(row(&bench, table, &key).is_some(), "both are at hand");
        }
        let mut tx = bench.write();
        for class in [first, second] {
            let field = if class == "task" { "state" } else { "category" };
            let record = bench.row(class, &[("sys_id", &key), (field, "7")]);
            assert!(tx.update(&record, &[record.table().index(field).unwrap()]).unwrap());
        }
        tx.commit().unwrap();
        for table in ["task", "incident"] {
            let now = row(&bench, table, &key).unwrap();
            assert_eq!((now.text("state"), now.text("sys_class_name")), ("7", "incident"));
        }
        assert_eq!(text(&bench, "incident", &key, "category").as_deref(), Some("7"));
    }
}

pub(crate) fn a_table_that_got_another_definition_is_read_by_it(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.insert(&[bench.row("task", &[("sys_id", &key(1)), ("cost", "1.25")])]);
    assert_eq!(text(&bench, "task", &key(1), "cost").as_deref(), Some("1.25"));
    let mut finer = TableDef::clone(bench.table("task"));
    let cost = finer.index("cost").unwrap();
    finer.fields[cost].scale = 4;
    let finer = Arc::new(finer);
    let now = bench.store.row(&finer, &key(1)).unwrap().unwrap();
    assert_eq!(now.text("cost"), "1.2500");
    assert_eq!(text(&bench, "task", &key(1), "cost").as_deref(), Some("1.25"));
}

pub(crate) fn a_large_transaction_is_seen_whole(engine: &dyn Engine) {
    const ROWS: usize = 2_000;
    let bench = Bench::new(engine);
    let rows: Vec<_> =
        (0..ROWS).map(|n| bench.row("task", &[("sys_id", &key(n)), ("state", "1")])).collect();
    bench.insert(&rows);
    assert!((0..ROWS).all(|n| text(&bench, "task", &key(n), "state").as_deref() == Some("1")));
    let state = [bench.table("task").index("state").unwrap()];
    bench.in_tx(|tx| {
        for n in 0..ROWS {
            let record = bench.row("task", &[("sys_id", &key(n)), ("state", "2")]);
            assert!(tx.update(&record, &state)?);
        }
        Ok(())
    });
    assert!((0..ROWS).all(|n| text(&bench, "task", &key(n), "state").as_deref() == Some("2")));
}

pub(crate) fn readers_beside_a_writer_never_go_back(engine: &dyn Engine) {
    const WRITES: i64 = 1_000;
    let bench = Bench::new(engine);
    bench.insert(&[bench.row("task", &[("sys_id", &key(1)), ("state", "0"), ("priority", "0")])]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when an assertion below fails, so that the readers end.
        let _at_the_end = Raise(&done);
        for _ in 0..3 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::Acquire) {
                    let row = bench.store.row(bench.table("task"), &key(1)).unwrap().unwrap();
                    let state = row.get("state").as_i64().unwrap();
                    assert!(state >= last, "{state} after {last}");
                    assert_eq!(row.get("priority").as_i64(), Some(state), "one row, one moment");
                    last = state;
                }
            });
        }
        for n in 1..=WRITES {
            let n = n.to_string();
            update(&bench, "task", &key(1), &[("state", &n), ("priority", &n)]);
            assert_eq!(text(&bench, "task", &key(1), "state"), Some(n));
        }
    });
}

/// Goes up when it is dropped.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
