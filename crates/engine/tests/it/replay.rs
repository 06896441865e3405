//! Change logs through the record operation, with the ITSM pack's rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use campanile_engine::packs::apply::{ApplyOptions, apply_blocking};
use campanile_engine::packs::replay::apply::{ReplayBatch, ReplayCounts, replay};
use campanile_engine::packs::source;
use campanile_engine::records::users;
use campanile_engine::worker::{SCRIPT_STACK_BYTES, Worker, spawn_named};
use campanile_engine::{EngineError, Session};

use crate::house::House;

const MAP: &str = "
campanile: map/v1
table: incident
key: number
empty: '?'
date_format: '%d-%m-%Y %H:%M'
columns:
  number: {field: number}
  state: {field: state}
  active: {field: active}
  caller: {field: caller_id}
  assigned: {field: assigned_to}
  problem: {field: problem_id, find_by: number}
  priority: {field: priority}
  category: {field: category}
  opened: {field: opened_at}
";

const COLUMNS: [&str; 9] = [
    "number", "state", "active", "caller", "assigned", "problem", "priority", "category", "opened",
];

fn itsm() -> House {
    let itsm = source::find("itsm").unwrap();
    House::furnished("itsm", |house| {
        apply_blocking(&house.engine, &itsm, ApplyOptions::default()).unwrap();
    })
}

fn batch(map: &str, rows: &[&str]) -> ReplayBatch {
    ReplayBatch {
        map_file: "my.map.yaml".to_owned(),
        map: map.to_owned(),
        file: "log.csv".to_owned(),
        columns: COLUMNS.map(str::to_owned).to_vec(),
        rows: rows.iter().map(|row| row.split(',').map(str::to_owned).collect()).collect(),
        first_row: 1,
        ..ReplayBatch::default()
    }
}

fn run_as(house: &House, user: &str, batch: ReplayBatch) -> Result<ReplayCounts, EngineError> {
    let engine = Arc::clone(&house.engine);
    let user = users::session_user(&engine, user).unwrap().unwrap();
    let work = move || {
        let worker = Worker::new(engine).unwrap();
        replay(&worker, &Session { user, ..Session::system() }, &batch)
    };
    spawn_named("replay-test", Some(SCRIPT_STACK_BYTES), work).unwrap().join().unwrap()
}

fn run(house: &House, rows: &[&str]) -> ReplayCounts {
    run_as(house, "admin", batch(MAP, rows)).unwrap()
}

/// Shown values of one field, by number.
fn shown(house: &House, field: &str) -> BTreeMap<String, String> {
    let dictionary = house.engine.dictionary().unwrap();
    let rows = house.rows("incident", &[]);
    let shown = rows.iter().map(|row| {
        let value = row.text(field);
        let label = dictionary.choice_label("incident", field, value);
        (row.text("number").to_owned(), label.map_or(value.to_owned(), ToString::to_string))
    });
    shown.collect()
}

fn counts(told: &ReplayCounts) -> (u64, u64, u64, u64) {
    (told.inserts, told.updates, told.unchanged, told.refused)
}

const FIRST: &str = "A,New,TRUE,Ann,?,?,3 - Moderate,Network,01-03-2016 10:00";

#[test]
fn the_first_sight_of_a_key_inserts_and_a_row_that_changes_nothing_writes_nothing() {
    let house = itsm();
    let told = run(&house, &[FIRST, FIRST, &FIRST.replace('?', "Bob"), FIRST]);
    assert_eq!(told.refusals, Vec::<String>::new());
    assert_eq!(counts(&told), (1, 2, 1, 0));
    let again = run(&house, &[FIRST]);
    assert_eq!(counts(&again), (0, 0, 1, 0));
    let incident = house.rows("incident", &[("number", "A")]).remove(0);
    assert_eq!(incident.text("sys_mod_count"), "2");
    assert_eq!(incident.text("opened_at"), "2016-03-01 10:00:00");
}

#[test]
fn references_are_found_by_name_and_made_when_missing() {
    let house = itsm();
    let told = run(
        &house,
        &[
            "A,New,TRUE,Ann,Beth Anglin,P 1,3 - Moderate,Network,?",
            "B,New,TRUE,Ann,ann,P 1,3 - Moderate,Network,?",
        ],
    );
    assert_eq!(told.refusals, Vec::<String>::new());
    let made: Vec<_> = told.references_created.iter().map(|(t, n)| (t.as_str(), *n)).collect();
    assert_eq!(made, [("problem", 1), ("sys_user", 2)], "'ann' is another name than 'Ann'");
    let beth = house.rows("sys_user", &[("user_name", "beth.anglin")]).remove(0);
    assert_eq!(house.rows("incident", &[("assigned_to", beth.text("sys_id"))]).len(), 1);
    assert_eq!(house.rows("problem", &[("number", "P 1")]).len(), 1);
    assert_eq!(
        run(&house, &["C,New,TRUE,Ann,ann,P 1,3 - Moderate,Network,?"]).references_created.len(),
        0
    );
}

