//! Copies of everything: what one engine gives, the other takes, and it comes back as it was.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use campanile_model::{Dictionary, NewEvent, Outcome, Record, Value};
use campanile_store::testing::TestDatabase;
use campanile_store::{
    AppendMode, CopyMark, Dump, DumpRow, DumpTable, DumpValue, EventAction, KeptAnswer, Load,
    NextState, PostgresLoader, PostgresOptions, PostgresStore, ReprocessOptions, SqliteLoader,
    SqliteOptions, SqliteStore, Store, StoreError, dump_tables,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::conformance::engine::{Bench, dictionary, key};
use crate::events_at_hand::{
    HASH_PARTITIONS, NOW, claim, completion, distributed, event, event_at, failed, fire,
    on_both_engines, record, reprocess, run_of,
};
use crate::events_at_hand::{Kind, kind};

/// Small, so that every table of a test has several pages.
const PAGE_ROWS: usize = 7;

fn tables(dictionary: &Dictionary) -> Vec<DumpTable> {
    dump_tables(dictionary).unwrap()
}

fn copy_pages(from: &dyn Dump, to: &mut dyn Load, table: &DumpTable, pages_max: usize) {
    for _ in 0..pages_max {
        let mut mark = to.mark(table).unwrap();
        let rows = from.rows(table, &mark.key, PAGE_ROWS).unwrap();
        let Some(last) = rows.last() else { return };
        mark = CopyMark { key: table.key_of(last), rows: mark.rows + rows.len() as u64 };
        to.load(table, &rows, &mark).unwrap();
    }
}

/// Copies everything, and compares.
pub(crate) fn copy_all(from: &dyn Dump, mut to: impl Load) {
    let dictionary = dictionary();
    assert_eq!(to.occupied_by().unwrap(), None);
    to.begin("source", &dictionary).unwrap();
    for table in tables(&dictionary) {
        copy_pages(from, &mut to, &table, usize::MAX);
    }
    expect_same(&text_of(&to), &text_of(from));
    to.finish().unwrap();
}

fn all_rows(dump: &dyn Dump, table: &DumpTable) -> Vec<DumpRow> {
    let mut rows: Vec<DumpRow> = Vec::new();
    loop {
        let after = rows.last().map(|row| table.key_of(row)).unwrap_or_default();
        let page = dump.rows(table, &after, PAGE_ROWS).unwrap();
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

/// Everything as text, the same for the same contents.
fn text_of(dump: &dyn Dump) -> String {
    let mut text = String::new();
    for table in tables(&dictionary()) {
        let mut lines: Vec<String> =
            all_rows(dump, &table).iter().map(|row| format!("{row:?}")).collect();
        lines.sort();
        writeln!(text, "{}: {}\n{}", table.name, lines.len(), lines.join("\n")).unwrap();
    }
    text
}

/// Fails with the first line that differs: all of them would be megabytes.
fn expect_same(found: &str, expected: &str) {
    let different = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert_eq!(different, None);
    assert_eq!(found.lines().count(), expected.lines().count());
}

pub(crate) fn sqlite(folder: &Path) -> Arc<dyn Store> {
    SqliteStore::open(&SqliteOptions::new(folder)).unwrap()
}

pub(crate) fn postgres(database: &TestDatabase) -> Arc<dyn Store> {
    PostgresStore::open(&PostgresOptions::new(database.url())).unwrap()
}

pub(crate) fn dump(store: &Arc<dyn Store>) -> Box<dyn Dump> {
    Arc::clone(store).dump().unwrap()
}

#[derive(Debug, Clone)]
struct Thing {
    label: Option<String>,
    at: Option<i64>,
    ratio: Option<i32>,
    big: Option<i64>,
    long: String,
}

fn things() -> impl Strategy<Value = Vec<Thing>> {
    // What PostgreSQL cannot hold as it is (NUL, and U+0001 that stands for it) is among them.
    let text =
        prop_oneof![Just(String::new()), "[\0-\u{1f}\u{7f} -~äßς€𝕏\u{10ffff}]{0,12}", ".{0,20}"];
    let thing = (
        prop::option::of(text),
        // The years that a text of four digits can tell.
        prop::option::of(-62_000_000_000_i64..250_000_000_000),
        prop::option::of(any::<i32>()),
        prop::option::of(any::<i64>()),
        prop_oneof![Just(String::new()), "[a-z\n\0é]{2000,6000}"],
    )
        .prop_map(|(label, at, ratio, big, long)| Thing { label, at, ratio, big, long });
    prop::collection::vec(thing, 20..40)
}

fn row_of(bench: &Bench, number: usize, thing: &Thing) -> [Record; 2] {
    let mut row = bench.row("thing", &[("sys_id", &key(number))]);
    let text = |text: &str| Value::text(text);
    if let Some(label) = &thing.label {
        row.set("label", text(label));
    }
    if let Some(seconds) = thing.at {
        let at = campanile_model::Instant::from_millis(seconds * 1_000);
        row.set("at", text(&at.to_glide_text()));
    }
    if let Some(ratio) = thing.ratio {
        row.set("ratio", text(&format!("{:.7}", f64::from(ratio) / 1e7)));
    }
    if let Some(big) = thing.big {
        row.set("big", text(&big.to_string()));
    }
    let mut incident = bench.row("incident", &[("sys_id", &key(number)), ("active", "1")]);
    incident.set("description", text(&thing.long));
    [row, incident]
}

/// Fills a store with records and with events in every state.
fn fill(bench: &Bench, things: &[Thing]) {
    for (number, thing) in things.iter().enumerate() {
        bench.insert(&row_of(bench, number, thing));
    }
    let store = &bench.store;
    for (number, thing) in things.iter().enumerate() {
        let parm = thing.label.clone().unwrap_or_default();
        let keyed = NewEvent {
            parm1: parm.as_str().into(),
            parm2: thing.long.as_str().into(),
            dedupe_key: format!("k{number}").as_str().into(),
            content_hash: u64::MAX - number as u64,
            ..event_at("t.copied", f64::from(thing.ratio.unwrap_or(0)) / 3.0, 0)
        };
        fire(store, keyed);
    }
    let claimed = claim(store, things.len() / 2).events;
    for (number, event) in claimed.iter().enumerate() {
        let next = match number % 3 {
            0 => NextState::Processed,
            1 => failed(),
            _ => NextState::RetryAt(NOW.plus_millis(60_000)),
        };
        let mut end = completion(event, next);
        end.runs = vec![run_of(event, Outcome::Succeeded), run_of(event, Outcome::Failed)];
        store.complete(end);
    }
    store.flush().unwrap();
    let ended = claimed[0].fired.sys_id;
    let again = EventAction::Reprocess {
        sys_id: ended,
        options: ReprocessOptions { only_failed: true },
        now: NOW,
        queue: None,
        record: record("reprocess", &[ended]),
    };
    store.act(again).unwrap();
    bench.in_tx(|tx| {
        tx.meta_set("a mark\0", "its \u{1} value")?;
        tx.keep_answer(&KeptAnswer {
            key: "u:joe:k".into(),
            content_hash: 7,
            sys_id: key(1).as_str().into(),
            answer: "an answer\n".to_owned(),
            at: NOW,
            key_life_ms: 24 * 60 * 60 * 1000,
        })
    });
    // One is being handled while nobody asks for it: a claim is no part of a copy.
    claim(store, 1);
}

#[test]
fn everything_comes_through_the_other_engine_and_back_as_it_was() {
    let config = Config { cases: 6, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&things(), |things| {
            let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let database = TestDatabase::create_empty();
            let bench = Bench::on(sqlite(folders[0].path()));
            fill(&bench, &things);
            // An empty text and no value are two things, however they came to be there.
            bench.insert(&[bench.row("problem", &[("sys_id", &key(500))])]);
            let tool = rusqlite::Connection::open(folders[0].path().join("campanile.db")).unwrap();
            tool.execute("UPDATE task SET number = '' WHERE sys_id = ?1", [key(500)]).unwrap();
            let before = text_of(&*dump(&bench.store));
            copy_all(&*dump(&bench.store), PostgresLoader::open(database.url()).unwrap());
            assert!(before.contains("Text(\"\")"));
            let moved = postgres(&database);
            expect_same(&text_of(&*dump(&moved)), &before);
            copy_all(&*dump(&moved), SqliteLoader::open(folders[1].path()).unwrap());
            let back = Bench::on(sqlite(folders[1].path()));
            expect_same(&text_of(&*dump(&back.store)), &before);
            for (number, thing) in things.iter().enumerate() {
                let row = back.get("thing", &key(number)).unwrap();
                let expected = bench.get("thing", &key(number)).unwrap();
                prop_assert_eq!(row.values(), expected.values());
                let incident = back.get("incident", &key(number)).unwrap();
                prop_assert_eq!(incident.text("description"), &thing.long);
            }
            Ok(())
        })
        .unwrap();
}

enum Target {
    Folder(tempfile::TempDir),
    Database(TestDatabase),
}

impl Target {
    fn fresh() -> Self {
        match kind() {
            Kind::Sqlite => Self::Folder(tempfile::tempdir().unwrap()),
            Kind::Postgres => Self::Database(TestDatabase::create_empty()),
            Kind::Distributed => Self::Database(distributed()),
            Kind::HashPartitions => {
                let database = distributed();
                database.run(HASH_PARTITIONS);
                Self::Database(database)
            }
        }
    }

    fn loader(&self) -> Result<Box<dyn Load>, StoreError> {
        Ok(match self {
            Self::Folder(folder) => Box::new(SqliteLoader::open(folder.path())?),
            Self::Database(database) => Box::new(PostgresLoader::open(database.url())?),
        })
    }

    fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match self {
            Self::Folder(folder) => SqliteStore::open(&SqliteOptions::new(folder.path()))?,
            Self::Database(database) => PostgresStore::open(&PostgresOptions::new(database.url()))?,
        })
    }
}

/// A small source on the embedded engine.
fn source(folder: &Path) -> Bench {
    let bench = Bench::on(sqlite(folder));
    let thing = |number: i64| Thing {
        label: Some(format!("thing {number}")),
        at: Some(number),
        ratio: None,
        big: Some(-number),
        long: String::new(),
    };
    fill(&bench, &(0..20).map(thing).collect::<Vec<_>>());
    bench
}

fn a_copy_that_was_broken_off_goes_on_and_nothing_opens_before_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let bench = source(folder.path());
    let from = dump(&bench.store);
    let target = Target::fresh();
    let tables = tables(&bench.dictionary);
    let mut first = target.loader().unwrap();
    assert_eq!(first.unfinished().unwrap(), None);
    first.begin("the source", &bench.dictionary).unwrap();
    let live = tables.iter().position(|table| table.name == "sysevent_live").unwrap();
    for table in &tables[..live + 2] {
        copy_pages(&*from, &mut *first, table, 1);
    }
    drop(first);

    let refused = target.open().unwrap_err();
    assert!(matches!(refused, StoreError::UnfinishedCopy { .. }), "{refused}");
    assert!(refused.to_string().contains("copy of the source"), "{refused}");
    let mut second = target.loader().unwrap();
    assert_eq!(second.unfinished().unwrap().as_deref(), Some("the source"));
    assert_eq!(second.occupied_by().unwrap(), None);
    let rows = second.mark(&tables[live]).unwrap().rows;
    assert_eq!(rows, PAGE_ROWS as u64, "it goes on where it stood");
    second.begin("the source", &bench.dictionary).unwrap();
    for table in &tables {
        copy_pages(&*from, &mut *second, table, usize::MAX);
    }
    assert_eq!(text_of(&*second), text_of(&*from));
    second.finish().unwrap();
    drop(second);
    let store = target.open().unwrap();
    assert_eq!(text_of(&*dump(&store)), text_of(&*from), "the marks are gone");
    store.close().unwrap();
    let occupied = target.loader().unwrap().occupied_by().unwrap();
    assert!(occupied.is_some(), "a database that is in use is no target");
}

