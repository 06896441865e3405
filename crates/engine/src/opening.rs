//! Making an engine: over a new data folder, over one that exists, over a store that is given.

use std::sync::Arc;

use argon2::password_hash::rand_core::{OsRng, RngCore};
use campanile_model::CorrectedClock;
use campanile_store::{PostgresOptions, PostgresStore, SqliteOptions, SqliteStore, Store};

use crate::data_folder::{self, FolderState};
use crate::engine::{Engine, EngineConfig};
use crate::error::EngineError;
use crate::packs::apply::{ApplyOptions, apply_blocking};
use crate::packs::report::PackReport;
use crate::packs::source::PackSource;
use crate::records::users;

/// Login of the first administrator.
const FIRST_ADMIN: &str = "admin";
/// Where a database notes that its making came to an end.
const INITIALISED_KEY: &str = "initialised";
/// Letters and digits that are not mistaken for each other.
const PASSWORD_ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789_";
/// 120 bits.
const PASSWORD_CHARS: usize = 24;

/// What a new database begins with.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// Password of the user `admin`; one is made up when it is missing.
    pub admin_password: Option<String>,
    /// Packs that it gets, in this order.
    pub packs: Vec<PackSource>,
    /// Their demo data too.
    pub demo: bool,
}

/// An engine over a database that may have been made just now.
#[derive(Debug)]
pub struct Initialised {
    /// The engine.
    pub engine: Arc<Engine>,
    /// The database was made just now.
    pub is_new: bool,
    /// What applying its packs did.
    pub packs: Vec<PackReport>,
    /// The password that was made up for `admin`: told once, kept nowhere.
    pub admin_password: Option<String>,
}

impl Engine {
    /// Makes a database in an empty (or missing) data folder, with the system's tables and rows, the first
    /// administrator and packs. One that was broken off is taken up again.
    ///
    /// # Errors
    /// [`EngineError::BadInput`] when the folder cannot be used or has a complete database; what the store answers.
    pub fn init(
        mut config: EngineConfig,
        options: InitOptions,
    ) -> Result<Initialised, EngineError> {
        let place = match &config.database {
            Some(_) => "--database".to_owned(),
            None => config.data_dir.display().to_string(),
        };
        prepare_folder(&config)?;
        let store = open_store(&mut config)?;
        let _alone = Arc::clone(&store).alone()?;
        if is_initialised(&store)? {
            store.close()?;
            let detail = match config.database {
                Some(_) => {
                    "the database was made already: use it with 'campanile serve --database'"
                }
                None => {
                    "the folder has a database already: use it with 'campanile serve', or choose another \
                     folder with --data"
                }
            };
            return Err(EngineError::BadInput { path: place, detail: detail.to_owned() });
        }
        make(store, config, options)
    }

    /// Opens the data folder, after making a database in it when it has none.
    ///
    /// # Errors
    /// [`EngineError::BadInput`] when the folder cannot be used; what the store answers.
    pub fn open_or_init(
        mut config: EngineConfig,
        options: InitOptions,
    ) -> Result<Initialised, EngineError> {
        prepare_folder(&config)?;
        let store = open_store(&mut config)?;
        let _alone = Arc::clone(&store).alone()?;
        if !is_initialised(&store)? {
            return make(store, config, options);
        }
        let engine = Self::with_store(store, config)?;
        Ok(Initialised { engine, is_new: false, packs: Vec::new(), admin_password: None })
    }

