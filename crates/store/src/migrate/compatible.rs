//! Whether a program may work on a database that a newer one has migrated.
//!
//! The row of a migration says so (`stops_older`): a row that does not, because somebody else wrote it, stops older
//! programs. The column belongs to whoever migrates, and is made before the first row that needs it.

use super::list::{Migration, OlderPrograms};
use crate::contract::StoreError;

/// Says of a migration whether programs that do not know it must not go on.
pub(super) const COLUMN: &str = "stops_older";

/// How far a database is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Schema {
    /// Number of the newest migration that it has seen; 0 for a new one.
    pub(crate) newest: i64,
    /// Number of the newest one that stops programs which do not know it.
    pub(crate) stops_older: i64,
}

impl Schema {
    /// Refuses a database that a program which knows migrations up to `known` must not work on.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`].
    pub(crate) fn expect_usable(self, place: &str, known: i64) -> Result<(), StoreError> {
        if self.stops_older > known {
            return Err(newer(self.newest, place, known));
        }
        if self.newest > known {
            tracing::warn!(
                schema = self.newest,
                known,
                place,
                "a newer version has migrated the database; this one goes on with what it knows"
            );
        }
        Ok(())
    }
}

/// Refuses a database of which this program does not know everything: what it copied would not be all.
///
/// # Errors
/// [`StoreError::NewerSchema`].
pub(crate) fn expect_all_known(newest: i64, place: &str, known: u64) -> Result<(), StoreError> {
    let known = i64::try_from(known).unwrap_or(i64::MAX);
    if newest > known { Err(newer(newest, place, known)) } else { Ok(()) }
}

fn newer(found: i64, place: &str, known: i64) -> StoreError {
    StoreError::NewerSchema { place: place.to_owned(), found, known }
}

/// Number of the newest migration in `list`.
pub(super) fn known(list: &[Migration]) -> i64 {
    list.last().map_or(0, |last| last.number)
}

impl Migration {
    pub(super) fn stops_older(&self) -> bool {
        self.older_programs == OlderPrograms::Stop
    }
}
