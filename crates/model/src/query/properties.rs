//! What holds for every query: it comes back from its text, and nothing that is typed can bring it down.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::*;
use crate::dictionary::Dictionary;
use crate::table_def::TableDef;
use crate::testing;

static DICTIONARY: LazyLock<Dictionary> = LazyLock::new(testing::dictionary);

fn table(name: &str) -> &'static Arc<TableDef> {
    DICTIONARY.table(name).unwrap()
}

fn parsed(text: &str) -> Query {
    parse(text, ParseLimits::HTTP).unwrap()
}

fn bound(text: &str, mode: BindMode) -> BoundQuery {
    let options = BindOptions { mode, invalid_returns_no_rows: false };
    bind(&parsed(text), table("incident"), &DICTIONARY, options)
}

/// Valid queries, broken ones, and text that has nothing of a query.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        testing::query_text(table("incident"), &DICTIONARY),
        testing::broken_query_text(table("incident"), &DICTIONARY),
        testing::any_text(),
    ]
}

proptest! {
    #[test]
    fn a_query_comes_back_from_its_text(text in text()) {
        let query = parsed(&text);
        let printed = print(&query);
        prop_assert_eq!(&parsed(&printed), &query, "printed as {}", &printed);
        prop_assert_eq!(print(&parsed(&printed)), printed, "printing is stable");
    }

    #[test]
    fn a_built_term_comes_back_from_its_text(
        value in any::<String>(),
        operator in proptest::sample::select(vec!["contains", "=", "!=", ">=", "not in", "starts", "ISEMPTY"]),
        path in proptest::sample::select(vec!["priority", "caller_id.name", "Priority", "OR", "a b", ""]),
    ) {
        let mut query = Query::default();
        match Term::build(path, operator, Operand::Text(&value)) {
            Ok(term) => query.push_group(Group { terms: vec![term] }),
            Err(invalid) => query.invalid.push(invalid),
        }
        let again = parsed(&print(&query));
        prop_assert_eq!(&again.alternatives, &query.alternatives);
        prop_assert!(again.order.is_empty() && again.group_by.is_empty());
        let texts = |query: &Query| query.invalid.iter().map(|i| i.text.clone()).collect::<Vec<_>>();
        prop_assert_eq!(texts(&parsed(&print(&query))), texts(&query));
    }

    #[test]
    fn no_text_brings_anything_down(world in testing::world(), text in text()) {
        for mode in [BindMode::Database, BindMode::Condition] {
            let query = bound(&text, mode);
            for row in world.rows_of(world.table("incident")) {
                for subject in [Subject::unchanged(&row), Subject::inserted(&row)] {
                    for how in [EvaluationMode::Database, EvaluationMode::Condition] {
                        let holds = matches(&query, &subject, how, &world);
                        let why = explain_mismatch(&query, &subject, how, &world);
                        prop_assert_eq!(why.is_none(), holds, "{:?}", why);
                    }
                }
            }
        }
    }

    #[test]
    fn generated_queries_are_valid(text in testing::query_text(table("incident"), &DICTIONARY)) {
        let query = parsed(&text);
        prop_assert!(query.invalid.is_empty(), "{:?}", query.invalid);
        let bound = bound(&text, BindMode::Database);
        prop_assert!(bound.dropped.is_empty(), "{:?}", bound.dropped);
    }

    #[test]
    fn canonical_text_means_what_the_text_meant(
        world in testing::world(),
        text in testing::broken_query_text(table("incident"), &DICTIONARY),
    ) {
        let again = print(&parsed(&text));
        for row in world.rows_of(world.table("incident")) {
            let holds = |text: &str| {
                let query = bound(text, BindMode::Database);
                matches(&query, &Subject::unchanged(&row), EvaluationMode::Database, &world)
            };
            prop_assert_eq!(holds(&text), holds(&again), "printed as {}", &again);
        }
    }

    /// The negative operators against the positive ones, nil aside (§11.4).
    #[test]
    fn a_value_satisfies_either_an_operator_or_its_opposite(
        world in testing::world(),
        literal in proptest::sample::select(vec!["Email", "2", "1", "2024-03-13", "k", "incident", "2024-03-12,x"]),
    ) {
        let pairs = [("=", "!=", true), ("IN", "NOT IN", true), ("LIKE", "NOT LIKE", false), ("<", ">=", false)];
        for row in world.rows_of(world.table("incident")) {
            for field in ["short_description", "priority", "opened_at", "caller_id.name", "active", "approval_date"] {
                for (positive, negative, nil_satisfies_negative) in pairs {
                    let literal_is_value = Literals { field, literal }.are_values();
                    if (positive == "<" || positive == "=") && !literal_is_value { continue; }
                    let holds = |test: &str, value: &str| {
                        let query = bound(&format!("{field}{test}{value}"), BindMode::Database);
                        matches(&query, &Subject::unchanged(&row), EvaluationMode::Database, &world)
                    };
                    if holds("ISEMPTY", "") {
                        prop_assert!(!holds(positive, literal));
                        prop_assert_eq!(holds(negative, literal), nil_satisfies_negative, "{}{}", field, negative);
                    } else {
                        prop_assert_ne!(holds(positive, literal), holds(negative, literal), "{}{}", field, negative);
                    }
                }
            }
        }
    }
}

struct Literals<'a> {
    field: &'a str,
    literal: &'a str,
}

impl Literals<'_> {
    /// Whether the literal is a value of the field's type: ordering against one that is none never holds.
    fn are_values(&self) -> bool {
        match self.field {
            "priority" => self.literal.parse::<f64>().is_ok(),
            "active" => self.literal == "1",
            "opened_at" | "approval_date" => self.literal == "2024-03-13",
            _ => true,
        }
    }
}
