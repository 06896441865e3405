//! Random encoded queries on a table of a dictionary, and random text that looks like them.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;

use super::worlds::texts;
use crate::dictionary::Dictionary;
use crate::query::{BoundPath, resolve};
use crate::table_def::{ColumnStorage, FieldType, TableDef};

/// References that a random path follows.
const STEPS_MAX: usize = 2;

/// A path that can be compared, and its field.
#[derive(Debug, Clone)]
struct Choice {
    text: String,
    path: BoundPath,
}

/// Encoded queries on `table` in which every term is valid as a database query: up to two alternatives of up to
/// three groups of up to two arms, and order terms. Without text operators on decimals and floats, whose text
/// is the database's own.
pub fn query_text(
    table: &Arc<TableDef>,
    dictionary: &Dictionary,
) -> impl Strategy<Value = String> + Clone + use<> {
    let choices = paths(table, dictionary);
    let direct: Vec<_> = choices.iter().filter(|c| c.path.steps.is_empty()).cloned().collect();
    let all = Arc::new(choices);
    let pick = prop_oneof![3 => select(direct), 2 => select(all.to_vec())];
    let order = (any::<bool>(), pick.clone()).prop_map(|(descending, choice)| {
        format!("^{}{}", if descending { "ORDERBYDESC" } else { "ORDERBY" }, choice.text)
    });
    let term = pick.prop_flat_map(move |choice| term(&choice, &all));
    let joined = |items: BoxedStrategy<String>, most: usize, by: &'static str| {
        prop::collection::vec(items, 1..=most).prop_map(move |items| items.join(by)).boxed()
    };
    let group = joined(term.boxed(), 2, "^OR");
    let query = joined(joined(group, 3, "^"), 2, "^NQ");
    (query, prop::collection::vec(order, 0..3)).prop_map(|(query, order)| query + &order.concat())
}

/// As [`query_text`], with pieces that have no meaning among the others.
pub fn broken_query_text(
    table: &Arc<TableDef>,
    dictionary: &Dictionary,
) -> impl Strategy<Value = String> + Clone + use<> {
    let pieces = vec![
        "",
        "^",
        "^^",
        "^nope=1",
        "^ORnope=1",
        "^state = 1",
        "^OR",
        "^NQ",
        "^EQ",
        "^ORDERBYnope",
        "^GROUPBYstate",
        "^RLQUERYincident.parent,>=1,active=true^ENDRLQUERY",
        "^RLQUERY",
        "^JOINa.b=c.d!x=1^y=2",
        "^JOIN",
        "^numberLIKE",
        "^stateISEMPTYx",
        "^active=javascript:true",
        "^priorityVALCHANGES",
        "^ORpriorityCHANGESTO1",
        "^opened_atONx@2024-03-13@2024-03-13",
        "^opened_atRELATIVEGT@hour@ago@1",
        "^a..b=1",
        "^comments=x",
    ];
    let query = query_text(table, dictionary);
    (query.clone(), select(pieces.clone()), query, select(pieces))
        .prop_map(|(a, b, c, d)| format!("{a}{b}^{c}{d}"))
}

