//! `campanile copy`: everything of one database into another.

use std::path::PathBuf;
use std::time::Instant;

use campanile_engine::EngineError;
use campanile_engine::copy::{self, CopyProgress, CopyReport, Place};
use campanile_store::StoreError;
use serde_json::{Map, Value, json};

use super::progress::bar;
use crate::moving_args::CopyArgs;
use crate::output::{self, Failure};
use crate::settings::Settings;

/// Copies, compares and tells what is there now.
pub(crate) fn run(settings: &Settings, args: &CopyArgs, json: bool) -> Result<(), Failure> {
    let from = place("--from", &args.from, settings)?;
    let to = place("--to", &args.to, settings)?;
    let bar = bar(0, "{spinner} {msg}");
    let began = Instant::now();
    let copied = copy::copy(&from, &to, settings.partitions, &mut |progress: CopyProgress<'_>| {
        let doing = if progress.is_comparing { "comparing" } else { "copying" };
        let CopyProgress { table, number, tables, rows, .. } = progress;
        bar.set_message(format!("{doing} {table} ({number} of {tables}): {rows} rows"));
        bar.tick();
    });
    bar.finish_and_clear();
    let report = copied.map_err(refused)?;
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    output::print(json, &answer(&report, took), |_| text(&report, took));
    Ok(())
}

/// What cannot be used as it was named is wrong usage.
fn refused(error: EngineError) -> Failure {
    match error {
        EngineError::BadInput { .. }
        | EngineError::Store(
            StoreError::Locked { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::OlderAtWork { .. }
            | StoreError::UnfinishedCopy { .. }
            | StoreError::Unavailable { .. },
        ) => Failure::usage(error),
        error => error.into(),
    }
}

/// `sqlite:DIR`, a URL, or `postgres` for the one of the settings.
fn place(flag: &str, text: &str, settings: &Settings) -> Result<Place, Failure> {
    if let Some(folder) = text.strip_prefix("sqlite:").filter(|folder| !folder.is_empty()) {
        return Ok(Place::Folder(PathBuf::from(folder)));
    }
    if ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
        return Ok(Place::Database(text.into()));
    }
    if text == "postgres" {
        if settings.database.is_empty() {
            return Err(Failure::usage(format!(
                "{flag} postgres: the URL is missing: give it as CAMPANILE_DATABASE"
            )));
        }
        // A copy is one long transaction after the other: nothing for a pool.
        let direct = settings.database_connections.direct_url.as_ref();
        return Ok(Place::Database(direct.unwrap_or(&settings.database).clone()));
    }
    // Whatever it is, it may have a password in it.
    Err(Failure::usage(format!(
        "{flag}: expected sqlite:DIR, postgres://USER:PASSWORD@HOST:PORT/NAME, or postgres (the URL of CAMPANILE_DATABASE)"
    )))
}

fn rows(report: &CopyReport) -> u64 {
    report.tables.iter().map(|(_, rows)| rows).sum()
}

fn answer(report: &CopyReport, took: u64) -> Value {
    let tables: Map<String, Value> =
        report.tables.iter().map(|(name, rows)| (name.clone(), json!(rows))).collect();
    json!({
        "from": report.from,
        "to": report.to,
        "rows": rows(report),
        "rows_before": report.rows_before,
        "tables": tables,
        "compared": true,
        "duration_ms": took,
    })
}

fn text(report: &CopyReport, took: u64) -> String {
    let filled: Vec<Vec<String>> = report
        .tables
        .iter()
        .filter(|(_, rows)| *rows > 0)
        .map(|(name, rows)| vec![name.clone(), rows.to_string()])
        .collect();
    let before = match report.rows_before {
        0 => String::new(),
        rows => format!(" ({rows} of them by an earlier run)"),
    };
    format!(
        "{}\n\ncopied {} rows{before} in {}.{} s from {} to {}; both sides are equal",
        output::table(&["table", "rows"], &filled),
        rows(report),
        took / 1_000,
        took % 1_000 / 100,
        report.from,
        report.to,
    )
}
