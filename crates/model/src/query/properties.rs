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
        value in testing::any_text(),
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
        let queries = [&text, &again].map(|text| bound(text, BindMode::Database));
        for row in world.rows_of(world.table("incident")) {
            let subject = Subject::unchanged(&row);
            let [first, second] = queries
                .each_ref()
                .map(|query| matches(query, &subject, EvaluationMode::Database, &world));
            prop_assert_eq!(first, second, "printed as {}", &again);
        }
    }

    /// The negative operators against the positive ones, nil aside (§11.4).
    #[test]
    fn a_value_satisfies_either_an_operator_or_its_opposite(
        world in testing::world(),
        (field, literal) in proptest::sample::select(vec![
            ("short_description", "Email"), ("short_description", "k"), ("priority", "2"), ("priority", "abc"),
            ("opened_at", "2024-03-13"), ("opened_at", "2024-03-12,x"), ("caller_id.name", "ärger"),
            ("active", "1"), ("approval_date", "2024-03-13"), ("watch_list", "000"),
        ]),
    ) {
        let pairs = [("=", "!=", true), ("IN", "NOT IN", true), ("LIKE", "NOT LIKE", false)];
        for (positive, negative, nil_satisfies_negative) in pairs {
            let query = |test: &str| bound(&format!("{field}{test}{literal}"), BindMode::Database);
            let (positive, negative) = (query(positive), query(negative));
            let nil = bound(&format!("{field}ISEMPTY"), BindMode::Database);
            for row in world.rows_of(world.table("incident")) {
                let holds = |query: &BoundQuery| {
                    matches(query, &Subject::unchanged(&row), EvaluationMode::Database, &world)
                };
                if holds(&nil) {
                    prop_assert!(!holds(&positive));
                    prop_assert_eq!(holds(&negative), nil_satisfies_negative);
                } else {
                    prop_assert_ne!(holds(&positive), holds(&negative));
                }
            }
        }
    }
}