    /// Opens the database of a data folder, bringing its schema and the shipped rows up to date.
    ///
    /// # Errors
    /// [`EngineError::BadInput`] when the folder cannot be used or has no complete database; what the store
    /// answers, for example that another server has the folder, or that the database is newer.
    pub fn open(mut config: EngineConfig) -> Result<Arc<Self>, EngineError> {
        let folder = config.data_dir.display().to_string();
        let is_served = config.database.is_some();
        let no_database = |detail: &str| match is_served {
            true => EngineError::BadInput {
                path: "--database".to_owned(),
                detail: format!("{detail}: run 'campanile init' on the same database"),
            },
            false => EngineError::BadInput {
                path: folder.clone(),
                detail: format!("{detail}: make one with 'campanile init --data {folder}'"),
            },
        };
        if config.database.is_none() {
            if data_folder::inspect(&config.data_dir)? == FolderState::Empty {
                return Err(no_database("there is no database"));
            }
            data_folder::prepare(&config.data_dir)?;
        }
        let store = open_store(&mut config)?;
        let _alone = Arc::clone(&store).alone()?;
        if !is_initialised(&store)? {
            store.close()?;
            return Err(no_database(match is_served {
                true => "nothing has been made in it yet, or that was broken off",
                false => "the making of the database was broken off",
            }));
        }
        Self::with_store(store, config)
    }
}

/// The shipped rows, the first administrator, the packs, and the note that all of it is there.
fn make(
    store: Arc<dyn Store>,
    config: EngineConfig,
    options: InitOptions,
) -> Result<Initialised, EngineError> {
    let engine = Engine::with_store(store, config)?;
    let made_up = options.admin_password.is_none();
    let password = options.admin_password.unwrap_or_else(make_password);
    users::set_password(&engine, FIRST_ADMIN, &password)?;
    let apply = ApplyOptions { demo: options.demo, ..ApplyOptions::default() };
    let packs = options
        .packs
        .iter()
        .map(|pack| apply_blocking(&engine, pack, apply))
        .collect::<Result<_, _>>()?;
    let mut tx = Arc::clone(engine.store()).write()?;
    tx.meta_set(INITIALISED_KEY, &engine.clock().now().to_glide_text())?;
    let mark = tx.commit()?;
    engine.store().wait_durable(mark)?;
    Ok(Initialised { engine, is_new: true, packs, admin_password: made_up.then_some(password) })
}

/// Makes the data folder ready, where the database is one.
fn prepare_folder(config: &EngineConfig) -> Result<(), EngineError> {
    if config.database.is_none() {
        data_folder::inspect(&config.data_dir)?;
        data_folder::prepare(&config.data_dir)?;
    }
    Ok(())
}

/// Opens the store. Where it has a clock of its own that many machines share, the machine's is put right by it from then on.
fn open_store(config: &mut EngineConfig) -> Result<Arc<dyn Store>, EngineError> {
    let Some(url) = &config.database else {
        return Ok(SqliteStore::open(&SqliteOptions::new(&config.data_dir))?);
    };
    let clock = config
        .clock
        .may_be_wrong()
        .then(|| Arc::new(CorrectedClock::new(Arc::clone(&config.clock), 0)));
    let store = PostgresStore::open(&PostgresOptions {
        node: config.node.clone(),
        clock: clock.clone(),
        lease: config.lease,
        connections: config.connections.clone(),
        partitions: config.partitions,
        ..PostgresOptions::new(url.clone())
    })?;
    if let Some(clock) = clock {
        config.clock = clock;
    }
    Ok(store)
}

fn is_initialised(store: &Arc<dyn Store>) -> Result<bool, EngineError> {
    Ok(initialised(store)?.is_some())
}

/// When the making of the database came to its end, if it did.
pub(crate) fn initialised(store: &Arc<dyn Store>) -> Result<Option<String>, EngineError> {
    let tx = Arc::clone(store).write()?;
    Ok(tx.meta_get(INITIALISED_KEY)?)
}

fn make_password() -> String {
    let mut bytes = [0; PASSWORD_CHARS];
    OsRng.fill_bytes(&mut bytes);
    let letter =
        |byte: &u8| char::from(PASSWORD_ALPHABET[usize::from(*byte) % PASSWORD_ALPHABET.len()]);
    bytes.iter().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_made_up_password_is_long_and_never_the_same() {
        let made: HashSet<String> = (0..50).map(|_| make_password()).collect();
        assert_eq!(made.len(), 50);
        assert!(made.iter().all(|password| password.len() == PASSWORD_CHARS));
    }
}
