//! The arrows between crates, and between subjects inside `engine`, are these and no others.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::root;

/// Which crate may use which (normal and development dependencies alike).
const CRATES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("store", &["model"]),
    ("script", &["model"]),
    ("engine", &["model", "store", "script"]),
    ("server", &["model", "store", "script", "engine"]),
    ("campanile", &["model", "store", "script", "engine", "server"]),
];

/// Which subject of `engine` may use which. `records` reaches firing, and nothing else of `events`.
const SUBJECTS: &[(&str, &[&str])] = &[
    ("records", &["events::fire", "events::global_events"]),
    ("events", &["records"]),
    ("queues", &["records", "events", "handlers"]),
    ("handlers", &["records", "events"]),
    ("packs", &["records", "events", "queues", "handlers"]),
];

#[test]
fn crates_use_only_the_crates_below_them() {
    for (name, allowed) in CRATES {
        let text =
            std::fs::read_to_string(root().join(format!("crates/{name}/Cargo.toml"))).unwrap();
        let used: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("campanile-"))
            .filter_map(|rest| rest.split(['.', ' ', '=']).next())
            .collect();
        for used in used {
            // Its own tests may use it with what it has for tests.
            assert!(
                allowed.contains(&used) || used == *name,
                "crates/{name}/Cargo.toml uses campanile-{used}: the arrows do not allow it"
            );
        }
    }
}

#[test]
fn subjects_of_the_engine_use_only_the_subjects_below_them() {
    let source = root().join("crates/engine/src");
    let subjects: Vec<&str> = SUBJECTS.iter().map(|(name, _)| *name).collect();
    for (subject, allowed) in SUBJECTS {
        for (file, text) in rust_files(&source.join(subject)) {
            for (number, line) in text.lines().enumerate() {
                for path in line.split("crate::").skip(1) {
                    let path: String = path
                        .chars()
                        .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':')
                        .collect();
                    let target = path.split("::").next().unwrap_or_default();
                    let foreign = subjects.contains(&target) && target != *subject;
                    assert!(
                        !foreign || allowed.iter().any(|allowed| path.starts_with(allowed)),
                        "{file}:{}: {subject} uses {path}: the arrows do not allow it",
                        number + 1
                    );
                }
            }
        }
    }
}

#[test]
fn the_contract_of_the_store_knows_no_engine_by_name() {
    for (file, text) in rust_files(&root().join("crates/store/src/contract")) {
        let lower = text.to_ascii_lowercase();
        for word in ["sqlite", "postgres"] {
            assert!(!lower.contains(word), "{file} says {word}");
        }
    }
}

#[test]
fn sql_stands_in_the_store_only() {
    for crate_name in ["model", "script", "engine", "server", "campanile"] {
        for (file, text) in rust_files(&root().join(format!("crates/{crate_name}/src"))) {
            // The benchmark measures the database itself, beside us.
            if file.contains("/bench/") {
                continue;
            }
            for word in ["rusqlite", "INSERT INTO", "SELECT *", "DELETE FROM"] {
                assert!(!text.contains(word), "{file} says {word}");
            }
        }
    }
}

fn rust_files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.display().to_string(), text));
            }
        }
    }
    assert!(!found.is_empty(), "no source in {}", folder.display());
    found
}
