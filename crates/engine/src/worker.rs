//! Threads that run scripts: names, large stacks, one sandbox each.
//!
//! A [`Worker`] is what one thread needs to run scripts; queue processors own one each. [`ScriptWorkers`] is the
//! pool that serves everybody else (HTTP, the command line): a bounded queue of jobs before a fixed set of threads.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use campanile_script::Sandbox;
use parking_lot::{Condvar, Mutex};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::records::execution::Execution;
use crate::session::Session;

/// Native stack of a thread that runs scripts. Rules nest up to 32 operations, each with a JavaScript stack of
/// its own (1 MiB) and the frames of the host between them; only touched pages cost memory.
pub const SCRIPT_STACK_BYTES: usize = 256 << 20;

/// Jobs that may wait for a script thread before a caller is told that the server is overloaded.
pub const SCRIPT_JOBS_WAITING_MAX: usize = 4_096;

/// Starts a thread with a name: the only way to start one.
///
/// # Errors
/// What the operating system answers when it cannot start a thread.
pub fn spawn_named<T: Send + 'static>(
    name: &str,
    stack_bytes: Option<usize>,
    body: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    let mut builder = std::thread::Builder::new().name(name.to_owned());
    if let Some(bytes) = stack_bytes {
        builder = builder.stack_size(bytes);
    }
    builder.spawn(body)
}

/// What one thread needs to run scripts. Lives and dies on its thread.
pub struct Worker {
    engine: Arc<Engine>,
    sandbox: Rc<Sandbox>,
}

impl Worker {
    /// A worker of `engine` for the calling thread.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] when no sandbox could be made.
    pub fn new(engine: Arc<Engine>) -> Result<Self, EngineError> {
        let sandbox = Sandbox::new().map_err(|error| {
            EngineError::Unavailable(format!("a script sandbox could not be made: {error}"))
        })?;
        Ok(Self { engine, sandbox: Rc::new(sandbox) })
    }

    /// The engine it works for.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// A new run of work for `session`: its budget, its messages and its report begin empty.
    #[must_use]
    pub fn execution(&self, session: Session) -> Rc<Execution> {
        Execution::new(Arc::clone(&self.engine), Rc::clone(&self.sandbox), session)
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

type Job = Box<dyn FnOnce(&Worker) + Send>;

/// A fixed set of script threads with a bounded queue before them.
pub struct ScriptWorkers {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    stopping: bool,
}

impl ScriptWorkers {
    /// Starts `threads` script threads (at least one) for `engine`, called `<name>-0`, `<name>-1`, ….
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] when a thread could not be started.
    pub fn start(engine: &Arc<Engine>, name: &str, threads: usize) -> Result<Self, EngineError> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { jobs: VecDeque::new(), stopping: false }),
            wake: Condvar::new(),
        });
        let workers = Self { shared: Arc::clone(&shared), threads: Mutex::new(Vec::new()) };
        for number in 0..threads.max(1) {
            let shared = Arc::clone(&shared);
            let engine = Arc::downgrade(engine);
            let handle =
                spawn_named(&format!("{name}-{number}"), Some(SCRIPT_STACK_BYTES), move || {
                    serve(&shared, &engine);
                })
                .map_err(|error| {
                    EngineError::Unavailable(format!(
                        "a script thread could not be started: {error}"
                    ))
                })?;
            workers.threads.lock().push(handle);
        }
        Ok(workers)
    }

    /// Queues `job`; it runs on one of the script threads.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] when too many jobs wait, or the engine is stopping.
    pub fn submit(&self, job: Job) -> Result<(), EngineError> {
        {
            let mut state = self.shared.state.lock();
            if state.stopping {
                return Err(EngineError::Unavailable("the server is stopping".to_owned()));
            }
            if state.jobs.len() >= SCRIPT_JOBS_WAITING_MAX {
                return Err(EngineError::Unavailable(format!(
                    "{SCRIPT_JOBS_WAITING_MAX} pieces of work wait for a script thread already; try again later"
                )));
            }
            state.jobs.push_back(job);
        }
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Runs `job` on a script thread and waits for its result. Never call it from a script thread.
    ///
    /// # Errors
    /// As [`ScriptWorkers::submit`]; also when the job panicked.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Worker) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.submit(Box::new(move |worker| {
            if sender.send(job(worker)).is_err() {
                tracing::debug!("nobody waits for the result of a script job any more");
            }
        }))?;
        receiver.recv().map_err(|_gone| {
            EngineError::Unavailable("the work ended without a result; the log says why".to_owned())
        })
    }

    /// Lets the jobs that wait finish, then ends the threads and waits for them. Later jobs are refused.
    pub fn stop(&self) {
        self.shared.state.lock().stopping = true;
        self.shared.wake.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // The last owner of the engine may be dropped on one of these threads: it cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a script thread ended in a panic");
            }
        }
    }
}

impl Drop for ScriptWorkers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for ScriptWorkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptWorkers").field("threads", &self.threads.lock().len()).finish()
    }
}

/// Body of a script thread. The worker, with its sandbox, is made at the first job and thrown away after a panic.
fn serve(shared: &Shared, engine: &std::sync::Weak<Engine>) {
    let mut worker: Option<Worker> = None;
    while let Some(job) = next_job(shared) {
        if worker.is_none() {
            let Some(engine) = engine.upgrade() else { return };
            match Worker::new(engine) {
                Ok(made) => worker = Some(made),
                Err(error) => {
                    tracing::error!(%error, "a script thread could not be prepared; its job was dropped");
                    continue;
                }
            }
        }
        let Some(ready) = &worker else { continue };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(ready))) {
            tracing::error!(
                panic = panic_text(&*panic),
                "a script job panicked; its thread starts clean"
            );
            worker = None;
        }
    }
}

fn next_job(shared: &Shared) -> Option<Job> {
    let mut state = shared.state.lock();
    loop {
        if let Some(job) = state.jobs.pop_front() {
            return Some(job);
        }
        if state.stopping {
            return None;
        }
        shared.wake.wait(&mut state);
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
