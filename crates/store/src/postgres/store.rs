//! The store itself: opening and closing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use campanile_model::{Clock, CorrectedClock, Event, SystemClock};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::address::Address;
use super::beat;
use super::behind_pool::Way;
use super::births::Moment;
use super::births::Promises;
use super::completer::Completer;
use super::connecting::Listener;
use super::connection::Connection;
use super::distributed::{Spread, setup};
use super::effects::Effects;
use super::failure::located;
use super::held::{Claimed, Claims};
use super::lapses::{Taken, take_over};
use super::line::Line;
use super::load::unfinished;
use super::nodes::Node;
use super::notices::{self, Notices};
use super::options::{Connections, PostgresOptions};
use super::order::Orders;
use super::own_row::OwnRow;
use super::pending::{Pending, PendingLine};
use super::pool::{Pool, PoolLimits, Session};
use super::row_reads::{READS_MAX, RowReads};
use super::server::{AtPlace, check_server};
use super::summary::last_sequence;
use super::time;
use super::writer::Writer;
use crate::contract::{CommitMark, StoreError};
use crate::migrate::migrate_postgres;

/// Threads of the runtime that carries the connection that listens.
const RUNTIME_THREADS: usize = 1;

/// A store in a PostgreSQL database that other programs use too.
#[derive(Debug)]
pub struct PostgresStore {
    pub(super) shared: Arc<Shared>,
    pub(super) readers: Arc<Pool>,
    pub(super) writers: Arc<Pool>,
    /// `None` where a pool gives each transaction another connection.
    pub(super) row_reads: Option<RowReads>,
    pub(super) claims: Arc<Claims>,
    pub(super) sequence_at_opening: i64,
    /// The newest migration of the database at the opening.
    pub(super) schema: i64,
    pub(super) options: PostgresOptions,
    /// Emptied when the store is closed.
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    writer: JoinHandle<()>,
    completer: JoinHandle<()>,
    beat: JoinHandle<()>,
    notices: JoinHandle<()>,
    runtime: Runtime,
}

/// What the threads of a store share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) address: Arc<Address>,
    /// Past a pool, if one is named.
    direct: Option<Arc<Address>>,
    /// Whether a pool gives each transaction another connection.
    pub(super) is_shared: bool,
    /// The way on which the server says by itself what others did; `None` where it has to be asked.
    pub(super) of_notices: Option<Arc<Address>>,
    /// How long an operation waits for a connection or a lock.
    patience: Duration,
    runtime: tokio::runtime::Handle,
    pub(super) claims: Arc<Claims>,
    pub(super) node: Node,
    pub(super) line: Line,
    pub(super) pending: PendingLine,
    pub(super) notices: Notices,
    pub(super) orders: Orders,
    /// Put right by the database's; `None` where this machine's will do.
    clock: Option<Arc<CorrectedClock>>,
    commits: AtomicU64,
    /// Events that this program took over while they were being handled.
    pub(super) lapses: AtomicU64,
}

impl Shared {
    /// The address, for people.
    pub(super) fn place(&self) -> &str {
        self.address.place()
    }

    /// What a caller is told when nobody can tell whether its commit was kept.
    pub(super) fn outcome_unknown(&self) -> StoreError {
        StoreError::OutcomeUnknown { place: self.place().to_owned() }
    }

    /// A connection that nobody else uses here.
    pub(super) fn open(&self) -> Result<Connection, StoreError> {
        Connection::open(&self.address)
    }

    /// The same, settled for the transactions of the store's own threads, unless a pool mixes connections up.
    pub(super) fn open_settled(&self) -> Result<Connection, StoreError> {
        let connection = self.open()?;
        self.settle(&connection)?;
        Ok(connection)
    }

    fn settle(&self, connection: &Connection) -> Result<(), StoreError> {
        if !self.is_shared {
            connection.settle()?;
        }
        Ok(())
    }

    /// The same past a pool, which may have none to give, where there is a way. Whoever comes behind a stranger's lock there
    /// is told so.
    pub(super) fn open_direct(&self) -> Result<Connection, StoreError> {
        let connection = Connection::open(self.direct.as_ref().unwrap_or(&self.address))?;
        if self.direct.is_some() || !self.is_shared {
            connection.bound(self.patience)?;
        }
        Ok(connection)
    }

    /// One on which `listener` hears what the server says by itself; `None` where nothing is heard.
    pub(super) fn open_listening(
        &self,
        listener: Listener,
    ) -> Result<Option<Connection>, StoreError> {
        let Some(address) = &self.of_notices else { return Ok(None) };
        let connection = Connection::open_listening(address, &self.runtime, listener)?;
        connection.bound(self.patience)?;
        Ok(Some(connection))
    }

