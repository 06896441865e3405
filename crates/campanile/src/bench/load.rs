//! The load generator: a tiny HTTP client that keeps its connections, all on one thread, so that it takes as little
//! of the machine from the server as it can.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::house::PASSWORD;
use super::spread::Spread;
use super::took::{Began, Took};
use crate::output::Failure;

/// Behind its time by more than this, a paced request counts from when it should have been sent.
const LATE: Duration = Duration::from_millis(2);

/// Bytes of an answer that are read at once; answers to batches have some more.
const BUFFER_BYTES: usize = 16_384;

/// Who sends where.
#[derive(Debug, Clone)]
pub(super) struct Load {
    address: SocketAddr,
    authorization: String,
}

/// A request without its headers.
#[derive(Debug, Clone)]
pub(super) struct Request {
    method: &'static str,
    path: String,
    body: String,
}

impl Request {
    pub(super) fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), body: String::new() }
    }

    pub(super) fn post(path: &str, body: String) -> Self {
        Self { method: "POST", path: path.to_owned(), body }
    }

    pub(super) fn patch(path: String, body: String) -> Self {
        Self { method: "PATCH", path, body }
    }
}

impl Load {
    /// Sends to the server at `address` as `admin`.
    pub(super) fn new(address: SocketAddr) -> Self {
        let token = base64::engine::general_purpose::STANDARD.encode(format!("admin:{PASSWORD}"));
        Self { address, authorization: format!("Basic {token}") }
    }

    /// Sends `count` requests, `in_flight` at a time, each when an earlier one was answered. Returns how long all
    /// took, and each.
    ///
    /// # Errors
    /// When a connection broke, or an answer was none of 2xx.
    pub(super) fn closed_loop(
        &self,
        in_flight: usize,
        count: usize,
        make: impl Fn(usize) -> Request + 'static,
    ) -> Result<(Took, Spread), Failure> {
        let make = Rc::new(make);
        let began = Began::now();
        let latencies = self.each_connection(in_flight, |load, number| {
            let make = Rc::clone(&make);
            async move {
                let mut connection = Connection::open(load.address).await?;
                let mut latencies = Vec::with_capacity(count / in_flight + 1);
                for n in (number..count).step_by(in_flight) {
                    let request = load.bytes(&make(n));
                    let sent = Instant::now();
                    connection.exchange(&request).await?;
                    latencies.push(sent.elapsed());
                }
                Ok(latencies)
            }
        })?;
        Ok((began.took(), Spread::new(latencies)))
    }

    /// Sends `rate` requests a second for `seconds`, whether or not earlier ones were answered, over `connections`.
    /// A request that could not be sent in time because its connection waited counts from when it was due.
    ///
    /// # Errors
    /// As [`Load::closed_loop`].
    pub(super) fn paced(
        &self,
        connections: usize,
        rate: u32,
        seconds: u32,
        make: impl Fn(usize) -> Request + 'static,
    ) -> Result<Spread, Failure> {
        let make = Rc::new(make);
        let count = rate as usize * seconds as usize;
        let began = Instant::now() + Duration::from_millis(50);
        let latencies = self.each_connection(connections, |load, number| {
            let make = Rc::clone(&make);
            async move {
                let mut connection = Connection::open(load.address).await?;
                let mut latencies = Vec::with_capacity(count / connections + 1);
                for n in (number..count).step_by(connections) {
                    let due = began
                        + Duration::from_secs(1) * u32::try_from(n).unwrap_or(u32::MAX) / rate;
                    tokio::time::sleep_until(due.into()).await;
                    let request = load.bytes(&make(n));
                    let now = Instant::now();
                    let counts_from = if now > due + LATE { due } else { now };
                    connection.exchange(&request).await?;
                    latencies.push(counts_from.elapsed());
                }
                Ok(latencies)
            }
        })?;
        Ok(Spread::new(latencies))
    }

