//! SQL and the evaluator in memory are two readings of one tree: on random rows and queries they agree.

use std::sync::Arc;

use campanile_model::Record;
use campanile_model::query::{
    BindMode, BindOptions, EvaluationMode, ParseLimits, Subject, bind, matches, parse,
};
use campanile_model::testing::{World, query_text, world};
use campanile_store::{Select, Store};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::engine::Engine;

/// Queries on one world: filling the database costs more than asking it.
const QUERIES: usize = 40;
const WORLDS: u32 = 32;

pub(crate) fn sql_and_memory_agree(engine: &dyn Engine) {
    let store = engine.open();
    let dictionary = campanile_model::testing::dictionary();
    let mut tx = Arc::clone(&store).write().unwrap();
    tx.ensure_tables(&dictionary, &dictionary.tables().cloned().collect::<Vec<_>>()).unwrap();
    tx.commit().unwrap();

    let incident = query_text(dictionary.table("incident").unwrap(), &dictionary);
    let task = query_text(dictionary.table("task").unwrap(), &dictionary);
    let queries = prop::collection::vec(
        prop_oneof![
            incident.prop_map(|text| ("incident", text)),
            task.prop_map(|text| ("task", text)),
        ],
        QUERIES,
    );
    let config = Config { cases: WORLDS, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&(world(), queries), |(world, queries)| {
            refill(&store, &world);
            for (table, text) in queries {
                compare(&store, &world, table, &text)?;
            }
            Ok(())
        })
        .unwrap();
}

/// Replaces all rows by those of `world`.
fn refill(store: &Arc<dyn Store>, world: &World) {
    let mut tx = Arc::clone(store).write().unwrap();
    for table in world.dictionary.tables().filter(|table| table.name == table.root) {
        let all = Select::new(campanile_model::query::BoundQuery::all(Arc::clone(table)));
        for row in tx.select(&all).unwrap() {
            assert!(tx.delete(table, row.text("sys_id")).unwrap());
        }
    }
    for row in &world.rows {
        tx.insert(row).unwrap();
    }
    tx.commit().unwrap();
}

fn compare(
    store: &Arc<dyn Store>,
    world: &World,
    table: &str,
    text: &str,
) -> Result<(), TestCaseError> {
    let table = world.table(table);
    let query = parse(text, ParseLimits::HTTP).unwrap();
    let options = BindOptions { mode: BindMode::Database, invalid_returns_no_rows: false };
    let bound = bind(&query, table, &world.dictionary, options);
    let satisfies =
        |row: &Record| matches(&bound, &Subject::unchanged(row), EvaluationMode::Database, world);
    let mut expected: Vec<String> = world
        .rows_of(table)
        .iter()
        .filter(|row| satisfies(row))
        .map(|row| row.text("sys_id").to_owned())
        .collect();
    expected.sort();
    let reader = Arc::clone(store).read().unwrap();
    let rows = reader.select(&Select::new(bound.clone())).unwrap();
    let mut found: Vec<String> = rows.iter().map(|row| row.text("sys_id").to_owned()).collect();
    found.sort();
    prop_assert_eq!(&found, &expected, "{}", text);
    prop_assert_eq!(reader.count(&bound).unwrap(), expected.len() as u64, "count of {}", text);
    Ok(())
}
