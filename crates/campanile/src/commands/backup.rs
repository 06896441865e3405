//! `campanile backup` and `campanile restore`: the embedded database as one file, and back.

use std::path::PathBuf;
use std::time::Instant;

use campanile_engine::backup::{self, Copied, Progress};
use campanile_engine::{EngineError, Existing};
use campanile_store::StoreError;
use serde_json::{Value, json};

use super::folder::{expect_database_is_meant, expect_folder};
use super::progress::bar;
use crate::moving_args::{BackupArgs, RestoreArgs};
use crate::output::{self, Failure};
use crate::settings::Settings;

/// Copies the database of a data folder into a file.
pub(crate) fn back_up(settings: &Settings, args: BackupArgs, json: bool) -> Result<(), Failure> {
    let folder = folder(settings, args.data, "back it up with pg_dump")?;
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    let began = Instant::now();
    let copied = with_bar(|progress| backup::back_up(&folder, &args.to, existing, progress))?;
    let (from, to) = (folder.display().to_string(), args.to.display().to_string());
    output::print(json, &answer(&from, &to, copied, began), |_| {
        format!("backed up {from} to {to}: {}, checked", size(copied.bytes))
    });
    Ok(())
}

/// Makes a data folder of such a file.
pub(crate) fn restore(settings: &Settings, args: RestoreArgs, json: bool) -> Result<(), Failure> {
    let folder = folder(settings, args.data, "restore it with pg_restore")?;
    let began = Instant::now();
    let copied = with_bar(|progress| backup::restore(&args.from, &folder, progress))?;
    let (from, to) = (args.from.display().to_string(), folder.display().to_string());
    output::print(json, &answer(&from, &to, copied, began), |_| {
        format!(
            "restored {from} to {to}: {}\nstart it with: campanile serve --data {to}",
            size(copied.bytes)
        )
    });
    Ok(())
}

/// The data folder. A PostgreSQL database in its place has tools of its own.
fn folder(settings: &Settings, data: Option<PathBuf>, tool: &str) -> Result<PathBuf, Failure> {
    if data.is_none() {
        expect_database_is_meant(settings)?;
    }
    match data {
        Some(folder) => expect_folder(&folder).map(|()| folder),
        None if settings.database.is_empty() => {
            expect_folder(&settings.data).map(|()| settings.data.clone())
        }
        None => Err(Failure::usage(format!(
            "the setting 'database' names a PostgreSQL database: {tool} (docs/operations.md), or name a data folder \
             with --data"
        ))),
    }
}

/// Shows the progress on a terminal. What cannot be used as it was named is wrong usage.
fn with_bar(
    work: impl FnOnce(&mut dyn FnMut(Progress)) -> Result<Copied, EngineError>,
) -> Result<Copied, Failure> {
    let bar = bar(0, "{bar:40} {percent}% {msg}");
    let worked = work(&mut |progress| match progress {
        Progress::Copied { done, all } => {
            bar.set_message("copied");
            bar.set_length(all);
            bar.set_position(done);
        }
        Progress::Checking => {
            bar.set_message("checking the file");
            bar.tick();
        }
    });
    bar.finish_and_clear();
    worked.map_err(|error| match error {
        EngineError::BadInput { .. } | EngineError::Store(StoreError::Locked { .. }) => {
            Failure::usage(error)
        }
        error => error.into(),
    })
}

fn answer(from: &str, to: &str, copied: Copied, began: Instant) -> Value {
    json!({
        "from": from,
        "to": to,
        "bytes": copied.bytes,
        "schema": copied.schema,
        "duration_ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
