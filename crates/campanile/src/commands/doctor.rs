//! `campanile doctor`: checks a data folder.

use campanile_model::counted;
use campanile_store::ConnectionBudget;
use serde_json::{Value, json};

use super::folder;
use crate::args::FolderArgs;
use crate::output::{self, Failure};
use crate::settings::Settings;

/// Checks the folder. Findings that need somebody are exit code 1.
pub(crate) fn run(settings: &Settings, args: FolderArgs, json: bool) -> Result<(), Failure> {
    let engine = folder::open(settings, &args)?;
    let examined = engine.examine().and_then(|found| Ok((found, engine.connection_budget()?)));
    engine.stop()?;
    let (findings, budget) = examined?;
    let serious = findings.iter().filter(|finding| finding.serious).count();
    let answer: Vec<Value> = findings
        .iter()
        .map(
            |finding| json!({"serious": finding.serious, "what": finding.what, "fix": finding.fix}),
        )
        .collect();
    output::print(
        json,
        &json!({
            "findings": answer,
            "serious": serious,
            "connections": budget.as_ref().map(connections_json),
        }),
        |_| {
            let mut lines: Vec<String> = findings
                .iter()
                .map(|finding| {
                    let word = if finding.serious { "problem" } else { "note" };
                    format!("{word}: {}\n  fix: {}", finding.what, finding.fix)
                })
                .collect();
            if findings.is_empty() {
                lines.push("nothing to mend".to_owned());
            }
            lines.extend(budget.as_ref().map(connections));
            lines.join("\n")
        },
    );
    match serious {
        0 => Ok(()),
        _ => Err(Failure::failed(counted(serious, "problem found", "problems found"))),
    }
}

/// How many connections there are.
fn connections_json(budget: &ConnectionBudget) -> Value {
    json!({
        "readers": budget.readers,
        "writers": budget.writers,
        "own": budget.own,
        "servers": budget.others,
        "given": budget.given,
        "pool": budget.is_pooled.then(|| budget.of_a_pool(budget.others.max(1))),
    })
}

/// The same in a line.
fn connections(budget: &ConnectionBudget) -> String {
    let ConnectionBudget { readers, writers, own, others, given, .. } = *budget;
    let running = counted(others, "server runs", "servers run");
    let limit = match given {
        Some(given) => format!("the database gives {given}"),
        None => {
            format!("the pool before it has to give {} at least", budget.of_a_pool(others.max(1)))
        }
    };
    format!(
        "connections: a server takes {} at most ({readers} that read, {writers} that write, {own} of its own); {running} now; \
         {limit}",
        budget.of_one()
    )
}
