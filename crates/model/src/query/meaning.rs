//! What values and paths mean to a field, and what is said when a record does not have them.

use super::acceptance::{JOE, bound_to, condition, found, people, row};
use super::*;

fn why_not(text: &str, subject: Subject<'_>) -> String {
    explain_mismatch(&condition(text), &subject, EvaluationMode::Condition, &people()).unwrap()
}

#[test]
fn a_bare_date_is_its_day_in_utc() {
    let times = [
        "2024-03-12 23:59:59",
        "2024-03-13 00:00:00",
        "2024-03-13 23:59:59",
        "2024-03-14 00:00:00",
    ];
    let mut rows: Vec<_> = times
        .iter()
        .zip(["1", "2", "3", "4"])
        .map(|(at, number)| row("incident", &[("number", number), ("opened_at", at)]))
        .collect();
    rows.push(row("incident", &[("number", "nil")]));
    let cases = [
        ("opened_at=2024-03-13", "2 3"),
        ("opened_at!=2024-03-13", "1 4 nil"),
        ("opened_at<2024-03-13", "1"),
        ("opened_at<=2024-03-13", "1 2 3"),
        ("opened_at>2024-03-13", "4"),
        ("opened_at>=2024-03-13", "2 3 4"),
        ("opened_atIN2024-03-12,2024-03-14 00:00:00", "1 4"),
        ("opened_atNOT IN2024-03-12,2024-03-14 00:00:00,x", "2 3 nil"),
        ("opened_atNOT IN2024-03-13,2024-03-12", "4 nil"),
        ("opened_atNOT IN2024-03-13,2024-03-13 12:00:00", "1 4 nil"),
        ("opened_atONday@2024-03-13@2024-03-13", "2 3"),
        ("opened_atNOTONday@2024-03-13 00:00:00@2024-03-13 23:59:59", "1 4"),
        ("opened_atBETWEEN2024-03-12@2024-03-13 00:00:00", "1 2"),
        ("opened_at=2024-02-30", ""),
        ("opened_at!=2024-02-30", "1 2 3 4 nil"),
        ("opened_at>soon", ""),
        ("opened_at>9999-12-31", ""),
        ("opened_at!=9999-12-31", "1 2 3 4 nil"),
    ];
    for (text, expected) in cases {
        assert_eq!(found(&rows, &people(), text), expected, "{text}");
    }
}

#[test]
fn literals_take_the_form_of_their_field() {
    let rows = [row(
        "incident",
        &[
            ("number", "X"),
            ("active", "1"),
            ("priority", "10"),
            ("cost", "2.50"),
            ("approval_date", "2024-03-13"),
            ("time_worked", "1970-01-11 00:00:01"),
        ],
    )];
    let hits = [
        "active=true",
        "active=TRUE",
        "active=1",
        "active!=false",
        "activeINtrue,x",
        "priority=10.0",
        "priority>9",
        "priority=1e1",
        "cost=2.5",
        "cost<10",
        "approval_date=2024-03-13 10:00:00",
        "time_worked=10 00:00:01",
        "time_worked>09:00:00",
        "priority!=ten",
        "activeLIKE1",
    ];
    for text in hits {
        assert_eq!(found(&rows, &people(), text), "X", "{text}");
    }
    let misses = [
        "active=maybe",
        "active=0",
        "priority=ten",
        "priority<9",
        "priority>ten",
        "priority= 10",
        "cost=2.05",
    ];
    for text in misses {
        assert_eq!(found(&rows, &people(), text), "", "{text}");
    }
}

#[test]
fn a_path_ends_after_eight_references_and_only_on_declared_fields() {
    let reason = |class: &str, text: &str| {
        let bound = bound_to(class, text, BindMode::Database);
        bound.dropped.first().map(|term| term.reason.clone()).unwrap_or_default()
    };
    let path = |steps: usize| format!("caller_id{}.name=x", ".manager".repeat(steps - 1));
    assert_eq!(reason("incident", &path(8)), "");
    assert_eq!(reason("incident", &path(9)), "the path follows more than 8 references");
    let managers = format!("caller_id{}LIKEx", ".manager".repeat(8));
    assert_eq!(reason("incident", &managers), "the path follows more than 8 references");
    assert_eq!(reason("task", "caller_id=x"), "no field 'caller_id' on table 'task'");
    assert_eq!(reason("incident", "parent.caller_id=x"), "no field 'caller_id' on table 'task'");
    assert_eq!(
        reason("incident", "number.x=1"),
        "field 'number' of table 'incident' is no reference"
    );
}

#[test]
fn a_password_is_not_compared() {
    for text in [
        "user_password=x",
        "user_passwordLIKE$",
        "user_passwordSAMEASname",
        "nameSAMEASuser_password",
        "ORDERBYuser_password",
    ] {
        assert_eq!(bound_to("sys_user", text, BindMode::Database).dropped.len(), 1, "{text}");
    }
    assert!(bound_to("sys_user", "user_passwordISNOTEMPTY", BindMode::Database).dropped.is_empty());
}

#[test]
fn a_mismatch_names_the_term_and_what_the_record_has() {
    let mut record = row("incident", &[("priority", "4"), ("active", "0"), ("caller_id", JOE)]);
    let cases = [
        ("priority=1", "priority=1, the record has 4"),
        (
            "priorityISNOTEMPTY^priority=1^ORpriority=2",
            "priority=1 or priority=2, the record has 4",
        ),
        ("active=true", "active=true, the record has false"),
        (
            "priority=1^ORactive=true",
            "priority=1, the record has 4; or active=true, the record has false",
        ),
        ("category=x", "category=x, the record has no value"),
        ("caller_id.name=Abel", "caller_id.name=Abel, the record has Joe Employee"),
        ("prioritySAMEASstate", "prioritySAMEASstate, the record has 4 and no value"),
        ("stateVALCHANGES", "stateVALCHANGES, it did not change from no value"),
        ("nope=1", "'nope=1' is invalid: no field 'nope' on table 'incident'"),
        (
            "priority=1^NQpriority=2",
            "priority=1, the record has 4; 1 other alternative does not hold either",
        ),
        ("opened_at=2024-03-13", "opened_at=2024-03-13, the record has no value"),
    ];
    for (text, expected) in cases {
        assert_eq!(why_not(text, Subject::unchanged(&record)), expected);
    }
    let before = record.clone();
    record.set("state", "6");
    let subject = Subject::updated(&before, &record);
    assert_eq!(
        why_not("stateCHANGESTO7", subject),
        "stateCHANGESTO7, it changed from no value to 6"
    );
    assert_eq!(
        why_not("stateCHANGESFROM1", Subject::inserted(&record)),
        "stateCHANGESFROM1, the new record has 6"
    );
    record.set("short_description", "é".repeat(500));
    let long = why_not("short_description=x", Subject::unchanged(&record));
    assert_eq!(long.chars().filter(|c| *c == 'é').count(), 100);
}

#[test]
fn a_record_of_a_lower_class_is_judged_by_a_query_on_the_class_above() {
    let record = row("incident", &[("priority", "1"), ("caller_id", JOE)]);
    let bound = bound_to("task", "priority=1^ORpriority=2", BindMode::Condition);
    assert!(matches(&bound, &Subject::unchanged(&record), EvaluationMode::Condition, &people()));
}
