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

/// A lazily loaded snapshot of `T`, and how often its tables have changed.
#[derive(Debug)]
struct Definitions<T> {
    generation: AtomicU64,
    loaded: RwLock<Option<(u64, Arc<T>)>>,
}

impl<T> Default for Definitions<T> {
    fn default() -> Self {
        Self { generation: AtomicU64::new(0), loaded: RwLock::new(None) }
    }
}

impl<T: Load> Definitions<T> {
    /// The present generation, and the snapshot when it is of this generation.
    fn present(&self) -> (u64, Option<Arc<T>>) {
        let generation = self.generation.load(Ordering::Acquire);
        let loaded = self.loaded.read();
        let current = loaded.as_ref().filter(|(loaded_at, _)| *loaded_at == generation);
        (generation, current.map(|(_, snapshot)| Arc::clone(snapshot)))
    }

    /// Keeps a snapshot whose load began in `generation`; when its tables have changed since, it is of no use.
    fn keep(&self, generation: u64, snapshot: &Arc<T>) {
        let mut loaded = self.loaded.write();
        if loaded.as_ref().is_none_or(|(loaded_at, _)| *loaded_at <= generation) {
            *loaded = Some((generation, Arc::clone(snapshot)));
        }
    }
}

/// What the registry needs to know of a cache without knowing its type.
trait Cache: Send + Sync {
    fn table_changed(&self, table: &str);
    fn changed(&self);
    fn as_any(&self) -> &dyn Any;
}

impl<T: Load> Cache for Definitions<T> {
    fn table_changed(&self, table: &str) {
        if T::TABLES.contains(&table) {
            self.changed();
        }
    }

    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What is known of a snapshot.
enum Look<T> {
    /// It is this one.
    Present(Arc<T>),
    /// It has to be loaded, for this generation.
    Stale(Arc<dyn Cache>, u64),
    /// Nobody has asked for it.
    Unknown,
}

fn definitions_in<T: Load>(cache: &dyn Cache) -> &Definitions<T> {
    match cache.as_any().downcast_ref() {
        Some(definitions) => definitions,
        None => unreachable!("a cache stands under the type that it holds"),
    }
}

/// All snapshots of one engine, by type. A snapshot is made when it is first asked for.
#[derive(Default)]
pub struct DefinitionRegistry {
    caches: RwLock<HashMap<TypeId, Arc<dyn Cache>, foldhash::fast::RandomState>>,
}

impl DefinitionRegistry {
    /// The present snapshot of `T`.
    ///
    /// # Errors
    /// What [`Load::load`] answers.
    pub fn get<T: Load>(&self, engine: &Engine) -> Result<Arc<T>, EngineError> {
        let (cache, generation) = match self.look::<T>() {
            Look::Present(snapshot) => return Ok(snapshot),
            Look::Stale(cache, generation) => (cache, generation),
            Look::Unknown => {
                let cache = self.cache::<T>();
                let generation = definitions_in::<T>(&*cache).present().0;
                (cache, generation)
            }
        };
        let snapshot = Arc::new(T::load(engine)?);
        definitions_in::<T>(&*cache).keep(generation, &snapshot);
        Ok(snapshot)
    }

    /// Snapshots are made of other snapshots, so all caches of a table change at once: nobody who looks now sees one
    /// of them changed and another not yet.
    fn look<T: Load>(&self) -> Look<T> {
        let caches = self.caches.read();
        let Some(cache) = caches.get(&TypeId::of::<T>()) else { return Look::Unknown };
        match definitions_in::<T>(&**cache).present() {
            (_, Some(snapshot)) => Look::Present(snapshot),
            (generation, None) => Look::Stale(Arc::clone(cache), generation),
        }
    }

    fn cache<T: Load>(&self) -> Arc<dyn Cache> {
        let key = TypeId::of::<T>();
        if let Some(known) = self.caches.read().get(&key) {
            return Arc::clone(known);
        }
        debug_assert!(T::TABLES.iter().all(|table| may_define(table)), "others would not be told");
        let made = || Arc::new(Definitions::<T>::default()) as Arc<dyn Cache>;
        Arc::clone(self.caches.write().entry(key).or_insert_with(made))
    }

    /// A committed operation wrote rows of `table`: what was made of it is read again at its next use.
    pub fn table_changed(&self, table: &str) {
        for cache in self.caches.write().values() {
            cache.table_changed(table);
        }
    }

    /// Rows of any table may have been written: everything is read again at its next use.
    pub(crate) fn all_changed(&self) {
        for cache in self.caches.write().values() {
            cache.changed();
        }
    }
}

/// Whether rows of `table` may steer the product: other programs on the database are told of these tables only.
pub(crate) fn may_define(table: &str) -> bool {
    table.starts_with("sys")
}

impl fmt::Debug for DefinitionRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DefinitionRegistry({})", self.caches.read().len())
    }
}
