//! The record service as the API uses it (rest-api §6, §7.4–7.7).

use campanile_engine::records::evaluate::{Evaluate, EvaluateKind, Subject, evaluate};
use campanile_engine::records::if_match::IfMatch;
use campanile_engine::records::projection;
use campanile_engine::records::service::{self, InputValue, ListRequest, WriteRequest};
use campanile_engine::{Channel, EngineError};

use crate::fixture::{A, ABEL, B, BETH, C, Fixture, JOE};

fn numbers(fixture: &Fixture, request: ListRequest) -> Vec<String> {
    let page = fixture
        .run(Fixture::session("abel", Channel::Http), move |execution| {
            service::list(execution, &request)
        })
        .unwrap();
    page.records.iter().map(|record| record.text("number").to_owned()).collect()
}

fn incidents(query: &str) -> ListRequest {
    ListRequest {
        table: "incident".to_owned(),
        query: Some(query.to_owned()),
        ..ListRequest::default()
    }
}

#[test]
fn a_page_has_the_rows_of_the_query_in_its_order_and_the_count_of_all() {
    let fixture = Fixture::new();
    let request =
        ListRequest { limit: Some(1), offset: 1, count: true, ..incidents("ORDERBYDESCnumber") };
    let page = fixture
        .run(Fixture::session("abel", Channel::Http), move |execution| {
            service::list(execution, &request)
        })
        .unwrap();
    assert_eq!(page.records.len(), 1);
    assert_eq!(page.records[0].text("number"), "INC0000002");
    assert_eq!(page.total, Some(3));
    assert!(numbers(&fixture, ListRequest { limit: Some(0), ..incidents("") }).is_empty());
}

#[test]
fn names_and_values_match_labels_of_choices_and_names_of_references() {
    let fixture = Fixture::new();
    let by = |name: &str, value: &str| ListRequest {
        table: "incident".to_owned(),
        name_values: vec![
            (name.to_owned(), value.to_owned()),
            ("nonsense".to_owned(), "x".to_owned()),
        ],
        ..ListRequest::default()
    };
    assert_eq!(numbers(&fixture, by("state", "Open")), ["INC0000001"]);
    assert_eq!(numbers(&fixture, by("caller_id", "joe employee")), ["INC0000001"]);
    assert_eq!(numbers(&fixture, by("caller_id", JOE)), ["INC0000001"]);
    assert_eq!(numbers(&fixture, by("caller_id.name", "joe employee")), ["INC0000001"]);
}

#[test]
fn an_expression_from_outside_does_not_run_and_an_unknown_field_is_told() {
    let fixture = Fixture::new();
    let request = incidents(
        "priority=1^nope=2^categoryLIKEjavascript:new GlideRecord('incident').deleteMultiple()",
    );
    let page = fixture
        .run(Fixture::session("abel", Channel::Http), move |execution| {
            service::list(execution, &request)
        })
        .unwrap();
    assert_eq!(page.records.len(), 2);
    assert_eq!(page.dropped.len(), 2, "{:?}", page.dropped);
    assert_eq!(fixture.house.rows("incident", &[]).len(), 3);
}

#[test]
fn a_query_beyond_its_limits_names_the_limit() {
    let fixture = Fixture::new();
    let request = incidents(&"x".repeat(300 * 1024));
    let error = fixture
        .run(Fixture::session("abel", Channel::Http), move |execution| {
            service::list(execution, &request)
        })
        .unwrap_err();
    assert!(
        matches!(&error, EngineError::BadParameter { parameter, .. } if parameter == "sysparm_query"),
        "{error:?}"
    );
}

#[test]
fn whoever_may_not_read_a_table_is_refused() {
    let fixture = Fixture::new();
    let read = fixture.run(Fixture::session("joe", Channel::Http), |execution| {
        service::list(execution, &incidents(""))
    });
    assert!(matches!(read.unwrap_err(), EngineError::NotAllowed { .. }));
    let write = fixture.insert("joe", "incident", &[]).unwrap_err();
    assert!(matches!(write, EngineError::OperationDenied { operation: "Insert", .. }), "{write:?}");
    let unknown = fixture.insert("abel", "nonsense", &[]).unwrap_err();
    assert_eq!(unknown, EngineError::TableUnknown("nonsense".to_owned()));
}

