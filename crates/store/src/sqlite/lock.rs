//! The lock on the data folder: proof that nobody else serves it.
//!
//! The operating system drops the lock when the process ends, however it ends, so a claim from before a crash is
//! known to be dead.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::failure::io_failure;
use crate::contract::StoreError;

/// Name of the lock file inside the data folder. It stays behind, unlocked, when the store is closed.
const LOCK_FILE: &str = "campanile.lock";

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock on `folder` and writes this process's id into it.
    ///
    /// # Errors
    /// [`StoreError::Locked`] with the holder's process id when another store has it,
    /// [`StoreError::Unavailable`] when the file cannot be written.
    pub fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(LOCK_FILE);
        let failure = |e: std::io::Error| io_failure(&e, &path);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failure)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked {
                    place: folder.display().to_string(),
                    holder: holder(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failure(error)),
        }
        file.set_len(0).map_err(failure)?;
        file.seek(SeekFrom::Start(0)).map_err(failure)?;
        writeln!(file, "{}", std::process::id()).map_err(failure)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_has_the_folder_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path()).unwrap();
        let Err(StoreError::Locked { place, holder }) = FolderLock::take(folder.path()) else {
            panic!("the second holder got the lock");
        };
        assert_eq!(place, folder.path().display().to_string());
        assert_eq!(holder, std::process::id().to_string());
        drop(first);
        assert!(FolderLock::take(folder.path()).is_ok());
    }

    #[test]
    fn a_folder_that_does_not_exist_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = FolderLock::take(&missing).unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
    }
}
