//! Taking connections and serving them.

use std::convert::Infallible;
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower_service::Service;

use super::incoming::WatchedBody;
use super::line::Line;
use super::watched::Watched;
use super::{Connections, Place};

/// How often those are looked for that have kept silent for too long.
const ROUND: Duration = Duration::from_millis(500);
/// Rest after the machine refused a connection: it would refuse the next one too.
const REST: Duration = Duration::from_millis(100);

/// How long, and for how many bytes, a caller may go on sending what nobody reads.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// Becomes true when no connection is taken any more and those that are open end with the request they work on.
type Stop = watch::Receiver<bool>;

/// How long requests that are under way may take at a stop.
const STOP_MAX: Duration = Duration::from_secs(30);

/// What ends a connection from the server's side.
struct Stops {
    stop: Stop,
    /// Becomes true when not even a request that is worked on is waited for.
    end: Stop,
}

/// Serves everybody who calls with `service`, until `stop` and the end of what is under way.
pub(crate) async fn serve<S>(
    listener: TcpListener,
    connections: Arc<Connections>,
    service: S,
    mut stop: Stop,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Unpin + 'static,
    S::Future: Send,
{
    let (end, ended) = watch::channel(false);
    let watching = tokio::spawn(close_silent(Arc::clone(&connections), stop.clone()));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_the_callers(&error) => {
                tracing::debug!(%error, "a caller went away");
                continue;
            }
            Err(error) => {
                tracing::error!(%error, "no connection could be taken; trying again");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let place = tokio::select! {
            place = connections.place() => place,
            _ = stop.changed() => break,
        };
        let stops = Stops { stop: stop.clone(), end: ended.clone() };
        tokio::spawn(serve_one(stream, peer, place, service.clone(), stops));
    }
    drop(listener);
    if tokio::time::timeout(STOP_MAX, connections.all_closed()).await.is_err() {
        tracing::warn!("requests that are under way for {} s are cut off", STOP_MAX.as_secs());
        end.send_replace(true);
        connections.all_closed().await;
    }
    watching.abort();
}

/// Whether the caller of the connection is the reason, so that the next one may do better.
fn is_the_callers(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}

async fn close_silent(connections: Arc<Connections>, stop: Stop) {
    let mut round = tokio::time::interval(ROUND);
    loop {
        round.tick().await;
        connections.close_silent(*stop.borrow());
    }
}

async fn serve_one<S>(
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
    service: S,
    mut stops: Stops,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Unpin + 'static,
    S::Future: Send,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the connection is gone already");
    }
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&place.line)));
    let served = Served { service, peer, line: Arc::clone(&place.line) };
    let mut connection = http1::Builder::new().serve_connection(io, served);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            // What has arrived is seen first: a request is not cut off by what was decided before it.
            biased;
            ended = std::future::poll_fn(|context| connection.poll_without_shutdown(context)) => {
                match ended {
                    Ok(()) if place.line.has_unread_body() => {
                        linger(connection.into_parts().io.into_inner()).await;
                    }
                    Ok(()) => drop(connection.into_parts().io.into_inner().shutdown().await),
                    Err(error) => tracing::trace!(%error, "a connection broke off"),
                }
                return;
            }
            () = place.line.told_to_go() => {
                if place.line.waits_since().is_some() {
                    return;
                }
            }
            _ = stops.end.changed() => return,
            _ = stops.stop.changed(), if !is_stopping => {
                is_stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
}

/// Closes a connection on which more may come than was read. Closed at once, the machine would answer what comes with a reset,
/// and the caller could lose the answer that it has not read yet.
async fn linger(mut stream: Watched) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let rest = async {
        let mut buffer = [0; 4_096];
        let mut left = LINGER_BYTES;
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    };
    if tokio::time::timeout(LINGER, rest).await.is_err() {
        tracing::trace!("a caller went on sending after its answer");
    }
}

/// The service as one connection sees it.
struct Served<S> {
    service: S,
    peer: SocketAddr,
    line: Arc<Line>,
}

