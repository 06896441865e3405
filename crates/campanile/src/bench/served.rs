//! The server in this process, as `campanile serve` runs it, on a port of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use campanile_engine::Engine;
use campanile_engine::worker::spawn_named;
use campanile_server::{Listener, ServeError};
use tokio::sync::oneshot;

use crate::output::Failure;

/// A server that listens until it is stopped.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), ServeError>>,
}

impl Served {
    /// Starts serving `engine`; returns once it listens.
    ///
    /// # Errors
    /// When it cannot listen.
    pub(super) fn start(engine: &Arc<Engine>) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(Failure::failed)?;
        let listener = Listener::bind("127.0.0.1:0").map_err(Failure::failed)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let engine = Arc::clone(engine);
        let body = move || {
            let ready = move |address| {
                if tell.send(address).is_err() {
                    tracing::debug!("nobody waits for the address of the server");
                }
            };
            let stop = async move {
                // A dropped sender stops it as well.
                drop(stopped.await);
            };
            runtime.block_on(campanile_server::serve(engine, listener, ready, stop))
        };
        let thread = spawn_named("bench-server", None, body).map_err(Failure::failed)?;
        match told.recv() {
            Ok(address) => Ok(Self { address, stop, thread }),
            Err(_gone) => Err(thread.join().map_or_else(
                |_panic| broken(),
                |ended| ended.err().map_or_else(broken, Failure::failed),
            )),
        }
    }

    /// Answers what is under way and ends.
    ///
    /// # Errors
    /// When serving broke off.
    pub(super) fn stop(self) -> Result<(), Failure> {
        drop(self.stop);
        self.thread.join().map_err(|_panic| broken())?.map_err(Failure::failed)
    }
}

fn broken() -> Failure {
    Failure::failed("the server in this process broke off; the log says why")
}
