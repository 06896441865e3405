//! How long a server takes from its start until it listens, by the length of the log.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::context::Context;
use super::figure::{Figure, Unit};
use super::filled;
use crate::output::Failure;

/// What the server says before its address.
const LISTENS: &str = "listens on http://";

pub(super) fn measure(context: &Context<'_>) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    for rows in context.log_sizes() {
        let folder = filled::folder(context, *rows)?;
        let mut took = Duration::MAX;
        for _ in 0..context.rounds {
            let (child, started) = Child::serve(&folder)?;
            child.kill()?;
            took = took.min(started);
        }
        let what = format!("start with 10^{} events in the log", rows.ilog10());
        figures
            .push(Figure::new(what, took.as_secs_f64() * 1e3, Unit::Millis).target(2_000.0, 500.0));
    }
    Ok(figures)
}

/// A server in a process of its own.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    pub(super) address: SocketAddr,
}

impl Child {
    /// Serves `folder`; returns once it listens, with how long that took.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) fn serve(folder: &Path) -> Result<(Self, Duration), Failure> {
        let program = std::env::current_exe().map_err(Failure::failed)?;
        let began = Instant::now();
        let mut process = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder)
            .env("CAMPANILE_LOG_LEVEL", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Failure::failed)?;
        let lines = process.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| line.split_once(LISTENS)?.1.trim().parse().ok());
        match address {
            Some(address) => Ok((Self { process, address }, began.elapsed())),
            None => {
                process.wait().map_err(Failure::failed)?;
                Err(Failure::failed("the server did not start; its message stands above"))
            }
        }
    }

    /// Resident memory.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub(super) fn resident_mb(&self) -> Result<f64, Failure> {
        let place = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(&place)
            .map_err(|error| Failure::failed(format!("{place} could not be read: {error}")))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        let kilobytes =
            line.split_whitespace().nth(1).and_then(|number| number.parse::<f64>().ok());
        kilobytes
            .map(|kilobytes| kilobytes / 1024.0)
            .ok_or_else(|| Failure::failed(format!("{place} does not tell the resident memory")))
    }

    /// Ends it as a crash would; what was acknowledged is on disk.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub(super) fn kill(mut self) -> Result<(), Failure> {
        self.process.kill().map_err(Failure::failed)?;
        self.process.wait().map_err(Failure::failed)?;
        Ok(())
    }
}
