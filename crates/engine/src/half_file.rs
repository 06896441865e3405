//! A file that appears whole or not at all: written under another name beside its place, synced, then renamed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use campanile_store::StoreError;

use crate::error::EngineError;

/// What the name of a file ends with while it is written.
const SUFFIX: &str = ".unfinished";

/// What to do with a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave it alone.
    Refuse,
    /// Put the new one into its place.
    Replace,
}

/// The file while it is written; removed again unless [`HalfFile::keep`] is reached. Readable by its owner only.
#[derive(Debug)]
pub(crate) struct HalfFile {
    file: File,
    path: PathBuf,
    target: PathBuf,
}

impl HalfFile {
    /// Makes it, empty, beside `target`. One that a killed program has left is removed first.
    ///
    /// # Errors
    /// [`EngineError::BadInput`] when another program is writing one; what the file system said.
    pub(crate) fn make(target: &Path) -> Result<Self, EngineError> {
        let mut name = target.as_os_str().to_owned();
        name.push(SUFFIX);
        let path = PathBuf::from(name);
        let failed = |error: io::Error| failure(&error, &path);
        remove_stale(&path, target)?;
        // New, so never somebody else's file or a link to one.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(being_written(target)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Self { file, target: target.to_owned(), path })
    }

    /// The name that it has meanwhile.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// To write to it.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Has the disk write it out and gives it its name.
    ///
    /// # Errors
    /// [`EngineError::BadInput`] when something has that name and is to stay; what the file system said.
    pub(crate) fn keep(self, existing: Existing) -> Result<(), EngineError> {
        self.file.sync_all().map_err(|error| failure(&error, &self.path))?;
        let named = match existing {
            Existing::Replace => fs::rename(&self.path, &self.target),
            // A link, unlike a new name, never takes another file's place. It leaves the old name to `drop`.
            Existing::Refuse => match fs::hard_link(&self.path, &self.target) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return Err(exists(&self.target));
                }
                // Not every file system has links.
                Err(_) if !self.target.exists() => fs::rename(&self.path, &self.target),
                named => named,
            },
        };
        named.map_err(|error| failure(&error, &self.target))?;
        let folder = parent(&self.target);
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| failure(&error, folder))
    }
}

impl Drop for HalfFile {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "an unfinished file stays behind");
            }
        }
    }
}

/// The folder that `path` lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The refusal to write over a file.
pub(crate) fn exists(target: &Path) -> EngineError {
    EngineError::BadInput {
        path: target.display().to_string(),
        detail: "the file exists: choose another name, or replace it with --force".to_owned(),
    }
}

/// What the file system said, with the place.
pub(crate) fn failure(error: &io::Error, place: &Path) -> EngineError {
    let place = place.display().to_string();
    EngineError::Store(match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full { place },
        _ => StoreError::Unavailable { place, reason: error.to_string() },
    })
}

fn being_written(target: &Path) -> EngineError {
    EngineError::BadInput {
        path: target.display().to_string(),
        detail: "another campanile is writing it: wait for its end, or choose another name"
            .to_owned(),
    }
}

/// Removes what a program that is no more has left: whoever still writes it has it locked.
fn remove_stale(path: &Path, target: &Path) -> Result<(), EngineError> {
    let failed = |error: io::Error| failure(&error, path);
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if found.is_file() {
        let file = File::open(path).map_err(failed)?;
        let locked = file.try_lock();
        let is_same = file.metadata().is_ok_and(|opened| opened.ino() == found.ino());
        if locked.is_err() || !is_same {
            return Err(being_written(target));
        }
    }
    fs::remove_file(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(target: &Path, text: &str) -> HalfFile {
        let mut half = HalfFile::make(target).unwrap();
        half.file().write_all(text.as_bytes()).unwrap();
        half
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_not_kept_leaves_nothing_and_what_is_kept_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x");
        drop(written(&target, "half"));
        assert!(names(folder.path()).is_empty());
        written(&target, "whole").keep(Existing::Refuse).unwrap();
        assert_eq!(names(folder.path()), ["x"]);
        assert_eq!(fs::read_to_string(&target).unwrap(), "whole");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn another_file_of_the_name_stays_unless_it_may_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x");
        let half = written(&target, "new");
        // It came while the new one was written.
        fs::write(&target, "old").unwrap();
        let refused = half.keep(Existing::Refuse).unwrap_err().to_string();
        assert!(refused.contains("exists") && refused.contains("--force"), "{refused}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        written(&target, "new").keep(Existing::Replace).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert_eq!(names(folder.path()), ["x"]);
    }

    #[test]
    fn two_at_once_are_told_apart_and_what_a_killed_one_left_is_no_hindrance() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x");
        let first = written(&target, "first");
        let refused = HalfFile::make(&target).unwrap_err().to_string();
        assert!(refused.contains("another campanile is writing it"), "{refused}");
        first.keep(Existing::Refuse).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "precious").unwrap();
        let half = folder.path().join("x.unfinished");
        fs::write(&half, "left behind").unwrap();
        drop(written(&target, "second"));
        std::os::unix::fs::symlink(&elsewhere, &half).unwrap();
        drop(written(&target, "third"));
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "precious");
        assert_eq!(names(folder.path()), ["elsewhere", "x"]);
    }
}