    /// Runs `connection` so many times side by side, on this thread.
    fn each_connection<F>(
        &self,
        connections: usize,
        connection: impl Fn(Self, usize) -> F,
    ) -> Result<Vec<Duration>, Failure>
    where
        F: Future<Output = Result<Vec<Duration>, Failure>> + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::failed)?;
        let local = LocalSet::new();
        local.block_on(&runtime, async {
            let tasks: Vec<_> = (0..connections)
                .map(|number| tokio::task::spawn_local(connection(self.clone(), number)))
                .collect();
            let mut all = Vec::new();
            for task in tasks {
                all.extend(task.await.map_err(Failure::failed)??);
            }
            Ok(all)
        })
    }

    fn bytes(&self, request: &Request) -> Vec<u8> {
        let Request { method, path, body } = request;
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\naccept: application/json\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            self.authorization,
            body.len()
        )
        .into_bytes()
    }
}

/// A connection that is kept.
struct Connection {
    stream: TcpStream,
    buffer: Box<[u8; BUFFER_BYTES]>,
    received: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await.map_err(Failure::failed)?;
        stream.set_nodelay(true).map_err(Failure::failed)?;
        Ok(Self { stream, buffer: Box::new([0; BUFFER_BYTES]), received: Vec::new() })
    }

    /// Sends a request and reads its answer to the end.
    async fn exchange(&mut self, request: &[u8]) -> Result<(), Failure> {
        self.send(request).await.map_err(Failure::failed)?;
        let (head, body_bytes) = loop {
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                break (end + 4, body_length(&self.received[..end])?);
            }
            self.receive().await.map_err(Failure::failed)?;
        };
        while self.received.len() < head + body_bytes {
            self.receive().await.map_err(Failure::failed)?;
        }
        // "HTTP/1.1 202": the first digit decides.
        if self.received.get(9) != Some(&b'2') {
            let answer = String::from_utf8_lossy(&self.received[..head + body_bytes]).into_owned();
            return Err(Failure::failed(format!("the server refused a request: {answer}")));
        }
        self.received.drain(..head + body_bytes);
        Ok(())
    }

    async fn send(&self, mut rest: &[u8]) -> std::io::Result<()> {
        while !rest.is_empty() {
            match self.stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.stream.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn receive(&mut self) -> std::io::Result<()> {
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut self.buffer[..]) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.received.extend_from_slice(&self.buffer[..read]);
                    return Ok(());
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// `content-length` of an answer; our server gives it always.
fn body_length(head: &[u8]) -> Result<usize, Failure> {
    let head = String::from_utf8_lossy(head);
    let lengths = head.lines().filter_map(|line| line.split_once(':'));
    lengths
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .find_map(|(_, value)| value.trim().parse().ok())
        .ok_or_else(|| Failure::failed(format!("an answer has no content-length: {head}")))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use campanile_engine::worker::spawn_named;

    use super::*;

    /// Answers every request on one connection with `answer`, in two pieces; gives back what it was sent.
    fn server(answer: &'static str, requests: usize) -> (Load, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let load = Load::new(listener.local_addr().unwrap());
        let body = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut sent = String::new();
            for _ in 0..requests {
                let mut buffer = [0; 4_096];
                let read = stream.read(&mut buffer).unwrap();
                sent.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
                let (first, second) = answer.split_at(answer.len() / 2);
                stream.write_all(first.as_bytes()).unwrap();
                stream.flush().unwrap();
                stream.write_all(second.as_bytes()).unwrap();
            }
            sent
        };
        (load, spawn_named("answers", None, body).unwrap())
    }

    #[test]
    fn every_request_of_a_closed_loop_is_sent_and_timed() {
        let (load, thread) = server("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}", 3);
        let made = |n: usize| Request::post("/api/events", format!("{{\"n\":{n}}}"));
        load.closed_loop(1, 3, made).unwrap();
        let sent = thread.join().unwrap();
        assert!((0..3).all(|n| sent.contains(&format!("\r\n\r\n{{\"n\":{n}}}"))), "{sent}");
    }

    #[test]
    fn a_refusal_ends_the_measurement_with_the_answer() {
        let (load, thread) = server("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", 1);
        let failed = load.paced(1, 100, 1, |_| Request::get("/")).unwrap_err();
        assert!(format!("{failed:?}").contains("403 Forbidden"), "{failed:?}");
        thread.join().unwrap();
    }
}
