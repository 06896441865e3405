//! The engine: the store, the definitions that stand before it, and the threads.

use std::path::PathBuf;
use std::sync::Arc;

use campanile_model::limits::EVALUATIONS_RUNNING_MAX;
use campanile_model::{Clock, Dictionary};
use campanile_store::{Connections, DatabaseUrl, Lease, Store};
use parking_lot::{ArcMutexGuard, Mutex, RawMutex};

use crate::error::EngineError;
use crate::events::queue_registry::QUEUE_TABLE;
use crate::events::registry::{REGISTER_TABLE, ReportedNames};
use crate::events::row::EVENT_TABLE;
use crate::events::waiters::Waiters;
use crate::handlers::HandlerRegistry;
use crate::handlers::script_action::SCRIPT_ACTION_TABLE;
use crate::queues::supervisor::Queues;
use crate::records::definitions::{DefinitionRegistry, Load, may_define};
use crate::records::numbers::Numbers;
use crate::records::once::KeysInUse;
use crate::records::operation::save_checks::SaveChecks;
use crate::records::properties::Properties;
use crate::records::seed;
use crate::records::special_tables::{READ_ONLY, SpecialTables};
use crate::records::syslog::SystemLog;
use crate::records::users::VerifiedCredentials;
use crate::session::User;
use crate::worker::ScriptWorkers;
use crate::{events, handlers, queues};

/// Threads for requests that only read: a read waits for the database, hardly ever for the processor.
const READ_THREADS: usize = 2;

/// Threads for packs and replay beside those of evaluate.
const OTHER_TOOL_THREADS: usize = 2;

/// The turn of a trial; ends when it is dropped.
pub(crate) type Trial = ArcMutexGuard<RawMutex, ()>;

/// How to open an engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Folder that holds the database, unless `database` names another one.
    pub data_dir: PathBuf,
    /// URL of a PostgreSQL database that other nodes may use too.
    pub database: Option<DatabaseUrl>,
    /// The way to it, and how many connections are taken on it.
    pub connections: Connections,
    /// Distributed mode with so many partitions, for a PostgreSQL database that has no events yet; `None` leaves it to the
    /// database.
    pub partitions: Option<u16>,
    /// How this node proves to the others on that database that it lives.
    pub lease: Lease,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Name of this node, as in `claimed_by`; the machine's when empty.
    pub node: String,
    /// Threads that run scripts for requests.
    pub script_workers: usize,
    /// Whether [`Engine::start`] starts processors for the queues.
    pub start_processors: bool,
}

/// The whole product below HTTP. Shared as `Arc<Engine>`.
#[derive(Debug)]
pub struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) node: Arc<str>,
    pub(crate) config: EngineConfig,
    pub(crate) numbers: Numbers,
    pub(crate) credentials: VerifiedCredentials,
    pub(crate) system_log: SystemLog,
    pub(crate) save_checks: SaveChecks,
    pub(crate) special_tables: SpecialTables,
    pub(crate) unregistered_names: ReportedNames,
    /// Queues that were not made for the events that named them.
    pub(crate) replaced_queues: ReportedNames,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) keys_in_use: KeysInUse,
    pub(crate) queues: Queues,
    pub(crate) handlers: HandlerRegistry,
    definitions: DefinitionRegistry,
    workers: Mutex<Option<Arc<ScriptWorkers>>>,
    readers: Mutex<Option<Arc<ScriptWorkers>>>,
    tools: Mutex<Option<Arc<ScriptWorkers>>>,
    /// Taken by whoever tries something out before it takes the writer: see [`Engine::begin_trial`].
    trials: Arc<Mutex<()>>,
}

