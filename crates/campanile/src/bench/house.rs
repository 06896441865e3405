//! A data folder with the ITSM pack and the benchmark's own, opened in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::events::service::{self as events, FireCall};
use campanile_engine::packs::source;
use campanile_engine::records::service::{self as records, InputValue, WriteRequest};
use campanile_engine::worker::Worker;
use campanile_engine::{Channel, Engine, EngineConfig, EngineError, InitOptions, Session};
use campanile_model::{Clock, EventSource, SystemClock};
use campanile_store::DatabaseUrl;

use super::context::Context;
use crate::output::Failure;

/// The administrator's password in folders that are measured.
pub(super) const PASSWORD: &str = "bench-password";
/// Rows of `u_bench_task`.
pub(super) const TASKS: usize = 1_000;
/// The row of `u_bench_slow`.
pub(super) const SLOW_TASK: &str = "b0000000000000000000000000000001";
/// Events in a batch.
pub(super) const BATCH: usize = 500;
/// How often a wait looks. Rarely: a look costs what a hundred events cost.
const LOOK: Duration = Duration::from_millis(20);

const PACK: &str = include_str!("../../../../bench/pack.yaml");

/// An open engine; its processors do not run until [`House::start_processors`].
#[derive(Debug)]
pub(super) struct House {
    pub(super) engine: Arc<Engine>,
    pub(super) folder: PathBuf,
}

impl House {
    /// A new folder called `name` with packs and rows.
    ///
    /// # Errors
    /// What the engine answers.
    pub(super) fn make(context: &Context<'_>, name: &str) -> Result<Self, Failure> {
        Self::make_with_clock(context, name, Arc::new(SystemClock))
    }

    /// As [`House::make`], with another clock.
    ///
    /// # Errors
    /// What the engine answers.
    pub(super) fn make_with_clock(
        context: &Context<'_>,
        name: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let folder = context.fresh_folder(name)?;
        Self::make_in(config(context, &folder, None, clock))
    }

    /// In a PostgreSQL database that has nothing in it.
    ///
    /// # Errors
    /// What the engine answers.
    pub(super) fn make_on(context: &Context<'_>, url: &str) -> Result<Self, Failure> {
        Self::make_in(config(context, Path::new(""), Some(url), Arc::new(SystemClock)))
    }

    fn make_in(config: EngineConfig) -> Result<Self, Failure> {
        let folder = config.data_dir.clone();
        let options = InitOptions {
            admin_password: Some(PASSWORD.to_owned()),
            packs: vec![
                source::find("itsm")?,
                source::PackSource { name_or_path: "bench".to_owned(), text: PACK.to_owned() },
            ],
            demo: false,
        };
        let engine = Engine::init(config, options)?.engine;
        let house = Self { engine, folder };
        house.fill()?;
        Ok(house)
    }

    /// Opens a folder that was made before.
    ///
    /// # Errors
    /// What the engine answers.
    pub(super) fn open(context: &Context<'_>, folder: &Path) -> Result<Self, Failure> {
        let engine = Engine::open(config(context, folder, None, Arc::new(SystemClock)))?;
        Ok(Self { engine, folder: folder.to_owned() })
    }

    /// One more node on a PostgreSQL database that was made before.
    ///
    /// # Errors
    /// What the engine answers.
    pub(super) fn open_on(context: &Context<'_>, url: &str) -> Result<Self, Failure> {
        let config = config(context, Path::new(""), Some(url), Arc::new(SystemClock));
        let folder = config.data_dir.clone();
        Ok(Self { engine: Engine::open(config)?, folder })
    }

    /// Starts the processors of the queues.
    ///
    /// # Errors
    /// When the machine gives no thread.
    pub(super) fn start_processors(&self) -> Result<(), Failure> {
        Ok(self.engine.queues().start(&self.engine)?)
    }

    /// Stops everything.
    ///
    /// # Errors
    /// The engine's first failure.
    pub(super) fn stop(self) -> Result<PathBuf, Failure> {
        self.engine.stop()?;
        Ok(self.folder)
    }

    /// Stops everything and removes the folder.
    ///
    /// # Errors
    /// As [`House::stop`].
    pub(super) fn tear_down(self) -> Result<(), Failure> {
        super::context::remove(&self.stop()?)
    }

