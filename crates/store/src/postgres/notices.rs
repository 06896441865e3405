//! Telling other programs on the database that events have come, and hearing it from them.
//!
//! Differs because SQLite has one program. On a connection of its own and coalesced: a notice inside the appending
//! transaction would make the commits of all programs wait for each other (measured: a quarter of the appends). A notice
//! that is lost costs a poll interval. While this program is alone on the database nothing is told, and kept instead:
//! whoever comes says so, and is told it then. Behind a pool that gives each transaction another connection nothing is
//! heard: then the database is asked every second (`polls`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use campanile_model::Instant;
use parking_lot::{Condvar, Mutex};
use tokio_postgres::AsyncMessage;

use super::births::Births;
use super::connecting::Listener;
use super::connection::Connection;
use super::distributed::Spread;
use super::doubts;
use super::effects::{Effects, Wake};
use super::floors::Floors;
use super::held::Claims;
use super::holders;
use super::nodes::working;
use super::polls::{self, Polls};
use super::store::Shared;
use super::text::{read, stored};
use crate::contract::{StoreError, TableListener, WakeListener};

/// The channel of queues.
const CHANNEL: &str = "campanile_wake";

/// The channel of tables.
const TABLES: &str = "campanile_tables";

/// What a program says that has come.
const HELLO: &str = "hello";

/// So long after the last sign of another program this one counts itself alone.
const COMPANY_STAYS: Duration = Duration::from_secs(60);

/// Between two notices others may gather.
const PACE: Duration = Duration::from_millis(10);

/// Longest notice that PostgreSQL carries, with room to spare.
const NOTICE_BYTES_MAX: usize = 7_000;

/// How often to look whether the connection still listens.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two tries to reach the server.
const REST: Duration = Duration::from_millis(500);

/// Who is told, here and elsewhere.
#[derive(Default)]
pub(super) struct Notices {
    listener: Mutex<Option<WakeListener>>,
    table_listener: Mutex<Option<TableListener>>,
    /// Told first, in distributed mode: whoever is woken asks it where to look.
    spread: Option<Arc<Spread>>,
    /// Told before whoever is woken: what waits comes before what may be born.
    births: Arc<Births>,
    /// The same: what is due before what was claimed last is to be found.
    floors: Arc<Floors>,
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Waiting,
    /// Until when there is somebody to be told.
    company_until: Option<Monotonic>,
    /// When others were told last.
    told_at: Option<Monotonic>,
    stopping: bool,
}

impl State {
    /// How long what waits has to wait still; `None` while there is nothing to tell, or nobody.
    fn rests(&self) -> Option<Duration> {
        let has_company = self.company_until.is_some_and(|until| Monotonic::now() < until);
        (has_company && !self.waiting.is_empty())
            .then(|| self.told_at.map_or(Duration::ZERO, |at| PACE.saturating_sub(at.elapsed())))
    }
}

/// What others have not been told.
#[derive(Debug, Default)]
struct Waiting {
    /// Queue, and partition in distributed mode → earliest due time.
    queues: HashMap<(Arc<str>, Option<i64>), i64>,
    /// Tables whose rows were changed.
    tables: BTreeSet<String>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.tables.is_empty()
    }
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notices").field("state", &*self.state.lock()).finish_non_exhaustive()
    }
}

impl Notices {
    /// `spread` in distributed mode.
    pub(super) fn new(spread: Option<Arc<Spread>>, claims: &Claims) -> Self {
        let (births, floors) = (Arc::clone(&claims.births), Arc::clone(&claims.floors));
        Self { spread, births, floors, ..Self::default() }
    }

    /// Sets who is told in this program.
    pub(super) fn set_listener(&self, listener: WakeListener) {
        *self.listener.lock() = Some(listener);
    }

    /// Sets who is told in this program of tables that others have changed.
    pub(super) fn set_table_listener(&self, listener: TableListener) {
        *self.table_listener.lock() = Some(listener);
    }

    /// Tells the others soon that rows of `tables` were changed.
    pub(super) fn tell_tables(&self, tables: &[&str]) {
        let mut state = self.state.lock();
        state.waiting.tables.extend(tables.iter().map(|table| (*table).to_owned()));
        self.tell_writer(&state);
    }

    /// Another program has changed rows of `table`, or of any.
    pub(super) fn changed_elsewhere(&self, table: Option<&str>) {
        let listener = self.table_listener.lock().clone();
        if let Some(listener) = listener {
            listener(table);
        }
    }