    /// Notes a commit. Differs because a commit here has reached the server's disk.
    pub(super) fn committed(&self) -> CommitMark {
        CommitMark(self.commits.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// Does what follows taking over.
    pub(super) fn taken_over(&self, taken: &Taken) {
        self.lapses.fetch_add(taken.lapses, Ordering::Relaxed);
        self.carry_out(&taken.effects);
    }

    /// Now.
    pub(super) fn moment(&self) -> Moment {
        let now = self.clock.as_ref().map_or_else(|| SystemClock.now(), |clock| clock.now());
        Moment { millis: now.as_millis(), at: std::time::Instant::now() }
    }

    /// Hands events that were born claimed to their processors. The other programs are not told: there is nothing for them.
    pub(super) fn deliver(&self, promises: &Promises, born: Vec<Event>) {
        let now = self.moment().millis;
        let delivered = self.claims.births.deliver(promises, born, (&self.claims, now));
        for (queue, due) in delivered.wakes {
            self.notices.wake(&queue, due);
        }
        if !delivered.orphans.is_empty() {
            self.pending.push(Pending::GiveBack(delivered.orphans));
        }
    }

    /// Gives claims back with the next completions, unless this program has claimed their events again by then.
    pub(super) fn give_back_later(&self, given: &[Claimed]) {
        for claimed in given {
            // What comes behind must not go before it.
            self.claims.births.told(&claimed.queue, claimed.process_on);
        }
        for of_one_lease in given.chunk_by(|l, r| l.held.token == r.held.token) {
            self.pending.push(Pending::GiveBack(of_one_lease.to_vec()));
        }
    }

    /// Does what follows a commit.
    pub(super) fn carry_out(&self, effects: &Effects) {
        self.notices.tell(effects);
    }
}

impl PostgresStore {
    /// Opens the database at `options.url`, bringing its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`], [`StoreError::OlderAtWork`]; [`StoreError::Unavailable`] with the server's reason: a wrong password, an
    /// unknown host or database, missing rights, a server that is too old or only a replica.
    pub fn open(options: &PostgresOptions) -> Result<Arc<Self>, StoreError> {
        let runtime = small_runtime(&options.url.to_string())?;
        let way = Way::find(&options.url, &options.connections)?;
        let of_notices = way.of_notices().cloned();
        let Way { address, direct, is_shared, connections: (connection, for_completer) } = way;
        let at_place = |error: StoreError| located(error, address.place());
        check_server(&connection, &address)?;
        let schema = match &direct {
            Some(direct) => migrate_postgres(&AtPlace(&Connection::open(direct)?, direct))
                .map_err(|error| located(error, direct.place()))?,
            None => migrate_postgres(&AtPlace(&connection, &address)).map_err(at_place)?,
        };
        if let Some(source_place) = unfinished(&connection).map_err(at_place)? {
            let place = address.place().to_owned();
            return Err(StoreError::UnfinishedCopy { place, source_place });
        }
        let partitions = setup::settle(&connection, options.partitions).map_err(at_place)?;
        if let Some(clock) = &options.clock {
            time::put_right(&connection, clock).map_err(at_place)?;
        }
        let node =
            Node::register(&connection, &options.node, options.lease.lasts).map_err(at_place)?;
        let sequence_at_opening = last_sequence(&connection).map_err(at_place)?;
        let spread = partitions.map(|partitions| Arc::new(Spread::new(partitions, node.token())));
        let taken =
            take_over(&connection, spread.as_deref(), options.patience).map_err(at_place)?;

        let claims = Arc::new(Claims::new(spread.clone(), options.watch));
        let shared = Arc::new(Shared {
            address: Arc::clone(&address),
            direct,
            is_shared,
            of_notices,
            patience: options.patience,
            runtime: runtime.handle().clone(),
            claims: Arc::clone(&claims),
            node,
            line: Line::default(),
            pending: PendingLine::default(),
            notices: Notices::new(spread, &claims),
            orders: Orders::default(),
            clock: options.clock.clone(),
            commits: AtomicU64::new(0),
            lapses: AtomicU64::new(taken.lapses),
        });
        let patience = options.patience;
        let pool = |connections_max, session| {
            Pool::new(&address, PoolLimits { connections_max, patience, session })
        };
        let session = if is_shared { Session::Shared } else { Session::Bounded };
        let readers = pool(options.connections.readers_max, session);
        let row_reads = (!is_shared)
            .then(|| RowReads::new(pool(READS_MAX, Session::ByIndex), Arc::clone(&readers)));
        shared
            .settle(&connection)
            .and_then(|()| shared.settle(&for_completer))
            .map_err(at_place)?;
        let writer = Writer {
            shared: Arc::clone(&shared),
            connection: Some(connection),
            groups: 0,
            row: OwnRow::default(),
        };
        let completer = Completer {
            shared: Arc::clone(&shared),
            connection: Some(for_completer),
            row: OwnRow::default(),
        };
        let listening = notices::open(&shared).map_err(at_place)?;
        let (for_beat, for_notices) = (Arc::clone(&shared), Arc::clone(&shared));
        let (every, watch) = (options.lease.beat, options.watch);
        let clock = options.clock.clone();
        let running = Running {
            writer: spawn("store-writer", move || writer.run(), &address)?,
            completer: spawn("store-completer", move || completer.run(), &address)?,
            beat: spawn(
                "store-beat",
                move || beat::run(&for_beat, every, watch, clock.as_deref()),
                &address,
            )?,
            notices: spawn(
                "store-notices",
                move || notices::run(&for_notices, listening),
                &address,
            )?,
            runtime,
        };
        Ok(Arc::new(Self {
            readers,
            writers: pool(options.connections.writers_max, session),
            row_reads,
            claims,
            shared,
            sequence_at_opening,
            schema,
            options: options.clone(),
            running: Mutex::new(Some(running)),
        }))
    }

    /// How many connections it takes.
    pub(super) fn connections(&self) -> &Connections {
        &self.options.connections
    }

    /// How long an operation waits.
    pub(super) fn patience(&self) -> Duration {
        self.options.patience
    }

    /// How long a record operation may say nothing before the server ends it: a program that was stopped inside one must
    /// not hold its rows for ever. No shorter than what its rules may take.
    pub(super) fn silence_max(&self) -> Duration {
        self.options.lease.lasts.max(2 * self.options.patience)
    }

    /// The same error with the address.
    pub(super) fn located(&self, error: StoreError) -> StoreError {
        located(error, self.shared.place())
    }

    pub(super) fn committed(&self) -> CommitMark {
        self.shared.committed()
    }

    pub(super) fn carry_out(&self, effects: &Effects) {
        self.shared.carry_out(effects);
    }

    /// Finishes what waits, gives back the claims and the lease, and ends the threads.
    pub(super) fn close_all(&self) -> Result<(), StoreError> {
        let Some(running) = self.running.lock().take() else { return Ok(()) };
        self.shared.line.stop();
        join(running.writer);
        let flushed = self.shared.pending.wait_written();
        if let Err(error) = &flushed {
            tracing::error!(%error, "completed events could not be written: they will be handled again");
        }
        self.shared.pending.stop();
        join(running.completer);
        self.end(running.beat, running.notices);
        let left =
            self.shared.open_direct().and_then(|connection| self.shared.node.leave(&connection));
        self.close_pools();
        running.runtime.shutdown_background();
        flushed.and(left).map_err(|error| self.located(error))
    }

    /// Ends at once as a kill would: nothing is written any more, nothing is given back, and the lease lapses by
    /// itself. For tests.
    #[doc(hidden)]
    pub fn abandon(&self) {
        let Some(running) = self.running.lock().take() else { return };
        self.shared.line.stop();
        self.shared.pending.abandon();
        join(running.writer);
        join(running.completer);
        self.end(running.beat, running.notices);
        self.close_pools();
        running.runtime.shutdown_background();
    }

    fn close_pools(&self) {
        self.readers.close();
        self.writers.close();
        if let Some(row_reads) = &self.row_reads {
            row_reads.close();
        }
    }

    fn end(&self, beat: JoinHandle<()>, notices: JoinHandle<()>) {
        self.shared.node.stop();
        self.shared.notices.stop();
        join(beat);
        join(notices);
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        if let Err(error) = self.close_all() {
            tracing::error!(%error, "the store was not closed cleanly");
        }
    }
}

/// What carries bytes between connections and those who wait for them.
fn small_runtime(place: &str) -> Result<Runtime, StoreError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("store-postgres")
        .enable_all()
        .build()
        .map_err(|error| unavailable(place, &error))
}

fn unavailable(place: &str, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable { place: place.to_owned(), reason: error.to_string() }
}

fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
    address: &Address,
) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| unavailable(address.place(), &error))
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the store panicked");
    }
}
