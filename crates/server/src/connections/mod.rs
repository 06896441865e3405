//! Connections: how many may be open, how long they may keep silent, and which one gives way to a new caller.
//!
//! A connection *waits* from the end of an answer, or its beginning, until its next request has arrived with all header
//! lines. Whoever waits costs the others nothing but the place: when all places are taken, the one that has waited
//! longest gives way. So callers who send half a request, or nothing, cannot keep others out, logged in or not. What a
//! handler works on never gives way.

mod accept;
mod incoming;
mod line;
mod watched;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;

pub(crate) use accept::serve;
use line::{Line, Patience};

/// Places when the settings name no number and the machine gives enough file descriptors.
const PLACES_DEFAULT: u64 = 10_000;
/// File descriptors that are left to everything else: the database and its readers, logs, calls to other servers.
const RESERVED_DESCRIPTORS: u64 = 256;
/// Places that there are in any case.
const PLACES_MIN: u64 = 16;

/// How long connections may keep silent while the server runs.
const PATIENCE: Patience = Patience {
    head: Duration::from_secs(15),
    idle: Duration::from_secs(75),
    answer: Duration::from_secs(60),
};

/// The same while it stops.
const PATIENCE_AT_STOP: Patience = Patience {
    head: Duration::from_secs(1),
    idle: Duration::from_secs(1),
    answer: Duration::from_secs(10),
};

/// How long a new caller waits for the one that was told to go: it may have begun to work, then another one is told.
const TO_GO: Duration = Duration::from_millis(50);

/// How many connections may be open at once: `wanted`, or as many as make sense where that is 0. The process may open as
/// many files as its hard limit allows from then on; when that is too few for `wanted`, it is fewer, and told.
pub(crate) fn places(wanted: usize) -> usize {
    let descriptors = descriptors();
    let possible = descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(PLACES_MIN);
    let asked = u64::try_from(wanted).unwrap_or(u64::MAX);
    if asked > possible {
        tracing::warn!(
            connections = possible,
            "server.connections asks for {asked}, the process may have {descriptors} open files: raise its limit \
             (ulimit -n, LimitNOFILE)"
        );
    }
    let places = if asked == 0 { PLACES_DEFAULT } else { asked };
    usize::try_from(places.min(possible)).unwrap_or(usize::MAX)
}

/// The open files that the process may have, raised as far as it may raise them itself.
fn descriptors() -> u64 {
    let before = getrlimit(Resource::Nofile);
    let wished = Rlimit { current: before.maximum, maximum: before.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wished) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
    // No limit is as good as a very high one.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The places and who has them.
#[derive(Debug)]
pub(crate) struct Connections {
    places: usize,
    patience: Patience,
    began: Instant,
    numbers: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Line>>>,
    /// Somebody gave a place back.
    freed: Notify,
    /// Said once: it would be said at every call of an attack.
    is_told: AtomicBool,
}

impl Connections {
    /// For `places` connections at once.
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Self::with(places, PATIENCE)
    }

    fn with(places: usize, patience: Patience) -> Arc<Self> {
        Arc::new(Self {
            places,
            patience,
            began: Instant::now(),
            numbers: AtomicU64::new(0),
            open: Mutex::default(),
            freed: Notify::new(),
            is_told: AtomicBool::new(false),
        })
    }

    /// A place, as soon as there is one: when all are taken, the connection that has waited longest is told to go.
    async fn place(self: &Arc<Self>) -> Place {
        loop {
            // Registered first: a place that is given back after the look below is not missed.
            let freed = self.freed.notified();
            if let Some(place) = self.free_place() {
                return place;
            }
            self.make_room();
            if tokio::time::timeout(TO_GO, freed).await.is_err() {
                tracing::trace!("no connection has given way yet");
            }
        }
    }

    fn free_place(self: &Arc<Self>) -> Option<Place> {
        let mut open = self.open.lock();
        if open.len() >= self.places {
            return None;
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let line = Arc::new(Line::new(self.began));
        open.insert(number, Arc::clone(&line));
        metrics::gauge!("campanile_http_connections").increment(1);
        drop(open);
        Some(Place { number, line, connections: Arc::clone(self) })
    }

    fn make_room(&self) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                connections = self.places,
                "all connections are taken: those that wait longest are closed for new callers; this is told once \
                 (campanile_http_connections_closed_total counts on)"
            );
        }
        let open = self.open.lock();
        // An answer that is taken is not cut off for somebody else.
        let waiting = open
            .values()
            .filter(|line| !line.is_answering())
            .filter_map(|line| Some((line.waits_since()?, line)));
        if let Some((_, line)) = waiting.min_by_key(|(since, _)| *since) {
            line.tell_to_go();
            closed("gave_way");
        }
    }

    /// Tells those to go that have kept silent for too long.
    fn close_silent(&self, is_stopping: bool) {
        let patience = if is_stopping { &PATIENCE_AT_STOP } else { &self.patience };
        for line in self.open.lock().values().filter(|line| line.is_overdue(patience)) {
            line.tell_to_go();
            closed("silent");
        }
    }

    /// Returns when no connection is open.
    async fn all_closed(&self) {
        loop {
            let freed = self.freed.notified();
            if self.open.lock().is_empty() {
                return;
            }
            freed.await;
        }
    }
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
struct Place {
    number: u64,
    line: Arc<Line>,
    connections: Arc<Connections>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&self.number);
        metrics::gauge!("campanile_http_connections").decrement(1);
        self.connections.freed.notify_waiters();
    }
}

fn closed(reason: &'static str) {
    metrics::counter!("campanile_http_connections_closed_total", "reason" => reason).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_places_whatever_is_asked_and_never_more_than_files() {
        assert_eq!(places(20), 20);
        assert!(places(0) >= 16);
        assert!(places(usize::MAX) < usize::MAX || descriptors() == u64::MAX);
    }

    #[tokio::test]
    async fn the_one_that_waits_longest_gives_way_and_none_that_works() {
        let connections = Connections::new(3);
        let (first, second, third) =
            (connections.place().await, connections.place().await, connections.place().await);
        first.line.works();
        second.line.set_waiting_since(20);
        third.line.set_waiting_since(10);
        assert!(connections.free_place().is_none());
        connections.make_room();
        assert!(third.line.was_told_to_go());
        assert!(!first.line.was_told_to_go() && !second.line.was_told_to_go());
        drop(third);
        assert!(connections.free_place().is_some());
    }

    #[tokio::test]
    async fn an_answer_that_is_being_taken_does_not_give_way() {
        let connections = Connections::new(2);
        let (slow, idle) = (connections.place().await, connections.place().await);
        slow.line.works();
        slow.line.answers();
        slow.line.set_waiting_since(10);
        idle.line.set_waiting_since(20);
        connections.make_room();
        assert!(idle.line.was_told_to_go() && !slow.line.was_told_to_go());
    }

    #[tokio::test]
    async fn nobody_gives_way_when_all_work_and_the_next_place_goes_to_who_waits_for_it() {
        let connections = Connections::new(1);
        let only = connections.place().await;
        only.line.works();
        let next = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.place().await.number }
        });
        tokio::task::yield_now().await;
        assert!(!next.is_finished() && !only.line.was_told_to_go());
        drop(only);
        assert_eq!(next.await.unwrap(), 1);
    }
}
