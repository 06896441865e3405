//! Backups of an embedded database: taken while a server uses it or while none does, and put into an empty folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use campanile_store::{DatabaseFile, FileError, FolderLock, snapshot};

use crate::data_folder::{self, DATABASE_FILE, FolderState};
use crate::error::EngineError;
use crate::half_file::{Existing, HalfFile, exists, failure, parent};

/// Files that SQLite has beside a database. One without its database is a leftover that would be taken for the new one's.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The lock file of a data folder.
const LOCK_FILE: &str = "campanile.lock";

/// Bytes that are copied between two words about the progress.
const STEP_BYTES: usize = 1 << 20;

/// How far a backup or a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So much of so much is copied (pages or bytes).
    Copied {
        /// Done.
        done: u64,
        /// All.
        all: u64,
    },
    /// The file is being checked.
    Checking,
}

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Size of the file.
    pub bytes: u64,
    /// Number of the newest migration that the database has seen.
    pub schema: i64,
}

/// Copies the database of `folder`, as it is at one moment, into `target`. A server that uses it goes on undisturbed; what
/// it commits after the beginning is not in the copy. The file is checked, on disk, readable by its owner only, and has
/// its name only when all of that is true.
///
/// # Errors
/// [`EngineError::BadInput`] when folder or target cannot be used, or the database is damaged or newer;
/// [`EngineError::Store`] when the disk is full or a file cannot be read or written. Nothing is left behind then.
pub fn back_up(
    folder: &Path,
    target: &Path,
    existing: Existing,
    progress: &mut dyn FnMut(Progress),
) -> Result<Copied, EngineError> {
    let file = folder.join(DATABASE_FILE);
    expect_database(folder, &file)?;
    expect_target(target, existing)?;
    let half = HalfFile::make(target)?;
    snapshot(folder, half.path(), &mut |done, all| progress(Progress::Copied { done, all }))
        .map_err(|error| refused(&file, error))?;
    progress(Progress::Checking);
    let copy = DatabaseFile::open(half.path()).map_err(|error| refused(&file, error))?;
    copy.check().map_err(|error| refused(&file, error))?;
    half.keep(existing)?;
    Ok(Copied { bytes: copy.bytes(), schema: copy.schema() })
}

/// Puts the backup `file` into `folder`, which is empty or does not exist.
///
/// # Errors
/// [`EngineError::BadInput`] when the file is no whole database of this version or an older one, or the folder is not
/// free; [`EngineError::Store`] when a server has the folder, the disk is full or a file cannot be read or written.
/// There is no database in the folder then.
pub fn restore(
    file: &Path,
    folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Copied, EngineError> {
    let source = DatabaseFile::open(file).map_err(|error| refused(file, error))?;
    expect_free(folder)?;
    progress(Progress::Checking);
    source.check().map_err(|error| refused(file, error))?;
    data_folder::prepare(folder)?;
    let _lock = FolderLock::take(folder)?;
    // Somebody may have been quicker.
    expect_free(folder)?;
    let mut half = HalfFile::make(&folder.join(DATABASE_FILE))?;
    copy(file, &mut half, source.bytes(), progress)?;
    half.keep(Existing::Refuse)?;
    Ok(Copied { bytes: source.bytes(), schema: source.schema() })
}

fn copy(
    file: &Path,
    half: &mut HalfFile,
    all: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), EngineError> {
    let mut source = File::open(file).map_err(|error| failure(&error, file))?;
    let mut bytes = vec![0; STEP_BYTES];
    let mut done = 0;
    loop {
        let read = source.read(&mut bytes).map_err(|error| failure(&error, file))?;
        if read == 0 {
            break;
        }
        let written = half.file().write_all(&bytes[..read]);
        written.map_err(|error| failure(&error, half.path()))?;
        done += u64::try_from(read).unwrap_or(0);
        progress(Progress::Copied { done, all });
    }
    if done == all {
        return Ok(());
    }
    Err(refuse(file, "it changed while it was copied: name a file that nobody writes"))
}

fn expect_database(folder: &Path, file: &Path) -> Result<(), EngineError> {
    match fs::metadata(file) {
        Ok(found) if found.is_file() => Ok(()),
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(failure(&error, file))
        }
        _ => Err(refuse(folder, "there is no database in it: name the data folder with --data")),
    }
}

fn expect_target(target: &Path, existing: Existing) -> Result<(), EngineError> {
    match fs::metadata(target) {
        Ok(found) if found.is_dir() => {
            return Err(refuse(target, "it is a folder: name a file in it with --to"));
        }
        Ok(found) if !found.is_file() => {
            return Err(refuse(target, "it is no ordinary file: name another with --to"));
        }
        Ok(_) if existing == Existing::Refuse => return Err(exists(target)),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(refuse(target, &format!("{error}: name another with --to"))),
    }
    let folder = parent(target);
    if !folder.is_dir() {
        return Err(refuse(
            folder,
            "there is no such folder: make it, or name another file with --to",
        ));
    }
    if folder.join(LOCK_FILE).exists() {
        return Err(refuse(
            target,
            "it would lie in a data folder, among the files of a database: name another place with --to",
        ));
    }
    Ok(())
}

fn expect_free(folder: &Path) -> Result<(), EngineError> {
    if data_folder::inspect(folder)? == FolderState::Database {
        return Err(refuse(
            folder,
            "it has a database already: name an empty folder, or one that does not exist yet, with --data",
        ));
    }
    for suffix in BESIDE {
        let name = format!("{DATABASE_FILE}{suffix}");
        if folder.join(&name).exists() {
            let detail = format!(
                "it holds '{name}', which belongs to a database that is not there: remove it, or name an empty folder \
                 with --data"
            );
            return Err(refuse(folder, &detail));
        }
    }
    Ok(())
}

/// What is wrong with a file and how to mend it.
fn refused(file: &Path, error: FileError) -> EngineError {
    let fix = match &error {
        FileError::Store(error) => return error.clone().into(),
        FileError::Missing => "name a backup with --from",
        FileError::Foreign { .. } => "name a file that 'campanile backup' has made",
        FileError::LogBeside { .. } => {
            "it is a database in use and no backup: make one with 'campanile backup'"
        }
        FileError::Damaged { .. } => "use the last backup that is whole",
        FileError::Newer { .. } => "use the newer version of campanile",
    };
    refuse(file, &format!("{error}: {fix}"))
}

fn refuse(path: &Path, detail: &str) -> EngineError {
    EngineError::BadInput { path: path.display().to_string(), detail: detail.to_owned() }
}
