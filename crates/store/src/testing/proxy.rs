//! A line to the server that can be cut at a commit.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio_postgres::config::Host;

/// Where the line is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees the commit, only that the line is gone.
    Before,
    /// The server commits; its answer is lost.
    After,
    /// The client loses its line. The server does not notice, and sees the commit when [`Proxy::release`] is called.
    Held,
}

/// Listens on a port of this machine and hands everything on, both ways.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    rule: Arc<Rule>,
}

#[derive(Debug, Default)]
struct Rule {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// For the next message of a client with this text.
    cut: Option<(String, Cut)>,
    cuts: usize,
    is_released: bool,
    is_closed: bool,
    /// The clients' ends.
    lines: Vec<TcpStream>,
}

impl Proxy {
    /// A line to the database at `url`.
    ///
    /// # Panics
    /// When no port is free, or `url` names no place.
    #[must_use]
    pub fn to(url: &str) -> Self {
        let config: tokio_postgres::Config = url.parse().expect("it is the URL of a database");
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of this machine is free");
        let port = listener.local_addr().expect("it listens").port();
        let user = config.get_user().unwrap_or("postgres").to_owned();
        let password = config
            .get_password()
            .map_or_else(String::new, |password| format!(":{}", String::from_utf8_lossy(password)));
        let name = config.get_dbname().unwrap_or(&user).to_owned();
        let rule = Arc::new(Rule::default());
        let of_lines = Arc::clone(&rule);
        spawn(move || {
            for client in listener.incoming().flatten() {
                if of_lines.state.lock().is_closed {
                    shut(&client);
                    continue;
                }
                let line = client.try_clone().expect("a line can be held twice");
                of_lines.state.lock().lines.push(line);
                let server = Server::open(&config);
                let rule = Arc::clone(&of_lines);
                spawn(move || hand_on(&client, &server, &rule));
            }
        });
        let url = format!("postgres://{user}{password}@127.0.0.1:{port}/{name}?sslmode=disable");
        Self { url, rule }
    }

    /// The database behind the line.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Cuts the line on which the next commit comes.
    pub fn cut_next_commit(&self, cut: Cut) {
        self.cut_next_with("COMMIT", cut);
    }

    /// Cuts the line on which `text` comes next, as a value of a statement that is a transaction by itself.
    pub fn cut_next_with(&self, text: &str, cut: Cut) {
        self.rule.state.lock().cut = Some((text.to_owned(), cut));
    }

    /// Lets the server see the commit that was held.
    pub fn release(&self) {
        self.rule.state.lock().is_released = true;
        self.rule.changed.notify_all();
    }

    /// Takes no further line: to whoever calls the server is gone.
    pub fn close(&self) {
        self.rule.state.lock().is_closed = true;
    }

    /// Takes lines again.
    pub fn open_again(&self) {
        self.rule.state.lock().is_closed = false;
    }

    /// Cuts every line that is open, wherever it is in its statements.
    pub fn cut_all(&self) {
        let lines = std::mem::take(&mut self.rule.state.lock().lines);
        lines.iter().for_each(shut);
    }

    /// How many lines were cut at a commit.
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.rule.state.lock().cuts
    }
}

impl Rule {
    /// What is to be done with what a client sends.
    fn take(&self, bytes: &[u8]) -> Option<Cut> {
        let mut state = self.state.lock();
        let is_meant = state.cut.as_ref().is_some_and(|(text, _)| {
            bytes.windows(text.len()).enumerate().any(|(at, word)| {
                // Not the level READ COMMITTED, with which transactions begin.
                word == text.as_bytes() && bytes.get(at + text.len()) != Some(&b'T')
            })
        });
        let (_, cut) = is_meant.then(|| state.cut.take()).flatten()?;
        state.cuts += 1;
        Some(cut)
    }

    fn wait_released(&self) {
        let mut state = self.state.lock();
        while !state.is_released {
            self.changed.wait(&mut state);
        }
    }
}

/// What both directions of a line know.
#[derive(Debug, Default)]
struct Line {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Line {
    fn cut(&self) {
        self.state.lock().0 = true;
    }

    /// Whether what the server sends is lost.
    fn loses(&self) -> bool {
        let mut state = self.state.lock();
        state.1 = state.0;
        self.changed.notify_all();
        state.0
    }

    /// Waits until something was lost, or the server has gone.
    fn wait_lost(&self) {
        let mut state = self.state.lock();
        while !state.1 {
            self.changed.wait(&mut state);
        }
    }

    fn ended(&self) {
        self.state.lock().1 = true;
        self.changed.notify_all();
    }
}

/// Hands on until either side ends.
fn hand_on(client: &TcpStream, server: &Server, rule: &Rule) {
    let line = Line::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = client;
            copy(
                |buffer| server.read(buffer),
                |bytes| line.loses() || client.write_all(bytes).is_ok(),
            );
            line.ended();
            shut(client);
        });
        let mut reader = client;
        copy(
            |buffer| reader.read(buffer),
            |bytes| match rule.take(bytes) {
                None => server.write(bytes),
                Some(cut) => {
                    line.cut();
                    if cut == Cut::After && server.write(bytes) {
                        line.wait_lost();
                    }
                    if cut == Cut::Held {
                        shut(client);
                        rule.wait_released();
                        server.write(bytes);
                    }
                    false
                }
            },
        );
        shut(client);
        server.shut();
    });
}

/// Where a line leads.
#[derive(Debug)]
enum Server {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Server {
    fn open(config: &tokio_postgres::Config) -> Self {
        let port = config.get_ports().first().copied().unwrap_or(5432);
        match config.get_hosts().first() {
            Some(Host::Unix(folder)) => {
                let socket = folder.join(format!(".s.PGSQL.{port}"));
                Self::Unix(UnixStream::connect(socket).expect("the server listens"))
            }
            Some(Host::Tcp(host)) => {
                Self::Tcp(TcpStream::connect((host.as_str(), port)).expect("the server listens"))
            }
            None => panic!("the URL of a database names a host"),
        }
    }

    fn read(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&*stream).read(buffer),
            Self::Unix(stream) => (&*stream).read(buffer),
        }
    }

    /// Whether it is still there.
    fn write(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Tcp(stream) => (&*stream).write_all(bytes).is_ok(),
            Self::Unix(stream) => (&*stream).write_all(bytes).is_ok(),
        }
    }

    fn shut(&self) {
        match self {
            Self::Tcp(stream) => drop(stream.shutdown(Shutdown::Both)),
            Self::Unix(stream) => drop(stream.shutdown(Shutdown::Both)),
        }
    }
}

/// Until the end, or until `take` says that it is enough.
fn copy(
    mut read: impl FnMut(&mut [u8]) -> std::io::Result<usize>,
    mut take: impl FnMut(&[u8]) -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = read(&mut buffer) {
        if !take(&buffer[..count]) {
            return;
        }
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) {
    let builder = std::thread::Builder::new().name("test-proxy".to_owned());
    builder.spawn(work).expect("the machine gives a thread");
}

fn shut(stream: &TcpStream) {
    // The other side may have been quicker.
    drop(stream.shutdown(Shutdown::Both));
}