#[test]
fn empty_wins_over_defaults() {
    let house = itsm();
    run(&house, &["A,?,?,?,?,?,?,?,?"]);
    let incident = house.rows("incident", &[("number", "A")]).remove(0);
    for field in ["state", "active", "priority", "category", "opened_at"] {
        assert_eq!(incident.text(field), "", "{field}");
    }
    assert_eq!(incident.text("impact"), "3", "a field that is not in the map has its default");
    run(&house, &[FIRST, "A,New,TRUE,?,?,?,3 - Moderate,?,?"]);
    let incident = house.rows("incident", &[("number", "A")]).remove(0);
    assert_eq!((incident.text("caller_id"), incident.text("category")), ("", ""));
}

#[test]
fn labels_that_nobody_knows_become_choices_that_read_back() {
    let house = itsm();
    let rows = [
        "A,New,TRUE,?,?,?,3 - Moderate,Network,?",
        "B,Waiting,TRUE,?,?,?,Ordinary,network,?",
        "C,new,TRUE,?,?,?,3 - moderate,Category 7,?",
        "D,Closed,FALSE,?,?,?,4 - Low,Inquiry / Help,?",
        "E,Waiting,TRUE,?,?,?,Ordinary,NETWORK,?",
    ];
    let told = run(&house, &rows);
    assert_eq!(told.refusals, Vec::<String>::new());
    for (field, at) in [("state", 1), ("priority", 6), ("category", 7)] {
        let expected: BTreeMap<String, String> = rows
            .iter()
            .map(|row| row.split(',').collect::<Vec<_>>())
            .map(|cells| (cells[0].to_owned(), cells[at].to_owned()))
            .collect();
        assert_eq!(shown(&house, field), expected, "{field}");
        let values: Vec<_> =
            house.rows("incident", &[]).iter().map(|r| r.text(field).to_lowercase()).collect();
        let labels: std::collections::HashSet<_> = expected.values().collect();
        let values: std::collections::HashSet<_> = values.into_iter().collect();
        assert_eq!(values.len(), labels.len(), "{field}: every label has a value of its own");
    }
    let made: Vec<_> = told.choices_created.iter().map(|(t, n)| (t.as_str(), *n)).collect();
    assert_eq!(made, [("incident.category", 3), ("incident.priority", 2), ("incident.state", 2)]);
    let state =
        |number: &str| house.rows("incident", &[("number", number)])[0].text("state").to_owned();
    assert_eq!((state("A"), state("D")), ("1".to_owned(), "7".to_owned()));
    let dictionary = house.engine.dictionary().unwrap();
    assert_eq!(
        dictionary.choice_label("incident", "priority", "1").map(|l| &**l),
        Some("1 - Critical")
    );
    assert!(
        dictionary.choice_value("problem", "priority", "Ordinary").is_none(),
        "choices of one class only"
    );
    assert_eq!(run(&house, &["F,Waiting,TRUE,?,?,?,Ordinary,network,?"]).choices_created.len(), 0);
}

#[test]
fn a_value_that_rows_have_without_a_label_is_not_given_to_a_new_one() {
    let house = itsm();
    house.add("incident", &[("number", "X"), ("state", "9")]);
    run(&house, &["A,Waiting,TRUE,?,?,?,3 - Moderate,Network,?"]);
    assert_eq!(house.rows("incident", &[("number", "A")])[0].text("state"), "10");
}

#[test]
fn labels_of_the_map_come_before_those_of_the_choice_list() {
    let house = itsm();
    let map = MAP.replace("{field: state}", "{field: state, labels: {Working: '2', New: '1'}}");
    let rows = [
        "A,Working,TRUE,?,?,?,3 - Moderate,Network,?",
        "B,In Progress,TRUE,?,?,?,3 - Moderate,Network,?",
        "C,New,TRUE,?,?,?,3 - Moderate,Network,?",
    ];
    run_as(&house, "admin", batch(&map, &rows)).unwrap();
    let state =
        |number: &str| house.rows("incident", &[("number", number)])[0].text("state").to_owned();
    assert_eq!((state("A"), state("C")), ("2".to_owned(), "1".to_owned()));
    assert_eq!(state("B"), "9", "the value of its label belongs to another label of the map");
}

#[test]
fn rules_run_and_their_events_are_counted() {
    let house = itsm();
    let told = run(
        &house,
        &[
            FIRST,
            "A,New,TRUE,Ann,Bob,?,3 - Moderate,Network,01-03-2016 10:00",
            "A,Closed,FALSE,Ann,Bob,?,3 - Moderate,Network,01-03-2016 10:00",
        ],
    );
    let events: Vec<_> = told.events.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    assert_eq!(
        events,
        [
            ("incident.assigned", 1),
            ("incident.inactive", 1),
            ("incident.inserted", 1),
            ("incident.updated", 2),
        ]
    );
    let incident = house.rows("incident", &[("number", "A")]).remove(0);
    assert_eq!(incident.text("incident_state"), "7", "a before rule keeps the other state in step");
    assert_eq!(incident.text("sys_created_by"), "admin");
}

