//! What every handler needs: the engine, and a way to run its synchronous work without blocking the network.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use campanile_engine::worker::{ScriptWorkers, Worker};
use campanile_engine::{Engine, EngineError, spent};
use campanile_store::CommitMark;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Semaphore, oneshot};

use crate::evaluations::Evaluations;
use crate::timing;

/// Shared by all requests.
#[derive(Debug, Clone)]
pub(crate) struct App {
    /// The engine.
    pub(crate) engine: Arc<Engine>,
    /// Renders `/metrics`; none when no recorder was installed.
    pub(crate) metrics: Option<PrometheusHandle>,
    /// When the server started, on the engine's clock.
    pub(crate) started: campanile_model::Instant,
    /// Places of those whose passwords are being checked.
    pub(crate) password_checks: Arc<Semaphore>,
    /// Callers who may wait for events at once: others need connections too.
    pub(crate) waiting_max: usize,
    /// The turns of those who evaluate scripts.
    pub(crate) evaluations: Evaluations,
    /// Whether the server has been told to stop.
    pub(crate) is_draining: Arc<AtomicBool>,
}

impl App {
    /// Runs `job`, which may run scripts, on a script thread and waits for it without blocking the network.
    ///
    /// # Errors
    /// What `job` answers; [`EngineError::Unavailable`] when too much work waits, or the job was lost.
    pub(crate) async fn on_worker<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Worker) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let threads = self.engine.workers()?;
        on(&threads, job).await
    }

    /// Runs `job`, which only reads, on a thread that no script of others can occupy.
    ///
    /// # Errors
    /// As [`App::on_worker`].
    pub(crate) async fn on_reader<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Worker) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let threads = self.engine.readers()?;
        on(&threads, job).await
    }

    /// Runs `job`, a tool of administrators that may take long, on a thread that no record write needs.
    ///
    /// # Errors
    /// As [`App::on_worker`].
    pub(crate) async fn on_tool<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Worker) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let threads = self.engine.tools()?;
        on(&threads, job).await
    }

    /// Waits until everything up to `mark` is on disk, so that the caller may be told.
    ///
    /// # Errors
    /// [`EngineError::Store`] when the disk refused.
    pub(crate) async fn durable(&self, mark: CommitMark) -> Result<(), EngineError> {
        let store = self.engine.store();
        // Else the commit itself was what was waited for, and is measured.
        let is_waited_for = !store.is_durable_at_commit();
        let began = Instant::now();
        let (sender, receiver) = oneshot::channel();
        store.on_durable(
            mark,
            Box::new(move |outcome| {
                if sender.send(outcome).is_err() {
                    tracing::debug!("the caller went away before its work was durable");
                }
            }),
        );
        let outcome = receiver.await;
        if is_waited_for {
            timing::committed(began.elapsed());
        }
        match outcome {
            Ok(outcome) => outcome.map_err(EngineError::from),
            Err(_gone) => Err(EngineError::Unavailable("the store is closing".into())),
        }
    }
}

async fn on<T: Send + 'static>(
    threads: &ScriptWorkers,
    job: impl FnOnce(&Worker) -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    let (sender, receiver) = oneshot::channel();
    threads.submit(Box::new(move |worker| {
        // A caller who went away has no use for the result.
        if sender.send(spent::measured(|| job(worker))).is_err() {
            tracing::debug!("the caller went away before the work was done");
        }
    }))?;
    let (result, spent) = receiver.await.map_err(|_gone| {
        EngineError::Unavailable("the work ended without a result; the log says why".into())
    })?;
    timing::add(spent);
    result
}
