//! Listening, and stopping gracefully.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use campanile_engine::Engine;

use crate::door::Door;

/// An address that is ours: callers may knock already, and are answered once a [`Door`] is open.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: std::net::TcpListener,
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
    let door = Door::open(listener, 0)?;
    door.admit(engine);
    ready(door.address());
    door.serve_until(stop).await
}
