//! The acceptance cases of business-rules §19 that concern encoded queries, on rows in memory.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::*;
use crate::dictionary::Dictionary;
use crate::record::Record;
use crate::table_def::TableDef;
use crate::testing;

pub(super) static DICTIONARY: LazyLock<Dictionary> = LazyLock::new(testing::dictionary);

pub(super) fn table(name: &str) -> &'static Arc<TableDef> {
    DICTIONARY.table(name).unwrap()
}

/// A row of `class` with these values.
pub(super) fn row(class: &str, values: &[(&str, &str)]) -> Record {
    let mut record = Record::empty(Arc::clone(table(class)));
    record.set("sys_class_name", class);
    for (field, value) in values {
        assert!(record.set(field, *value), "no field '{field}' on '{class}'");
    }
    record
}

/// Rows that references lead to, by key.
#[derive(Default)]
pub(super) struct Rows(pub(super) HashMap<&'static str, Record>);

impl References for Rows {
    fn load(&self, table: &Arc<TableDef>, sys_id: &str) -> Option<Record> {
        let (_, row) = self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(sys_id))?;
        row.table().extends(&table.name).then(|| row.as_table(table))
    }
}

pub(super) const JOE: &str = "0000000000000000000000000000000a";
pub(super) const JOE_CAPITAL: &str = "0000000000000000000000000000000A";
pub(super) const OTHER: &str = "0000000000000000000000000000000b";

pub(super) fn people() -> Rows {
    let joe = row_of_user(JOE, "Joe Employee", "1");
    Rows(HashMap::from([(JOE, joe)]))
}

pub(super) fn row_of_user(key: &str, name: &str, active: &str) -> Record {
    let mut record = Record::empty(Arc::clone(table("sys_user")));
    for (field, value) in [("sys_id", key), ("name", name), ("active", active)] {
        assert!(record.set(field, value));
    }
    record
}

pub(super) fn bound_to(class: &str, text: &str, mode: BindMode) -> BoundQuery {
    let query = parse(text, ParseLimits::STORED).unwrap();
    bind(&query, table(class), &DICTIONARY, BindOptions { mode, invalid_returns_no_rows: false })
}

pub(super) fn database(text: &str) -> BoundQuery {
    let bound = bound_to("incident", text, BindMode::Database);
    assert!(bound.dropped.is_empty(), "{text}: {:?}", bound.dropped);
    bound
}

/// The numbers of the rows that a database query finds.
pub(super) fn found(rows: &[Record], references: &Rows, text: &str) -> String {
    let query = database(text);
    let holds = |row: &&Record| {
        matches(&query, &Subject::unchanged(row), EvaluationMode::Database, references)
    };
    let numbers: Vec<_> = rows.iter().filter(holds).map(|row| row.text("number")).collect();
    numbers.join(" ")
}

pub(super) fn condition(text: &str) -> BoundQuery {
    bound_to("incident", text, BindMode::Condition)
}

pub(super) fn holds(text: &str, subject: Subject<'_>) -> bool {
    matches(&condition(text), &subject, EvaluationMode::Condition, &people())
}

/// A, B, C of the fixture.
pub(super) fn incidents() -> [Record; 3] {
    [
        row(
            "incident",
            &[
                ("number", "A"),
                ("priority", "1"),
                ("active", "1"),
                ("category", "network"),
                ("short_description", "Email down"),
                ("caller_id", JOE_CAPITAL),
                ("assigned_to", JOE),
            ],
        ),
        row("incident", &[("number", "B"), ("priority", "3"), ("active", "1")]),
        row(
            "incident",
            &[
                ("number", "C"),
                ("priority", "1"),
                ("active", "0"),
                ("category", "software"),
                ("assigned_to", OTHER),
            ],
        ),
    ]
}

#[test]
fn br_07_a_filter_minds_the_case_and_a_database_query_does_not() {
    let [a, ..] = incidents();
    assert!(!holds("short_descriptionLIKEemail", Subject::unchanged(&a)));
    assert!(holds("short_descriptionLIKEEmail", Subject::unchanged(&a)));
    assert_eq!(found(&[a], &people(), "short_descriptionLIKEemail"), "A");
}