#[test]
fn the_file_wins_over_what_before_rules_set() {
    let house = itsm();
    let told = run(
        &house,
        &[
            "A,New,TRUE,Ann,Bob,?,3 - Moderate,Network,?",
            "A,Closed,TRUE,Ann,Bob,?,?,Network,?",
            "A,Closed,TRUE,Ann,Bob,?,?,Network,?",
        ],
    );
    assert_eq!(counts(&told), (1, 1, 1, 0));
    let incident = house.rows("incident", &[("number", "A")]).remove(0);
    assert_eq!(incident.text("state"), "7");
    assert_eq!(incident.text("active"), "1", "a rule makes closed incidents inactive");
    assert_eq!(incident.text("priority"), "");
    assert_eq!(told.events.get("incident.inactive"), None);
}

#[test]
fn rows_that_cannot_be_read_are_told_with_their_place_and_the_others_go_on() {
    let house = itsm();
    let mut rows = batch(
        MAP,
        &[
            "A,New,TRUE,?,?,?,3 - Moderate,Network,2016-03-01",
            "?,New,TRUE,?,?,?,3 - Moderate,Network,?",
            "B,New,maybe,?,?,?,3 - Moderate,Network,?",
            "C,New,TRUE,?,?,?,3 - Moderate,Network,?",
        ],
    );
    rows.lines = vec![12, 7, 9, 3];
    let told = run_as(&house, "admin", rows).unwrap();
    assert_eq!(counts(&told), (1, 0, 0, 3));
    assert_eq!(
        told.refusals,
        [
            "log.csv: line 12: column 'opened': '2016-03-01' is no date: expected %d-%m-%Y %H:%M",
            "log.csv: line 7: column 'number' is empty: it tells records apart",
            "log.csv: line 9: column 'active': expected true or false, got 'maybe'",
        ]
    );
}

#[test]
fn a_check_writes_nothing() {
    let house = itsm();
    let mut rows = batch(MAP, &[FIRST, "B,Odd,TRUE,Cy,?,?,Odd,Odd,never"]);
    rows.check = true;
    let told = run_as(&house, "admin", rows).unwrap();
    assert_eq!(counts(&told), (0, 0, 0, 1));
    assert_eq!(house.rows("incident", &[]).len(), 0);
    assert_eq!(house.rows("sys_choice", &[("label", "Odd")]).len(), 0);
    assert_eq!(house.rows("sys_user", &[("name", "Cy")]).len(), 0);
}

#[test]
fn a_map_that_does_not_fit_is_told_with_its_path() {
    let house = itsm();
    for (from, to, told) in [
        (
            "table: incident",
            "table: incidnt",
            "my.map.yaml: table: there is no table 'incidnt'; did you mean 'incident'?",
        ),
        (
            "{field: state}",
            "{field: stat}",
            "my.map.yaml: columns.state.field: table 'incident' has no field 'stat' to write; did you mean 'state'?",
        ),
        (
            "{field: state}",
            "{field: sys_id}",
            "my.map.yaml: columns.state.field: table 'incident' has no field 'sys_id' to write",
        ),
        ("{field: state}", "{field: work_notes}", "my.map.yaml: columns.state.field"),
        (
            "find_by: number",
            "find_by: numbr",
            "my.map.yaml: columns.problem.find_by: table 'problem' has no field 'numbr'; did you mean 'number'?",
        ),
        (
            "{field: opened_at}",
            "{field: opened_at, find_by: name}",
            "my.map.yaml: columns.opened.find_by: 'opened_at' is no reference",
        ),
        ("key: number", "key: caller", "my.map.yaml: key: 'caller' cannot tell records apart"),
        (
            "  state: {field: state}",
            "  state: {field: state}\n  other: {field: impact}",
            "log.csv: column 'other': the map needs it and it was not sent",
        ),
    ] {
        let error = run_as(&house, "admin", batch(&MAP.replace(from, to), &[FIRST]))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(told), "{to}\n  said {error}\n  not  {told}");
    }
}

#[test]
fn only_administrators_replay() {
    let house = itsm();
    let refused = run_as(&house, "beth.anglin", batch(MAP, &[FIRST]));
    assert!(matches!(refused, Err(EngineError::NotAllowed { .. })), "{refused:?}");
    assert_eq!(house.rows("incident", &[]).len(), 0);
}

#[test]
fn a_key_that_several_records_have_is_refused() {
    let house = itsm();
    house.add("incident", &[("number", "A")]);
    house.add("incident", &[("number", "A")]);
    let told = run(&house, &[FIRST, "B,New,TRUE,?,?,?,3 - Moderate,Network,?"]);
    assert_eq!(counts(&told), (1, 0, 0, 1));
    assert!(told.refusals[0].contains("several records have 'A'"), "{:?}", told.refusals);
}