#[test]
fn an_inserted_row_comes_back_as_the_rules_left_it() {
    let fixture = Fixture::new();
    fixture.rule(
        "late",
        &[
            ("action_insert", "true"),
            ("action_update", "false"),
            ("when", "after"),
            (
                "script",
                "current.setWorkflow(false); current.description = 'late'; current.update();",
            ),
        ],
    );
    let values = [
        ("short_description", "Lift stuck"),
        ("nonsense", "ignored"),
        ("sys_created_by", "mallory"),
        ("comments", "first"),
    ];
    let written = fixture.insert("abel", "incident", &values).unwrap();
    let record = &written.record;
    assert_eq!(
        (record.text("short_description"), record.text("description")),
        ("Lift stuck", "late")
    );
    assert_eq!((record.text("state"), record.text("sys_created_by")), ("1", "abel"));
    assert!(record.text("number").starts_with("INC0001"));
    assert_eq!(fixture.house.rows("sys_journal_field", &[("value", "first")]).len(), 1);
}

#[test]
fn a_key_may_be_chosen_keeps_its_spelling_and_must_be_free_and_well_formed() {
    let fixture = Fixture::new();
    let key = "AAAABBBBccccDDDDeeeeFFFFgggg0001";
    let written = fixture.insert("abel", "incident", &[("sys_id", key)]).unwrap();
    assert_eq!(written.record.text("sys_id"), key);
    let taken = fixture.insert("abel", "incident", &[("sys_id", &key.to_lowercase())]).unwrap_err();
    assert!(matches!(taken, EngineError::Integrity { code: "duplicate", .. }), "{taken:?}");
    let bad = fixture.insert("abel", "incident", &[("sys_id", "short")]).unwrap_err();
    assert!(
        matches!(&bad, EngineError::BadParameter { parameter, .. } if parameter == "sys_id"),
        "{bad:?}"
    );
}

#[test]
fn a_class_name_makes_the_row_in_the_child_table() {
    let fixture = Fixture::new();
    let values = [("sys_class_name", "incident"), ("category", "x")];
    let written = fixture.insert("abel", "task", &values).unwrap();
    assert_eq!(&*written.record.table().name, "incident");
    assert_eq!(written.record.text("category"), "x");
    assert!(written.record.text("number").starts_with("INC"));
}

#[test]
fn mandatory_fields_are_enforced_for_requests_and_not_for_scripts() {
    let fixture = Fixture::new();
    let column = fixture
        .house
        .rows("sys_dictionary", &[("name", "incident"), ("element", "u_must")])
        .remove(0);
    fixture.house.change(
        "sys_dictionary",
        column.text("sys_id"),
        &[("mandatory", "1"), ("column_label", "Must")],
    );
    let error = fixture.insert("abel", "incident", &[]).unwrap_err();
    assert_eq!(error, EngineError::Mandatory { labels: vec!["Must".to_owned()] });
    assert!(fixture.insert("abel", "incident", &[("u_must", "x")]).is_ok());
    let ran = fixture.script("var g = new GlideRecord('incident'); g.insert() !== null");
    assert_eq!(ran.text, "true");
}

#[test]
fn a_body_that_changes_nothing_runs_no_rule() {
    let fixture = Fixture::new();
    fixture.before("refuses", "current.setAbortAction(true)");
    let same =
        fixture.update("abel", "incident", A, &[("state", "1"), ("category", "network")]).unwrap();
    assert!(!same.changed);
    assert_eq!(
        (same.record.text("sys_mod_count"), same.record.text("number")),
        ("0", "INC0000001")
    );
}

#[test]
fn if_match_refuses_a_row_that_has_moved() {
    let fixture = Fixture::new();
    let request = |version| WriteRequest {
        if_match: Some(IfMatch::from(version)),
        ..Fixture::request("incident", Some(A), &[("state", "2")])
    };
    let write = |version| {
        let request = request(version);
        fixture.run(Fixture::session("abel", Channel::Http), move |execution| {
            service::update(execution, &request)
        })
    };
    let error = write(5).unwrap_err();
    assert_eq!(
        error,
        EngineError::VersionConflict { expected: "5".to_owned(), present: "0".to_owned() }
    );
    assert!(write(0).unwrap().changed);
    assert!(matches!(write(0).unwrap_err(), EngineError::VersionConflict { .. }));
}

#[test]
fn keys_are_compared_ignoring_case_and_unknown_ones_are_not_found() {
    let fixture = Fixture::new();
    let read = |table: &'static str, key: String| {
        fixture.run(Fixture::session("abel", Channel::Http), move |execution| {
            service::get(execution, table, &key)
        })
    };
    assert_eq!(read("incident", A.to_uppercase()).unwrap().text("sys_id"), A);
    assert_eq!(&*read("task", A.to_owned()).unwrap().table().name, "task");
    assert!(matches!(
        read("problem", A.to_owned()).unwrap_err(),
        EngineError::RecordUnknown { .. }
    ));
    assert!(matches!(
        read("incident", "0".repeat(32)).unwrap_err(),
        EngineError::RecordUnknown { .. }
    ));
}

