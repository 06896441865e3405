//! The real incident log, replayed, against what a separate reader takes straight from the file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;

use crate::harness::{Server, campanile, incident_log, root, skip};

/// Columns that the map takes over.
const MAPPED: [&str; 23] = [
    "incident_state",
    "active",
    "reassignment_count",
    "reopen_count",
    "made_sla",
    "caller_id",
    "opened_at",
    "contact_type",
    "location",
    "category",
    "subcategory",
    "cmdb_ci",
    "impact",
    "urgency",
    "priority",
    "assignment_group",
    "assigned_to",
    "knowledge",
    "problem_id",
    "closed_code",
    "resolved_by",
    "resolved_at",
    "closed_at",
];

type Row = HashMap<String, String>;

/// What the file alone says must come out.
#[derive(Debug, Default)]
struct Expected {
    rows: u64,
    inserts: u64,
    updates: u64,
    unchanged: u64,
    assigned: u64,
    inactive: u64,
    handovers: u64,
    first_assignments: u64,
    closed_without_resolution: u64,
    closed_after_resolution: u64,
    last: HashMap<String, Row>,
}

/// `dd-mm-yyyy hh:mm` so that it sorts.
fn sortable(text: &str) -> String {
    match text.split(['-', ' ']).collect::<Vec<_>>()[..] {
        [day, month, year, time] => format!("{year}-{month}-{day} {time}"),
        _ => String::new(),
    }
}

fn expected(file: &Path) -> Expected {
    let mut reader = csv::Reader::from_path(file).unwrap();
    let mut rows: Vec<Row> = reader.deserialize().map(|row| row.unwrap()).collect();
    for row in &mut rows {
        for value in row.values_mut() {
            if value == "?" {
                value.clear();
            }
        }
    }
    // A stable sort keeps the order of the file where the rest is equal.
    rows.sort_by_key(|row| {
        (sortable(&row["sys_updated_at"]), row["sys_mod_count"].parse::<i64>().unwrap())
    });
    let mut told = Expected { rows: rows.len() as u64, ..Expected::default() };
    for row in rows {
        let before = told.last.get(&row["number"]);
        let same = before
            .is_some_and(|before| MAPPED.iter().all(|column| before[*column] == row[*column]));
        if same {
            told.unchanged += 1;
            continue;
        }
        let was = |column: &str| before.map_or("", |before| before[column].as_str());
        if before.is_none() {
            told.inserts += 1;
        } else {
            told.updates += 1;
        }
        if !row["assigned_to"].is_empty() && row["assigned_to"] != was("assigned_to") {
            told.assigned += 1;
            if was("assigned_to").is_empty() {
                told.first_assignments += 1;
            } else {
                told.handovers += 1;
            }
        }
        if was("active") == "TRUE" && row["active"] == "FALSE" {
            told.inactive += 1;
            if was("incident_state") == "Resolved" {
                told.closed_after_resolution += 1;
            } else {
                told.closed_without_resolution += 1;
            }
        }
        told.last.insert(row["number"].clone(), row);
    }
    told
}

fn replay(server: &Server, file: &Path) -> Value {
    let map = root().join("packs/itsm/incident_event_log.map.yaml");
    let run = campanile(&[
        "replay",
        file.to_str().unwrap(),
        "--map",
        map.to_str().unwrap(),
        "--url",
        server.url(),
        "--json",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

fn check(file: &Path) {
    let told = expected(file);
    let server = Server::start();
    let admin = server.admin();
    let summary = replay(&server, file);
    admin.wait_until_drained();

    for (name, count) in [
        ("rows", told.rows),
        ("inserts", told.inserts),
        ("updates", told.updates),
        ("unchanged", told.unchanged),
    ] {
        assert_eq!(summary[name], count, "{name}");
    }
    for (name, count) in [
        ("incident.inserted", told.inserts),
        ("incident.updated", told.updates),
        ("incident.commented", 0),
        ("incident.assigned", told.assigned),
        ("incident.inactive", told.inactive),
    ] {
        let processed = admin.count("sysevent", &format!("name={name}^state=processed"));
        assert_eq!(processed, count, "{name}");
        assert_eq!(admin.count("sysevent", &format!("name={name}")), count, "{name}, all states");
    }
    let closed = "Report incidents closed without a resolution";
    for (handler, outcome, count) in [
        ("Record a handover", "succeeded", told.handovers),
        ("Record a handover", "skipped", told.first_assignments),
        (closed, "succeeded", told.closed_without_resolution),
        (closed, "skipped", told.closed_after_resolution),
    ] {
        let query = format!("handler_name={handler}^outcome={outcome}");
        assert_eq!(admin.count("sysevent_handler_run", &query), count, "{handler} {outcome}");
    }
    check_final_values(&admin, &told);
    assert!(server.stop(), "the server stops in order");
}

fn check_final_values(admin: &crate::harness::Client, told: &Expected) {
    let shown: BTreeMap<String, Value> = admin
        .get(
            "/api/now/table/incident?sysparm_limit=100000&sysparm_display_value=true\
             &sysparm_exclude_reference_link=true\
             &sysparm_fields=number,state,assigned_to,priority,active,category,caller_id",
        )
        .result()
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["number"].as_str().unwrap().to_owned(), row.clone()))
        .collect();
    assert_eq!(shown.len(), told.last.len(), "incidents");
    for (number, row) in &told.last {
        let incident = &shown[number];
        for (field, column) in [
            ("state", "incident_state"),
            ("assigned_to", "assigned_to"),
            ("priority", "priority"),
            ("category", "category"),
            ("caller_id", "caller_id"),
        ] {
            assert_eq!(incident[field], row[column], "{number}: {field}");
        }
        assert_eq!(incident["active"], row["active"].to_lowercase(), "{number}: active");
    }
}

#[test]
fn the_incident_log_comes_out_as_the_file_says() {
    let Some(file) = incident_log() else {
        skip(
            "the_incident_log_comes_out_as_the_file_says",
            "the incident log is not there (CAMPANILE_TEST_DATA)",
        );
        return;
    };
    check(&file);
}

#[test]
fn labels_that_nobody_knows_become_choices_of_their_own() {
    let Some(file) = incident_log() else {
        skip(
            "labels_that_nobody_knows_become_choices_of_their_own",
            "the incident log is not there (CAMPANILE_TEST_DATA)",
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.csv");
    let mut text = String::new();
    for line in std::fs::read_to_string(&file).unwrap().lines().take(1500) {
        let line = line
            .replace(",New,", ",Just in,")
            .replace(",Awaiting User Info,", ",Waiting for you,")
            .replace("3 - Moderate", "Ordinary")
            .replace("Category 53", "Inquiry / Help");
        text.push_str(&line);
        text.push('\n');
    }
    std::fs::write(&other, text).unwrap();
    check(&other);
}
