//! The data folder: whether it is empty, ours or somebody else's, and whether it can be written.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::error::EngineError;

/// Name of the database file; the store makes it.
pub(crate) const DATABASE_FILE: &str = "campanile.db";
/// What an empty file system may hold without being in use.
const HARMLESS: [&str; 3] = ["lost+found", ".DS_Store", ".gitkeep"];
/// Made and removed again to see whether the folder can be written.
const PROBE_FILE: &str = ".campanile-probe";

/// What a data folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderState {
    /// Nothing, or there is no folder yet: a database can be made in it.
    Empty,
    /// A database of ours.
    Database,
}

/// What `folder` holds. Nothing is changed.
///
/// # Errors
/// [`EngineError::BadInput`] when it is no folder, cannot be read, or holds files that are not ours.
pub fn inspect(folder: &Path) -> Result<FolderState, EngineError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(FolderState::Empty),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(refuse(
                folder,
                "it is a file: give the path of a folder with --data".to_owned(),
            ));
        }
        Err(error) => return Err(unusable(folder, "read", &error)),
    };
    let mut strangers = Vec::new();
    let mut has_database = false;
    for entry in entries {
        let name = entry.map_err(|error| unusable(folder, "read", &error))?.file_name();
        let name = name.to_string_lossy().into_owned();
        has_database |= name == DATABASE_FILE;
        let ours = name.starts_with("campanile.") || name == PROBE_FILE;
        if !ours && !HARMLESS.contains(&name.as_str()) {
            strangers.push(name);
        }
    }
    if has_database {
        return Ok(FolderState::Database);
    }
    strangers.sort();
    match strangers.first() {
        None => Ok(FolderState::Empty),
        Some(first) => Err(refuse(
            folder,
            format!(
                "it holds other files ('{first}'{}) and no database: give an empty folder, or one that does not \
                 exist yet, with --data",
                if strangers.len() > 1 { " and more" } else { "" }
            ),
        )),
    }
}

/// Makes the folder if it is missing, closed to other users (password hashes will lie in it), and sees that files can be made in it.
///
/// # Errors
/// [`EngineError::BadInput`] that names the folder and the fix.
pub fn prepare(folder: &Path) -> Result<(), EngineError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| unusable(folder, "made", &error))?;
    let probe = folder.join(PROBE_FILE);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&probe)
        .and_then(|_| fs::remove_file(&probe))
        .map_err(|error| unusable(folder, "written", &error))
}

fn unusable(folder: &Path, what: &str, error: &io::Error) -> EngineError {
    let fix = match error.kind() {
        ErrorKind::PermissionDenied => {
            "give the user that runs campanile the right (chown or chmod), or choose another folder with --data"
        }
        ErrorKind::StorageFull => "free some space, or choose another folder with --data",
        ErrorKind::ReadOnlyFilesystem => {
            "choose a folder on a file system that can be written, with --data"
        }
        _ => "choose another folder with --data",
    };
    refuse(folder, format!("the folder cannot be {what}: {error}; {fix}"))
}

fn refuse(folder: &Path, detail: String) -> EngineError {
    EngineError::BadInput { path: folder.display().to_string(), detail }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_missing_folder_is_empty_and_can_be_made() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        assert_eq!(inspect(&folder).unwrap(), FolderState::Empty);
        prepare(&folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "the probe is gone");
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "other users see nothing");
    }

    #[test]
    fn foreign_files_are_refused_by_name_and_ours_are_known() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("letters.txt"), "x").unwrap();
        let refused = inspect(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("letters.txt") && refused.contains("--data"), "{refused}");
        fs::write(folder.path().join(DATABASE_FILE), "").unwrap();
        assert_eq!(inspect(folder.path()).unwrap(), FolderState::Database);
    }

    #[test]
    fn a_file_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(inspect(&file).unwrap_err().to_string().contains("it is a file"));
        let below = prepare(&file.join("below")).unwrap_err().to_string();
        assert!(below.contains("cannot be made"), "{below}");
    }
}
