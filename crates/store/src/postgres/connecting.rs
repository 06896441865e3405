//! Making a connection: the first of the hosts that can be used, in bounded time.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{AsyncMessage, Client, Error};

use super::address::Address;
use super::failure::located;
use super::wire::Bytes;
use crate::contract::StoreError;

/// Called with each message that the server sends by itself.
pub(super) type Listener = Arc<dyn Fn(&AsyncMessage) + Send + Sync>;

/// Why there is no connection.
pub(super) enum Failure {
    Told(Error),
    /// This machine gave nothing to wait with.
    NoMeans(std::io::Error),
    /// Nobody answered for so long, or somebody took the connection and said nothing.
    Silent(Duration),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Told(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::NoMeans(error)
    }
}

/// In the words of the contract, with the address.
pub(super) fn unavailable(address: &Address, failure: Failure) -> StoreError {
    let reason = match failure {
        Failure::Told(error) => return located(error.into(), address.place()),
        Failure::NoMeans(error) => error.to_string(),
        Failure::Silent(waited) => format!(
            "no connection to a host within {} s: nobody answered, or somebody took it and said nothing; check that a PostgreSQL server stands \
             there and is not held up, or raise connect_timeout in the URL",
            waited.as_secs()
        ),
    };
    StoreError::Unavailable { place: address.place().to_owned(), reason }
}

/// Connects to the first of the hosts that can be used; what comes back carries the bytes. A host that takes the connection and says
/// nothing does not keep the others from being tried.
pub(super) async fn connect(
    address: &Address,
    listener: Option<Listener>,
) -> Result<(Client, Bytes), Failure> {
    let patience = address.answer_max();
    let mut failure = Failure::Silent(patience);
    for (at, host) in address.hosts() {
        match tokio::time::timeout(patience, host.connect(address.tls())).await {
            Ok(Ok((client, connection))) => {
                address.has_answered(at);
                return Ok((client, carried(connection, listener)));
            }
            // What a server said says more than that others are not there.
            Ok(Err(error)) if is_of_a_server(&error) => failure = Failure::Told(error),
            _ if matches!(&failure, Failure::Told(told) if is_of_a_server(told)) => {}
            Ok(Err(error)) => failure = Failure::Told(error),
            Err(_) => failure = Failure::Silent(patience),
        }
    }
    Err(failure)
}

/// Whether a server was there: it refused, or takes no writes, which the client tells in its own words.
fn is_of_a_server(error: &Error) -> bool {
    use std::error::Error as _;
    error.code().is_some()
        || error.source().is_some_and(|cause| cause.to_string().contains("does not allow writes"))
}

/// What carries the bytes of a connection.
fn carried<S, T>(
    mut connection: tokio_postgres::Connection<S, T>,
    listener: Option<Listener>,
) -> Bytes
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Box::pin(async move {
        loop {
            match std::future::poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(message)) => {
                    if let Some(listener) = &listener {
                        listener(&message);
                    }
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "a connection to the database ended");
                    return;
                }
                None => return,
            }
        }
    })
}
