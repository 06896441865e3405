//! Searching the events of a record: by the index of the log and through what is not in it yet.

use std::sync::Arc;

use campanile_model::ColumnStorage;
use campanile_model::fold::fold;
use campanile_model::query::{BoundQuery, BoundTerm, Test};

use crate::sql::values::Param;
use crate::sql::{self, Dialect, Statement};

/// The condition that narrows `query` to the events that can match, if it asks for certain instances of `sysevent`.
/// It only leaves out what the query itself would: the planner takes it to the keys of both places where events stand.
pub(super) fn narrowing(query: &BoundQuery) -> Option<Statement> {
    if &*query.table.root != "sysevent" || query.never || query.alternatives.is_empty() {
        return None;
    }
    let mut instances: Vec<Arc<str>> = Vec::new();
    for groups in &query.alternatives {
        instances.extend(groups.iter().find_map(|arms| instances_of(query, arms))?);
    }
    let folded = instances.iter().map(|text| Param::Text(fold(text).into())).collect();
    let mut statement = Statement::new(Dialect::Sqlite, "");
    statement
        .push("t0.\"sequence\" IN (SELECT sequence FROM main.sysevent_log_instance WHERE instance")
        .is_one_of(folded, ColumnStorage::Text)
        .push(" UNION ALL SELECT sequence FROM main.sysevent_live WHERE ");
    sql::text_is_one_of(&mut statement, "instance", &instances);
    statement.push(
        " UNION ALL SELECT l.sequence FROM json_each(campanile_not_indexed(\
         (SELECT generation FROM main.sysevent_log_indexing))) AS missing CROSS JOIN main.sysevent_log AS l \
         WHERE l.sequence BETWEEN missing.value ->> 0 AND missing.value ->> 1 AND ",
    );
    sql::text_is_one_of(&mut statement, "l.instance", &instances);
    statement.push(")");
    Some(statement)
}

/// The instances that one of `arms` must be; none when an arm tests something else.
fn instances_of(query: &BoundQuery, arms: &[BoundTerm]) -> Option<Vec<Arc<str>>> {
    let field = query.table.index("instance")?;
    let mut instances = Vec::new();
    for arm in arms {
        match &arm.test {
            Test::In(values) if arm.path.steps.is_empty() && arm.path.field == field => {
                instances.extend(values.iter().cloned());
            }
            _ => return None,
        }
    }
    (!instances.is_empty()).then_some(instances)
}

#[cfg(test)]
mod tests {
    use campanile_model::query::{BindMode, BindOptions, ParseLimits, bind, parse};
    use campanile_model::testing::TableSpec;
    use rusqlite::params_from_iter;

    use super::super::store::{SqliteOptions, SqliteStore};
    use super::*;
    use crate::contract::Select;

    const EVENT: TableSpec = TableSpec {
        name: "sysevent",
        parent: "",
        columns: &[("name", "string", ""), ("instance", "string", ""), ("sequence", "longint", "")],
        display: "name",
    };

    fn query(text: &str) -> BoundQuery {
        let dictionary = TableSpec::dictionary(&[EVENT]);
        let table = Arc::clone(dictionary.table("sysevent").unwrap());
        let options = BindOptions { mode: BindMode::Database, invalid_returns_no_rows: false };
        bind(&parse(text, ParseLimits::HTTP).unwrap(), &table, &dictionary, options)
    }

    fn plan(statement: &Statement) -> String {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&SqliteOptions::new(folder.path())).unwrap();
        let connection = store.readers.take().unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {}", statement.text);
        let lines: Vec<String> = connection
            .prepare(&explain)
            .unwrap()
            .query_map(params_from_iter(&statement.params), |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        store.readers.give_back(connection);
        lines.join("\n")
    }

    fn assert_searches_by_key(plan: &str) {
        assert!(
            plan.contains("SEARCH main.sysevent_log_instance USING PRIMARY KEY (instance=?)"),
            "{plan}"
        );
        // By its key alone, or by the name and the key: one row for each candidate.
        let by_key = |line: &str| {
            line.starts_with("SEARCH main.sysevent_log USING ") && line.ends_with("rowid=?)")
        };
        assert!(plan.lines().any(by_key), "{plan}");
        assert!(
            plan.contains("SEARCH l USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            "{plan}"
        );
        assert!(!plan.lines().any(|line| line == "SCAN main.sysevent_log"), "{plan}");
    }

    #[test]
    fn the_events_of_a_record_are_found_by_key_in_pages_and_counts() {
        let record = "a".repeat(32);
        for text in [
            format!("instance={record}"),
            format!("instanceIN{record},b^name=x"),
            format!("name=x^instance={record}^ORDERBYDESCsequence"),
            format!("instance={record}^NQinstance=b^name=y"),
            format!("instance={record}^ORinstance=b"),
        ] {
            let query = query(&text);
            let count = sql::count_within(Dialect::Sqlite, &query, narrowing(&query));
            assert_searches_by_key(&plan(&count));
            let fields = query.table.index("sys_id").into_iter().collect();
            let select = Select { fields: Some(fields), ..Select::new(query).limit(20) };
            assert_searches_by_key(&plan(
                &sql::select_within(Dialect::Sqlite, &select, narrowing(&select.query)).0,
            ));
        }
    }

    #[test]
    fn what_may_be_about_other_records_too_is_not_narrowed() {
        for text in [
            "",
            "name=x",
            "instanceISEMPTY",
            "instance!=a",
            "instance=a^ORname=x",
            "instance=a^NQname=x",
            "instanceSTARTSWITHa",
        ] {
            assert!(narrowing(&query(text)).is_none(), "{text}");
        }
    }
}
