//! Queries where SQL is easily wrong.

use campanile_model::query::{Comparison, Test};
use campanile_store::Select;

use super::engine::{Bench, Engine, key};

fn labels(bench: &Bench, labels: &[&str]) {
    for (number, label) in labels.iter().enumerate() {
        bench.insert(&[bench.row("thing", &[("sys_id", &key(number)), ("label", label)])]);
    }
}

pub(crate) fn case_is_ignored_beyond_ascii(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    labels(
        &bench,
        &["ÄRGER task", "\u{212A}elvin ta\u{17F}\u{212A}", "STRASSE", "Straße", "ΣΊΣΥΦΟΣ"],
    );
    let found = |query: &str| bench.found("thing", query, "sys_id");
    assert_eq!(found("label=ärger TASK"), [key(0)]);
    assert_eq!(found("label=KELVIN task"), [key(1)]);
    assert_eq!(found("labelINkelvin task,straße"), [key(1), key(3)]);
    assert_eq!(found("labelSTARTSWITHkelvin TASK"), [key(1)]);
    assert_eq!(found("labelENDSWITHtask"), [key(0), key(1)]);
    assert_eq!(found("labelLIKEASK"), [key(0), key(1)]);
    assert_eq!(found("label=strasse"), [key(2)], "simple folding keeps ß");
    assert_eq!(found("label=σίσυφος"), [key(4)]);
    assert_eq!(bench.count("thing", "label!=kelvin task"), 4);
}

pub(crate) fn nil_orders_first_and_the_key_orders_last(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    labels(&bench, &["b", "", "A", "B", "a"]);
    let order = |query: &str| bench.found("thing", query, "sys_id");
    assert_eq!(order("ORDERBYlabel"), [1, 2, 4, 0, 3].map(key));
    assert_eq!(order("ORDERBYDESClabel"), [0, 3, 2, 4, 1].map(key));
    assert_eq!(order(""), [0, 1, 2, 3, 4].map(key));
}

pub(crate) fn a_page_is_the_rows_after_the_offset(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    labels(&bench, &["a", "b", "c", "d", "e"]);
    let page = |limit: Option<u64>, offset: u64| {
        let mut select = Select::new(bench.query("thing", "ORDERBYlabel"));
        select.limit = limit;
        select.offset = offset;
        bench.select(&select).iter().map(|row| row.text("label").to_owned()).collect::<String>()
    };
    assert_eq!(page(Some(2), 0), "ab");
    assert_eq!(page(Some(2), 3), "de");
    assert_eq!(page(None, 3), "de");
    assert_eq!(page(Some(0), 0), "");
    assert_eq!(page(Some(9), 9), "");
    assert_eq!(page(Some(u64::MAX), 0), "abcde");
}

pub(crate) fn a_list_of_five_thousand_keys_is_served(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    labels(&bench, &["a", "b", "c"]);
    let keys: Vec<String> = (1..5_001).map(key).collect();
    let query = format!("sys_idIN{}", keys.join(","));
    assert_eq!(bench.found("thing", &query, "label"), ["b", "c"]);
    assert_eq!(bench.count("thing", &query.replace("sys_idIN", "sys_idNOT IN")), 1);
    let names: Vec<String> = (0..5_000).map(|n| format!("task {n}")).collect();
    assert_eq!(bench.count("thing", &format!("labelIN{},B", names.join(","))), 1);
}

pub(crate) fn a_query_of_thousands_of_terms_is_served(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    labels(&bench, &["a", "b", "c"]);
    let equalities: Vec<String> = (0..4_000).map(|n| format!("label=x{n}")).collect();
    assert_eq!(bench.count("thing", &format!("{}^ORlabel=b", equalities.join("^OR"))), 1);
    let likes: Vec<String> = (0..4_000).map(|n| format!("labelNOT LIKEx{n}")).collect();
    assert_eq!(bench.count("thing", &likes.join("^")), 3);
    let mixed: Vec<String> = (0..4_000).map(|n| format!("labelLIKEx{n}")).collect();
    assert_eq!(bench.count("thing", &format!("{}^ORlabelLIKEc", mixed.join("^OR"))), 1);
}