#[test]
fn br_08_change_operators_compare_with_the_stored_values() {
    let filters = ["stateVALCHANGES", "stateCHANGESTO6", "stateCHANGESFROM1"];
    let outcome = |subject: Subject<'_>| filters.map(|filter| holds(filter, subject));
    let stored = row("incident", &[("state", "1"), ("category", "network")]);
    let closed = row("incident", &[("state", "6"), ("category", "network")]);
    let moved = row("incident", &[("state", "6"), ("category", "software")]);
    assert_eq!(outcome(Subject::updated(&stored, &closed)), [true, true, true]);
    assert_eq!(outcome(Subject::updated(&closed, &moved)), [false, false, false]);
    assert_eq!(outcome(Subject::inserted(&closed)), [true, true, false]);
    assert_eq!(
        outcome(Subject::unchanged(&closed)),
        [false, false, false],
        "a delete changes nothing"
    );
}

#[test]
fn a_change_from_or_to_nothing_is_told_by_an_empty_value() {
    let (nil, set) = (row("incident", &[]), row("incident", &[("category", "network")]));
    assert!(holds("categoryCHANGESFROM", Subject::updated(&nil, &set)));
    assert!(!holds("categoryCHANGESTO", Subject::updated(&nil, &set)));
    assert!(holds("categoryCHANGESTO", Subject::updated(&set, &nil)));
    assert!(!holds("categoryVALCHANGES", Subject::inserted(&nil)), "it received no value");
    assert!(!holds("categoryCHANGESTO", Subject::inserted(&nil)));
    assert!(
        !holds("categoryCHANGESFROM", Subject::inserted(&set)),
        "a new record was nothing before"
    );
}

#[test]
fn a_journal_changes_when_it_receives_an_entry() {
    let record = row("incident", &[]);
    let entries = [(Arc::from("comments"), Arc::from("please hurry"))];
    let with = Subject::updated(&record, &record).with_journal_entries(&entries);
    assert!(holds("commentsVALCHANGES", with));
    assert!(holds("commentsLIKEhurry^work_notesISEMPTY", with));
    assert!(!holds("work_notesVALCHANGES", with));
    assert!(!holds("commentsVALCHANGES", Subject::updated(&record, &record)));
    assert_eq!(bound_to("incident", "commentsLIKEx", BindMode::Database).dropped.len(), 1);
}

#[test]
fn change_operators_are_invalid_in_a_database_query() {
    let bound = bound_to("incident", "priority=1^stateVALCHANGES", BindMode::Database);
    assert_eq!(bound.dropped[0].text, "stateVALCHANGES");
    assert_eq!(bound.dropped[0].reason, "VALCHANGES needs a record with old and new values");
    assert_eq!(bound.alternatives[0].len(), 1, "the other term stays");
}

#[test]
fn br_74_or_binds_tighter_than_and_and_nq_begins_anew() {
    let (rows, people) = (incidents(), people());
    assert_eq!(found(&rows, &people, "active=true^priority=1^ORpriority=3"), "A B");
    assert_eq!(found(&rows, &people, "priority=3^NQactive=false"), "B C");
    assert_eq!(found(&rows, &people, ""), "A B C");
}

#[test]
fn br_75_a_caret_in_a_value_is_doubled() {
    let rows = [row("incident", &[("number", "X"), ("short_description", "a^b")])];
    assert_eq!(found(&rows, &people(), "short_description=a^^b"), "X");
    let query = parse("short_description=a^^b", ParseLimits::STORED).unwrap();
    assert_eq!(print(&query), "short_description=a^^b");
}

#[test]
fn br_76_a_field_without_a_value() {
    let (rows, people) = (incidents(), people());
    let cases = [
        ("category!=network", "B C"),
        ("categoryNOT INnetwork,x", "B C"),
        ("categoryNOT LIKEnet", "C"),
        ("category=", "B"),
        ("category!=", "A C"),
        ("category=NULL", "B"),
        ("category!=NULL", "A C"),
        ("categoryISEMPTY", "B"),
        ("categoryANYTHING", "A B C"),
        ("category<zzz", "A C"),
        ("category>", ""),
        ("categoryNOT IN", "A B C"),
        ("categorySAMEAScategory", "A C"),
        ("categoryNSAMEASshort_description", "A C"),
    ];
    for (text, expected) in cases {
        assert_eq!(found(&rows, &people, text), expected, "{text}");
    }
}