    /// Tells this program at once, and the others soon.
    pub(super) fn tell(&self, effects: &Effects) {
        if effects.wakes().is_empty() {
            return;
        }
        for Wake { queue, partition, due } in effects.wakes() {
            self.tell_here(queue, *partition, *due);
        }
        let mut state = self.state.lock();
        for Wake { queue, partition, due } in effects.wakes() {
            let key = (Arc::clone(queue), *partition);
            let earliest = state.waiting.queues.entry(key).or_insert(*due);
            *earliest = (*earliest).min(*due);
        }
        self.tell_writer(&state);
    }

    /// Wakes the one who tells the others, unless there is nobody to be told or more may gather.
    fn tell_writer(&self, state: &State) {
        if state.rests().is_some_and(|rests| rests.is_zero()) {
            self.filled.notify_one();
        }
    }

    fn tell_here(&self, queue: &str, partition: Option<i64>, due: i64) {
        if let Some(spread) = &self.spread {
            spread.woken(queue, partition);
        }
        self.floors.told(queue, due);
        self.births.told(queue, due);
        self.wake(queue, due);
    }

    /// Something waits in `queue`, as it may have for long: nobody looks below the floors for it each time.
    fn found_here(&self, queue: &str, partition: Option<i64>) {
        if let Some(spread) = &self.spread {
            spread.woken(queue, partition);
        }
        self.births.told(queue, 0);
        self.wake(queue, 0);
    }

    /// Wakes `queue` in this program alone.
    pub(super) fn wake(&self, queue: &str, due: i64) {
        let listener = self.listener.lock().clone();
        if let Some(listener) = listener {
            listener(queue, Instant::from_millis(due));
        }
    }

    /// There is another program on the database.
    pub(super) fn has_company(&self) {
        let mut state = self.state.lock();
        state.company_until = Some(Monotonic::now() + COMPANY_STAYS);
        // It may have missed what waits.
        self.filled.notify_one();
    }

    /// A notice of another program: `<token> <due> <queue>`, with `<due>@<partition>` in distributed mode; or `<token> hello`.
    fn heard(&self, own_token: i64, notice: &str) {
        let mut parts = notice.splitn(3, ' ');
        if parts.clone().next().is_some_and(|token| token.parse() != Ok(own_token)) {
            self.has_company();
        }
        let number = |part: &str| part.parse::<i64>().ok();
        let (token, when) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (due, partition) =
            when.split_once('@').map_or((when, None), |(due, p)| (due, number(p)));
        let (Some(token), Some(due)) = (number(token), number(due)) else { return };
        if token != own_token {
            self.tell_here(&read(parts.next().unwrap_or_default()), partition, due);
        }
    }

    /// A notice of another program: `<token> <table>`.
    fn heard_of_table(&self, own_token: i64, notice: &str) {
        if let Some((token, table)) = notice.split_once(' ')
            && token.parse() != Ok(own_token)
        {
            self.changed_elsewhere(Some(table));
        }
    }

    /// Puts back which tables were changed: that must not be lost.
    fn put_back(&self, tables: BTreeSet<String>) {
        self.state.lock().waiting.tables.extend(tables);
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.filled.notify_all();
    }

    /// What others are to be told, nothing after a while; `None` when the thread is to end.
    fn next(&self) -> Option<Waiting> {
        let looks_at = Monotonic::now() + LOOK_EVERY;
        let mut state = self.state.lock();
        while !state.stopping {
            let rests = state.rests();
            if rests.is_some_and(|rests| rests.is_zero()) {
                state.told_at = Some(Monotonic::now());
                return Some(std::mem::take(&mut state.waiting));
            }
            let left = looks_at.saturating_duration_since(Monotonic::now());
            if left.is_zero() {
                return Some(Waiting::default());
            }
            self.filled.wait_for(&mut state, rests.map_or(left, |rests| rests.min(left)));
        }
        None
    }

    fn rest(&self) {
        let mut state = self.state.lock();
        if !state.stopping {
            self.filled.wait_for(&mut state, REST);
        }
    }
}

