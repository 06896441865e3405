//! A database that lies in a file and is used by nobody: what it is, and whether it is whole.
//!
//! The file is read as one that does not change, so that nothing is made beside it and a medium that cannot be written
//! will do.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::failure::{io_failure, located};
use crate::contract::StoreError;
use crate::migrate::{newest_sqlite, schema_of};

/// How every SQLite database begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Problems of a damaged file that are told: one names it, a few tell how far it goes.
const PROBLEMS_TOLD_MAX: usize = 3;

/// Why a file cannot be used as a database of ours.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FileError {
    /// There is no such file, or it is none.
    #[error("there is no such file")]
    Missing,
    /// Something else than a database of Campanile.
    #[error("it is no Campanile database: {reason}")]
    Foreign {
        /// What was found instead.
        reason: String,
    },
    /// Its write-ahead log lies beside it: what was written last stands there.
    #[error("a log with unsaved changes lies beside it ('{log}')")]
    LogBeside {
        /// The log's name.
        log: String,
    },
    /// The database's own check found problems.
    #[error("it is damaged: {problem}")]
    Damaged {
        /// The first ones.
        problem: String,
    },
    /// A newer version has changed in it what this one uses.
    #[error("it has schema {found}, this campanile knows up to {known}")]
    Newer {
        /// Its schema version.
        found: i64,
        /// The newest that this version knows.
        known: i64,
    },
    /// It could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A file that is a database of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFile {
    path: PathBuf,
    bytes: u64,
    schema: i64,
}

impl DatabaseFile {
    /// Looks what `path` is. Cheap: its contents are not checked.
    ///
    /// # Errors
    /// Every [`FileError`] but [`FileError::Damaged`].
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let bytes = match fs::metadata(path) {
            Ok(found) if found.is_file() => found.len(),
            Ok(_) => return Err(FileError::Missing),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(FileError::Missing);
            }
            Err(error) => return Err(io_failure(&error, path).into()),
        };
        expect_magic(path)?;
        expect_no_log(path)?;
        let connection = open_unchanging(path).map_err(|error| fault(error, path))?;
        let schema = expect_schema(&connection, path)?;
        Ok(Self { path: path.to_owned(), bytes, schema })
    }

    /// Reads the whole file and checks that its pages, rows and constraints are sound.
    ///
    /// # Errors
    /// [`FileError::Damaged`]; [`FileError::Store`] when it cannot be read.
    pub fn check(&self) -> Result<(), FileError> {
        let found = || -> Result<Vec<String>, rusqlite::Error> {
            let connection = open_unchanging(&self.path)?;
            let mut statement =
                connection.prepare(&format!("PRAGMA quick_check({PROBLEMS_TOLD_MAX})"))?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        let problems = found().map_err(|error| fault(error, &self.path))?;
        match &problems[..] {
            [ok] if ok == "ok" => Ok(()),
            problems => {
                Err(FileError::Damaged { problem: problems.join("; ").replace('\n', ", ") })
            }
        }
    }

    /// Bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of the newest migration that it has seen.
    #[must_use]
    pub fn schema(&self) -> i64 {
        self.schema
    }
}

/// What SQLite said of a file that should be a whole database.
pub(in crate::sqlite) fn fault(error: rusqlite::Error, path: &Path) -> FileError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
            FileError::Damaged { problem: error.to_string() }
        }
        Some(rusqlite::ErrorCode::NotADatabase) => FileError::Foreign { reason: error.to_string() },
        _ => located(error.into(), path).into(),
    }
}

fn expect_magic(path: &Path) -> Result<(), FileError> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(16).read_to_end(&mut head))
        .map_err(|error| io_failure(&error, path))?;
    if head == MAGIC {
        return Ok(());
    }
    let what = if head.is_empty() { "it is empty" } else { "it is no SQLite file" };
    Err(FileError::Foreign { reason: what.to_owned() })
}

/// A live database is the file and its log together: read alone it lacks what was written last.
fn expect_no_log(path: &Path) -> Result<(), FileError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match fs::metadata(&log) {
        Ok(found) if found.len() > 0 => {
            Err(FileError::LogBeside { log: log.to_string_lossy().into_owned() })
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_failure(&error, Path::new(&log)).into()),
    }
}

/// Opens a file that nobody writes: no lock is taken, no log is looked for or made.
fn open_unchanging(path: &Path) -> Result<Connection, rusqlite::Error> {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte));
            }
            other => write!(uri, "%{other:02X}").unwrap_or_default(),
        }
    }
    uri.push_str("?mode=ro&immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags)
}

/// The newest migration that the database has seen.
///
/// # Errors
/// [`FileError::Foreign`], [`FileError::Newer`].
pub(in crate::sqlite) fn expect_schema(
    connection: &Connection,
    path: &Path,
) -> Result<i64, FileError> {
    let known = i64::try_from(newest_sqlite()).unwrap_or(i64::MAX);
    match schema_of(connection).map_err(|error| fault(error, path))? {
        None => Err(FileError::Foreign {
            reason: "it is a SQLite database without Campanile's tables".to_owned(),
        }),
        Some(schema) if schema.stops_older > known => {
            Err(FileError::Newer { found: schema.newest, known })
        }
        Some(schema) => Ok(schema.newest),
    }
}