    /// Fires `count` events called `name` in batches, each about a task.
    ///
    /// # Errors
    /// What the engine answers.
    pub(super) fn fire(&self, name: &str, count: usize) -> Result<(), Failure> {
        for first in (0..count).step_by(BATCH) {
            let calls = (first..count.min(first + BATCH)).map(|n| call(name, n)).collect();
            events::fire_batch_blocking(&self.engine, &session(), calls, true)?;
        }
        Ok(())
    }

    /// Fires event number `number`, called `name`, and waits until it is durable.
    ///
    /// # Errors
    /// What the engine answers.
    pub(super) fn fire_one(&self, name: &str, number: usize) -> Result<(), Failure> {
        events::fire_blocking(&self.engine, &session(), call(name, number))?;
        Ok(())
    }

    /// Returns once no event waits in a queue that is served, and what they came to is committed.
    ///
    /// # Errors
    /// What the store answers.
    pub(super) fn wait_until_done(&self) -> Result<(), Failure> {
        let store = self.engine.store();
        loop {
            let backlog = store.backlog(self.engine.clock().now()).map_err(Failure::failed)?;
            if backlog.iter().all(|queue| queue.ready + queue.queued == 0) {
                store.flush().map_err(Failure::failed)?;
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Writes a task's step as an HTTP caller would, and waits for the disk.
    ///
    /// # Errors
    /// What the engine answers.
    pub(super) fn update(&self, table: &str, sys_id: &str, step: usize) -> Result<(), EngineError> {
        let request = WriteRequest {
            table: table.to_owned(),
            sys_id: Some(sys_id.to_owned()),
            values: vec![("u_step".to_owned(), InputValue::from(step.to_string()))],
            ..WriteRequest::default()
        };
        let written = self.engine.workers()?.run(move |worker: &Worker| {
            records::update(&worker.execution(session()), &request)
        })??;
        Ok(self.engine.store().wait_durable(written.mark)?)
    }

    fn fill(&self) -> Result<(), Failure> {
        let rows = (0..TASKS).map(|n| ("u_bench_task", task(n)));
        let rows: Vec<_> = rows.chain([("u_bench_slow", SLOW_TASK.to_owned())]).collect();
        let filled = self.engine.workers()?.run(move |worker| {
            rows.iter().try_for_each(|(table, sys_id)| insert(worker, table, sys_id))
        })?;
        Ok(filled?)
    }
}

fn config(
    context: &Context<'_>,
    folder: &Path,
    database: Option<&str>,
    clock: Arc<dyn Clock>,
) -> EngineConfig {
    EngineConfig {
        data_dir: folder.to_owned(),
        database: database.map(DatabaseUrl::from),
        connections: campanile_store::Connections::default(),
        partitions: None,
        lease: campanile_store::Lease::default(),
        clock,
        node: context.settings.node.clone(),
        script_workers: context.settings.script_workers,
        start_processors: false,
    }
}

fn insert(worker: &Worker, table: &str, sys_id: &str) -> Result<(), EngineError> {
    let value = |name: &str, value: &str| (name.to_owned(), InputValue::from(value));
    let request = WriteRequest {
        table: table.to_owned(),
        values: vec![
            value("sys_id", sys_id),
            value("short_description", "Mail does not arrive"),
            value("u_step", "0"),
        ],
        ..WriteRequest::default()
    };
    let execution = worker.execution(session());
    records::insert(&execution, &request)?;
    Ok(())
}

/// Key of a task; any number has one.
pub(super) fn task(number: usize) -> String {
    format!("a{:031x}", number % TASKS)
}

/// The call that fires event number `number`.
fn call(name: &str, number: usize) -> FireCall {
    FireCall {
        name: name.to_owned(),
        table: "u_bench_task".to_owned(),
        instance: task(number),
        parm1: format!("{number:032x}"),
        parm2: "fred.luddy".to_owned(),
        ..FireCall::default()
    }
}

/// The product itself, through the door of HTTP callers.
fn session() -> Session {
    Session { channel: Channel::Http, source: EventSource::Api, ..Session::system() }
}