impl<S> hyper::service::Service<hyper::Request<Incoming>> for Served<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        self.line.works();
        let watched = |body| Body::new(WatchedBody::new(body, Arc::clone(&self.line)));
        let mut request = request.map(watched);
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let answer = self.service.clone().call(request);
        let line = Arc::clone(&self.line);
        Box::pin(async move {
            let mut answer = answer.await;
            if let Ok(answer) = &mut answer
                && line.has_unread_body()
            {
                // What is left of it would be taken for the next request: the caller is told to open another connection.
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(header::CONNECTION, close);
            }
            line.answers();
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::task::{Context, Poll};

    use tokio::task::JoinHandle;

    use crate::connections::Patience;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3_600);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";

    /// Answers with an empty body; `/slow` never.
    #[derive(Clone)]
    struct Echo;

    impl Service<Request> for Echo {
        type Response = Response;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

        fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request) -> Self::Future {
            if request.uri().path() == "/slow" {
                return Box::pin(std::future::pending());
            }
            Box::pin(std::future::ready(Ok(Response::new(Body::empty()))))
        }
    }

    struct House {
        address: SocketAddr,
        stop: watch::Sender<bool>,
        serving: JoinHandle<()>,
    }

    async fn house(places: usize, patience: Patience) -> House {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, told) = watch::channel(false);
        let connections = Connections::with(places, patience);
        House { address, stop, serving: tokio::spawn(serve(listener, connections, Echo, told)) }
    }

    impl House {
        async fn call(&self, bytes: &[u8]) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            stream
        }
    }

    /// Reads the head of an answer; its body is empty.
    async fn is_answered(stream: &mut TcpStream) -> bool {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_ended) => return false,
            }
        }
        head.starts_with(b"HTTP/1.1 200 OK")
    }

    /// Reads to the end: returns once the other side has closed.
    async fn end(mut stream: TcpStream) {
        let mut rest = Vec::new();
        // A reset is an end too.
        stream.read_to_end(&mut rest).await.ok();
    }

    #[tokio::test]
    async fn half_a_request_is_closed_in_its_time_and_a_silent_connection_in_its_own() {
        let house = house(10, Patience { head: SHORT, idle: LONG, answer: LONG }).await;
        let mut idle = house.call(REQUEST).await;
        assert!(is_answered(&mut idle).await);
        end(house.call(b"GET / HTTP/1.1\r\nHost: he").await).await;
        idle.write_all(REQUEST).await.unwrap();
        assert!(is_answered(&mut idle).await);
    }

    #[tokio::test]
    async fn a_silent_connection_is_closed_and_one_that_is_worked_on_is_not() {
        let house = house(10, Patience { head: LONG, idle: SHORT, answer: LONG }).await;
        let slow = house.call(b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n").await;
        end(house.call(b"").await).await;
        end(house.call(REQUEST).await).await;
        let mut byte = [0];
        let read = slow.try_read(&mut byte).map_err(|error| error.kind());
        assert_eq!(read, Err(ErrorKind::WouldBlock), "it is open and nothing was said");
    }

    #[tokio::test]
    async fn an_answer_before_the_body_says_that_it_closes_and_is_read_whole() {
        let house = house(10, Patience { head: LONG, idle: LONG, answer: LONG }).await;
        let head = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 200000\r\n\r\n";
        let mut stream = house.call(head).await;
        // The answer is there before the body, which goes on.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            stream.write_all(&[b' '; 1_000]).await.unwrap();
            answer.push(stream.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
        assert!(
            answer.starts_with("http/1.1 200 ok") && answer.contains("connection: close"),
            "{answer}"
        );
        end(stream).await;
        // With the body read, or none, the connection is kept.
        let mut kept = house.call(REQUEST).await;
        assert!(is_answered(&mut kept).await);
        kept.write_all(REQUEST).await.unwrap();
        assert!(is_answered(&mut kept).await);
    }

    #[tokio::test]
    async fn a_hundred_half_requests_keep_nobody_out() {
        let house = house(4, Patience { head: LONG, idle: LONG, answer: LONG }).await;
        let mut half = Vec::new();
        for _ in 0..100 {
            half.push(house.call(b"POST / HTTP/1.1\r\n").await);
        }
        assert!(is_answered(&mut house.call(REQUEST).await).await);
        end(half.swap_remove(0)).await;
    }

    #[tokio::test]
    async fn a_stop_waits_for_no_half_request_and_for_no_silent_connection() {
        let house = house(10, Patience { head: LONG, idle: LONG, answer: LONG }).await;
        let mut idle = house.call(REQUEST).await;
        assert!(is_answered(&mut idle).await);
        let half = house.call(b"GET / HT").await;
        house.stop.send_replace(true);
        house.serving.await.unwrap();
        end(idle).await;
        end(half).await;
    }
}
