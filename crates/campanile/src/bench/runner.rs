//! Runs the measurements that are wanted, one after another.

use std::path::PathBuf;
use std::time::Instant;

use campanile_store::DatabaseUrl;

use super::context::{self, Context};
use super::machine::Machine;
use super::measurements::ALL;
use super::report::Report;
use crate::output::Failure;
use crate::settings::Settings;

/// What to measure.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Folder for the data folders; it is made when missing. Only what the measurements make in it is removed.
    pub(crate) data: PathBuf,
    /// URL of a PostgreSQL server to measure on, whose user may make databases.
    pub(crate) postgres: Option<DatabaseUrl>,
    /// Adds ten million rows.
    pub(crate) full: bool,
    /// Measures in small what only `full` does.
    pub(crate) small: bool,
    /// Only measurements whose name contains this.
    pub(crate) only: Option<String>,
    /// How often short measurements are repeated.
    pub(crate) rounds: usize,
}

/// Measures; what is being done is told on standard error.
///
/// # Errors
/// The first failure of a measurement, with its name; when `only` fits none.
pub(crate) fn run(settings: &Settings, wanted: Wanted) -> Result<Report, Failure> {
    let only = wanted.only.as_deref().unwrap_or_default();
    let chosen: Vec<_> = ALL.iter().filter(|(name, _)| name.contains(only)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
        return Err(Failure::usage(format!(
            "no measurement is called '{only}': there are {}",
            names.join(", ")
        )));
    }
    let root = wanted.data.join("campanile-bench");
    std::fs::create_dir_all(&root).map_err(|error| {
        Failure::failed(format!("{} could not be made: {error}", root.display()))
    })?;
    let machine = Machine::look(&root);
    let context = Context {
        settings,
        root,
        postgres: wanted.postgres,
        full: wanted.full,
        small: wanted.small,
        rounds: wanted.rounds.max(1),
    };
    let mut figures = Vec::new();
    for (at, (name, measure)) in chosen.iter().enumerate() {
        eprintln!("[{}/{}] {name}", at + 1, chosen.len());
        let began = Instant::now();
        let measured = measure(&context);
        if measured.is_err() {
            context::remove(&context.root)?;
        }
        figures.extend(measured?);
        eprintln!("  {:.1} s", began.elapsed().as_secs_f64());
    }
    context::remove(&context.root)?;
    Ok(Report { machine, rounds: context.rounds, figures })
}