fn a_page_that_is_refused_leaves_neither_rows_nor_a_mark() {
    let folder = tempfile::tempdir().unwrap();
    let bench = source(folder.path());
    let target = Target::fresh();
    let mut loader = target.loader().unwrap();
    loader.begin("the source", &bench.dictionary).unwrap();
    let tables = tables(&bench.dictionary);
    let table = tables.iter().find(|table| table.name == "thing").unwrap();
    let mut rows = dump(&bench.store).rows(table, &[], 3).unwrap();
    rows.push(rows[0].clone());
    let mark = CopyMark { key: table.key_of(&rows[2]), rows: 4 };
    assert!(loader.load(table, &rows, &mark).is_err());
    assert_eq!(loader.mark(table).unwrap(), CopyMark::default());
    assert!(all_rows(&*loader, table).is_empty());
    rows.pop();
    loader.load(table, &rows, &CopyMark { rows: 3, ..mark }).unwrap();
    assert_eq!(all_rows(&*loader, table).len(), 3);
}

fn what_was_copied_is_worked_on_with_numbers_above_the_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    let bench = source(folder.path());
    let target = Target::fresh();
    let mut loader = target.loader().unwrap();
    loader.begin("the source", &bench.dictionary).unwrap();
    for table in tables(&bench.dictionary) {
        copy_pages(&*dump(&bench.store), &mut *loader, &table, usize::MAX);
    }
    loader.finish().unwrap();
    drop(loader);
    let copy = Bench::on(target.open().unwrap());
    let last = bench.store.summary(0, NOW).unwrap().last_sequence;
    assert_eq!(fire(&copy.store, event("t.new")).sequence, last + 1);
    // Runs and actions are numbered too: no number comes twice.
    let events = claim(&copy.store, 50).events;
    assert!(events.len() > 5);
    for event in &events {
        let mut end = completion(event, failed());
        end.runs = vec![run_of(event, Outcome::Failed)];
        copy.store.complete(end);
    }
    copy.store.flush().unwrap();
    let sys_id = events[0].fired.sys_id;
    copy.store.act(reprocess(sys_id, NOW)).unwrap();
    assert_eq!(copy.store.actions(&sys_id).unwrap().last().unwrap().action, "reprocess");
    // A key that was used is used.
    let keyed = NewEvent { dedupe_key: "k3".into(), content_hash: 1, ..event("t.copied") };
    let mode = AppendMode { durable: true, atomic: false };
    let outcome = copy.store.append_blocking(vec![keyed], mode).unwrap().0.remove(0);
    assert!(matches!(outcome, Err(StoreError::KeyReused { .. })), "{outcome:?}");
    assert!(copy.store.integrity_problems().unwrap().is_empty());
    copy.store.close().unwrap();
}

