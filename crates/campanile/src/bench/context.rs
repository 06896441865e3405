//! What every measurement is given: where to work, how much, and how to tell how far it is.

use std::path::{Path, PathBuf};

use campanile_store::DatabaseUrl;

use super::took::Took;
use crate::output::Failure;
use crate::settings::Settings;

/// Rows in the log of the `--full` run.
const LARGE_LOGS: [usize; 3] = [10_000, 1_000_000, 10_000_000];

/// Given to every measurement.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) settings: &'a Settings,
    /// Folder of all data folders.
    pub(super) root: PathBuf,
    /// A PostgreSQL server to measure on.
    pub(super) postgres: Option<DatabaseUrl>,
    /// Adds ten million rows.
    pub(super) full: bool,
    /// How often a short measurement is repeated; the best counts, since other work on the machine only slows down.
    pub(super) rounds: usize,
}

impl Context<'_> {
    /// A data folder that does not exist yet.
    ///
    /// # Errors
    /// When what an earlier run left cannot be removed.
    pub(super) fn fresh_folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.root.join(name);
        remove(&folder)?;
        Ok(folder)
    }

    /// The sizes of logs to measure with.
    pub(super) fn log_sizes(&self) -> &'static [usize] {
        if self.full { &LARGE_LOGS } else { &LARGE_LOGS[..2] }
    }

    /// Says on standard error what is being done.
    #[expect(clippy::unused_self, reason = "progress is told by those who were given a context")]
    pub(super) fn say(&self, what: &str) {
        eprintln!("  {what}");
    }

    /// The shortest of the rounds.
    ///
    /// # Errors
    /// What `round` answers.
    pub(super) fn shortest(
        &self,
        mut round: impl FnMut() -> Result<Took, Failure>,
    ) -> Result<Took, Failure> {
        let mut shortest = Took::FOREVER;
        for _ in 0..self.rounds {
            shortest = shortest.min(round()?);
        }
        Ok(shortest)
    }
}

/// Removes a data folder; one that is not there is fine.
///
/// # Errors
/// When it cannot be removed.
pub(super) fn remove(folder: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::failed(format!("{} could not be removed: {error}", folder.display())))
        }
        _ => Ok(()),
    }
}