/// Any text at all, with the words of the language more often than chance has them.
pub fn any_text() -> impl Strategy<Value = String> {
    let words = vec![
        "^",
        "^^",
        "^OR",
        "^NQ",
        "^EQ",
        "ORDERBY",
        "ORDERBYDESC",
        "GROUPBY",
        "RLQUERY",
        "^ENDRLQUERY",
        "JOIN",
        "!",
        "@",
        ",",
        "=",
        "!=",
        "<=",
        "LIKE",
        "NOT IN",
        "IN",
        "BETWEEN",
        "ON",
        "ISEMPTY",
        "SAMEAS",
        "priority",
        "caller_id",
        ".",
        "caller_id.manager.name",
        "opened_at",
        "2024-03-13",
        "comments",
        "active",
        "javascript:",
        "123TEXTQUERY321",
        "é",
        "\u{0}",
        "𝕏",
    ];
    let piece = prop_oneof![4 => select(words).prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Every path from `table` that a database query may compare.
fn paths(table: &Arc<TableDef>, dictionary: &Dictionary) -> Vec<Choice> {
    let mut found = Vec::new();
    let mut open: Vec<(Arc<TableDef>, String, usize)> = vec![(Arc::clone(table), String::new(), 0)];
    while let Some((at, prefix, steps)) = open.pop() {
        for field in &at.fields {
            let text = format!("{prefix}{}", field.name);
            if field.field_type == FieldType::Password || field.storage == ColumnStorage::None {
                continue;
            }
            if let Ok(path) = resolve(table, dictionary, &text) {
                found.push(Choice { text: text.clone(), path });
            }
            if field.field_type == FieldType::Reference
                && steps < STEPS_MAX
                && let Some(target) = dictionary.table(&field.reference)
            {
                open.push((Arc::clone(target), format!("{text}."), steps + 1));
            }
        }
    }
    found
}

fn term(choice: &Choice, all: &[Choice]) -> BoxedStrategy<String> {
    let field = choice.path.field_def();
    let kind = field.field_type;
    let path = choice.text.clone();
    let mut literals = texts(field);
    let more: &[&str] = match kind {
        FieldType::Boolean => &["true", "false", "TRUE", "maybe"],
        FieldType::Integer | FieldType::Decimal | FieldType::Float => {
            &["2.5", "abc", "1e3", "+3", "-0"]
        }
        FieldType::DateTime => &["2024-03-13", "2024-03-12", "yesterday"],
        FieldType::Date => &["2024-03-13 10:00:00"],
        FieldType::Duration => &["09:30:00", "10 00:00:01", "x"],
        FieldType::Reference | FieldType::Guid => &["Email down", "not a key"],
        _ => &["e", "EMAIL", "ß", "%", "_", "down", "NULL", "\\"],
    };
    literals.extend(more.iter().map(|text| (*text).to_owned()));
    let literal = select(literals).prop_map(|text| text.replace('^', "^^"));
    let with_value = |operators: &[&'static str], value: BoxedStrategy<String>| {
        let path = path.clone();
        (select(operators.to_vec()), value)
            .prop_map(move |(op, value)| format!("{path}{op}{value}"))
            .boxed()
    };
    let list = prop::collection::vec(literal.clone(), 0..4).prop_map(|items| items.join(","));
    let span = (literal.clone(), literal.clone()).prop_map(|(low, high)| format!("{low}@{high}"));
    let bare = path.clone();
    let mut terms = vec![
        with_value(&["=", "!=", "=", "!="], literal.clone().boxed()),
        with_value(&["<", "<=", ">", ">="], literal.clone().boxed()),
        with_value(&["IN", "NOT IN"], list.boxed()),
        with_value(&["BETWEEN"], span.clone().boxed()),
        select(vec!["ISEMPTY", "ISNOTEMPTY", "ANYTHING", "=", "!=", "LIKE", "NOT LIKE"])
            .prop_filter(
                "text operators on numbers with a scale are the database's own",
                move |op| {
                    !op.ends_with("LIKE") || !matches!(kind, FieldType::Decimal | FieldType::Float)
                },
            )
            .prop_map(move |op| format!("{bare}{op}"))
            .boxed(),
    ];
    if !matches!(kind, FieldType::Decimal | FieldType::Float) {
        let operators = ["LIKE", "NOT LIKE", "STARTSWITH", "ENDSWITH"];
        let part = prop_oneof![
            3 => literal.clone(),
            1 => select(vec!["e", "1", "202", ":00", "a", "task", "Down"]).prop_map(str::to_owned),
        ];
        terms.push(with_value(&operators, part.boxed()));
    }
    if kind.is_temporal() {
        terms.push(with_value(&["ONlabel@", "NOTON@"], span.boxed()));
    }
    if kind == FieldType::TableName {
        let classes = select(vec!["task", "incident", "problem", "sys_user", "none"]);
        terms.push(with_value(&["INSTANCEOF"], classes.prop_map(str::to_owned).boxed()));
    }
    let fellows: Vec<_> = all
        .iter()
        .filter(|c| c.path.field_def().field_type == kind)
        .map(|c| c.text.clone())
        .collect();
    if !fellows.is_empty() {
        let mut operators = vec!["SAMEAS", "NSAMEAS"];
        if kind.is_numeric() || kind.is_temporal() {
            operators.extend(["GT_FIELD", "LT_FIELD", "GT_OR_EQUALS_FIELD", "LT_OR_EQUALS_FIELD"]);
        }
        terms.push(with_value(&operators, select(fellows).boxed()));
    }
    proptest::strategy::Union::new(terms).boxed()
}
