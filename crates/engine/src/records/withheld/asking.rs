//! Queries that ask for values which some rows withhold.

use campanile_model::query::{BoundPath, BoundQuery, BoundTerm, InvalidTerm, Test};

/// Groups of terms that one query may get, so that a long query does not become a huge one.
const GROUPS_MAX: usize = 64;

/// A column that some rows withhold, as a query sees it.
pub(super) trait Guard {
    /// Whether the path ends on such a column.
    fn guards(&self, path: &BoundPath) -> bool;

    /// Groups that a row of the queried table satisfies when it shows the column; an empty one lets no row through.
    fn shown_by(&self) -> Vec<Vec<BoundTerm>>;

    /// Whether the test tells nothing but what everybody may know.
    fn is_harmless(&self, _test: &Test) -> bool {
        false
    }
}

/// Leaves out of a query what would tell, by its effect, of withheld values: terms on a guarded column find only rows that
/// show it; orders by it, and terms that reach it by a reference, become invalid.
pub(super) fn restrict(query: &mut BoundQuery, guard: &dyn Guard) {
    let mut dropped = Vec::new();
    let mut budget = GROUPS_MAX;
    for alternative in &mut query.alternatives {
        let mut added: Vec<Vec<BoundTerm>> = Vec::new();
        let mut is_shown = false;
        for group in alternative.iter_mut() {
            let allowed = budget > 0 || is_shown;
            group.retain(|term| {
                let keeps = !asks(guard, term) || allowed && is_direct(guard, term);
                if !keeps {
                    dropped.push(withheld(term.text.to_string()));
                }
                keeps
            });
            let (asking, others): (Vec<_>, Vec<_>) =
                group.iter().cloned().partition(|term| asks(guard, term));
            if asking.is_empty() || is_shown {
                continue;
            }
            // (a or asked) becomes (a or asked) and (a or the row shows it).
            is_shown = others.is_empty();
            added.extend(guard.shown_by().into_iter().map(|arms| {
                let nothing = BoundTerm { test: Test::Never, ..asking[0].clone() };
                let arms = if arms.is_empty() { vec![nothing] } else { arms };
                [others.clone(), arms].concat()
            }));
            budget = budget.saturating_sub(1);
        }
        alternative.retain(|group| !group.is_empty());
        alternative.append(&mut added);
    }
    query.order.retain(|order| {
        let keeps = !guard.guards(&order.path);
        if !keeps {
            dropped.push(withheld(format!("ORDERBY{}", order.path.field_def().name)));
        }
        keeps
    });
    query.dropped.append(&mut dropped);
}

/// Whether any term of the query asks for a guarded value.
pub(super) fn any_asks(query: &BoundQuery, guard: &dyn Guard) -> bool {
    query.alternatives.iter().flatten().flatten().any(|term| asks(guard, term))
}

fn asks(guard: &dyn Guard, term: &BoundTerm) -> bool {
    guard.guards(&term.path) && !guard.is_harmless(&term.test)
        || compared(&term.test).is_some_and(|path| guard.guards(path))
}

/// Whether the guarded columns of the term are columns of the queried row itself.
fn is_direct(guard: &dyn Guard, term: &BoundTerm) -> bool {
    let mut paths = [Some(&term.path), compared(&term.test)].into_iter().flatten();
    paths.all(|path| path.steps.is_empty() || !guard.guards(path))
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