impl Engine {
    /// An engine over `store`, which gets the system's own tables and rows if it lacks them.
    ///
    /// # Errors
    /// What the store answers.
    pub fn with_store(
        store: Arc<dyn Store>,
        config: EngineConfig,
    ) -> Result<Arc<Self>, EngineError> {
        if let Some(mark) = seed::bring_up_to_date(&store, config.clock.now())? {
            store.wait_durable(mark)?;
        }
        let engine = Self {
            clock: Arc::clone(&config.clock),
            node: Arc::from(node_name(&config.node)),
            numbers: Numbers::default(),
            credentials: VerifiedCredentials::default(),
            system_log: SystemLog::start(Arc::clone(&store))?,
            save_checks: SaveChecks::of_records()
                .with(REGISTER_TABLE, events::save_check::save)
                .with(REGISTER_TABLE, handlers::listeners::follow_renaming)
                .with(QUEUE_TABLE, queues::save_check::save)
                .with(SCRIPT_ACTION_TABLE, handlers::save_check::save)
                .with_delete(REGISTER_TABLE, handlers::listeners::keep_registration)
                .with_delete(QUEUE_TABLE, queues::save_check::delete)
                .with_after_write(QUEUE_TABLE, queues::order::after_write),
            special_tables: SpecialTables::default()
                .with(EVENT_TABLE, events::service::ROWS)
                .with("sysevent_handler_run", READ_ONLY)
                .with("sysevent_action_log", READ_ONLY),
            unregistered_names: ReportedNames::default(),
            replaced_queues: ReportedNames::default(),
            waiters: Arc::default(),
            keys_in_use: KeysInUse::default(),
            queues: Queues::default(),
            handlers: HandlerRegistry::standard(),
            definitions: DefinitionRegistry::default(),
            workers: Mutex::new(None),
            readers: Mutex::new(None),
            tools: Mutex::new(None),
            trials: Arc::default(),
            store,
            config,
        };
        let engine = Arc::new(engine);
        let listener = Arc::downgrade(&engine);
        engine.store.set_table_listener(Arc::new(move |table| {
            if let Some(engine) = listener.upgrade() {
                engine.changed_elsewhere(table);
            }
        }));
        Ok(engine)
    }

    /// Starts the processors of the queues, when the configuration says so.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] when the machine gives no thread.
    pub fn start(self: &Arc<Self>) -> Result<(), EngineError> {
        if self.config.start_processors { self.queues.start(self) } else { Ok(()) }
    }

    /// The processors of this node.
    #[must_use]
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// The script threads that serve requests which may run scripts; started at the first call.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] when the machine gives no thread.
    pub fn workers(self: &Arc<Self>) -> Result<Arc<ScriptWorkers>, EngineError> {
        self.started(&self.workers, "script", self.config.script_workers)
    }

    /// The threads for requests that only read: however slow the rules of others are, they go on.
    ///
    /// # Errors
    /// As [`Engine::workers`].
    pub fn readers(self: &Arc<Self>) -> Result<Arc<ScriptWorkers>, EngineError> {
        self.started(&self.readers, "read", READ_THREADS)
    }

    /// The threads of administrators' tools (evaluate, packs, replay), which may take long: however many of them run,
    /// record writes have threads of their own.
    ///
    /// # Errors
    /// As [`Engine::workers`].
    pub fn tools(self: &Arc<Self>) -> Result<Arc<ScriptWorkers>, EngineError> {
        self.started(&self.tools, "tool", EVALUATIONS_RUNNING_MAX + OTHER_TOOL_THREADS)
    }

    /// Waits for the turn of a piece of work that will be undone, before it takes the writer. Only one such work holds the
    /// writer at a time: between two of them everybody else comes first, so that many of them delay a write no longer
    /// than one does.
    pub(crate) fn begin_trial(&self) -> Trial {
        self.trials.lock_arc()
    }

    fn started(
        self: &Arc<Self>,
        slot: &Mutex<Option<Arc<ScriptWorkers>>>,
        name: &str,
        threads: usize,
    ) -> Result<Arc<ScriptWorkers>, EngineError> {
        let mut slot = slot.lock();
        if let Some(workers) = &*slot {
            return Ok(Arc::clone(workers));
        }
        let workers = Arc::new(ScriptWorkers::start(self, name, threads)?);
        *slot = Some(Arc::clone(&workers));
        Ok(workers)
    }

