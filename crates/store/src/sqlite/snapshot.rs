//! The database as it is at one moment, copied into another file while its server goes on writing.
//!
//! Page by page by SQLite's backup, inside one read transaction that is held open: what is committed meanwhile goes to
//! the log and not into the copy, so the copy neither waits for the writer nor starts again. The log cannot begin anew
//! before the end of the copy, so it grows by what is written meanwhile.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::connection::{Role, open};
use super::database_file::{FileError, expect_schema, fault};
use super::failure::located;
use super::store::DATABASE_FILE;
use crate::contract::StoreError;

/// Pages between two words about the progress: a megabyte.
const PAGES_PER_STEP: i32 = 256;

/// Copies the database in `folder` into `target`, an empty file. `progress` is told how many pages of how many are
/// copied. The copy is not on disk yet.
///
/// # Errors
/// [`FileError::Foreign`] or [`FileError::Newer`] before anything is copied; [`FileError::Store`] when the target's disk
/// is full, or a file could not be read or written. The target is then worthless.
pub fn snapshot(
    folder: &Path,
    target: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), FileError> {
    let file = folder.join(DATABASE_FILE);
    let at_file = |error: rusqlite::Error| fault(error, &file);
    let at_target = |error: rusqlite::Error| located(error.into(), target);
    let source = open(&file, Role::Reader).map_err(at_file)?;
    // The first read fixes the moment.
    source.execute_batch("BEGIN").map_err(at_file)?;
    expect_schema(&source, &file)?;
    let mut copy = open_target(target).map_err(at_target)?;
    let backup = Backup::new(&source, &mut copy).map_err(at_target)?;
    loop {
        let step = backup.step(PAGES_PER_STEP).map_err(at_target)?;
        let pages = backup.progress();
        let number = |pages: i32| u64::try_from(pages).unwrap_or(0);
        progress(number(pages.pagecount - pages.remaining), number(pages.pagecount));
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // Nobody else has the target, and the source is inside its read already.
            _ => {
                return Err(StoreError::Unavailable {
                    place: target.display().to_string(),
                    reason: "another program uses it".to_owned(),
                }
                .into());
            }
        }
    }
}

/// One that is thrown away when anything fails needs no journal, and is synced once, at the end, by whoever asked for it.
fn open_target(target: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(target)?;
    connection.pragma_update_and_check(None, "journal_mode", "off", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    Ok(connection)
}