/// Hears, or asks, and tells until the store is closed.
pub(super) fn run(shared: &Arc<Shared>, first: Line) {
    let mut line = Some(first);
    while let Some(notices) = shared.notices.next() {
        doubts::resolve(shared);
        holders::give_back_of_slow(shared, Monotonic::now());
        if line.as_ref().is_none_or(Line::is_closed) {
            line = match open(shared) {
                Ok(line) => {
                    // What others told meanwhile was not heard.
                    shared.orders.forget();
                    shared.claims.may_have_missed_some();
                    shared.notices.changed_elsewhere(None);
                    Some(line)
                }
                Err(error) => {
                    tracing::debug!(%error, "other programs cannot be told of new events; they poll");
                    shared.notices.rest();
                    None
                }
            };
        }
        let worked = line.as_mut().map(|line| line.work(shared, &notices));
        if let Some(Err(error)) = &worked {
            tracing::debug!(%error, "other programs were not told of new events; they poll");
            line = None;
        }
        if !matches!(worked, Some(Ok(()))) {
            shared.notices.put_back(notices.tables);
        }
    }
}

/// The connection to the others.
pub(super) struct Line {
    connection: Connection,
    /// `None` where the server says by itself what others did.
    polls: Option<Polls>,
}

impl Line {
    fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    fn work(&mut self, shared: &Shared, notices: &Waiting) -> Result<(), tokio_postgres::Error> {
        if !notices.is_empty() {
            tell(&self.connection, shared.node.token(), notices)?;
        }
        let Some(polls) = &mut self.polls else { return Ok(()) };
        let spread = shared.claims.spread().map(AsRef::as_ref);
        let found = polls.when_due(&self.connection, LOOK_EVERY, spread)?;
        let Some(found) = found else { return Ok(()) };
        // Who does not hear may overhear who comes.
        shared.notices.has_company();
        for table in &found.tables {
            shared.notices.changed_elsewhere(Some(table));
        }
        for (queue, partition) in &found.queues {
            shared.notices.found_here(queue, *partition);
        }
        Ok(())
    }
}

/// A connection that listens, where that is possible.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub(super) fn open(shared: &Arc<Shared>) -> Result<Line, StoreError> {
    let weak = Arc::downgrade(shared);
    let listener: Listener = Arc::new(move |message| {
        if let (AsyncMessage::Notification(notice), Some(shared)) = (message, weak.upgrade()) {
            let own_token = shared.node.token();
            if notice.channel() == TABLES {
                // Before whoever is told acts on it.
                shared.orders.forget();
                shared.notices.heard_of_table(own_token, notice.payload());
            } else {
                shared.notices.heard(own_token, notice.payload());
            }
        }
    });
    let line = if let Some(connection) = shared.open_listening(listener)? {
        connection.batch(&format!("LISTEN {CHANNEL}; LISTEN {TABLES}"))?;
        Line { connection, polls: None }
    } else {
        let connection = shared.open()?;
        let polls = Polls::begin(&connection)?;
        Line { connection, polls: Some(polls) }
    };
    // From here on it hears: whoever is there tells what it may have missed.
    let token = shared.node.token();
    line.connection
        .query("SELECT pg_notify($1, $2)::text", &[&CHANNEL, &format!("{token} {HELLO}")])?;
    if !working(&line.connection, token)?.is_empty() {
        shared.notices.has_company();
    }
    Ok(line)
}

fn tell(
    connection: &Connection,
    token: i64,
    notices: &Waiting,
) -> Result<(), tokio_postgres::Error> {
    let queues = notices
        .queues
        .iter()
        .map(|((queue, partition), due)| {
            let place = partition.map_or_else(String::new, |partition| format!("@{partition}"));
            (CHANNEL, format!("{token} {due}{place} {}", stored(queue)))
        })
        .filter(|(_, text)| text.len() <= NOTICE_BYTES_MAX);
    // Before those who hear of it: nobody is to find the number of before.
    polls::note(connection, &notices.tables)?;
    let tables = notices.tables.iter().map(|table| (TABLES, format!("{token} {table}")));
    let (channels, texts): (Vec<&str>, Vec<String>) = queues.chain(tables).unzip();
    // A notice that a crash of the server undoes costs no more than one that is lost.
    connection.begin_with(
        "BEGIN; SET LOCAL synchronous_commit = off",
        (
            "SELECT pg_notify(channel, notice)::text FROM unnest($1::text[], $2::text[]) AS new (channel, notice)",
            &[&channels, &texts],
        ),
        None,
    )?;
    connection.batch("COMMIT")
}