#[test]
fn display_values_are_looked_up_when_the_caller_says_so() {
    let fixture = Fixture::new();
    let values = [
        ("caller_id", "Beth Anglin"),
        ("assigned_to", "Nobody Anywhere"),
        ("state", "Closed"),
        ("opened_at", "2024-03-13 11:30:00"),
    ];
    let request =
        WriteRequest { input_display: true, ..Fixture::request("incident", Some(A), &values) };
    fixture
        .run(Fixture::session("abel", Channel::Http), move |execution| {
            service::update(execution, &request)
        })
        .unwrap();
    assert_eq!((fixture.a("caller_id").as_str(), fixture.a("state").as_str()), (BETH, "3"));
    assert_eq!(fixture.a("assigned_to"), ABEL, "no match leaves the field as it was");
    assert_eq!(fixture.a("opened_at"), "2024-03-13 18:30:00", "the caller's zone");
}

#[test]
fn what_a_client_has_read_can_be_sent_back() {
    let fixture = Fixture::new();
    let both = InputValue {
        value: Some(BETH.to_owned()),
        display_value: Some("Somebody Else".to_owned()),
    };
    let request = WriteRequest {
        table: "incident".to_owned(),
        sys_id: Some(A.to_owned()),
        values: vec![("caller_id".to_owned(), both)],
        ..WriteRequest::default()
    };
    fixture
        .run(Fixture::session("abel", Channel::Http), move |execution| {
            service::update(execution, &request)
        })
        .unwrap();
    assert_eq!(fixture.a("caller_id"), BETH);
}

/// Changes incident A as Abel does by HTTP, display values taken as such; whether anything was written.
fn put_back(fixture: &Fixture, values: Vec<(&str, InputValue)>) -> bool {
    let request = WriteRequest {
        table: "incident".to_owned(),
        sys_id: Some(A.to_owned()),
        values: values.into_iter().map(|(name, input)| (name.to_owned(), input)).collect(),
        input_display: true,
        ..WriteRequest::default()
    };
    let update = move |execution: &_| service::update(execution, &request);
    fixture.run(Fixture::session("abel", Channel::Http), update).unwrap().changed
}

#[test]
fn what_display_values_show_changes_nothing_when_it_is_sent_back() {
    let fixture = Fixture::new();
    let both = |value: &str, display: &str| InputValue {
        value: Some(value.to_owned()),
        display_value: Some(display.to_owned()),
    };
    fixture.update("abel", "incident", A, &[("comments", "hello")]).unwrap();
    let history = fixture.run(Fixture::session("abel", Channel::Http), |execution| {
        let row = service::get(execution, "incident", A).unwrap();
        let dictionary = execution.engine().dictionary().unwrap();
        let table = dictionary.table("incident").unwrap();
        let names = ["comments".to_owned()];
        let columns = projection::columns(&dictionary, table, Some(&names));
        projection::project(execution, &[row], &columns, true).unwrap()[0][0].display.to_string()
    });
    assert!(history.ends_with("hello\n\n"), "{history}");
    let entries = || fixture.house.rows("sys_journal_field", &[]).len();
    // Another Beth, younger than the one whom her name alone would call.
    let other = [("user_name", "beth2"), ("name", "Beth Anglin")];
    let other =
        fixture.insert("admin", "sys_user", &other).unwrap().record.text("sys_id").to_owned();
    fixture.update("abel", "incident", A, &[("caller_id", &other)]).unwrap();
    for comments in [both("", &history), history.as_str().into()] {
        let caller = both(&other, "Beth Anglin");
        assert!(!put_back(&fixture, vec![("comments", comments), ("caller_id", caller)]));
    }
    assert_eq!((fixture.a("caller_id"), entries()), (other, 1));
    // What is no history is an entry, also when its object has an empty value.
    assert!(put_back(&fixture, vec![("comments", both("", "again"))]));
    assert_eq!(entries(), 2);
}

