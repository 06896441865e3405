//! `campanile events tail`: the event log as it grows.

use std::collections::HashMap;
use std::time::Duration;

use campanile_model::Instant;
use serde_json::Value;

use super::events::line;
use crate::args::TailArgs;
use crate::client::{Client, encode};
use crate::output::{Failure, print_line};

/// Events of one page: the most that the server gives.
const PAGE: u16 = 1_000;
/// How far behind the newest event each look reaches: an operation may store an event some seconds after the time that it
/// bears, and the clocks of nodes differ. What comes later than this is not seen.
const OVERLAP_MS: i64 = 60_000;

/// Prints events as they come, each once, oldest first; looks again and again, and ends with the process.
pub(crate) fn run(args: &TailArgs, json: bool) -> Result<(), Failure> {
    let client = Client::new(&args.server)?;
    let mut log = Log { client: &client, query: &args.query, from: None, seen: HashMap::new() };
    let print = |event: &Value| print_line(&if json { event.to_string() } else { line(event) });
    let before = log.page(args.last.max(1), None)?.events;
    before.iter().take(args.last.into()).rev().for_each(print);
    if let Some(newest) = before.first() {
        log.begin_at(newest);
        // Of what this look finds, only that is new which came behind the newest of before.
        let found = log.look()?;
        found.iter().skip_while(|event| key(event) != key(newest)).skip(1).for_each(print);
    }
    eprintln!("following the events of {}; Ctrl-C ends it", client.url());
    loop {
        log.look()?.iter().for_each(print);
        std::thread::sleep(Duration::from_secs(args.every.max(1)));
    }
}

fn key(event: &Value) -> &str {
    event["sys_id"].as_str().unwrap_or_default()
}

fn created(event: &Value) -> Option<Instant> {
    event["created"].as_str().and_then(Instant::parse_rfc3339)
}

/// The log, and what of it was seen.
struct Log<'a> {
    client: &'a Client,
    query: &'a str,
    /// Each look begins here.
    from: Option<Instant>,
    /// What was seen since then.
    seen: HashMap<String, Option<Instant>>,
}

/// A page, newest first.
struct Page {
    events: Vec<Value>,
    next: Option<String>,
}

impl Log<'_> {
    /// What has come since the last look, oldest first. Goes back page by page until one brings nothing new.
    fn look(&mut self) -> Result<Vec<Value>, Failure> {
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.page(PAGE, cursor.as_deref())?;
            let known = found.len();
            for event in page.events {
                if self.seen.insert(key(&event).to_owned(), created(&event)).is_none() {
                    found.push(event);
                }
            }
            cursor = page.next;
            if cursor.is_none() || found.len() == known {
                break;
            }
        }
        if let Some(newest) = found.first() {
            self.begin_at(newest);
        }
        found.reverse();
        Ok(found)
    }

    /// From now on only what is not much older than `newest`.
    fn begin_at(&mut self, newest: &Value) {
        let from = created(newest).map(|at| at.plus_millis(-OVERLAP_MS)).max(self.from);
        self.from = from;
        self.seen.retain(|_, created| *created >= from);
    }

    fn page(&self, limit: u16, cursor: Option<&str>) -> Result<Page, Failure> {
        let mut path = format!("/api/events?limit={limit}&query={}", encode(self.query));
        if let Some(from) = self.from {
            path.push_str(&format!("&from={}", encode(&from.to_rfc3339())));
        }
        if let Some(cursor) = cursor {
            path.push_str(&format!("&cursor={}", encode(cursor)));
        }
        let answer = self.client.get(&path)?.body;
        if answer["page"]["order"] == "query" {
            return Err(Failure::usage(
                "--query has an order of its own, the log is followed in the order of arrival: leave ORDERBY out",
            ));
        }
        Ok(Page {
            events: answer["result"].as_array().cloned().unwrap_or_default(),
            next: answer["page"]["next"].as_str().map(str::to_owned),
        })
    }
}
