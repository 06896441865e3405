//! What every measurement is given: where to work, how much, and how to tell how far it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use campanile_store::DatabaseUrl;

use super::took::Took;
use crate::output::Failure;
use crate::settings::Settings;

/// Rows in the log of the `--full` run.
const LARGE_LOGS: [usize; 3] = [10_000, 1_000_000, 10_000_000];

/// The same in small, to see that the measurements of the `--full` run work.
const SMALL_LOGS: [usize; 2] = [10_000, 100_000];

/// How long the `--full` run keeps a steady pace; half as long with a snapshot held open.
const STEADY: Duration = Duration::from_secs(600);

/// The same in small.
const STEADY_SMALL: Duration = Duration::from_secs(20);

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
    /// What only the `--full` run measures, in small.
    pub(super) small: bool,
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

    /// The sizes of logs to measure PostgreSQL with; none where filling them would take too long.
    pub(super) fn postgres_logs(&self) -> &'static [usize] {
        match (self.full, self.small) {
            (true, _) => &LARGE_LOGS,
            (false, true) => &SMALL_LOGS,
            (false, false) => &[],
        }
    }

    /// How long to keep a steady pace, if at all.
    pub(super) fn steady(&self) -> Option<Duration> {
        match (self.full, self.small) {
            (true, _) => Some(STEADY),
            (false, true) => Some(STEADY_SMALL),
            (false, false) => None,
        }
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