#[test]
fn nil_orders_before_every_value_in_a_condition() {
    let [_, b, _] = incidents();
    for text in ["category<a", "category<=a", "category<=", "due_date<2024-01-01"] {
        assert!(holds(text, Subject::unchanged(&b)), "{text}");
    }
    for text in [
        "category>a",
        "category>=a",
        "category<",
        "categoryBETWEENa@z",
        "due_dateGT_FIELDopened_at",
    ] {
        assert!(!holds(text, Subject::unchanged(&b)), "{text}");
    }
}

#[test]
fn br_79_between_and_in() {
    let rows =
        ["1", "2", "3", "4", "5"].map(|n| row("incident", &[("number", n), ("priority", n)]));
    let people = people();
    assert_eq!(found(&rows, &people, "priorityBETWEEN2@4"), "2 3 4");
    assert_eq!(found(&rows, &people, "priorityIN1,5"), "1 5");
    assert_eq!(found(&rows, &people, "priorityIN"), "");
    assert_eq!(found(&rows, &people, "priorityIN1, 5"), "1", "items are not trimmed");
    assert_eq!(found(&rows, &people, "priority=1,5"), "", "a comma list is one value for `=`");
}

#[test]
fn br_80_a_reference_is_its_key_for_equality_and_its_display_text_for_affixes() {
    let (rows, people) = (incidents(), people());
    assert_eq!(found(&rows, &people, "caller_id=Joe Employee"), "");
    assert_eq!(found(&rows, &people, "caller_idSTARTSWITHJoe"), "A");
    assert_eq!(found(&rows, &people, "caller_id.name=joe employee"), "A");
    assert_eq!(found(&rows, &people, &format!("caller_id={JOE}")), "A", "keys ignore case");
    assert!(holds(&format!("caller_id={JOE}"), Subject::unchanged(&rows[0])), "in a condition too");
    assert_eq!(found(&rows, &people, "caller_idNOT LIKEAbel"), "A");
}

#[test]
fn br_81_a_path_over_no_reference_is_a_nil_field() {
    let (rows, people) = (incidents(), people());
    assert_eq!(found(&rows, &people, "assigned_to.active=true"), "A");
    assert_eq!(
        found(&rows, &people, "assigned_to.active!=true"),
        "B C",
        "C's reference leads nowhere"
    );
    assert_eq!(found(&rows, &people, "assigned_to.managerISEMPTY"), "A B C");
}

#[test]
fn br_82_a_class_holds_the_classes_below_it() {
    let rows = ["incident", "problem", "task"]
        .map(|class| row(class, &[("number", class)]).as_table(table("task")));
    let holds = |text: &str| {
        let query = bound_to("task", text, BindMode::Database);
        assert!(query.dropped.is_empty(), "{text}");
        rows.each_ref().map(|row| {
            matches(&query, &Subject::unchanged(row), EvaluationMode::Database, &people())
        })
    };
    assert_eq!(holds("sys_class_nameINSTANCEOFtask"), [true, true, true]);
    assert_eq!(holds("sys_class_nameINSTANCEOFincident"), [true, false, false]);
    assert_eq!(holds("sys_class_name=task"), [false, false, true]);
    assert_eq!(holds("sys_class_nameINSTANCEOFnone"), [false, false, false]);
}

#[test]
fn br_84_order_terms_keep_their_significance() {
    let bound = database("active=true^ORDERBYDESCpriority^ORDERBYnumber^ORDERBYcaller_id");
    let order: Vec<_> =
        bound.order.iter().map(|o| (&*o.path.field_def().name, o.descending)).collect();
    assert_eq!(order, [("priority", true), ("number", false), ("name", false)]);
    assert_eq!(bound.order[2].path.steps.len(), 1, "a reference is ordered by its display text");
}

