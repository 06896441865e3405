//! SQLite's errors in the words of the contract.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::contract::StoreError;

/// Stands for the database file until [`located`] knows its name.
const SOMEWHERE: &str = "the database";

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let reason = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { place: SOMEWHERE.to_owned() },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Busy { waited_ms: 0 }
            }
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::OutOfMemory
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Unavailable { place: SOMEWHERE.to_owned(), reason },
            _ => Self::Statement { reason },
        }
    }
}

/// How SQLite words what the file system refused, whatever it was.
const IO_FAILURE: &str = "disk I/O error";

/// With fewer free bytes the disk counts as full: at the opening SQLite makes files of some ten pages, and does not say that
/// there was no room for them.
const ROOM_BYTES: u64 = 256 * 1024;

/// Whether the disk that holds `file` is as good as full.
fn has_no_room(file: &Path) -> bool {
    let folder = file.parent().unwrap_or(file);
    match rustix::fs::statvfs(folder) {
        Ok(space) => space.f_bavail.saturating_mul(space.f_frsize) < ROOM_BYTES,
        Err(error) => {
            tracing::debug!(%error, "the free space could not be read");
            false
        }
    }
}

/// The same error with the file's name, where only "the database" was known. What the file system refused on a full disk is
/// told as that.
pub(in crate::sqlite) fn located(error: StoreError, file: &Path) -> StoreError {
    match error {
        StoreError::Full { place } if place == SOMEWHERE => {
            StoreError::Full { place: file.display().to_string() }
        }
        StoreError::Unavailable { place, reason } if place == SOMEWHERE => {
            let place = file.display().to_string();
            if reason.starts_with(IO_FAILURE) && has_no_room(file) {
                return StoreError::Full { place };
            }
            StoreError::Unavailable { place, reason }
        }
        other => other,
    }
}

/// A failure of the file system.
pub(in crate::sqlite) fn io_failure(error: &std::io::Error, place: &Path) -> StoreError {
    let place = place.display().to_string();
    if matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
        return StoreError::Full { place };
    }
    StoreError::Unavailable { place, reason: error.to_string() }
}

/// What later calls are told after [`crate::contract::Store::close`].
pub(in crate::sqlite) fn closed(file: &Path) -> StoreError {
    StoreError::Unavailable {
        place: file.display().to_string(),
        reason: "the store was closed".to_owned(),
    }
}