on_both_engines!(
    a_copy_that_was_broken_off_goes_on_and_nothing_opens_before_its_end,
    a_page_that_is_refused_leaves_neither_rows_nor_a_mark,
    what_was_copied_is_worked_on_with_numbers_above_the_old_ones,
);

#[test]
fn a_target_with_a_working_program_or_a_strangers_table_is_refused() {
    let database = TestDatabase::create();
    let works = postgres(&database);
    let refused = PostgresLoader::open(database.url()).unwrap_err().to_string();
    assert!(refused.contains("works on it") && refused.contains("stop every server"), "{refused}");
    works.close().unwrap();
    let first = PostgresLoader::open(database.url()).unwrap();
    let refused = PostgresLoader::open(database.url()).unwrap_err().to_string();
    assert!(refused.contains("wait for its end"), "{refused}");
    drop(first);
    let stranger = TestDatabase::create_empty();
    stranger.run("CREATE TABLE letters (x int)");
    let loader = PostgresLoader::open(stranger.url()).unwrap();
    assert_eq!(loader.occupied_by().unwrap().as_deref(), Some("letters"));
    drop(loader);
    let tables =
        stranger.texts("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'");
    assert_eq!(tables, ["letters"], "it was left alone");
}

#[test]
fn a_value_of_another_type_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let bench = source(folder.path());
    let tool = rusqlite::Connection::open(folder.path().join("campanile.db")).unwrap();
    tool.execute("UPDATE thing SET big = 'many' WHERE sys_id = ?1", [key(3)]).unwrap();
    let tables = tables(&bench.dictionary);
    let table = tables.iter().find(|table| table.name == "thing").unwrap();
    let told = dump(&bench.store).rows(table, &[], 100).unwrap_err().to_string();
    assert!(told.contains("'big'") && told.contains("'thing'") && told.contains(&key(3)), "{told}");
    let after = [DumpValue::Text(key(3).as_str().into())];
    assert!(!dump(&bench.store).rows(table, &after, 100).unwrap().is_empty());
}