pub(crate) fn dotted_paths_follow_references_and_respect_their_class(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let user = |n, name, manager: &str| {
        bench.row("sys_user", &[("sys_id", &key(n)), ("name", name), ("manager", manager)])
    };
    bench.insert(&[
        user(1, "Ada", ""),
        user(2, "Ben", &key(1)),
        bench.row("problem", &[("sys_id", &key(11)), ("number", "PRB1"), ("known_error", "1")]),
        bench.row(
            "incident",
            &[
                ("sys_id", &key(21)),
                ("caller_id", &key(2).to_uppercase()),
                ("problem_id", &key(11)),
            ],
        ),
        bench.row("incident", &[("sys_id", &key(22)), ("caller_id", &key(1))]),
        // The reference says problem, the row is an incident.
        bench.row("incident", &[("sys_id", &key(23)), ("problem_id", &key(22))]),
    ]);
    let found = |query: &str| bench.found("incident", query, "sys_id");
    assert_eq!(found("caller_id.manager.name=ADA"), [key(21)]);
    assert_eq!(found("caller_id.manager.nameISEMPTY"), [key(22), key(23)]);
    assert_eq!(found("caller_id.name!=Ben"), [key(22), key(23)]);
    assert_eq!(found("problem_id.known_error=true"), [key(21)]);
    assert_eq!(found("problem_id.sys_idISNOTEMPTY"), [key(21)]);
    assert_eq!(found("ORDERBYDESCcaller_id.name"), [21, 22, 23].map(key));
    assert_eq!(found("ORDERBYcaller_id"), [23, 22, 21].map(key), "by the display value");
}

pub(crate) fn times_in_milliseconds_compare_by_the_second(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    for (number, at) in ["2026-03-01 08:00:00", "2026-03-01 08:00:01", ""].iter().enumerate() {
        bench.insert(&[bench.row("thing", &[("sys_id", &key(number)), ("at", at)])]);
    }
    let found = |query: &str| bench.found("thing", query, "sys_id");
    assert_eq!(found("at=2026-03-01 08:00:00"), [key(0)]);
    assert_eq!(found("at!=2026-03-01 08:00:00"), [key(1), key(2)]);
    assert_eq!(found("at>2026-03-01 08:00:00"), [key(1)]);
    assert_eq!(found("at<=2026-03-01 08:00:00"), [key(0)]);
    assert_eq!(found("at=2026-03-01"), [key(0), key(1)]);
    assert_eq!(found("atSTARTSWITH2026-03-01 08:00:01"), [key(1)]);
}

pub(crate) fn a_moment_in_rfc3339_compares_to_the_millisecond(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.insert(&[bench.row("thing", &[("sys_id", &key(0)), ("at", "2026-03-01 08:00:00")])]);
    let found = |comparison: Comparison, moment: &str| {
        let mut query = bench.query("thing", "at>2000-01-01 00:00:00");
        for term in query.alternatives.iter_mut().flatten().flatten() {
            term.test = Test::Compare(comparison, moment.into());
        }
        bench.select(&Select::new(query)).len()
    };
    use Comparison::{GreaterOrEqual, Less};
    assert_eq!(found(GreaterOrEqual, "2026-03-01T08:00:00.000Z"), 1);
    assert_eq!(found(GreaterOrEqual, "2026-03-01T08:00:00.001Z"), 0);
    assert_eq!(found(Less, "2026-03-01T08:00:00.001Z"), 1);
    assert_eq!(found(Less, "2026-03-01T09:00:00.000+01:00"), 0);
}

pub(crate) fn wildcards_of_sql_are_ordinary_characters(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    labels(&bench, &["50%", "50_", "500", "5\\0"]);
    let found = |query: &str| bench.found("thing", query, "label");
    assert_eq!(found("labelLIKE0%"), ["50%"]);
    assert_eq!(found("labelENDSWITH_"), ["50_"]);
    assert_eq!(found("labelSTARTSWITH5\\"), ["5\\0"]);
    assert_eq!(found("labelNOT LIKE%"), ["50_", "500", "5\\0"]);
}
