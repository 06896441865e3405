//! `campanile bench`: measures this machine.

use super::folder::expect_database_is_meant;
use crate::args::BenchArgs;
use crate::bench::{self, Wanted};
use crate::output::{self, Failure};
use crate::settings::Settings;

/// Measures what is wanted, prints the table and writes it to the file that was asked for.
pub(crate) fn run(settings: &Settings, args: BenchArgs, json: bool) -> Result<(), Failure> {
    if args.database.is_none() {
        expect_database_is_meant(settings)?;
    }
    let wanted = Wanted {
        data: args.data.unwrap_or_else(std::env::temp_dir),
        postgres: args
            .database
            .or_else(|| Some(settings.database.clone()))
            .filter(|url| !url.is_empty()),
        full: args.full,
        small: args.test_small,
        only: args.only,
        rounds: args.rounds,
    };
    let report = bench::run(settings, wanted)?;
    let table = report.markdown();
    if let Some(file) = args.out {
        std::fs::write(&file, &table).map_err(|error| {
            Failure::failed(format!("{} could not be written: {error}", file.display()))
        })?;
    }
    output::print(json, &report.as_json(), |_| table.trim_end().to_owned());
    Ok(())
}
