//! The suite on SQLite.

use std::sync::Arc;

use campanile_store::{SqliteOptions, SqliteStore, Store};

use super::engine::{Engine, conformance};

struct Sqlite {
    folder: tempfile::TempDir,
}

impl Engine for Sqlite {
    fn fresh() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Arc<dyn Store> {
        SqliteStore::open(&SqliteOptions::new(self.folder.path())).unwrap()
    }

    fn open_nearly_full(&self) -> Arc<dyn Store> {
        let bytes = std::fs::metadata(self.folder.path().join("campanile.db")).unwrap().len();
        let mut options = SqliteOptions::new(self.folder.path());
        options.pages_max = Some(u32::try_from(bytes / 4096).unwrap() + 20);
        SqliteStore::open(&options).unwrap()
    }
}

conformance!(Sqlite);
