//! Snapshots of definition rows: loaded on first use, dropped when a committed operation touched their tables.
//!
//! A room that keeps definitions writes a type, implements [`Load`] for it and asks
//! [`crate::Engine::definitions`]; there is no list of caches to extend.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::engine::Engine;
use crate::error::EngineError;

/// Something that is read from definition rows as a whole.
pub trait Load: Sized + Send + Sync + 'static {
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
}

/// What the registry needs to know of a cache without knowing its type.
trait Cache: Send + Sync {
    fn table_changed(&self, table: &str);
    fn as_any(&self) -> &dyn Any;
}

impl<T: Load> Cache for Definitions<T> {
    fn table_changed(&self, table: &str) {
        if T::TABLES.contains(&table) {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// All snapshots of one engine, by type. A snapshot is made when it is first asked for.
#[derive(Default)]
pub struct DefinitionRegistry {
    caches: RwLock<HashMap<TypeId, Arc<dyn Cache>>>,
}

impl DefinitionRegistry {
    /// The present snapshot of `T`.
    ///
    /// # Errors
    /// What [`Load::load`] answers.
    pub fn get<T: Load>(&self, engine: &Engine) -> Result<Arc<T>, EngineError> {
        let known = self.caches.read().get(&TypeId::of::<T>()).map(Arc::clone);
        let cache = known.unwrap_or_else(|| {
            let mut caches = self.caches.write();
            let made = || Arc::new(Definitions::<T>::default()) as Arc<dyn Cache>;
            Arc::clone(caches.entry(TypeId::of::<T>()).or_insert_with(made))
        });
        match cache.as_any().downcast_ref::<Definitions<T>>() {
            Some(definitions) => definitions.get(engine),
            None => unreachable!("a cache stands under the type that it holds"),
        }
    }

    /// A committed operation wrote rows of `table`: what was made of it is read again at its next use.
    pub fn table_changed(&self, table: &str) {
        for cache in self.caches.read().values() {
            cache.table_changed(table);
        }
    }
}

impl fmt::Debug for DefinitionRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DefinitionRegistry({})", self.caches.read().len())
    }
}