    /// Stops what was started, writes what waits, closes the store. Returns when all threads have ended.
    ///
    /// # Errors
    /// The first failure; the rest is stopped all the same.
    pub fn stop(&self) -> Result<(), EngineError> {
        // The other nodes take over this one's share while it finishes what it has begun.
        if let Err(error) = self.store.serve(false) {
            tracing::warn!(%error, "the other nodes could not be told that this one stops");
        }
        self.queues.stop();
        for slot in [&self.workers, &self.readers, &self.tools] {
            let workers = slot.lock().take();
            if let Some(workers) = workers {
                workers.stop();
            }
        }
        let settled = self.numbers.settle(self);
        self.system_log.stop();
        let closed = self.store.close().map_err(EngineError::from);
        settled.and(closed)
    }

    /// Where time comes from.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Where everything is kept.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Name of this node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The present snapshot of one kind of definitions.
    ///
    /// # Errors
    /// What [`Load::load`] answers, when it was not loaded yet.
    pub fn definitions<T: Load>(&self) -> Result<Arc<T>, EngineError> {
        self.definitions.get(self)
    }

    /// All tables and choices.
    ///
    /// # Errors
    /// What the store answers.
    pub fn dictionary(&self) -> Result<Arc<Dictionary>, EngineError> {
        self.definitions()
    }

    /// The value of a property: its row, else the shipped default; `None` when there is neither, or when the
    /// store cannot be read (which is logged).
    #[must_use]
    pub fn property(&self, name: &str) -> Option<String> {
        self.properties().and_then(|properties| properties.get(name).map(str::to_owned))
    }

    /// A property's value for `user`; `None` when it does not exist, or is a secret that the user may not have.
    #[must_use]
    pub fn property_for(&self, user: &User, name: &str) -> Option<String> {
        let properties = self.properties().filter(|properties| !properties.hides(name, user))?;
        properties.get(name).map(str::to_owned)
    }

    /// A property as a boolean (`true`, `1`, `yes`, `on`, and their opposites, ignoring case); `default` for
    /// anything else.
    #[must_use]
    pub fn bool_property(&self, name: &str, default: bool) -> bool {
        self.properties().and_then(|properties| properties.bool(name)).unwrap_or(default)
    }

    /// A property as a whole number; `default` for anything else.
    #[must_use]
    pub fn int_property(&self, name: &str, default: i64) -> i64 {
        self.properties().and_then(|properties| properties.int(name)).unwrap_or(default)
    }

    fn properties(&self) -> Option<Arc<Properties>> {
        self.definitions::<Properties>()
            .inspect_err(|error| tracing::error!(%error, "properties could not be read"))
            .ok()
    }

    /// Rows of `tables` were committed: what was made of them is read again at its next use.
    pub fn tables_changed<'a>(&self, tables: impl IntoIterator<Item = &'a str>) {
        let mut told = Vec::new();
        for table in tables {
            self.changed_elsewhere(Some(table));
            if may_define(table) {
                told.push(table);
            }
        }
        if !told.is_empty() {
            self.store.tell_tables(&told);
        }
    }

    /// As [`Engine::tables_changed`], for rows that another program has committed; of any table when it is not known.
    fn changed_elsewhere(&self, table: Option<&str>) {
        if let Some(table) = table {
            self.definitions.table_changed(table);
            self.queues.table_changed(table);
        } else {
            self.definitions.all_changed();
            self.queues.table_changed(QUEUE_TABLE);
        }
    }
}

fn node_name(configured: &str) -> String {
    if !configured.is_empty() {
        return configured.to_owned();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    // A slash separates node, queue and slot in `claimed_by`.
    let host = host.trim().replace('/', "-");
    if host.is_empty() { "node".to_owned() } else { host }
}
