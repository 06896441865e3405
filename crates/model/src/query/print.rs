//! Tree to text: parsing the text again gives the same tree.

use super::tree::{Operator, Query, Term};

/// The canonical encoded text of `query`: terms first, order terms, groupings and broken pieces last.
///
/// Whatever [`super::parse`] made comes back from the text, broken pieces included. A term that a program made
/// comes back too, unless its value continues the operator's word: `<` with a value that begins `=` (or `>` so),
/// or `IN` with one that begins `STANCEOF` or `_HIERARCHY`; the language has no text for these.
#[must_use]
pub fn print(query: &Query) -> String {
    let mut out = String::new();
    // A JOIN owns everything behind it.
    let ends_with_join =
        query.terms().last().is_some_and(|term| term.operator == Operator::Unsupported("JOIN"));
    if ends_with_join {
        print_rest(&mut out, query);
        print_terms(&mut out, query);
    } else {
        print_terms(&mut out, query);
        print_rest(&mut out, query);
    }
    // At the border of a text `^^` is an empty part, so a value that ends there needs an end behind it.
    if out.ends_with('^') {
        out.push_str("^EQ");
    }
    out
}

/// The encoded text of one term.
#[must_use]
pub fn print_term(term: &Term) -> String {
    let mut out = String::new();
    push_term(&mut out, term);
    out
}

fn print_terms(out: &mut String, query: &Query) {
    let mut is_first = true;
    for alternative in &query.alternatives {
        let mut groups =
            alternative.groups.iter().filter(|group| !group.terms.is_empty()).peekable();
        if groups.peek().is_some() && !std::mem::take(&mut is_first) {
            out.push_str("^NQ");
        } else {
            separate(out);
        }
        for (at, group) in groups.enumerate() {
            if at > 0 {
                out.push('^');
            }
            for (at, term) in group.terms.iter().enumerate() {
                if at > 0 {
                    out.push_str("^OR");
                }
                push_term(out, term);
            }
        }
    }
}

fn print_rest(out: &mut String, query: &Query) {
    for order in &query.order {
        separate(out);
        out.push_str(if order.descending { "ORDERBYDESC" } else { "ORDERBY" });
        out.push_str(&order.path);
    }
    for path in &query.group_by {
        separate(out);
        out.push_str("GROUPBY");
        out.push_str(path);
    }
    for piece in &query.invalid {
        separate(out);
        out.push_str(&piece.text);
    }
}

fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push('^');
    }
}

fn push_term(out: &mut String, term: &Term) {
    out.push_str(&term.path);
    out.push_str(term.operator.word());
    match term.operator {
        Operator::Unsupported("RLQUERY") => {
            out.push_str(&term.value);
            out.push_str("^ENDRLQUERY");
        }
        Operator::Unsupported("JOIN") => out.push_str(&term.value),
        operator if operator.takes_value() => out.push_str(&term.value.replace('^', "^^")),
        _ => {}
    }
}
