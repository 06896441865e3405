//! Snapshots of definition rows: loaded on first use, dropped when a committed operation touched their tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::engine::Engine;
use crate::error::EngineError;

/// Something that is read from definition rows as a whole.
pub trait Load: Sized + Send + Sync {
    /// Tables whose rows it is made of.
    const TABLES: &'static [&'static str];

    /// Reads it.
    ///
    /// # Errors
    /// What the store answers.
    fn load(engine: &Engine) -> Result<Self, EngineError>;
}

/// A lazily loaded snapshot of `T`.
#[derive(Debug)]
pub struct Definitions<T> {
    generation: AtomicU64,
    loaded: RwLock<Option<(u64, Arc<T>)>>,
}

impl<T> Default for Definitions<T> {
    fn default() -> Self {
        Self { generation: AtomicU64::new(0), loaded: RwLock::new(None) }
    }
}

impl<T: Load> Definitions<T> {
    /// The present snapshot. A load that began before a change is not kept.
    ///
    /// # Errors
    /// What [`Load::load`] answers.
    pub fn get(&self, engine: &Engine) -> Result<Arc<T>, EngineError> {
        let generation = self.generation.load(Ordering::Acquire);
        if let Some((loaded_at, snapshot)) = &*self.loaded.read()
            && *loaded_at == generation
        {
            return Ok(Arc::clone(snapshot));
        }
        let snapshot = Arc::new(T::load(engine)?);
        *self.loaded.write() = Some((generation, Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// A committed operation wrote a row of `table`.
    pub fn table_changed(&self, table: &str) {
        if T::TABLES.contains(&table) {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }
}
