//! Terms and queries made by programs, without text in between: what `GlideRecord.addQuery` and its kin need.

use super::parse::is_path;
use super::tree::{Alternative, Group, InvalidTerm, Operator, Query, Term};

/// The right side of a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand<'a> {
    /// Nothing, or `null`: with `=` the field must be nil, with `!=` it must not.
    Nothing,
    /// One text.
    Text(&'a str),
    /// A list: `=` becomes `IN` and `!=` becomes `NOT IN`; other operators take the comma list.
    List(&'a [String]),
}

impl Term {
    /// The term `path operator operand`. The operator is any spelling of §11.2 in any letter case; an operator
    /// without a value ignores the operand. `^` in a text is an ordinary character.
    ///
    /// # Errors
    /// An [`InvalidTerm`] to be kept in [`Query::invalid`]: the path is no path or the operator no operator.
    /// Printing it gives text that is again one invalid piece.
    pub fn build(path: &str, operator: &str, operand: Operand<'_>) -> Result<Self, InvalidTerm> {
        let value = match operand {
            Operand::Nothing => String::new(),
            Operand::Text(text) => text.to_owned(),
            Operand::List(items) => items.join(","),
        };
        // The blank behind the path, and the quotes round what is no path, keep the text from ever parsing.
        let invalid = |left: String, reason| InvalidTerm {
            text: format!("{left} {operator} {value}").replace('^', "^^"),
            reason,
        };
        if !is_path(path) {
            return Err(invalid(format!("'{path}'"), format!("'{path}' is no field name")));
        }
        let Some(found) = Operator::from_word(operator) else {
            return Err(invalid(path.to_owned(), format!("no operator '{operator}'")));
        };
        let operator = match (found, operand) {
            (Operator::Equals, Operand::List(_)) => Operator::In,
            (Operator::NotEquals, Operand::List(_)) => Operator::NotIn,
            _ => found,
        };
        let value = if operator.takes_value() { value } else { String::new() };
        Ok(Self { path: path.to_owned(), operator, value })
    }
}

impl Query {
    /// Every term, in textual order.
    pub fn terms(&self) -> impl Iterator<Item = &Term> {
        self.alternatives.iter().flat_map(|a| &a.groups).flat_map(|g| &g.terms)
    }

    /// Both queries must hold: each alternative of one is joined with each of the other. Order terms, groupings
    /// and invalid pieces follow one another. A query without terms adds none.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.alternatives = if self.alternatives.is_empty() {
            other.alternatives
        } else if other.alternatives.is_empty() {
            self.alternatives
        } else {
            let pairs = self.alternatives.iter().flat_map(|left| {
                other.alternatives.iter().map(move |right| Alternative {
                    groups: left.groups.iter().chain(&right.groups).cloned().collect(),
                })
            });
            pairs.collect()
        };
        self.order.extend(other.order);
        self.group_by.extend(other.group_by);
        self.invalid.extend(other.invalid);
        self
    }

    /// Adds a group (terms joined by OR) that must hold in every alternative. A group without terms adds nothing.
    pub fn push_group(&mut self, group: Group) {
        if group.terms.is_empty() {
            return;
        }
        if self.alternatives.is_empty() {
            self.alternatives.push(Alternative::default());
        }
        for alternative in &mut self.alternatives {
            alternative.groups.push(group.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ParseLimits, parse, print};
    use super::*;

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    fn single(term: Term) -> Query {
        let mut query = Query::default();
        query.push_group(Group { terms: vec![term] });
        query
    }

    #[test]
    fn an_array_means_in() {
        let items = list(&["INC1", "INC2"]);
        let term = Term::build("number", "=", Operand::List(&items)).unwrap();
        assert_eq!((term.operator, term.value.as_str()), (Operator::In, "INC1,INC2"));
        let term = Term::build("number", "!=", Operand::List(&items[..1])).unwrap();
        assert_eq!((term.operator, term.value.as_str()), (Operator::NotIn, "INC1"));
    }

    #[test]
    fn a_built_term_prints_as_the_text_that_parses_to_it() {
        let query = single(Term::build("name", "contains", Operand::Text("a^NQb=1^")).unwrap());
        let text = print(&query);
        assert_eq!(text, "nameLIKEa^^NQb=1^^^EQ");
        assert_eq!(parse(&text, ParseLimits::STORED).unwrap(), query);
    }

    #[test]
    fn what_is_no_term_stays_invalid_when_it_is_printed_and_parsed() {
        let cases = [
            ("NQpriority", "="),
            ("ORDERBYx", "="),
            ("", "="),
            ("a b", "IN"),
            ("^", "^"),
            ("a", "INx"),
        ];
        for (path, operator) in cases {
            let invalid =
                Term::build(path, operator, Operand::Text("1^NQactive=true")).unwrap_err();
            let query = Query { invalid: vec![invalid.clone()], ..Query::default() };
            let again = parse(&print(&query), ParseLimits::STORED).unwrap();
            assert!(again.alternatives.is_empty() && again.order.is_empty(), "{again:?}");
            assert_eq!(again.invalid.len(), 1, "{again:?}");
            assert_eq!(again.invalid[0].text, invalid.text);
        }
    }

    #[test]
    fn two_queries_hold_together_in_every_pair_of_alternatives() {
        let parse = |text| parse(text, ParseLimits::STORED).unwrap();
        let both = parse("a=1^NQb=2^ORDERBYx").and(parse("c=3^NQd=4^ORDERBYy"));
        assert_eq!(print(&both), "a=1^c=3^NQa=1^d=4^NQb=2^c=3^NQb=2^d=4^ORDERBYx^ORDERBYy");
        assert_eq!(parse("").and(parse("a=1")), parse("a=1"));
        assert_eq!(parse("a=1").and(parse("")), parse("a=1"));
    }
}
