//! Tests: the statements that are asked all day are served by an index, whatever the letter case.

use std::sync::Arc;

use campanile_model::query::{BindMode, BindOptions, BoundQuery, ParseLimits, bind, parse};
use campanile_model::{Dictionary, testing};
use rusqlite::{Connection, params_from_iter};

use super::connection::{Role, open};
use super::ddl::ensure_tables;
use crate::contract::Select;
use crate::sql::values::Param;
use crate::sql::{self, Dialect, Keys, Part};

struct Bench {
    connection: Connection,
    dictionary: Dictionary,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let connection = open(&folder.path().join("campanile.db"), Role::Writer).unwrap();
        let dictionary = testing::dictionary();
        let tables: Vec<_> = dictionary.tables().cloned().collect();
        ensure_tables(&connection, &dictionary, &tables).unwrap();
        Self { connection, dictionary, _folder: folder }
    }

    fn query(&self, table: &str, text: &str) -> BoundQuery {
        let options = BindOptions { mode: BindMode::Database, invalid_returns_no_rows: false };
        let table = Arc::clone(self.dictionary.table(table).unwrap());
        bind(&parse(text, ParseLimits::HTTP).unwrap(), &table, &self.dictionary, options)
    }

    fn plan(&self, statement: &sql::Statement) -> String {
        let explain = format!("EXPLAIN QUERY PLAN {}", statement.text);
        let mut prepared = self.connection.prepare(&explain).unwrap();
        let lines = prepared
            .query_map(params_from_iter(&statement.params), |row| row.get::<_, String>(3))
            .unwrap();
        lines.map(Result::unwrap).collect::<Vec<_>>().join("\n")
    }

    fn select_plan(&self, table: &str, text: &str) -> String {
        self.plan(&sql::select(Dialect::Sqlite, &Select::new(self.query(table, text)).limit(20)).0)
    }
}

fn assert_searches(plan: &str, what: &str) {
    assert!(plan.contains(what), "{plan}");
    assert!(!plan.contains("SCAN t"), "{plan}");
}

#[test]
fn a_row_is_found_by_its_key() {
    let bench = Bench::new();
    let table = bench.dictionary.table("incident").unwrap();
    let key = "a".repeat(32);
    let read = sql::keyed(Dialect::Sqlite, Keys::One, Part::whole(table));
    let mut by_key = sql::Statement::new(Dialect::Sqlite, &read.text);
    by_key.params = [&[Param::Text(key.as_str().into())], &*read.classes].concat();
    assert_searches(
        &bench.plan(&by_key),
        "SEARCH t0 USING INDEX sqlite_autoindex_task_1 (sys_id=?)",
    );
    let delete = sql::delete(Dialect::Sqlite, table, &key);
    assert_searches(&bench.plan(&delete), "(sys_id=?)");
    let several = bench.select_plan("incident", &format!("sys_idIN{key},{}", "b".repeat(32)));
    assert_searches(&several, "(sys_id=?)");
    let keys: Vec<_> = (0..5_000).map(|n| format!("{n:032}")).collect();
    let many = bench.select_plan("incident", &format!("sys_idIN{}", keys.join(",")));
    assert_searches(&many, "SEARCH t0 USING INDEX sqlite_autoindex_task_1 (sys_id=?)");
}

#[test]
fn a_display_value_is_found_by_its_index_also_when_it_has_letters_with_several_spellings() {
    let bench = Bench::new();
    for text in
        ["number=INC0010001", "number=task0001", "numberSTARTSWITHINC001", "numberINtask1,task2"]
    {
        assert_searches(&bench.select_plan("task", text), "USING INDEX task_number_nocase");
    }
}

#[test]
fn joins_search_by_key() {
    let bench = Bench::new();
    let plan = bench.select_plan("task", "assigned_to.name=ada^ORDERBYassignment_group.name");
    assert!(
        plan.contains("SEARCH t1 USING INDEX sqlite_autoindex_sys_user_1 (sys_id=?)"),
        "{plan}"
    );
    assert!(plan.contains("(sys_id=?)") && plan.contains("SEARCH t2"), "{plan}");
}

#[test]
fn a_page_in_order_of_the_display_field_sorts_nothing_but_ties() {
    let bench = Bench::new();
    let plan = bench.select_plan("task", "ORDERBYDESCnumber");
    assert!(plan.contains("USING INDEX task_number_nocase"), "{plan}");
    assert!(!plan.contains("USE TEMP B-TREE FOR ORDER BY"), "{plan}");
    let plan = bench.select_plan("task", "");
    assert!(!plan.contains("TEMP B-TREE"), "{plan}");
}

#[test]
fn a_class_is_counted_by_its_index_and_never_searched_by_it() {
    let bench = Bench::new();
    let count = bench.plan(&sql::count(Dialect::Sqlite, &bench.query("incident", "")));
    assert!(count.contains("USING COVERING INDEX task_sys_class_name_plain"), "{count}");
    let page = bench.select_plan("incident", "ORDERBYnumber");
    assert!(page.contains("USING INDEX task_number_nocase"), "{page}");
}
