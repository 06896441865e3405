//! `Warning` headers: what was accepted but will surprise.

use serde_json::json;

use crate::harness::{Answer, encode};
use crate::people::{House, refusal};

/// The texts of all `Warning` headers.
fn warnings(answer: &Answer) -> Vec<String> {
    let texts = answer.headers.get_all("warning").iter();
    texts
        .map(|value| {
            let text = value.to_str().unwrap();
            let text = text.strip_prefix("299 campanile \"").and_then(|t| t.strip_suffix('"'));
            text.unwrap_or_else(|| panic!("{value:?}")).to_owned()
        })
        .collect()
}

fn listed(house: &House, parameters: &str) -> Answer {
    house.admin.get(&format!("/api/now/table/incident?{parameters}"))
}

#[test]
fn terms_that_are_left_out_of_a_query_are_named() {
    let house = House::new();
    house.insert("incident", &json!({"number": "INC0010003"}));
    let query = encode("nofield=1^number=INC0010003^ORDERBYnothing^numberWHATEVER");
    let answer = listed(&house, &format!("sysparm_query={query}"));
    assert_eq!(answer.result().as_array().unwrap().len(), 1);
    let told = warnings(&answer);
    assert_eq!(told.len(), 3, "{told:?}");
    for term in ["'nofield=1' was left out", "'ORDERBYnothing' was", "'numberWHATEVER' was"] {
        assert!(told.iter().any(|text| text.starts_with(term)), "{term}: {told:?}");
    }
    assert!(told.iter().any(|text| text.contains("no field 'nofield'")), "{told:?}");
    // Also without rows, and where that is a 404.
    house.property("glide.invalid_query.returns_no_rows", "true");
    let answer = listed(&house, "sysparm_query=nofield=1");
    assert_eq!(answer.result(), json!([]));
    assert!(warnings(&answer)[0].starts_with("'nofield=1' was not understood, so no row is given"));
    let answer = house.admin.get("/api/now/v1/table/incident?sysparm_query=nofield=1");
    assert_eq!((refusal(&answer).0, warnings(&answer).len()), (404, 1));
    // Nothing to say where everything is understood.
    for parameters in ["", "sysparm_query=number=INC0010003^ORDERBYnumber", "active=true"] {
        assert!(warnings(&listed(&house, parameters)).is_empty(), "{parameters}");
    }
}

#[test]
fn whatever_a_query_holds_its_warnings_are_few_short_and_one_line_each() {
    let house = House::new();
    let hostile = "nof\"ield=1\r\nSet-Cookie: a=b\r\n\r\n<html>\u{e4}\u{0}\\";
    let answer = listed(&house, &format!("sysparm_query={}", encode(hostile)));
    assert_eq!(answer.header("set-cookie"), None);
    let told = warnings(&answer);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("nof'ield=1%0D%0ASet-Cookie: a=b"), "{told:?}");

    let many: Vec<String> = (0..900).map(|at| format!("no{at}={}", "x".repeat(5))).collect();
    let answer = listed(&house, &format!("sysparm_query={}", encode(&many.join("^"))));
    let told = warnings(&answer);
    assert_eq!(told.len(), 11);
    assert_eq!(told[10], "and 890 more terms");
    let long = format!("nofield={}", "\u{20ac}".repeat(1000));
    let told = warnings(&listed(&house, &format!("sysparm_query={}", encode(&long))));
    assert!(told[0].len() < 300 && told[0].contains("..."), "{told:?}");
}

#[test]
fn of_a_member_that_stands_twice_in_a_record_the_last_counts_and_it_is_named() {
    let house = House::new();
    let body =
        "{\"short_description\": \"first\", \"impact\": \"1\", \"short_description\": \"last\"}";
    let path = "/api/now/table/incident";
    let key = [("idempotency-key", "doubled")];
    let answer = house.admin.send("POST", path, &key, Some(body));
    assert_eq!(answer.result()["short_description"], "last");
    let told = warnings(&answer);
    assert!(told.len() == 1 && told[0].contains("'short_description' stands twice"), "{told:?}");
    let again = house.admin.send("POST", path, &key, Some(body));
    assert_eq!((again.header("idempotency-replayed"), warnings(&again)), (Some("true"), told));
}