#[test]
fn a_field_orders_once_however_often_it_is_named() {
    let bound = database(&"ORDERBYnumber^ORDERBYDESCpriority^ORDERBYDESCnumber^".repeat(300));
    let order: Vec<_> =
        bound.order.iter().map(|o| (&*o.path.field_def().name, o.descending)).collect();
    assert_eq!(order, [("number", false), ("priority", true)]);
    assert!(bound.dropped.is_empty());
}

#[test]
fn br_85_two_fields_of_a_row_are_compared() {
    let rows =
        [row("incident", &[("number", "X"), ("reassignment_count", "2"), ("reopen_count", "1")])];
    let people = people();
    assert_eq!(found(&rows, &people, "reassignment_countGT_FIELDreopen_count"), "X");
    assert_eq!(found(&rows, &people, "reassignment_countSAMEASreopen_count"), "");
    assert_eq!(found(&rows, &people, "reassignment_countLT_OR_EQUALS_FIELDreopen_count"), "");
    assert_eq!(found(&rows, &people, "reassignment_countNSAMEASreopen_count"), "X");
    let other =
        bound_to("incident", "prioritySAMEASnumber^numberGT_FIELDcategory", BindMode::Database);
    assert_eq!(other.dropped.len(), 2, "values of different kinds, and texts, are not ordered");
}

#[test]
fn br_87_an_invalid_arm_is_dropped_and_the_others_stay() {
    let bound = bound_to("incident", "priority=1^ORnope=2", BindMode::Database);
    assert_eq!(bound.alternatives.len(), 1);
    assert_eq!(bound.alternatives[0][0].len(), 1);
    assert_eq!(bound.dropped[0].reason, "no field 'nope' on table 'incident'");
    assert!(!bound.never);
    let rows = incidents();
    let holds =
        |row| matches(&bound, &Subject::unchanged(row), EvaluationMode::Database, &people());
    assert_eq!(rows.each_ref().map(holds), [true, false, true]);
}

#[test]
fn an_invalid_term_makes_a_condition_false_and_a_strict_query_empty() {
    for text in
        ["priority=1^ORnope=2", "state = 1", "priority=javascript:1", "RLQUERYa.b,>0^ENDRLQUERY"]
    {
        let [a, ..] = incidents();
        assert!(!holds(text, Subject::unchanged(&a)), "{text}");
        let query = parse(text, ParseLimits::STORED).unwrap();
        let options = BindOptions { mode: BindMode::Database, invalid_returns_no_rows: true };
        assert!(bind(&query, table("incident"), &DICTIONARY, options).never, "{text}");
        let options = BindOptions { mode: BindMode::Database, invalid_returns_no_rows: false };
        assert!(!bind(&query, table("incident"), &DICTIONARY, options).never, "{text}");
    }
    assert!(holds("ORDERBYnope", Subject::unchanged(&incidents()[0])), "a condition has no order");
}

#[test]
fn an_alternative_of_which_all_was_dropped_does_not_widen_the_others() {
    let rows = incidents();
    let holds = |text: &str| {
        let query = bound_to("incident", text, BindMode::Database);
        rows.each_ref().map(|row| {
            matches(&query, &Subject::unchanged(row), EvaluationMode::Database, &people())
        })
    };
    assert_eq!(holds("nope=1^NQpriority=3"), [false, true, false]);
    assert_eq!(holds("nope=1^NQnope=2"), [true, true, true], "nothing is left to ask");
}

#[test]
fn br_89_membership_in_a_list_is_not_substring() {
    let longer = format!("{JOE}9");
    let rows = [
        row("incident", &[("number", "X"), ("watch_list", &format!("{OTHER},{JOE_CAPITAL}"))]),
        row("incident", &[("number", "Y"), ("watch_list", &longer)]),
        row("incident", &[("number", "Z")]),
    ];
    assert_eq!(found(&rows, &people(), &format!("watch_listCONTAINS{JOE}")), "X");
    assert_eq!(found(&rows, &people(), &format!("watch_listNOT LIKE{JOE}")), "Y");
    assert_eq!(found(&rows, &people(), "watch_listLIKE0000a9"), "Y", "a part of a key is text");
}
