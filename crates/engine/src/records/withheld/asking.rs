//! Queries that ask for the values of secrets.

use campanile_model::query::{BoundPath, BoundQuery, BoundTerm, InvalidTerm, Test};

use super::secret_values::{guards, is_harmless};

/// Groups of terms that one query may get, so that a long query does not become a huge one.
const GROUPS_MAX: usize = 64;

/// Leaves out of a query what would tell, by its effect, of withheld values: terms on a guarded column find only rows that
/// show it; orders by it, and terms that reach it by a reference, become invalid. A row shows it that satisfies one of the
/// terms `shown_by`.
pub(super) fn restrict(query: &mut BoundQuery, shown_by: &[BoundTerm]) {
    let mut dropped = Vec::new();
    let mut budget = GROUPS_MAX;
    for alternative in &mut query.alternatives {
        let mut added: Vec<Vec<BoundTerm>> = Vec::new();
        let mut is_shown = false;
        for group in alternative.iter_mut() {
            let allowed = budget > 0 || is_shown;
            group.retain(|term| {
                let keeps = !asks(term) || allowed && is_direct(term);
                if !keeps {
                    dropped.push(withheld(term.text.to_string()));
                }
                keeps
            });
            let (asking, others): (Vec<_>, Vec<_>) = group.iter().cloned().partition(asks);
            if asking.is_empty() || is_shown {
                continue;
            }
            // (a or asked) becomes (a or asked) and (a or the row shows it).
            is_shown = others.is_empty();
            added.push([&others, shown_by].concat());
            budget = budget.saturating_sub(1);
        }
        alternative.retain(|group| !group.is_empty());
        alternative.append(&mut added);
    }
    query.order.retain(|order| {
        let keeps = !guards(&order.path);
        if !keeps {
            dropped.push(withheld(format!("ORDERBY{}", order.path.field_def().name)));
        }
        keeps
    });
    query.dropped.append(&mut dropped);
}

/// Whether any term of the query asks for a guarded value.
pub(super) fn any_asks(query: &BoundQuery) -> bool {
    query.alternatives.iter().flatten().flatten().any(asks)
}

fn asks(term: &BoundTerm) -> bool {
    guards(&term.path) && !is_harmless(&term.test) || compared(&term.test).is_some_and(guards)
}

/// Whether the guarded columns of the term are columns of the queried row itself.
fn is_direct(term: &BoundTerm) -> bool {
    let mut paths = [Some(&term.path), compared(&term.test)].into_iter().flatten();
    paths.all(|path| path.steps.is_empty() || !guards(path))
}

/// The other field of a comparison of two.
fn compared(test: &Test) -> Option<&BoundPath> {
    match test {
        Test::SameAs(path) | Test::NotSameAs(path) | Test::CompareField(_, path) => Some(path),
        _ => None,
    }
}

fn withheld(text: String) -> InvalidTerm {
    let reason = "it asks for a value that rows withhold from the caller".to_owned();
    InvalidTerm { text, reason }
}
