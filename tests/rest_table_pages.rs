//! The Table API, lists in pages: counts, links, order (rest-api RA-05–RA-09).

use serde_json::json;

use crate::harness::Answer;
use crate::people::{House, text};

/// The second of three pages.
const SECOND_PAGE: &str = "sysparm_limit=100&sysparm_offset=100&sysparm_query=ORDERBYnumber";

/// A server with 250 incidents.
fn paged_house() -> House {
    let house = House::new();
    incidents(&house, 250);
    house
}

/// Makes `count` incidents in one go.
fn incidents(house: &House, count: usize) {
    house.script(&format!(
        "for (var i = 0; i < {count}; i++) {{ var gr = new GlideRecord('incident'); gr.initialize(); \
         gr.short_description = 'lot ' + i; gr.insert(); }}"
    ));
    assert_eq!(house.admin.count("incident", ""), u64::try_from(count).unwrap());
}

/// The targets of a `Link` header by relation.
pub(crate) fn links(answer: &Answer) -> Vec<(String, String)> {
    let Some(header) = answer.header("link") else { return Vec::new() };
    header
        .split(",<")
        .map(|link| {
            let (address, relation) = link.trim_start_matches('<').split_once(">;rel=").unwrap();
            (relation.trim_matches('"').to_owned(), address.to_owned())
        })
        .collect()
}

fn numbers(answer: &Answer) -> Vec<String> {
    answer.result().as_array().unwrap().iter().map(|row| text(row, "number")).collect()
}

#[test]
fn ra_05_pages_have_a_count_and_links_to_their_neighbours() {
    let house = paged_house();
    let base = format!("{}/api/now/table/incident", house.server.url());

    let answer = house.admin.get(&format!("/api/now/table/incident?{SECOND_PAGE}"));
    assert_eq!(answer.result().as_array().unwrap().len(), 100);
    assert_eq!(answer.header("x-total-count"), Some("250"));
    let at = |offset: u64| {
        format!("{base}?sysparm_query=ORDERBYnumber&sysparm_limit=100&sysparm_offset={offset}")
    };
    let expected = [("first", 0), ("prev", 0), ("next", 200), ("last", 200)]
        .map(|(relation, offset)| (relation.to_owned(), at(offset)));
    assert_eq!(links(&answer), expected);
    // The caller's other parameters keep their order and spelling; each link leads where it says.
    let answer = house.admin.get(
        "/api/now/table/incident?sysparm_fields=number&sysparm_limit=100&sysparm_query=active%3Dtrue%5EORDERBYnumber",
    );
    let found = links(&answer);
    assert_eq!(found[0].0, "first");
    assert_eq!(
        found[1].1,
        format!(
            "{base}?sysparm_fields=number&sysparm_query=active%3Dtrue%5EORDERBYnumber&sysparm_limit=100&sysparm_offset=100"
        )
    );
    assert!(found.iter().all(|(relation, _)| relation != "prev"), "{found:?}");
    let path = |link: &str| link.strip_prefix(house.server.url()).unwrap().to_owned();
    let mut seen = numbers(&answer);
    let mut next = found;
    while let Some((_, link)) = next.iter().find(|(relation, _)| relation == "next") {
        let answer = house.admin.get(&path(link));
        seen.extend(numbers(&answer));
        next = links(&answer);
    }
    assert_eq!(seen.len(), 250);
    assert!(seen.is_sorted());
}

#[test]
fn ra_06_a_suppressed_pagination_header_leaves_the_count() {
    let house = paged_house();
    let path =
        format!("/api/now/table/incident?{SECOND_PAGE}&sysparm_suppress_pagination_header=true");
    let answer = house.admin.get(&path);
    assert_eq!((answer.header("link"), answer.header("x-total-count")), (None, Some("250")));
}

#[test]
fn ra_07_without_a_count_there_is_no_last_page_but_a_next_one() {
    let house = paged_house();
    let path = format!("/api/now/table/incident?{SECOND_PAGE}&sysparm_no_count=true");
    let answer = house.admin.get(&path);
    assert_eq!(answer.header("x-total-count"), None);
    let relations: Vec<String> = links(&answer).into_iter().map(|(relation, _)| relation).collect();
    assert_eq!(relations, ["first", "prev", "next"]);
    let last = "sysparm_limit=100&sysparm_offset=200&sysparm_no_count=true";
    let answer = house.admin.get(&format!("/api/now/table/incident?{last}"));
    assert!(links(&answer).iter().all(|(relation, _)| relation != "next"), "{answer:?}");
}

#[test]
fn ra_08_one_page_has_no_links() {
    let house = paged_house();
    let answer = house.admin.get("/api/now/table/incident?sysparm_limit=250");
    assert_eq!((answer.header("link"), answer.header("x-total-count")), (None, Some("250")));

    // Limit 0 gives the count alone; a negative offset is 0; HEAD has the headers without the body.
    let answer = house.admin.get("/api/now/table/incident?sysparm_limit=0");
    assert_eq!(answer.result(), json!([]));
    assert_eq!(answer.header("x-total-count"), Some("250"));
    let answer = house.admin.get("/api/now/table/incident?sysparm_limit=1&sysparm_offset=-7");
    assert_eq!(answer.result().as_array().unwrap().len(), 1);
    let answer = house.admin.send("HEAD", "/api/now/table/incident?sysparm_limit=10", &[], None);
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    assert_eq!(answer.header("x-total-count"), Some("250"));
    assert!(answer.header("link").is_some());
}

#[test]
fn ra_09_equal_sort_keys_neither_repeat_nor_skip_a_row() {
    let house = House::new();
    let mut made: Vec<String> = (0..3)
        .map(|at| {
            let values = json!({"short_description": at.to_string(), "priority": "2"});
            house.insert("incident", &values)
        })
        .collect();
    let mut seen: Vec<String> = (0..3)
        .map(|offset| {
            let path = format!(
                "/api/now/table/incident?sysparm_limit=1&sysparm_offset={offset}&sysparm_query=ORDERBYpriority"
            );
            let rows = house.admin.get(&path).result();
            text(&rows[0], "sys_id")
        })
        .collect();
    made.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, made);
}

#[test]
fn ra_22_of_a_page_without_rows_v1_is_404_only_when_nothing_matches() {
    let house = House::new();
    incidents(&house, 3);
    for uncounted in ["", "&sysparm_no_count=true"] {
        for page in ["sysparm_limit=0", "sysparm_offset=3", "sysparm_limit=2&sysparm_offset=100"] {
            let answer = house.admin.get(&format!("/api/now/v1/table/incident?{page}{uncounted}"));
            assert_eq!(answer.result(), json!([]), "{page}{uncounted}");
            let path =
                format!("/api/now/v1/table/incident?{page}{uncounted}&sysparm_query=number=none");
            assert_eq!(house.admin.get(&path).status, 404, "{path}");
        }
    }
}
