//! What a field must satisfy for values as they are written: equality with one or none of them, spans, changes.

use std::sync::Arc;

use super::bound::{Comparison, Test};
use super::literal::{Literal, after, before, glide, merged};
use crate::table_def::FieldDef;
use crate::time::Instant;

/// The items of a comma list, not trimmed; empty ones are none.
pub(super) fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(|item| !item.is_empty())
}

/// Tests of which one holds when the field has one of the values.
pub(super) fn any_of<'a>(field: &FieldDef, values: impl IntoIterator<Item = &'a str>) -> Vec<Test> {
    let (mut exact, mut tests) = (Vec::new(), Vec::new());
    for literal in values.into_iter().map(|value| Literal::of(field, value)) {
        match literal {
            Literal::Exact(text) => exact.push(text),
            Literal::Day(start, end) => tests.push(Test::Between(glide(start), glide(end))),
            Literal::Meaningless => {}
        }
    }
    if !exact.is_empty() {
        tests.insert(0, Test::In(exact));
    }
    if tests.is_empty() {
        tests.push(Test::Never);
    }
    tests
}

/// Tests of which one holds when the field has none of the values; nil has none.
pub(super) fn none_of<'a>(
    field: &FieldDef,
    values: impl IntoIterator<Item = &'a str>,
) -> Vec<Test> {
    let literals: Vec<_> = values.into_iter().map(|value| Literal::of(field, value)).collect();
    if literals.iter().any(|literal| matches!(literal, Literal::Day(..))) {
        return outside(&literals);
    }
    let exact: Vec<_> = literals.iter().filter_map(Literal::first).collect();
    vec![if exact.is_empty() { Test::Anything } else { Test::NotIn(exact) }]
}

/// Tests of which one holds when a date-time lies on none of the literals' days and seconds.
fn outside(literals: &[Literal]) -> Vec<Test> {
    let spans = literals.iter().filter_map(|literal| match literal {
        Literal::Day(start, end) => Some((*start, *end)),
        Literal::Exact(text) => Instant::parse_glide_text(text).map(|at| (at, at)),
        Literal::Meaningless => None,
    });
    let spans = merged(spans.collect());
    let between = spans
        .windows(2)
        .map(|pair| Test::Between(glide(after(pair[0].1)), glide(before(pair[1].0))));
    let mut tests = vec![Test::Nil];
    tests.extend(spans.first().map(|first| Test::Compare(Comparison::Less, glide(first.0))));
    tests.extend(between);
    tests.extend(spans.last().map(|last| Test::Compare(Comparison::Greater, glide(last.1))));
    tests
}

/// `test` of both ends of a closed span; never true when an end is no value of the field's type.
pub(super) fn span(
    field: &FieldDef,
    (low, high): (&str, &str),
    test: fn(Arc<str>, Arc<str>) -> Test,
) -> Result<Test, String> {
    if low.is_empty() || high.is_empty() {
        return Err("both ends must be given".to_owned());
    }
    let ends = Literal::of(field, low).first().zip(Literal::of(field, high).last());
    Ok(ends.map_or(Test::Never, |(low, high)| test(low, high)))
}

/// A change to or from `value`; an empty value is nil.
pub(super) fn changed(field: &FieldDef, value: &str, test: fn(Arc<str>) -> Test) -> Test {
    if value.is_empty() {
        return test(Arc::from(""));
    }
    Literal::of(field, value).first().map_or(Test::Never, test)
}

/// A text test on a boolean, whose texts are `1` and `0`: the values that contain `value`, or do not.
pub(super) fn among_booleans(value: &str, contain: bool) -> Test {
    let texts = ["1", "0"].into_iter().filter(|text| (*text == value) == contain);
    match texts.map(Arc::from).collect::<Vec<_>>() {
        none if none.is_empty() => Test::Never,
        some => Test::In(some),
    }
}
