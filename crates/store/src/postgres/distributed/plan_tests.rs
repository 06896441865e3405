//! Each statement of the mode reads one of sixteen hash partitions: what really ran is counted.

use std::collections::BTreeSet;

use super::statements::{ALL, PUT_BACK, PUT_INTO_LOG, Routed};
use crate::postgres::{Admin, PostgresOptions, PostgresStore};
use crate::testing::TestDatabase;

/// The tables that are spread.
const SPREAD: [&str; 3] = ["sysevent_live_", "sysevent_log_", "sysevent_run_"];

/// Plans as the program has them, and one for all values, as a prepared statement gets after some runs.
const AS_THE_PROGRAM: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
     SET enable_bitmapscan = off; SET jit = off";

/// Rows of the partition that the examples name, so that nothing ends early for want of rows.
const ROWS: &str = "INSERT INTO sysevent_live (sequence, sys_id, queue, derived_priority, process_on, sys_created_on, name, \
     \"partition\", depth, source, queue_from_call, registered, scheduled, max_attempts, coalesce_seconds) \
     SELECT n, lpad(n::text, 4, '0'), 'q', 100, n, 0, 'n', n % 16, 0, 'api', false, true, false, 0, n % 2 \
     FROM generate_series(1, 320) AS n; \
     SELECT setval('sysevent_sequence', 1000); \
     INSERT INTO sysevent_run (sys_id, event, epoch, attempt, handler_kind, handler, \"order\", outcome, started_at, \
     duration_ms, error_line, fired_events, written_records, definition_version, \"partition\") \
     SELECT lpad(n::text, 5, '0'), lpad(n::text, 4, '0'), 0, 1, 'script_action', 'h', 1, 'succeeded', 0, 0, 0, 0, 0, 1, n % 16 \
     FROM generate_series(1, 320) AS n";

/// A database of the mode in sixteen hash partitions.
pub(super) fn partitioned() -> TestDatabase {
    let database = TestDatabase::create();
    let options = PostgresOptions { partitions: Some(16), ..PostgresOptions::new(database.url()) };
    drop(PostgresStore::open(&options).expect("the mode can be switched on"));
    database.run(include_str!("../../../../../docs/operations/hash-partitions.sql"));
    database
}

/// Lines of a plan that read a spread table and did run.
fn scans(plan: &[String]) -> Vec<&str> {
    let is_scan = |line: &&String| {
        let on = SPREAD.iter().any(|table| line.contains(&format!(" on {table}")));
        line.contains("Scan") && on && !line.contains("(never executed)")
    };
    plan.iter().filter(is_scan).map(|line| line.trim()).collect()
}

/// How it ran in a transaction that is rolled back.
fn explained(admin: &Admin, statement: &Routed) -> Vec<String> {
    let Routed { name, text, example } = statement;
    admin
        .run(&format!("BEGIN; PREPARE {name} AS {text}"))
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    let plan = admin
        .texts(&format!(
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE {name}({example})"
        ))
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    admin.run(&format!("ROLLBACK; DEALLOCATE {name}")).expect("it can be undone");
    plan
}

#[test]
fn each_statement_of_the_mode_reads_one_of_sixteen_hash_partitions() {
    let database = partitioned();
    database.run(ROWS);
    database.run("ANALYZE");
    let admin = Admin::open(database.url()).unwrap();
    admin.run(AS_THE_PROGRAM).unwrap();
    for statement in ALL {
        let plan = explained(&admin, statement);
        let found = scans(&plan);
        let expected = usize::from(!statement.text.starts_with("INSERT"));
        assert_eq!(found.len(), expected, "{}: {plan:#?}", statement.name);
        assert!(found.iter().all(|scan| scan.contains("Index")), "{}: {plan:#?}", statement.name);
    }
}

#[test]
fn what_names_no_partition_is_seen_to_read_all() {
    let database = partitioned();
    database.run(ROWS);
    let admin = Admin::open(database.url()).unwrap();
    admin.run(AS_THE_PROGRAM).unwrap();
    for (text, example) in [
        ("SELECT sequence FROM sysevent_live WHERE queue = $1 ORDER BY sequence", "'q'"),
        ("SELECT sequence FROM sysevent_live WHERE \"partition\" = ANY ($1)", "'{3}'::bigint[]"),
        (
            "SELECT sequence FROM sysevent_live WHERE \"partition\" >= $1 AND \"partition\" <= $1",
            "3",
        ),
    ] {
        let plan = explained(&admin, &Routed { name: "BAD", text, example });
        assert_eq!(scans(&plan).len(), 16, "{text}: {plan:#?}");
    }
}

#[test]
fn appended_rows_stand_in_the_partition_that_was_named() {
    let database = partitioned();
    let admin = Admin::open(database.url()).unwrap();
    for statement in ALL.iter().filter(|statement| statement.text.starts_with("INSERT")) {
        let Routed { name, text, example } = statement;
        admin.run(&format!("PREPARE {name} AS {text}; EXECUTE {name}({example})")).unwrap();
    }
    for table in ["sysevent_live", "sysevent_log", "sysevent_run"] {
        let found = database.texts(&format!(
            "SELECT DISTINCT tableoid::regclass || ' ' || \"partition\" FROM {table} ORDER BY 1"
        ));
        assert!(found.len() == 1 && found[0].ends_with(" 3"), "{table}: {found:?}");
    }
}

/// A column that a later migration adds has to be carried too, or be named as one that a row loses on its way: what belongs to
/// a claim. The turn is carried, and given by whoever puts the row.
#[test]
fn rows_are_carried_with_all_their_columns() {
    let database = TestDatabase::create();
    for (table, put, lost) in [
        ("sysevent_live", PUT_BACK, &["claimed_by", "claim_token"][..]),
        ("sysevent_log", PUT_INTO_LOG, &[]),
    ] {
        let columns = put.split(") SELECT").next().unwrap_or_default().replace('"', "");
        let carried: BTreeSet<&str> = columns.split(['(', ',']).skip(1).map(str::trim).collect();
        let found = database.texts(&format!(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
        ));
        let found: BTreeSet<&str> =
            found.iter().map(String::as_str).filter(|name| !lost.contains(name)).collect();
        assert_eq!(carried, found, "{table}");
    }
}

/// Whoever writes a statement elsewhere would not have it tested.
#[test]
fn every_statement_of_the_mode_stands_in_the_list() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/postgres/distributed");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if ["statements.rs", "plan_tests.rs", "forms.rs", "setup.rs"].contains(&&*name) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(all(test").next().unwrap_or_default();
        let looks = text.matches("sysevent_live").count()
            + text.matches("sysevent_log").count()
            + text.matches("sysevent_run").count();
        // What asks all partitions where events stand.
        let allowed = match &*name {
            "actions.rs" => 2,
            "copying.rs" => 3,
            _ => 0,
        };
        assert_eq!(looks, allowed, "{name} has a statement of its own");
    }
}
