//! The table of figures, for people and for programs.

use serde_json::{Value, json};

use super::figure::Figure;
use super::machine::Machine;

const HEADER: [&str; 7] =
    ["measurement", "value", "unit", "must", "aim", "processor µs each", "ratio in the same run"];

/// What was measured, and where.
#[derive(Debug)]
pub(crate) struct Report {
    pub(super) machine: Machine,
    pub(super) rounds: usize,
    pub(super) figures: Vec<Figure>,
}

impl Report {
    /// A table in Markdown, with the machine under it.
    pub(crate) fn markdown(&self) -> String {
        let rows: Vec<[String; 7]> = self.figures.iter().map(Figure::cells).collect();
        let mut lines = vec![line(&HEADER.map(str::to_owned))];
        lines.push("| --- | ---: | --- | ---: | ---: | ---: | --- |".to_owned());
        lines.extend(rows.iter().map(line));
        lines.push(String::new());
        lines.push(format!(
            "Machine: {}. Server, load generator and database share it. Rates are the best of {} rounds{}.",
            self.machine.sentence(),
            self.rounds,
            if self.rounds == 1 { "" } else { ", on PostgreSQL the median of at least five" }
        ));
        lines.push(String::new());
        lines.join("\n")
    }

    /// The same for programs.
    pub(crate) fn as_json(&self) -> Value {
        let figures: Vec<Value> = self.figures.iter().map(Figure::as_json).collect();
        json!({"machine": self.machine.as_json(), "rounds": self.rounds, "figures": figures})
    }
}

fn line(cells: &[String; 7]) -> String {
    format!("| {} |", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::bench::figure::Unit;

    #[test]
    fn every_line_of_the_table_has_the_cells_of_its_header() {
        let figures = vec![
            Figure::new("append", 1.0, Unit::PerSecond).target(2.0, 3.0).beside(4.0, "raw inserts"),
            Figure::new("idle", 1.0, Unit::Megabytes),
        ];
        let report = Report { machine: Machine::look(Path::new("/")), rounds: 3, figures };
        let text = report.markdown();
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), 4);
        assert!(rows.iter().all(|row| row.matches('|').count() == HEADER.len() + 1), "{text}");
        assert!(rows[2].contains("(missed)"));
        assert_eq!(report.as_json()["figures"][0]["missed"], true);
    }
}
