//! `campanile doctor`: checks a data folder.

use campanile_model::counted;
use serde_json::{Value, json};

use super::folder;
use crate::args::FolderArgs;
use crate::output::{self, Failure};
use crate::settings::Settings;

/// Checks the folder. Findings that need somebody are exit code 1.
pub(crate) fn run(settings: &Settings, args: FolderArgs, json: bool) -> Result<(), Failure> {
    let engine = folder::open(settings, &args)?;
    let examined = engine.examine();
    engine.stop()?;
    let findings = examined?;
    let serious = findings.iter().filter(|finding| finding.serious).count();
    let answer: Vec<Value> = findings
        .iter()
        .map(
            |finding| json!({"serious": finding.serious, "what": finding.what, "fix": finding.fix}),
        )
        .collect();
    output::print(json, &json!({"findings": answer, "serious": serious}), |_| {
        if findings.is_empty() {
            return "nothing to mend".to_owned();
        }
        let lines: Vec<String> = findings
            .iter()
            .map(|finding| {
                let word = if finding.serious { "problem" } else { "note" };
                format!("{word}: {}\n  fix: {}", finding.what, finding.fix)
            })
            .collect();
        lines.join("\n")
    });
    match serious {
        0 => Ok(()),
        _ => Err(Failure::failed(counted(serious, "problem found", "problems found"))),
    }
}