#[test]
fn of_an_object_with_a_display_value_alone_the_row_of_that_name_is_taken() {
    let fixture = Fixture::new();
    let update = |name: &str| {
        let named = InputValue { value: None, display_value: Some(name.to_owned()) };
        let request = WriteRequest {
            table: "incident".to_owned(),
            sys_id: Some(A.to_owned()),
            values: vec![("caller_id".to_owned(), named)],
            ..WriteRequest::default()
        };
        let update = move |execution: &_| service::update(execution, &request);
        fixture.run(Fixture::session("abel", Channel::Http), update).unwrap();
        fixture.a("caller_id")
    };
    assert_eq!(update("Beth Anglin"), BETH);
    assert_eq!(update("Nobody Anywhere"), BETH, "no match leaves the field as it was");
    assert_eq!(update("Abel Tuter"), ABEL);
}

#[test]
fn a_text_that_is_no_date_empties_the_field_and_an_empty_text_clears_it() {
    let fixture = Fixture::new();
    fixture.update("abel", "incident", A, &[("opened_at", "now"), ("category", "")]).unwrap();
    assert_eq!((fixture.a("opened_at").as_str(), fixture.a("category").as_str()), ("", ""));
    fixture.update("abel", "incident", A, &[("state", ""), ("priority", "2")]).unwrap();
    assert_eq!(
        (fixture.a("state").as_str(), fixture.a("priority").as_str()),
        ("1", "2"),
        "choices are not cleared"
    );
}

#[test]
fn what_is_no_number_leaves_the_field_alone() {
    let fixture = Fixture::new();
    let values = [("state", "2"), ("reassignment_count", "7")];
    fixture.update("abel", "incident", A, &values).unwrap();
    let nonsense = [("state", "new"), ("reassignment_count", "0x10"), ("priority", "2")];
    fixture.update("abel", "incident", A, &nonsense).unwrap();
    assert_eq!(
        (fixture.a("state"), fixture.a("reassignment_count"), fixture.a("priority")),
        ("2".to_owned(), "7".to_owned(), "2".to_owned())
    );
}

#[test]
fn a_second_delete_finds_nothing() {
    let fixture = Fixture::new();
    let delete = || {
        fixture.run(Fixture::session("abel", Channel::Http), |execution| {
            service::delete(execution, "incident", B)
        })
    };
    delete().unwrap();
    assert!(fixture.row("incident", B).is_none());
    assert!(matches!(delete().unwrap_err(), EngineError::RecordUnknown { .. }));
    assert!(fixture.row("incident", C).is_some());
}

#[test]
fn definitions_that_others_stand_on_are_not_deleted() {
    let fixture = Fixture::new();
    let house = &fixture.house;
    let delete = |table: &'static str, key: String| {
        fixture.run(Fixture::session("admin", Channel::Http), move |execution| {
            service::delete(execution, table, &key)
        })
    };
    for (table, values, says) in [
        ("sys_db_object", vec![("name", "task")], "extends it"),
        ("sys_db_object", vec![("name", "sys_user")], "belongs to the system"),
        ("sys_dictionary", vec![("name", "sys_user"), ("element", "user_password")], "belongs to"),
        ("sys_dictionary", vec![("name", "sysevent"), ("element", "")], "belongs to the system"),
    ] {
        let key = house.rows(table, &values)[0].text("sys_id").to_owned();
        let Err(EngineError::Integrity { code, detail, .. }) = delete(table, key) else {
            panic!("{values:?} was deleted");
        };
        assert_eq!(code, "definition_invalid");
        assert!(detail.contains(says), "{detail}");
        assert_eq!(house.rows(table, &values).len(), 1);
    }
    let child = house.rows("sys_db_object", &[("name", "incident")]).remove(0);
    assert!(!child.get("super_class").is_nil(), "a refused deletion clears nothing");
}

#[test]
fn an_evaluated_rule_shows_its_record_without_the_password() {
    let fixture = Fixture::new();
    let user = [("user_name", "carol"), ("user_password", "secret")];
    let written = fixture.insert("admin", "sys_user", &user).unwrap();
    let subject = Subject {
        table: "sys_user".to_owned(),
        sys_id: Some(written.record.text("sys_id").to_owned()),
        ..Subject::default()
    };
    let request = Evaluate {
        script: "1".to_owned(),
        name: "test".to_owned(),
        kind: EvaluateKind::BusinessRule,
        check_only: false,
        rollback: true,
        run_as: None,
        max_ms: None,
        current: Some(subject),
        event: Vec::new(),
    };
    let session = Fixture::session("admin", Channel::Http);
    let workers = fixture.house.engine.workers().unwrap();
    let ran = workers.run(move |worker| evaluate(worker, &session, &request)).unwrap().unwrap();
    let shown = ran.current.unwrap();
    let names: Vec<&str> = shown.iter().map(|(name, _)| &**name).collect();
    assert!(names.contains(&"user_name") && !names.contains(&"user_password"), "{names:?}");
}
