//! Listening, and stopping gracefully.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::ServiceExt as _;
use campanile_engine::Engine;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;

use crate::app::App;
use crate::routes;

/// An address that is ours: callers may knock already, and are answered once [`serve`] runs.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
}

impl Listener {
    /// Takes `host:port`. Done before a data folder is touched, so that a server that cannot listen changes nothing.
    ///
    /// # Errors
    /// [`ServeError::AddressInUse`]; [`ServeError::Listen`] with any other reason.
    pub fn bind(listen: &str) -> Result<Self, ServeError> {
        let socket = std::net::TcpListener::bind(listen).map_err(|source| {
            let listen = listen.to_owned();
            if source.kind() == std::io::ErrorKind::AddrInUse {
                ServeError::AddressInUse { listen }
            } else {
                ServeError::Listen { listen, source }
            }
        })?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }
}

/// The server could not start or broke off.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken.
    #[error(
        "{listen} is in use by another program: stop it, or choose another address with --listen"
    )]
    AddressInUse {
        /// The address.
        listen: String,
    },
    /// The address cannot be used for another reason.
    #[error("could not listen on {listen}: {source}; choose another address with --listen")]
    Listen {
        /// The address.
        listen: String,
        /// Why.
        source: std::io::Error,
    },
    /// Serving broke off.
    #[error("the HTTP server broke off: {0}")]
    Broken(#[from] std::io::Error),
}

/// Serves `engine` until `stop` completes; requests that are under way are answered. `ready` is called with the
/// address before the first answer.
///
/// # Errors
/// [`ServeError::Broken`].
pub async fn serve(
    engine: Arc<Engine>,
    listener: Listener,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let listener = TcpListener::from_std(listener.socket)?;
    let address = listener.local_addr()?;
    // A second server in one process (tests) finds a recorder already there: then this one has no /metrics.
    let metrics = PrometheusBuilder::new().install_recorder().ok();
    let started = engine.clock().now();
    let app = App { engine, metrics, started };
    let service = routes::service(app).into_make_service_with_connect_info::<SocketAddr>();
    ready(address);
    axum::serve(listener, service).with_graceful_shutdown(stop).await?;
    Ok(())
}
